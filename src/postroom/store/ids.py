"""Identifiers that sort by time, so that indexes grow at their right-hand edge (a random key costs SQLite threefold at
a million rows; `research/performance.md` section 4)."""

import secrets
from functools import lru_cache

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_DIGIT_OF = _DIGITS.encode() * 8  # of any octet: its lower five bits


def new_id(now: int) -> str:
    """26 characters: 48 bits of milliseconds, 80 random bits. `now` in microseconds since 1970."""
    return _digits(now // 1000) + secrets.token_bytes(16).translate(_DIGIT_OF).decode()


@lru_cache(maxsize=16)
def _digits(millisecond: int) -> str:
    return "".join([_DIGITS[millisecond >> shift & 31] for shift in range(45, -1, -5)])


def first_id(moment: int) -> str:
    """Where those begin that are made from then on (microseconds since 1970): less than any of them."""
    return _digits(max(moment, 0) // 1000)


def time_of(identifier: str) -> int:
    """When it was made, in microseconds since 1970, to the millisecond."""
    value = 0
    for digit in identifier[:10]:
        value = value << 5 | _DIGITS.index(digit)
    return value * 1000
