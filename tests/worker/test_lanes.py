"""How much of a lane a worker may claim."""

from types import SimpleNamespace
from typing import Any

from postroom.worker.lanes import FIRST_WINDOW, Lanes

LANE = 7
STORED: Any = SimpleNamespace(lane=LANE, revision=1, failures=0, trouble=None)


def _lanes(in_hand: int) -> Lanes:
    def no_route(_stored: object) -> Any:
        return None  # nothing is sent here

    lanes = Lanes(no_route)
    lanes.open(STORED)
    take(lanes, in_hand)
    return lanes


def take(lanes: Lanes, count: int, *, room: int = FIRST_WINDOW, all_there_was: bool = False) -> None:
    claim: Any = SimpleNamespace(lane=LANE)
    lanes.claimed([claim] * count, {LANE: room}, all_there_was=all_there_was)


async def test_an_idle_lane_has_its_whole_window() -> None:
    assert _lanes(in_hand=0).free() == {LANE: FIRST_WINDOW}


async def test_nothing_is_claimed_before_half_of_the_window_is_free() -> None:
    half = FIRST_WINDOW // 2
    assert _lanes(in_hand=FIRST_WINDOW).free() == {LANE: 0}
    assert _lanes(in_hand=half + 1).free() == {LANE: 0}
    assert _lanes(in_hand=half).free() == {LANE: FIRST_WINDOW - half}


async def test_giving_back_says_whether_there_is_room_now() -> None:
    lanes = _lanes(in_hand=FIRST_WINDOW)

    said = [lanes.give(LANE) for _ in range(FIRST_WINDOW)]

    assert said.index(True) == FIRST_WINDOW // 2 - 1  # the one that makes half of it free
    assert all(said[FIRST_WINDOW // 2 - 1 :])


async def test_a_window_of_one_is_not_stuck() -> None:
    lanes = _lanes(in_hand=0)
    lanes.open(STORED).window = 1
    assert lanes.free() == {LANE: 1}

    take(lanes, 1)
    assert lanes.free() == {LANE: 0}
    assert lanes.give(LANE)


async def test_a_lane_out_of_view_never_keeps_the_worker_asleep() -> None:
    assert _lanes(in_hand=0).give(99)


async def test_room_is_only_reserved_where_nothing_may_be_waiting() -> None:
    lanes = _lanes(in_hand=0)
    assert not lanes.reserve(STORED, 1)  # nobody has looked yet
    take(lanes, FIRST_WINDOW, all_there_was=True)
    assert not lanes.reserve(STORED, 1)  # there may be more than there was room for
    lanes.give(LANE, FIRST_WINDOW)
    take(lanes, 3, all_there_was=True)
    assert lanes.reserve(STORED, 4)
    assert lanes.free() == {LANE: FIRST_WINDOW - 7}


async def test_what_does_not_fit_sends_what_comes_after_it_through_the_queue_too() -> None:
    lanes = _lanes(in_hand=0)
    take(lanes, 0, all_there_was=True)
    assert not lanes.reserve(STORED, FIRST_WINDOW + 1)
    assert not lanes.reserve(STORED, 1)
    take(lanes, 0, all_there_was=True)
    assert lanes.reserve(STORED, 1)


async def test_no_room_is_reserved_at_a_relay_that_fails_or_for_other_settings() -> None:
    lanes = _lanes(in_hand=0)
    take(lanes, 0, all_there_was=True)
    other: Any = SimpleNamespace(lane=LANE, revision=2, failures=0, trouble=None)
    assert not lanes.reserve(other, 1)
    take(lanes, 0, all_there_was=True)
    lanes.open(STORED).failures = 1
    assert not lanes.reserve(STORED, 1)
