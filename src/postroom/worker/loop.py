"""Claim, attempt, settle.

One loop claims; each message then goes its own way through its lane's pool, and what became of it is settled when it is
known. Nothing here sleeps on a relay: a slow one holds its own lane's window, nobody else's.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import attrgetter

from postroom import log
from postroom.domain.delivery import (
    SECOND,
    Decision,
    Deferred,
    Finish,
    InDoubt,
    Outcome,
    Refused,
    Sent,
    State,
    decide,
    waits_for_the_lane,
)  # fmt: skip
from postroom.domain.message import Envelope
from postroom.domain.problems import Problem
from postroom.smtp.attempt import Attempt
from postroom.smtp.route import Route
from postroom.store.database import Database
from postroom.store.profiles import StoredProfile, by_lanes
from postroom.store.queue.claim import Claim, Held, Wanted, claimer, doubter, releaser, renewer
from postroom.store.queue.lanes import report_lanes
from postroom.store.queue.settle import Record, Settlement, settle
from postroom.worker.hold import MOST_OCTETS, Hold, Parcel, parcels_of, take_in
from postroom.worker.lanes import Lanes
from postroom.worker.seats import Seats
from postroom.worker.untried import failed_by_us, is_kept_back, unusable, without_attempt

CLAIM = 200  # deliveries in one go
MOST_IN_FLIGHT = 2_000  # deliveries, over all lanes
NAP = 0.5  # seconds between looks into an empty queue; `wake` shortens it
GRACE = 25.0  # seconds that what is under way gets when we are told to stop
STOPPING = "pool.closed"  # the pool's word for: not begun, because it was closed

RouteOf = Callable[[StoredProfile], Route]


class Worker:
    """`most_octets` of large contents are held at once; `clock` gives microseconds since 1970, `dice` is in [0, 1)."""

    def __init__(
        self,
        database: Database,
        route_of: RouteOf,
        *,
        lease: float,
        most_octets: int = MOST_OCTETS,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._lease = int(lease * SECOND)
        self._clock = clock
        self._dice = dice
        # SQLite has one process, whose all the connections are.
        self._lanes = Lanes(route_of, None if database.is_sqlite else Seats(database, self._lease, clock()))
        self._hold = Hold(most_octets)
        self._in_hand: dict[tuple[str, str], Claim] = {}  # by id and lease: what was lost may be claimed anew
        self._due = asyncio.Event()
        self._stopping = asyncio.Event()
        self._changed = False
        self._claim = claimer(database.now)
        self._mark = doubter(database.now)
        self._renew = renewer(database.now, self._lease)
        self._release = releaser(database.now)
        self.seen_at: float | None = None  # when the loop last came round (monotonic), for health checks

    @property
    def in_flight(self) -> int:
        return len(self._in_hand)

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

    # --- claim

    async def _claim_some(self) -> list[Claim]:
        room = MOST_IN_FLIGHT - len(self._in_hand)
        if room < CLAIM:
            return []
        free = self._lanes.free() | dict.fromkeys(self._hold.full, 0)
        wanted = Wanted(CLAIM, self._lease, self._lanes.first_window, free)
        claims = await self._database.fold(self._claim, wanted)
        for claim in claims:
            self._in_hand[claim.id, claim.lease] = claim
            self._lanes.take(claim.through)
        return claims

    async def _start(self, claims: list[Claim]) -> None:
        """Look up what is claimed, and send each parcel on its way."""
        parcels = parcels_of(claims)
        lane_ids = sorted({each for claim in claims for each in (claim.lane, claim.through)})
        room, most = self._hold.room, self._hold.most
        try:
            (found, full), profiles = await self._database.read(
                lambda connection: (take_in(connection, parcels, room, most), by_lanes(connection, lane_ids))
            )
        except Exception:
            for parcel in parcels:
                self._give_back(parcel)
            raise
        for parcel in parcels:
            message_id, through = parcel[0].message_id, parcel[0].through
            own, stored = profiles.get(parcel[0].lane), profiles.get(through)
            if (message_id not in found and through in full) or is_kept_back(own, stored):
                self._give_back(parcel)
            else:
                with self._letting_go(parcel):
                    self._post(parcel, own, stored, found.get(message_id))
        self._hold.turn_away(full)

    @contextmanager
    def _letting_go(self, parcel: Parcel) -> Iterator[None]:
        """A mistake of ours with one parcel keeps neither it nor the others: it is due again when its lease ends."""
        try:
            yield
        except Exception as bug:
            for claim in parcel:
                self._let_go(claim)
            log.worker_failed(bug)

    def _post(
        self, parcel: Parcel, own: StoredProfile | None, stored: StoredProfile | None, kept: tuple[str, bytes] | None
    ) -> None:
        """Decide what needs no attempt; hand the rest to the pool of the lane that it goes through."""
        if own is None or stored is None or kept is None:
            self._settle_untried(parcel, Finish(State.HELD), "Its profile or its content is no longer there.")
            return
        self._hold.take(parcel, kept[1])
        parcel = self._without_settled(parcel, own, stored)
        if not parcel:
            return
        try:
            lane = self._lanes.open(stored)
        except Problem as problem:  # the settings can't be used: the secret can't be opened, say
            self._settle(parcel, stored, unusable(problem, parcel, self._clock()))
            return
        sender, content = kept
        envelope = Envelope(sender, tuple(claim.recipient for claim in parcel))
        held = _held(parcel)
        sent = lane.pool.send(envelope, content, partial(self._may_send, held))
        sent.add_done_callback(partial(self._attempted, parcel, stored))

    def _without_settled(self, parcel: Parcel, own: StoredProfile, stored: StoredProfile) -> Parcel:
        """What is left to try, after what the time, the filters in force and earlier crashes decide."""
        now, left = self._clock(), []
        for claim in parcel:
            verdict = without_attempt(claim, now, own, stored)
            if verdict is None:
                left.append(claim)
            else:
                self._settle_untried([claim], *verdict)
        return left

    def _may_send(self, held: Held) -> "asyncio.Future[bool]":
        """Commit that these are in doubt from now on. False: the lease was lost, the final dot must not be sent."""
        return self._database.fold(self._mark, held)

    # --- settle

    def _attempted(self, parcel: Parcel, stored: StoredProfile, sent: "asyncio.Future[Attempt]") -> None:
        try:
            attempt = sent.result()
        except Exception as bug:  # ours, not the relay's: it must not stop the others
            log.worker_failed(bug)
            attempt = failed_by_us(parcel, self._clock())
        with self._letting_go(parcel):
            if all(_is_untouched(outcome) for outcome in attempt.outcomes.values()):
                self._give_back(parcel)
            else:
                self._settle(parcel, stored, attempt)

    def _settle(self, parcel: Parcel, stored: StoredProfile, attempt: Attempt) -> None:
        now = self._clock()
        self._report(stored, attempt, now)  # first: a lane that rests must not be claimed from once more
        progress = any(isinstance(each, Sent) for each in attempt.outcomes.values())
        for claim in parcel:
            outcome = attempt.outcomes[claim.recipient]
            decision = decide(
                outcome, attempt=claim.attempt, expires_at=claim.expires_at, on_doubt=claim.on_doubt, now=now,
                dice=self._dice(), progress=progress,
            )  # fmt: skip
            record = _record(outcome, attempt, stored)
            log.attempted(claim.id, record.outcome, record.code, attempt.relay, claim.attempt)
            self._write(Settlement(claim, decision, record.message, now, record))

    def _settle_untried(self, claims: Iterable[Claim], decision: Decision, note: str) -> None:
        for claim in claims:
            self._write(Settlement(claim, decision, note, self._clock()))

    def _write(self, settlement: Settlement) -> None:
        written = self._database.fold(settle, settlement)
        written.add_done_callback(partial(self._written, settlement.claim))

    def _written(self, claim: Claim, written: "asyncio.Future[bool]") -> None:
        """If it could not be written, the lease runs out and the delivery is due again; in doubt if it was."""
        self._let_go(claim)
        if written.exception() is not None:
            log.worker_failed(written.exception() or RuntimeError())

    def _report(self, stored: StoredProfile, attempt: Attempt, now: int) -> None:
        """How the relay is doing: rest the lane when it failed for everyone, clear its trouble when it did not."""
        outcomes = attempt.outcomes.values()
        failure = next((each for each in outcomes if isinstance(each, Deferred) and waits_for_the_lane(each)), None)
        report = self._lanes.judge(stored, failure, attempt.started_at, now, self._dice())
        if report is not None:
            told = self._database.fold(report_lanes, report)
            told.add_done_callback(lambda future: future.exception())

    def _give_back(self, parcel: Parcel) -> None:
        released = self._database.fold(self._release, _held(parcel))
        released.add_done_callback(partial(self._given_back, parcel))

    def _given_back(self, parcel: Parcel, released: "asyncio.Future[None]") -> None:
        """If it could not be written, the leases run out."""
        released.exception()
        for claim in parcel:
            self._let_go(claim)

    def _let_go(self, claim: Claim) -> None:
        if self._in_hand.pop((claim.id, claim.lease), None) is None:
            return
        roomier = self._hold.give(claim)
        if self._lanes.give(claim.through) or roomier or not self._in_hand:
            self._due.set()

    # --- leases and the end

    async def _keep_leases(self) -> None:
        """Renew what is in hand, well before its time: a live worker is never robbed."""
        while True:
            await asyncio.sleep(self._lease / SECOND / 3)
            try:
                self._lanes.forget_idle()
                held = _by_lease(self._in_hand.values())
                await asyncio.gather(*(self._database.fold(self._renew, each) for each in held))
                await self._look_at_lanes()
            except Exception as error:
                log.worker_failed(error)

    async def _look_at_lanes(self) -> None:
        in_view = self._lanes.in_view
        self._lanes.look_at(in_view, await self._database.read(lambda connection: by_lanes(connection, in_view)))

    async def _wind_up(self) -> None:
        """Let what is on the wire end, give back what has not begun."""
        log.stopping(len(self._in_hand))
        try:
            async with asyncio.timeout(GRACE):
                await self._lanes.close()
                while self._in_hand:
                    self._due.clear()
                    await self._due.wait()
        except TimeoutError:
            pass  # their leases run out; what was in doubt is known to be


async def _nap(until: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(NAP):
            await until.wait()
    except TimeoutError:
        pass


def _is_untouched(outcome: Outcome) -> bool:
    return isinstance(outcome, Deferred) and outcome.code == STOPPING


def _record(outcome: Outcome, attempt: Attempt, stored: StoredProfile) -> Record:
    names: dict[type, str] = {Sent: "sent", Deferred: "deferred", Refused: "refused", InDoubt: "in_doubt"}
    sent = isinstance(outcome, Sent)
    return Record(
        outcome=names[type(outcome)],
        stage=outcome.stage,
        code="sent" if isinstance(outcome, Sent) else outcome.code,
        message="The relay took it." if isinstance(outcome, Sent) else outcome.message,
        reply=outcome.reply,
        started_at=attempt.started_at,
        duration=int(attempt.seconds * SECOND),
        relay=attempt.relay,
        tls=attempt.tls,
        revision=stored.revision,
        profile_id=stored.id,
        transcript=None if sent else attempt.transcript or None,
    )


def _held(parcel: Parcel) -> Held:
    return Held(parcel[0].lease, tuple(claim.id for claim in parcel), parcel[0].through)


def _by_lease(claims: Iterable[Claim]) -> Iterable[Held]:
    ordered = sorted(claims, key=attrgetter("lease"))
    for lease, group in groupby(ordered, attrgetter("lease")):
        yield Held(lease, tuple(claim.id for claim in group))
