"""Claim, and see to it that what is claimed is delivered (`delivering.py`).

One loop claims from the durable queue. What is accepted in this same process, for a lane with room and nothing waiting,
need not go that way: it is kept as claimed already and handed over (`reserve`, `deliver`).
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from postroom import log
from postroom.domain.counts import Counts
from postroom.domain.delivery import SECOND, State
from postroom.smtp.route import Route
from postroom.store.database import Database
from postroom.store.ids import new_id
from postroom.store.profiles import StoredProfile, by_lanes
from postroom.store.queue.accept import HandOver, NewMessage, with_ids
from postroom.store.queue.claim import Claim, Claiming, Renewing, Wanted, spare_lease
from postroom.store.vault import Vault
from postroom.worker.delivering import Delivering
from postroom.worker.hold import MOST_OCTETS, SMALL, Hold, parcels_of, take_in
from postroom.worker.lanes import Lanes
from postroom.worker.seats import Seats
from postroom.worker.untried import is_kept_back

CLAIM = 200  # deliveries in one go
MOST_IN_FLIGHT = 2_000  # deliveries, over all lanes
MOST_UNPROVEN = 1_600  # of these, in lanes whose relays have not taken anything yet: they may all be silent
NAP = 0.5  # seconds between looks into an empty queue; `wake` shortens it
GRACE = 25.0  # seconds that what is under way gets when we are told to stop

RouteOf = Callable[[StoredProfile], Route]


class Worker:
    """`most_octets` of large contents are held at once; `clock` gives microseconds since 1970, `dice` is in [0, 1)."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        route_of: RouteOf,
        *,
        lease: float,
        most_octets: int = MOST_OCTETS,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        dice: Callable[[], float] = random.random,
        counts: Counts | None = None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._lease = int(lease * SECOND)
        # SQLite has one process, whose all the connections are.
        seats = None if database.is_sqlite else Seats(database, self._lease, clock())
        self._lanes = Lanes(route_of, seats, permit_holds=spare_lease(self._lease) / SECOND)
        self._hold = Hold(most_octets)
        self._due = asyncio.Event()
        self._stopping = asyncio.Event()
        self._changed = False
        self._delivering = Delivering(
            database, self._lanes, self._hold, lease=self._lease, clock=clock, dice=dice, roomier=self._due.set,
            counts=counts or Counts(),
        )  # fmt: skip
        self._claim = Claiming(database.now)
        self._renew = Renewing(database.now, self._lease)
        self.name = new_id(clock())  # the lease of what is handed over; every claim has one of its own
        self.seen_at: float | None = None  # when the loop last came round (monotonic), for health checks

    @property
    def in_flight(self) -> int:
        return len(self._delivering)

    def wake(self) -> None:
        """There is something to do."""
        self._due.set()

    def settings_changed(self) -> None:
        """Somebody saved, paused or resumed: look at what is in hand at once, not with the next heartbeat."""
        self._changed = True
        self._due.set()

    def stop(self) -> None:
        """Claim no more; `run` returns when what is under way has ended or its grace is over."""
        self._stopping.set()
        self._due.set()

    async def run(self) -> None:
        heart = asyncio.create_task(self._keep_leases())
        try:
            while not self._stopping.is_set():
                await self._once()
        finally:
            await self._wind_up()
            heart.cancel()

    async def _once(self) -> None:
        self.seen_at = time.monotonic()
        self._due.clear()
        try:
            if self._changed:
                self._changed = False
                await self._look_at_lanes()
            claims = await self._claim_some()
            if claims:
                await self._start(claims)
        except Exception as error:  # the database is away, or a mistake of ours: neither may end all delivery
            log.worker_failed(error)
            await _nap(self._stopping)  # in full: new mail doesn't make it better
        else:
            if len(claims) < CLAIM // 4:  # a small harvest: let more gather
                await _nap(self._due)

    # --- what comes through the queue

    async def _claim_some(self) -> list[Claim]:
        if MOST_IN_FLIGHT - self.in_flight < CLAIM:
            return []
        free = self._lanes.free() | dict.fromkeys(self._hold.full, 0)
        only = self._lanes.proven if self._lanes.in_hand_unproven >= MOST_UNPROVEN else None
        wanted = Wanted(CLAIM, self._lease, self._lanes.first_window, free, only)
        claims = await self._database.fold(self._claim, wanted)
        self._lanes.claimed(claims, free, all_there_was=len(claims) < CLAIM)
        self._delivering.take(claims)
        return claims

    async def _start(self, claims: list[Claim]) -> None:
        """Look up what is claimed, and send each parcel on its way."""
        parcels = parcels_of(claims)
        lane_ids = sorted({each for claim in claims for each in (claim.lane, claim.through)})
        room, most = self._hold.room, self._hold.most
        try:
            (found, full), profiles = await self._database.read(
                lambda connection: (
                    take_in(connection, self._vault, parcels, room, most),
                    by_lanes(connection, lane_ids),
                )
            )
        except Exception:
            for parcel in parcels:
                self._delivering.give_back(parcel)
            raise
        for parcel in parcels:
            message_id, through = parcel[0].message_id, parcel[0].through
            own, stored = profiles.get(parcel[0].lane), profiles.get(through)
            if (message_id not in found and through in full) or is_kept_back(own, stored):
                self._delivering.give_back(parcel)
            else:
                self._delivering.consider(parcel, own, stored, found.get(message_id))
        self._hold.turn_away(full)

    # --- what is accepted right here

    def reserve(self, stored: StoredProfile, messages: Sequence[NewMessage]) -> HandOver | None:
        """Room for mail of a profile that is about to be accepted; then either `deliver` or `cancel` it. None: it goes
        through the queue."""
        count = sum(each.state is State.WAITING for new in messages for each in new.deliveries)
        if (
            not count
            or self._stopping.is_set()
            or self.in_flight + count > MOST_IN_FLIGHT
            or any(len(new.content) > SMALL for new in messages)
            or not self._lanes.reserve(stored, count)
        ):
            return None
        return HandOver(self.name, self._lease, stored.revision, count)

    def cancel(self, hand_over: HandOver, lane: int) -> None:
        """It was not kept as claimed: it was there already, it is for the queue, or it could not be kept at all."""
        self._lanes.give(lane, hand_over.deliveries)

    def deliver(self, hand_over: HandOver, stored: StoredProfile, messages: Sequence[NewMessage]) -> None:
        """It is kept, as claimed by us."""
        for new in messages:
            parcel = _handed_over(new, hand_over.lease)
            self._delivering.take(parcel)
            if self._stopping.is_set():
                self._delivering.give_back(parcel)
            elif parcel:
                self._delivering.attempt(parcel, stored, (new.envelope_sender, new.content, new.reports))

    # --- leases and the end

    async def _keep_leases(self) -> None:
        """Renew what is in hand, well before its time: a live worker is never robbed."""
        while True:
            await asyncio.sleep(self._lease / SECOND / 3)
            try:
                self._lanes.forget_idle()
                await asyncio.gather(*(self._database.fold(self._renew, each) for each in self._delivering.held()))
                await self._look_at_lanes()
            except Exception as error:
                log.worker_failed(error)

    async def _look_at_lanes(self) -> None:
        in_view = self._lanes.in_view
        self._lanes.look_at(in_view, await self._database.read(lambda connection: by_lanes(connection, in_view)))

    async def _wind_up(self) -> None:
        """Let what is on the wire end, give back what has not begun."""
        log.stopping(self.in_flight)
        try:
            async with asyncio.timeout(GRACE):
                await self._lanes.close()
                await self._delivering.idle.wait()
        except TimeoutError:
            pass  # their leases run out; what was in doubt is known to be


async def _nap(until: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(NAP):
            await until.wait()
    except TimeoutError:
        pass


def _handed_over(new: NewMessage, lease: str) -> list[Claim]:
    return [
        Claim(delivery_id, new.lane, new.lane, new.id, each.recipient, 1, 0, new.expires_at, new.on_doubt, False, lease)
        for delivery_id, each in with_ids(new)
        if each.state is State.WAITING
    ]
