"""Identifiers that sort by time, so that indexes grow at their right-hand edge (a random key costs SQLite threefold at
a million rows; `research/performance.md` section 4)."""

import secrets

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]


def new_id(now: int) -> str:
    """26 characters: 48 bits of milliseconds, 80 random bits. `now` in microseconds since 1970."""
    value = (now // 1000) << 80 | secrets.randbits(80)
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])
