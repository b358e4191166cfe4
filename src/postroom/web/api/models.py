"""What the native API's bodies and answers have in common. Bodies are strict: an unknown member is refused; a typo is
never silence.

Times are RFC 3339 text, durations whole seconds, identifiers opaque text.
"""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict


def moment(microseconds: int) -> str:
    """RFC 3339 in UTC."""
    return (
        datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


class In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)


class Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class ProblemOut(Out):
    """RFC 9457. `code` is stable, `detail` is a sentence for an administrator, `field` names what is wrong;
    `request_id` finds it in the log."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    request_id: str | None = None
