"""How much mail a relay may be given in a minute, an hour and a day. Pure.

A sliding count, exact to a slot: what was claimed in a slot counts until the slot is a whole span ago. So no stretch of
time as long as a span ever sees more than its limit, and a full allowance is there again a span and a slot later.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from postroom.domain.delivery import SECOND
from postroom.domain.problems import Invalid

SLOTS = {60: 1, 3600: 60, 86_400: 900}  # seconds: spans, and what each is counted by
MOST_CONNECTIONS = 20  # what Postfix allows itself to one destination
LARGEST_LIMIT = 1_000_000_000
LIMIT_FIELDS = ("limit_per_minute", "limit_per_hour", "limit_per_day")


@dataclass(frozen=True, slots=True)
class Spent:
    """`count` deliveries were claimed in a slot (counted from 1970) of a span (seconds)."""

    span: int
    slot: int
    count: int

    @property
    def counts_until(self) -> int:
        return ((self.slot + 1) * SLOTS[self.span] + self.span) * SECOND


@dataclass(frozen=True, slots=True)
class Allowance:
    """`left` deliveries may go now; with none left, some may at `free_at` (microseconds)."""

    left: int
    free_at: int = 0


def slot_of(span: int, at: int) -> int:
    return at // (SLOTS[span] * SECOND)


def allowance(limits: Mapping[int, int], spent: Iterable[Spent], now: int) -> Allowance:
    """What is left under all `limits` (deliveries by span) after what was spent."""
    known = sorted((each for each in spent if each.counts_until > now), key=lambda each: each.slot)
    each_span = [_in_one_span(most, [each for each in known if each.span == span]) for span, most in limits.items()]
    left = min(each.left for each in each_span)
    return Allowance(left, max(each.free_at for each in each_span))


def _in_one_span(most: int, spent: list[Spent]) -> Allowance:
    used = sum(each.count for each in spent)
    left = max(most - used, 0)
    free_at = 0
    for each in spent:
        if used < most:
            break
        used -= each.count
        free_at = each.counts_until
    return Allowance(left, free_at)


def check_limit(name: str, value: int | None, most: int = LARGEST_LIMIT) -> None:
    """Raises Invalid."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most):
        raise Invalid(name, f"This must be a whole number from 1 to {most}; leave it out for no limit of your own.")
