"""Limits: never more in any stretch of time, and all of it when it is due again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.domain.delivery import SECOND
from postroom.domain.limits import SLOTS, Spent, allowance, check_limit, slot_of
from postroom.domain.problems import Invalid

NOW = 1_700_000_000 * SECOND + 123_456
limits = st.dictionaries(st.sampled_from(sorted(SLOTS)), st.integers(1, 50), min_size=1)
steps = st.lists(st.tuples(st.integers(0, 4_000), st.integers(1, 60)), max_size=60)  # seconds later, so many wanted


def spend(spent: list[Spent], spans: Any, at: int, count: int) -> None:
    spent += [Spent(span, slot_of(span, at), count) for span in spans if count]


@given(limits, steps)
def test_no_stretch_of_time_sees_more_than_its_limit(most: dict[int, int], asked: list[tuple[int, int]]):
    now, spent, taken = NOW, [], []
    for later, wanted in asked:
        now += later * SECOND
        count = min(wanted, allowance(most, spent, now).left)
        spend(spent, most, now, count)
        taken.append((now, count))
    for span, limit in most.items():
        for begin, _ in taken:
            within = [count for at, count in taken if begin <= at < begin + span * SECOND]
            assert sum(within) <= limit


@given(st.sampled_from(sorted(SLOTS)), st.integers(1, 50), st.integers(0, 10**12))
def test_a_full_allowance_is_there_again_a_span_and_a_slot_later_at_most(span: int, limit: int, offset: int):
    now, spent = NOW + offset, []
    assert allowance({span: limit}, spent, now).left == limit
    spend(spent, [span], now, limit)
    due = allowance({span: limit}, spent, now)
    assert due.left == 0
    assert now + span * SECOND < due.free_at <= now + (span + SLOTS[span]) * SECOND
    assert allowance({span: limit}, spent, due.free_at - 1).left == 0
    assert allowance({span: limit}, spent, due.free_at).left == limit


def test_the_tightest_limit_decides_and_the_last_to_be_free_says_when():
    spent: list[Spent] = []
    spend(spent, [60, 3600], NOW, 10)
    due = allowance({60: 10, 3600: 15}, spent, NOW)
    assert (due.left, due.free_at <= NOW + 61 * SECOND) == (0, True)
    spend(spent, [60, 3600], NOW + 120 * SECOND, 5)
    later = allowance({60: 10, 3600: 15}, spent, NOW + 120 * SECOND)
    assert (later.left, later.free_at > NOW + 3600 * SECOND) == (0, True)


@pytest.mark.parametrize("value", [0, -1, True, 10**9 + 1, 1.5, "7"])
def test_what_is_no_limit_is_refused_by_its_name(value: Any):
    with pytest.raises(Invalid) as refused:
        check_limit("limit_per_day", value)
    assert refused.value.field == "limit_per_day"
