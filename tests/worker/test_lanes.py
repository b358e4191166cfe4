"""How much of a lane a worker may claim."""

from types import SimpleNamespace
from typing import Any

from postroom.worker.lanes import FIRST_WINDOW, Lanes

LANE = 7
STORED: Any = SimpleNamespace(
    lane=LANE, revision=1, failures=0, trouble=None, pace=None, settings=SimpleNamespace(most_connections=None)
)


def _lanes(in_hand: int) -> Lanes:
    def no_route(_stored: object) -> Any:
        return None  # nothing is sent here

    lanes = Lanes(no_route)
    lanes.open(STORED)
    for _ in range(in_hand):
        lanes.take(LANE)
    return lanes


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

    lanes.take(LANE)
    assert lanes.free() == {LANE: 0}
    assert lanes.give(LANE)


async def test_a_lane_out_of_view_never_keeps_the_worker_asleep() -> None:
    assert _lanes(in_hand=0).give(99)
