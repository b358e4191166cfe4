"""Moments as forms give them: what `<input type="datetime-local">` sends, in UTC."""

from datetime import UTC, datetime

from postroom.domain.delivery import SECOND


def read(text: str | None, field: str, wrong: dict[str, str]) -> int | None:
    """Microseconds since 1970; None where nothing was given, or nothing that can be read: then `wrong` says so."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp()) * SECOND
    except (ValueError, OverflowError):
        wrong[field] = "Give a date and a time, such as 2026-03-31 18:00."
        return None
