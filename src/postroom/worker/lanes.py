"""A worker's own view of the lanes: their pools, how much of each it may hold, and how their relays are doing."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from postroom import log
from postroom.domain.breaker import AFTER_PROBE, FULL_PACE, PROBE, next_pace, rest, widened
from postroom.domain.delivery import SECOND, Deferred, Scope
from postroom.domain.limits import MOST_CONNECTIONS
from postroom.smtp.attempt import GOOD_FOR
from postroom.smtp.pool import Pool
from postroom.smtp.route import Route
from postroom.store.profiles import StoredProfile
from postroom.store.queue.claim import Claim
from postroom.store.queue.lanes import LaneReport
from postroom.worker.seats import Seats

FIRST_WINDOW = 20  # deliveries in hand for a lane that we know nothing of
MANY_UNPROVEN = 500  # deliveries of such lanes from which on each gets one: their relays may all be silent
WIDEST_WINDOW = FULL_PACE


@dataclass(slots=True)
class Lane:
    """`window`: how many deliveries to hold at once. It doubles while all goes well and falls to 1 when the relay
    fails, so that a dead relay holds next to nothing; `pace` is its slow start after that, which all workers share, and
    None at full speed. `is_behind`: mail may be waiting in the queue, so that what comes now has to line up there.
    `seats`: the connections that this worker may have of the lane's. `is_proven`: its relay has taken mail."""

    pool: Pool
    revision: int
    window: int = FIRST_WINDOW
    failures: int = 0
    rested_at: int = 0
    trouble: str | None = None
    is_behind: bool = True
    pace: int | None = None
    seats: int = 0
    is_proven: bool = False

    def catch_up(self, stored: StoredProfile) -> None:
        """With what other workers have found since."""
        if stored.pace is not None and (self.pace is None or stored.pace < self.pace):
            self.window = min(self.window, stored.pace)
        self.failures, self.trouble, self.pace = stored.failures, stored.trouble, stored.pace
        self.spread_out()

    def spread_out(self) -> None:
        """As many connections as there is mail in hand for, at most."""
        most = min(self.seats, self.window)
        if most != self.pool.most_connections:
            self.pool.allow(most)


