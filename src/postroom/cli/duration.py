"""How long, as people write it: `90d`, `12h`, `30m`, `45s`."""

import re

import typer

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,9})([smhd])", re.ASCII)


def seconds(text: str) -> int:
    """Raises BadParameter."""
    found = _DURATION.fullmatch(text.strip().lower())
    if not found:
        raise typer.BadParameter("write a number and a unit: 90d, 12h, 30m or 45s.")
    return int(found[1]) * _SECONDS[found[2]]
