"""Identifiers that sort by time, so that indexes grow at their right-hand edge (a random key costs SQLite threefold at
a million rows; `research/performance.md` section 4)."""

import os
import secrets
from functools import lru_cache

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_DIGIT_OF = _DIGITS.encode() * 8  # of any octet: its lower five bits


def new_id(now: int) -> str:
    """26 characters: 48 bits of milliseconds, 80 random bits. `now` in microseconds since 1970."""
    return _digits(now // 1000) + _sixteen_octets().translate(_DIGIT_OF).decode()


_RANDOM: list[bytes] = []  # octets drawn for 256 identifiers at once, which costs as much as drawing for two
os.register_at_fork(after_in_child=_RANDOM.clear)  # or both processes would make the same


def _sixteen_octets() -> bytes:
    while True:
        try:
            return _RANDOM.pop()  # of a list, so that two threads never get the same
        except IndexError:
            drawn = secrets.token_bytes(16 * 256)
            _RANDOM.extend([drawn[at : at + 16] for at in range(0, len(drawn), 16)])


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
