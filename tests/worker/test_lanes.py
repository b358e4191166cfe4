"""How much of a lane a worker may claim."""

from types import SimpleNamespace
from typing import Any

import pytest

from postroom.domain.delivery import Deferred, Scope, Stage
from postroom.domain.message import OnDoubt
from postroom.store.queue.claim import Claim
from postroom.worker.lanes import WIDEST_WINDOW, Lanes

LANE = 7
WINDOW = 20
STORED: Any = SimpleNamespace(
    lane=LANE,
    id=1,
    tenant_id=1,
    revision=1,
    failures=0,
    trouble=None,
    pace=None,
    settings=SimpleNamespace(most_connections=None),
    is_unhindered=True,
)  # fmt: skip


def _lanes(in_hand: int) -> Lanes:
    def no_route(_stored: object) -> Any:
        return None  # nothing is sent here

    lanes = Lanes(no_route)
    lanes.open(STORED).window = WINDOW
    take(lanes, in_hand)
    return lanes


def take(lanes: Lanes, count: int, *, room: int = WINDOW, all_there_was: bool = False) -> None:
    claim = Claim("a.1", LANE, LANE, "a", "r@d.example", 1, 0, 0, OnDoubt.RETRY, False, "lease")
    lanes.claimed([claim] * count, {LANE: room}, all_there_was=all_there_was)


async def test_an_idle_lane_has_its_whole_window() -> None:
    assert _lanes(in_hand=0).free() == {LANE: WINDOW}


async def test_nothing_is_claimed_before_half_of_the_window_is_free() -> None:
    half = WINDOW // 2
    assert _lanes(in_hand=WINDOW).free() == {LANE: 0}
    assert _lanes(in_hand=half + 1).free() == {LANE: 0}
    assert _lanes(in_hand=half).free() == {LANE: WINDOW - half}


async def test_giving_back_says_whether_there_is_room_now() -> None:
    lanes = _lanes(in_hand=WINDOW)

    said = [lanes.give(LANE) for _ in range(WINDOW)]

    assert said.index(True) == WINDOW // 2 - 1  # the one that makes half of it free
    assert all(said[WINDOW // 2 - 1 :])


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
    take(lanes, WINDOW, all_there_was=True)
    assert not lanes.reserve(STORED, 1)  # there may be more than there was room for
    lanes.give(LANE, WINDOW)
    take(lanes, 3, all_there_was=True)
    assert lanes.reserve(STORED, 4)
    assert lanes.free() == {LANE: WINDOW - 7}


async def test_what_does_not_fit_sends_what_comes_after_it_through_the_queue_too() -> None:
    lanes = _lanes(in_hand=0)
    take(lanes, 0, all_there_was=True)
    assert not lanes.reserve(STORED, WINDOW + 1)
    assert not lanes.reserve(STORED, 1)
    take(lanes, 0, all_there_was=True)
    assert lanes.reserve(STORED, 1)


async def test_no_room_is_reserved_at_a_relay_that_fails_or_for_other_settings() -> None:
    lanes = _lanes(in_hand=0)
    take(lanes, 0, all_there_was=True)
    other: Any = SimpleNamespace(**vars(STORED) | {"revision": 2})
    assert not lanes.reserve(other, 1)
    take(lanes, 0, all_there_was=True)
    lanes.open(STORED).failures = 1
    assert not lanes.reserve(STORED, 1)


# --- when its relay fails

AWAY = Deferred("connect.refused", "The relay is away.", Stage.CONNECT, Scope.RELAY)


def failing() -> Lanes:
    lanes = _lanes(in_hand=0)
    report = lanes.judge(STORED, AWAY, 1, now=10, dice=0.5)
    assert report is not None
    assert (report.failures, report.pace, report.scope) == (1, None, Scope.RELAY)
    return lanes


def seen(**said: Any) -> Any:
    return SimpleNamespace(**vars(STORED) | said)


async def test_many_that_fail_together_are_one_failure() -> None:
    lanes = failing()
    assert lanes.judge(STORED, AWAY, 5, now=11, dice=0.5) is None


async def test_what_went_well_before_the_failure_does_not_end_the_rest() -> None:
    assert failing().judge(STORED, None, 5, now=11, dice=0.5) is None


async def test_after_a_probe_the_window_and_the_connections_double_round_by_round() -> None:
    lanes = failing()
    lane = lanes.open(seen(failures=1, trouble="The relay is away.", pace=1))
    report = lanes.judge(STORED, None, 20, now=30, dice=0.5)
    assert report is not None
    assert (report.failures, report.rests_until, report.pace, report.clears) == (0, None, 2, True)
    told: list[Any] = []
    rounds = []
    while lane.pace is not None:
        rounds.append(lane.window)
        told += filter(None, [lanes.judge(STORED, None, 40, now=50, dice=0.5) for _ in range(lane.window)])
    assert rounds == [2, 4, 8, 16, 32, 64, 128, 256]
    assert [each.pace for each in told] == [4, 8, 16, 32, 64, 128, 256, None]
    assert not any(each.clears for each in told)


@pytest.mark.parametrize("pace", [1, 4])
async def test_a_lane_that_failed_elsewhere_starts_slowly_here_too(pace: int) -> None:
    lanes = _lanes(in_hand=0)
    lane = lanes.open(STORED)
    for _ in range(10):
        lanes.judge(STORED, None, 1, now=2, dice=0.5)
    assert lane.window == WIDEST_WINDOW
    assert lanes.open(seen(pace=pace)).window == pace
    assert _lanes(in_hand=0).open(STORED).window == WINDOW


async def test_more_connections_than_there_is_mail_in_hand_for_are_not_opened() -> None:
    lanes = failing()
    lane = lanes.open(seen(failures=1, pace=1))
    assert lane.pool.most_connections == 1
    lanes.judge(STORED, None, 20, now=30, dice=0.5)
    assert lane.pool.most_connections == 2
    lanes.open(seen(settings=SimpleNamespace(most_connections=1), revision=2))
    assert lanes.open(seen(settings=SimpleNamespace(most_connections=1), revision=2)).pool.most_connections == 1
