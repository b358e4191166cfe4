"""The queue against a model that keeps the same promises in a dozen dictionaries: whatever is accepted, claimed, lost,
put back, rested or cancelled, in any order, both agree on what can be claimed and what became of it."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pytest
from sqlalchemy import Connection, delete, select

from postroom.domain.delivery import CRASH_IN_DOUBT, SECOND, Finish, State
from postroom.domain.message import OnDoubt
from postroom.store.queue import manage
from postroom.store.queue.claim import SPARE_LEASE, Claim, recover
from postroom.store.schema import delivery, metadata, queue

from .room import DAY, LEASE, NOW, Lane, Room

T = TypeVar("T")
LANES = 3
EVENTS = 80
SEEDS = {"sqlite": range(40), "postgresql": range(15)}

OF_CLAIMS = ("mark", "mark", "finish", "put_back", "put_back", "put_back", "renew", "release")
OF_MESSAGES = ("cancel", "requeue", "hasten")
OTHERS = (
    *("accept", "claim", "time_passes") * 3, "claim", "rest", "is_well", "save", "start_again_after_a_crash",
)  # fmt: skip


@dataclass
class Known:
    """What the model knows of one delivery."""

    lane: int
    message_id: str
    due_at: int
    state: State = State.WAITING
    lease: str | None = None
    attempt: int = 0
    crashes: int = 0
    in_doubt: bool = False
    doubted_before: bool = False  # when it was claimed
    dots: int = 0  # how often its final dot was sent

    def is_due(self, now: int) -> bool:
        return self.state is State.WAITING and self.due_at <= now

    def is_held_by(self, claim: Claim) -> bool:
        return self.state is State.WAITING and self.lease == claim.lease


class Dice:
    """Fall alike for the same seed, on any machine."""

    def __init__(self, seed: int) -> None:
        self._seed, self._thrown = seed, 0

    def below(self, limit: int) -> int:
        self._thrown += 1
        return int.from_bytes(hashlib.sha256(f"{self._seed}:{self._thrown}".encode()).digest()[:8]) % limit

    def choice(self, things: Sequence[T]) -> T:
        return things[self.below(len(things))]

    def chance(self, percent: int) -> bool:
        return self.below(100) < percent


class Walk:
    def __init__(self, room: Room, seed: int) -> None:
        self.room = room
        self.dice = Dice(seed)

    async def write(self, step: Callable[[Connection], T]) -> T:
        return await self.room.database.write(step)

    async def start(self) -> None:
        await self.write(_empty)
        self.room.clock.now = NOW
        self.lanes: list[Lane] = await self.room.lanes(LANES)
        self.rests = dict.fromkeys((each.id for each in self.lanes), 0)
        self.probes: dict[int, str | None] = {}  # of lanes that fail: the lease of the one delivery that tries
        self.revisions = dict.fromkeys(self.rests, 1)
        self.known: dict[str, Known] = {}
        self.messages: dict[str, Lane] = {}
        self.claims: list[Claim] = []  # every one that was ever given

    async def go(self) -> None:
        await self.start()
        for _ in range(EVENTS):
            events = OTHERS + OF_MESSAGES * bool(self.messages) + OF_CLAIMS * bool(self.claims)
            await getattr(self, self.dice.choice(events))()
            await self.both_know_the_same()
        await self.everything_can_be_delivered()

    def some_claim(self) -> Claim:
        """Mostly one that is good; now and then one of somebody who overslept."""
        good = [each for each in self.claims if self.known[each.id].is_held_by(each)]
        return self.dice.choice(good if good and self.dice.chance(80) else self.claims)

    def some_lane(self) -> Lane:
        return self.dice.choice(self.lanes)

    @property
    def now(self) -> int:
        return self.room.now

    def due(self) -> set[str]:
        return {each for each, it in self.known.items() if it.is_due(self.now) and self.rests[it.lane] <= self.now}

    # --- what happens

    async def accept(self) -> None:
        recipients = 1 + self.dice.below(4)
        hold = self.dice.chance(50)
        its_lane = self.some_lane()
        everyone = [f"{n}@good.example" for n in range(recipients)]
        message_id = f"{len(self.messages):026d}"  # nothing random: the same choices have to lead to the same events
        on_doubt = OnDoubt.HOLD if hold else OnDoubt.RETRY
        await self.room.accept(its_lane, *everyone, id=message_id, on_doubt=on_doubt)
        self.messages[message_id] = its_lane
        for n in range(1, recipients + 1):
            self.known[f"{message_id}.{n}"] = Known(its_lane.id, message_id, self.now)

    async def claim(self) -> None:
        most = self.dice.choice([1, 2, 5, 1000])
        free = {self.some_lane().id: 0} if self.dice.chance(30) else {}
        due = {each for each in self.due() if self.known[each].lane not in free}
        self.take(await self.room.claim(most, free=free), due, most)

    def take(self, claims: list[Claim], due: set[str], most: int) -> None:
        ids = [each.id for each in claims]
        lanes = Counter(self.known[each].lane for each in due)
        there = sum(1 if each in self.probes else count for each, count in lanes.items())
        assert len(ids) == len(set(ids)) == min(most, there)
        assert set(ids) <= due
        for claim in claims:
            it = self.known[claim.id]
            it.attempt += 1
            it.crashes += 0 if it.lease is None else CRASH_IN_DOUBT if it.in_doubt else 1
            assert claim.lease != it.lease
            assert (claim.attempt, claim.crashes, claim.in_doubt) == (it.attempt, it.crashes, it.in_doubt)
            assert it.dots == 0 or claim.in_doubt  # sent once more only where it is known that it may arrive twice
            it.lease, it.due_at, it.doubted_before = claim.lease, self.now + LEASE, it.in_doubt
            if claim.lane in self.probes:
                assert self.rests[claim.lane] <= self.now  # one at a time
                self.probes[claim.lane], self.rests[claim.lane] = claim.lease, self.now + LEASE
        self.claims += claims

    async def mark(self) -> None:
        claim = self.some_claim()
        it = self.known[claim.id]
        may = it.is_held_by(claim) and it.due_at > self.now + SPARE_LEASE
        assert await self.room.mark(claim) is may
        if may:
            it.in_doubt = True
            it.dots += 1

    async def finish(self) -> None:
        state = self.dice.choice([State.SENT, State.REFUSED, State.EXPIRED, State.HELD])
        claim = self.some_claim()
        it = self.known[claim.id]
        may = it.is_held_by(claim)
        assert await self.room.settle(claim, Finish(state), "sent") is may
        if may:
            it.state = state

    async def put_back(self) -> None:
        seconds = self.dice.choice([0, 5, 20, 20, 90, 3600])
        counts = self.dice.chance(50)
        in_doubt = self.dice.chance(50)
        claim = self.some_claim()
        it = self.known[claim.id]
        may = it.is_held_by(claim)
        outcome = "in_doubt" if in_doubt else "deferred"
        assert await self.room.later(claim, seconds, outcome, counts=counts) is may
        if may:
            it.lease, it.due_at = None, self.now + seconds * SECOND
            it.attempt = claim.attempt if counts else claim.attempt - 1
            it.in_doubt = it.doubted_before or in_doubt
            it.dots = it.dots if it.in_doubt else 0  # the relay said no after the dot: it has not taken it

    async def renew(self) -> None:
        claim = self.some_claim()
        await self.room.renew(claim)
        if self.known[claim.id].is_held_by(claim):
            self.known[claim.id].due_at = self.now + LEASE
            for each in [each for each, lease in self.probes.items() if lease == claim.lease]:
                self.rests[each] = self.now + LEASE

    async def release(self) -> None:
        claim = self.some_claim()
        await self.room.release(claim)
        it = self.known[claim.id]
        if it.is_held_by(claim):
            it.lease, it.due_at, it.attempt = None, self.now, it.attempt - 1
            it.in_doubt = it.doubted_before  # it had leave for its dot at most, and did not use it
            it.dots = it.dots if it.in_doubt else 0
            if self.probes.get(it.lane) == claim.lease:
                self.end_probe(it.lane)

    def end_probe(self, lane: int) -> None:
        self.probes[lane], self.rests[lane] = None, 0

    async def start_again_after_a_crash(self) -> None:
        await self.write(lambda connection: recover(connection, self.now))
        for it in self.known.values():
            if it.state is State.WAITING and it.lease is not None:
                it.due_at = min(it.due_at, self.now)
        for each in [each for each, lease in self.probes.items() if lease]:
            self.end_probe(each)

    async def time_passes(self) -> None:
        seconds = self.dice.choice([1, 5, 20, 20, 50, 60, 61, 3600])
        self.room.clock.forward(seconds)

    async def rest(self) -> None:
        seconds = self.dice.choice([5, 60, 1600])
        old = self.dice.chance(50)
        its_lane = self.some_lane()
        revision = self.revisions[its_lane.id]
        await self.room.rest(its_lane, seconds, revision=revision - old)
        if not old:
            self.rests[its_lane.id], self.probes[its_lane.id] = self.now + seconds * SECOND, None

    async def is_well(self) -> None:
        await self.find_well(self.some_lane())

    async def find_well(self, its_lane: Lane) -> None:
        await self.room.is_well(its_lane, revision=self.revisions[its_lane.id])
        self.rests[its_lane.id] = 0
        self.probes.pop(its_lane.id, None)

    async def save(self) -> None:
        its_lane = self.some_lane()
        self.revisions[its_lane.id] = await self.room.save(its_lane)
        self.rests[its_lane.id] = 0
        self.probes.pop(its_lane.id, None)

    async def cancel(self) -> None:
        message_id = self.dice.choice(list(self.messages))
        ours = [it for it in self.known.values() if it.message_id == message_id]
        over = [it for it in ours if it.state is State.HELD]
        over += [it for it in ours if it.state is State.WAITING and (it.lease is None or it.due_at <= self.now)]
        assert await self.write(lambda connection: manage.cancel(connection, message_id, self.now)) == len(over)
        for it in over:
            it.state = State.CANCELLED

    async def requeue(self) -> None:
        message_id = self.dice.choice(list(self.messages))
        lane_id = self.messages[message_id].id
        ended = (State.REFUSED, State.EXPIRED, State.HELD, State.CANCELLED)
        back = [it for it in self.known.values() if it.message_id == message_id and it.state in ended]
        put = await self.write(lambda connection: manage.requeue(connection, message_id, lane_id, self.now, DAY))
        assert put == len(back)
        attempts = await self.room.database.read(_attempts)
        for each, it in self.known.items():
            if it in back and it.message_id == message_id and it.state in ended:
                it.state, it.lease, it.due_at, it.crashes = State.WAITING, None, self.now, 0
                it.attempt, it.in_doubt, it.dots = attempts[each], False, 0  # a person decided

    async def hasten(self) -> None:
        message_id = self.dice.choice(list(self.messages))
        lane_id = self.messages[message_id].id
        later = [
            it for it in self.known.values()
            if it.message_id == message_id and it.state is State.WAITING and it.lease is None and it.due_at > self.now
        ]  # fmt: skip
        count = await self.write(lambda connection: manage.hasten(connection, message_id, lane_id, self.now))
        assert count == len(later)
        for it in later:
            it.due_at = self.now

    # --- what always holds

    async def both_know_the_same(self) -> None:
        rows = await self.room.database.read(_standing)
        assert rows == {
            each: (it.state.value, *((it.due_at, it.lease, it.in_doubt) if it.state is State.WAITING else (None,) * 3))
            for each, it in self.known.items()
        }

    async def everything_can_be_delivered(self) -> None:
        """Whatever is not over can still be delivered, and nothing else is left."""
        for each in self.lanes:
            await self.find_well(each)
        for _ in range(10):
            self.room.clock.forward(3600)
            due = self.due()
            claims = await self.room.claim(10_000)
            self.take(claims, due, 10_000)
            assert await self.room.sent(*claims) == [True] * len(claims)
            for claim in claims:
                self.known[claim.id].state = State.SENT
        assert State.WAITING not in {it.state for it in self.known.values()}
        assert await self.room.waiting() == 0
        assert await self.room.ready() == 0
        await self.both_know_the_same()


def _empty(connection: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        connection.execute(delete(table))


def _standing(connection: Connection) -> dict[str, tuple[object, ...]]:
    rows = connection.execute(
        select(delivery.c.id, delivery.c.state, queue.c.due_at, queue.c.lease, queue.c.in_doubt).outerjoin(
            queue, queue.c.id == delivery.c.id
        )
    )
    return {row.id: tuple(row)[1:] for row in rows}


def _attempts(connection: Connection) -> dict[str, int]:
    return {row.id: row.attempts for row in connection.execute(select(delivery.c.id, delivery.c.attempts))}


async def test_the_queue_keeps_its_promises_in_any_order_of_events(room: Room) -> None:
    for seed in SEEDS["sqlite" if room.database.is_sqlite else "postgresql"]:
        try:
            await Walk(room, seed).go()
        except AssertionError as failure:
            pytest.fail(f"seed {seed}: {failure}")