class Lanes:
    """Without `seats` this worker may have all connections of each lane. `permit_holds`: as for a `Pool`."""

    def __init__(
        self, route_of: Callable[[StoredProfile], Route], seats: Seats | None = None, permit_holds: float = GOOD_FOR
    ) -> None:
        self._route_of = route_of
        self._permit_holds = permit_holds
        self._seats = seats
        self._lanes: dict[int, Lane] = {}
        self._in_hand: dict[int, int] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def first_window(self) -> int:
        return FIRST_WINDOW if self.in_hand_unproven < MANY_UNPROVEN else 1

    @property
    def in_view(self) -> list[int]:
        return sorted(self._lanes)

    def free(self) -> dict[int, int]:
        """How many more to claim of each lane in view: none before half of its window is free, because a claim of a
        few costs as much as one of many, in the transaction that everybody waits for."""
        first = self.first_window
        free = {each: self._room_in(each, lane) for each, lane in self._lanes.items()}
        for each in free.keys() - self.proven:
            free[each] = max(0, min(free[each], first - self._in_hand.get(each, 0)))
        return free

    @property
    def proven(self) -> frozenset[int]:
        """The lanes that are known to be well."""
        return frozenset(each for each, lane in self._lanes.items() if lane.is_proven and not lane.failures)

    @property
    def in_hand_unproven(self) -> int:
        """Deliveries of all the others."""
        proven = self.proven
        return sum(count for each, count in self._in_hand.items() if each not in proven)

    def claimed(self, claims: Iterable[Claim], free: Mapping[int, int], *, all_there_was: bool) -> None:
        """What came of a claim for which so much was free: a lane that gave less had no more."""
        taken = Counter(claim.through for claim in claims)
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
        is_well = stored.is_unhindered and not lane.failures and lane.pace is None and lane.seats > 0
        if not is_well or lane.is_behind or lane.revision != stored.revision or in_hand + count > lane.window:
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
        return lane.window - in_hand if in_hand <= lane.window // 2 and lane.seats else 0

    def at_hand(self, stored: StoredProfile) -> Lane | None:
        """The lane as it stands, for what was reserved a moment ago."""
        lane = self._lanes.get(stored.lane)
        return lane if lane is not None and lane.revision == stored.revision else None

    def open(self, stored: StoredProfile) -> Lane:
        """The lane with a pool for the revision in force. Raises Problem when its settings can't be used."""
        lane = self._lanes.get(stored.lane)
        if lane is None or lane.revision != stored.revision:
            pool = Pool(self._route_of(stored), most_connections=0, permit_holds=self._permit_holds)
            if lane is not None:
                self._retire(lane.pool)
            lane = Lane(pool, stored.revision)
            self._lanes[stored.lane] = lane
            lane.catch_up(stored)
            self._seat(stored, lane)
        else:
            lane.catch_up(stored)
        return lane

    def look_at(self, lanes: Iterable[int], profiles: Mapping[int, StoredProfile]) -> None:
        """What stands now of these lanes. One that is paused or gone hands back what has not begun."""
        for each in [each for each in lanes if each in self._lanes]:
            stored = profiles.get(each)
            if stored is None or stored.paused_at is not None:
                self._forget(each)
            elif stored.revision == self._lanes[each].revision:
                self._lanes[each].catch_up(stored)
                self._seat(stored, self._lanes[each])

    def _seat(self, stored: StoredProfile, lane: Lane) -> None:
        most = stored.settings.most_connections
        if self._seats is None or most is None:  # where nobody set a limit, each worker has the usual number
            self._seated(lane, most or MOST_CONNECTIONS)
            return
        lane.pool.allow(min(lane.seats, lane.pool.held))  # no more before the answer is there
        self._seats.ask(stored.lane, lane.pool.held, lambda count: self._seated(lane, count))

    def _seated(self, lane: Lane, count: int) -> None:
        lane.seats = count
        if count:
            lane.spread_out()
        elif not lane.pool.held:  # others have them all: what waits here may go out there
            lane.pool.hand_back()

    def judge(
        self, stored: StoredProfile, failure: Deferred | None, started_at: int, now: int, dice: float
    ) -> LaneReport | None:
        """What is to be written down about the lane after an attempt, if anything."""
        lane = self._lanes.get(stored.lane)
        if lane is not None and lane.revision != stored.revision:  # it says nothing about the settings in force
            return None
        failures = lane.failures if lane else stored.failures
        if lane is not None and started_at < lane.rested_at:  # one of many that failed together: counted once
            return None
        if failure is None:
            return self._went_well(stored, lane)
        pause = rest(failure.scope, failures + 1, dice)
        if lane is not None:
            lane.window, lane.failures, lane.rested_at, lane.trouble = PROBE, failures + 1, now, failure.message
            lane.pace = PROBE
            lane.spread_out()
        _tell(stored, failure, failures + 1, pause / SECOND)
        return LaneReport(stored.lane, failures + 1, stored.revision, now + pause, failure.message, failure.scope)

    def _went_well(self, stored: StoredProfile, lane: Lane | None) -> LaneReport | None:
        if lane is None:
            return None
        lane.is_proven = True
        if lane.failures or lane.trouble:
            lane.failures, lane.rested_at, lane.trouble = 0, 0, None
            lane.window = lane.pace = AFTER_PROBE
            lane.spread_out()
            log.lane_well(stored.lane)
            return LaneReport(stored.lane, 0, stored.revision, pace=AFTER_PROBE)
        before = lane.pace
        lane.window = widened(lane.window, starting_slowly=before is not None)
        lane.pace = next_pace(before, lane.window)
        lane.spread_out()
        return (
            None if lane.pace == before else LaneReport(stored.lane, 0, stored.revision, pace=lane.pace, clears=False)
        )

    def forget_idle(self) -> None:
        """Lanes that hold nothing and have no connection standing."""
        idle = [each for each, lane in self._lanes.items() if not lane.pool.connections and each not in self._in_hand]
        self._forget(*idle)

    def _forget(self, *lanes: int) -> None:
        for each in lanes:
            self._retire(self._lanes.pop(each).pool, each)

    async def close(self) -> None:
        """End every pool: what is on the wire comes to its end, what has not begun is handed back."""
        self._forget(*self.in_view)
        await asyncio.gather(*self._closing)

    def _retire(self, pool: Pool, forgotten: int | None = None) -> None:
        """In the background: the last answers of a slow relay may take minutes."""
        closing = asyncio.create_task(pool.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        if self._seats is not None and forgotten is not None:
            closing.add_done_callback(lambda _: self._give_up(forgotten))

    def _give_up(self, lane: int) -> None:
        if self._seats is not None and lane not in self._lanes:
            self._seats.give_up(lane)


def _tell(stored: StoredProfile, failure: Deferred, failures: int, seconds: float) -> None:
    log.lane_rests(stored.lane, failure.code, failures, seconds)
    if failure.scope is Scope.PROFILE:
        log.settings_rejected(stored.tenant_id, stored.id, stored.lane, failure.code, seconds)
