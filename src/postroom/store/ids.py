"""Identifiers that sort by time, so that indexes grow at their right-hand edge (a random key costs SQLite threefold at
a million rows; `research/performance.md` section 4)."""

import secrets

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


def new_id(now: int) -> str:
    """26 characters: 48 bits of milliseconds, 80 random bits. `now` in microseconds since 1970."""
    value = (now // 1000) << 80 | secrets.randbits(80)
    return "".join(_DIGITS[value >> shift & 31] for shift in range(125, -1, -5))


def time_of(identifier: str) -> int:
    """When it was made, in microseconds since 1970, to the millisecond."""
    value = 0
    for digit in identifier[:10]:
        value = value << 5 | _DIGITS.index(digit)
    return value * 1000
