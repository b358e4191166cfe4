"""A worker's own view of the lanes: their pools, how much of each it may hold, and how their relays are doing."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from postroom import log
from postroom.domain.delivery import SECOND, Deferred, rest
from postroom.smtp.pool import Pool
from postroom.smtp.route import Route
from postroom.store.profiles import StoredProfile
from postroom.store.queue.claim import Claim
from postroom.store.queue.lanes import LaneReport

FIRST_WINDOW = 20  # deliveries in hand for a lane that we know nothing of
WIDEST_WINDOW = 400


@dataclass(slots=True)
class Lane:
    """`window`: how many deliveries to hold at once. It doubles while all goes well and falls to 1 when the relay
    fails, so that a dead relay holds next to nothing and one that is back is not run over. `is_behind`: mail may be
    waiting in the queue, so that what comes now has to line up there."""

    pool: Pool
    revision: int
    window: int = FIRST_WINDOW
    failures: int = 0
    rested_at: int = 0
    trouble: str | None = None
    is_behind: bool = True


class Lanes:
    def __init__(self, route_of: Callable[[StoredProfile], Route]) -> None:
        self._route_of = route_of
        self._lanes: dict[int, Lane] = {}
        self._in_hand: dict[int, int] = {}
        self._closing: set[asyncio.Task[None]] = set()

    first_window = FIRST_WINDOW

    def free(self) -> dict[int, int]:
        """How many more to claim of each lane in view: none before half of its window is free, because a claim of a
        few costs as much as one of many, in the transaction that everybody waits for."""
        return {each: self._room_in(each, lane) for each, lane in self._lanes.items()}

    def claimed(self, claims: Iterable[Claim], free: Mapping[int, int], *, all_there_was: bool) -> None:
        """What came of a claim for which so much was free: a lane that gave less had no more."""
        taken = Counter(claim.lane for claim in claims)
        for each, count in taken.items():
            self._in_hand[each] = self._in_hand.get(each, 0) + count
        for each, room in free.items():
            lane = self._lanes.get(each)
            if lane is not None and all_there_was and taken[each] < room:
                lane.is_behind = False

    def reserve(self, stored: StoredProfile, count: int) -> bool:
        """Room for so many deliveries that need not line up: the relay is well, nothing waits, and the window takes
        them. If not, they will wait in the queue."""
        lane = self._lanes.get(stored.lane)
        if lane is None:
            return False
        in_hand = self._in_hand.get(stored.lane, 0)
        if lane.is_behind or lane.failures or lane.revision != stored.revision or in_hand + count > lane.window:
            lane.is_behind = True
            return False
        self._in_hand[stored.lane] = in_hand + count
        return True

    def give(self, lane: int, count: int = 1) -> bool:
        """Whether there is room now to claim more of what may wait."""
        left = self._in_hand.get(lane, 0) - count
        if left > 0:
            self._in_hand[lane] = left
        else:
            self._in_hand.pop(lane, None)
        in_view = self._lanes.get(lane)
        return in_view is None or (in_view.is_behind and self._room_in(lane, in_view) > 0)

    def _room_in(self, lane_id: int, lane: Lane) -> int:
        in_hand = self._in_hand.get(lane_id, 0)
        return lane.window - in_hand if in_hand <= lane.window // 2 else 0

    def open(self, stored: StoredProfile) -> Lane:
        """The lane with a pool for the revision in force. Raises Problem when its settings can't be used."""
        lane = self._lanes.get(stored.lane)
        if lane is None or lane.revision != stored.revision:
            pool = Pool(self._route_of(stored))
            if lane is not None:
                self._retire(lane.pool)
            lane = Lane(pool, stored.revision, failures=stored.failures, trouble=stored.trouble)
            self._lanes[stored.lane] = lane
        return lane

    def judge(
        self, stored: StoredProfile, failure: Deferred | None, started_at: int, now: int, dice: float
    ) -> LaneReport | None:
        """What is to be written down about the lane after an attempt, if anything."""
        lane = self._lanes.get(stored.lane)
        if lane is not None and lane.revision != stored.revision:  # it says nothing about the settings in force
            return None
        failures = lane.failures if lane else stored.failures
        if failure is None:
            return self._went_well(stored, lane)
        if lane is not None and started_at < lane.rested_at:  # one of many that failed together: counted once
            return None
        pause = rest(failure.scope, failures + 1, dice)
        if lane is not None:
            lane.window, lane.failures, lane.rested_at, lane.trouble = 1, failures + 1, now, failure.message
        log.lane_rests(stored.lane, failure.code, failures + 1, pause / SECOND)
        return LaneReport(stored.lane, failures + 1, stored.revision, now + pause, failure.message)

    def forget_idle(self) -> None:
        """Lanes that hold nothing and have no connection standing."""
        idle = [each for each, lane in self._lanes.items() if not lane.pool.connections and each not in self._in_hand]
        for each in idle:
            self._retire(self._lanes.pop(each).pool)

    async def close(self) -> None:
        """End every pool: what is on the wire comes to its end, what has not begun is handed back."""
        for lane in self._lanes.values():
            self._retire(lane.pool)
        self._lanes.clear()
        await asyncio.gather(*self._closing)

    def _retire(self, pool: Pool) -> None:
        """In the background: the last answers of a slow relay may take minutes."""
        closing = asyncio.create_task(pool.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _went_well(self, stored: StoredProfile, lane: Lane | None) -> LaneReport | None:
        if lane is None:
            return None
        lane.window = min(lane.window * 2, WIDEST_WINDOW)
        if not lane.failures and not lane.trouble:
            return None
        lane.failures, lane.rested_at, lane.trouble = 0, 0, None
        log.lane_well(stored.lane)
        return LaneReport(stored.lane, 0, stored.revision)
