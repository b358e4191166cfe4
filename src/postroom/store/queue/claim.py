"""Claiming deliveries under a lease, and what is written about them while they are in a worker's hands."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, Connection, Row, bindparam, case, literal, select, text, update

from postroom.domain.delivery import SECOND
from postroom.domain.message import OnDoubt
from postroom.store.ids import new_id
from postroom.store.queue.breaker import StandIns, end_probes, forget_probes, keep_probes, stand_ins
from postroom.store.queue.lanes import sleep, wake_by, wake_up
from postroom.store.queue.limits import refund
from postroom.store.queue.policy import follow_policy, within_policy
from postroom.store.schema import body, lane, message, queue

LANES_AT_ONCE = 40
SPARE_LEASE = 10 * SECOND  # the final dot is only sent with this much of the lease left

Clock = Callable[[Connection], int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker can take now: `most` rows, of a lane at most `free[lane]` or `per_lane` where it has no view of it
    yet, leased for `lease` microseconds."""

    most: int
    lease: int
    per_lane: int
    free: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """One delivery in a worker's hands. `in_doubt`: an earlier attempt may have got through. `through`: the lane that
    sends it, which is another than its own while that one's relay is away."""

    id: str
    lane: int
    through: int
    message_id: str
    recipient: str
    attempt: int
    crashes: int
    expires_at: int
    on_doubt: OnDoubt
    in_doubt: bool
    lease: str


def claimer(now: Clock) -> "Claiming":
    """The claiming batch, by the database's clock."""
    return Claiming(now)


@dataclass(frozen=True)
class Claiming:
    """Takes only what nobody else has locked, so it never waits; and comes last in its transaction, so that nobody
    waits for what it has locked while the rest of that transaction waits for them."""

    now: Clock
    comes_last: ClassVar[bool] = True

    def __call__(self, connection: Connection, wishes: Sequence[Wanted]) -> list[list[Claim] | Exception]:
        return [_claim(connection, wanted, self.now(connection)) for wanted in wishes]


def _claim(connection: Connection, wanted: Wanted, now: int) -> list[Claim]:
    """A fair share to each of the least served lanes, round by round, until there is enough or nothing more."""
    wake_up(connection, now)
    lease = new_id(now)
    free = dict(wanted.free)
    claims: list[Claim] = []
    while (room := wanted.most - len(claims)) > 0:
        full = [each for each, left in free.items() if left <= 0]
        lanes = _least_served(connection, min(room, LANES_AT_ONCE), full)
        if not lanes:
            break
        free |= within_policy(connection, lanes, {each: free.get(each, wanted.per_lane) for each in lanes}, now)
        limits = {each: min(room // len(lanes), free[each]) for each in lanes}
        helped = stand_ins(connection, [each for each, row in lanes.items() if row.stands_in], now)
        ids = _due_ids(connection, limits, helped, now)
        found = _lease(connection, ids, lease, now + wanted.lease, now, helped) if ids else []
        given = Counter(claim.through for claim in found)
        _charge(connection, {each: lanes[each].vt + count for each, count in given.items()})
        sleep(connection, [each for each in lanes if given[each] < limits[each]])
        follow_policy(connection, lanes, given, helped, lease, now, now + wanted.lease)
        free |= {each: free[each] - given[each] for each in lanes}
        claims += found
    return claims


def _least_served(connection: Connection, most: int, full: list[int]) -> dict[int, Row[Any]]:
    ready = select(lane).where(lane.c.ready).order_by(lane.c.vt).limit(most)
    if full:
        ready = ready.where(lane.c.id.not_in(sorted(full)))
    return {row.id: row for row in connection.execute(ready.with_for_update(skip_locked=True))}


_ARM = (
    "SELECT id, due_at FROM"
    " (SELECT id, due_at FROM queue WHERE lane = {} AND due_at <= :now ORDER BY due_at, id LIMIT {} {}) AS lane_{}"
)
_OLDEST = "SELECT id, due_at FROM (SELECT * FROM ({}) AS each_{} ORDER BY due_at, id LIMIT {}) AS oldest_{}"


def _due_ids(connection: Connection, limits: dict[int, int], helped: StandIns, now: int) -> list[str]:
    # Written out per lane: each arm is one short range scan, on both databases (PostgreSQL turned a joined LIMIT into
    # a scan of everything; performance.md section 6). Nobody else claims from these lanes, but somebody may just settle
    # late, cancel or hasten a row: it is left for the next time. The same goes for lanes that one stands in for.
    skip_locked = "FOR UPDATE SKIP LOCKED" if connection.dialect.name == "postgresql" else ""

    def arm(each: int, limit: int) -> str:
        if each not in helped:
            return _ARM.format(each, limit, skip_locked, each)
        both = " UNION ALL ".join(_ARM.format(n, limit, skip_locked, n) for n in (each, *helped[each]))
        return _OLDEST.format(both, each, limit, each)

    arms = [arm(int(each), int(limit)) for each, limit in limits.items() if limit > 0]
    return list(connection.execute(text(" UNION ALL ".join(arms)), {"now": now}).scalars()) if arms else []


def _lease(connection: Connection, ids: list[str], lease: str, until: int, now: int, helped: StandIns) -> list[Claim]:
    died = case((queue.c.lease.is_(None), 0), else_=1)
    take = (
        update(queue)
        .where(queue.c.id.in_(ids), queue.c.due_at <= now)
        .values(due_at=until, lease=lease, attempt=queue.c.attempt + 1, crashes=queue.c.crashes + died)
        .returning(queue)
    )
    rows = connection.execute(take)
    through = {other: each for each, others in helped.items() for other in others}
    claims = [
        Claim(
            row.id, row.lane, through.get(row.lane, row.lane), row.message_id, row.recipient, row.attempt, row.crashes,
            row.expires_at, OnDoubt.HOLD if row.hold_in_doubt else OnDoubt.RETRY, row.in_doubt, row.lease,
        )
        for row in rows
    ]  # fmt: skip
    return sorted(claims, key=attrgetter("lane", "id"))


def _charge(connection: Connection, served: Mapping[int, int]) -> None:
    charge = update(lane).where(lane.c.id == bindparam("the_lane")).values(vt=bindparam("the_vt"))
    if served:
        connection.execute(charge, [{"the_lane": each, "the_vt": vt} for each, vt in served.items()])


def sizes(connection: Connection, message_ids: Iterable[str]) -> dict[str, int]:
    """Octets of each message, as sent."""
    wanted = select(message.c.id, message.c.size).where(message.c.id.in_(list(message_ids)))
    return {row.id: row.size for row in connection.execute(wanted)}


def contents(connection: Connection, message_ids: Iterable[str]) -> dict[str, tuple[str, bytes]]:
    """Envelope sender and bytes of each message."""
    wanted = (
        select(message.c.id, message.c.envelope_sender, body.c.content)
        .join(body, body.c.message_id == message.c.id)
        .where(message.c.id.in_(list(message_ids)))
    )
    return {row.id: (row.envelope_sender, row.content) for row in connection.execute(wanted)}


@dataclass(frozen=True, slots=True)
class Held:
    """Claims under one lease and through one lane, for `mark_in_doubt`, `renew` and `release`."""

    lease: str
    ids: tuple[str, ...]
    through: int = 0  # for `release`: whose allowance they were taken from


def doubter(now: Clock) -> Callable[[Connection, Sequence[Held]], list[bool | Exception]]:
    """The batch that marks claims as in doubt, before their final dot. True when all of them are still ours, with lease
    to spare; else the dot must not be sent."""

    def mark(connection: Connection, marks: Sequence[Held]) -> list[bool | Exception]:
        ours = _touch(connection, marks, {"in_doubt": True}, queue.c.due_at > now(connection) + SPARE_LEASE)
        return [all((mark.lease, each) in ours for each in mark.ids) for mark in marks]

    return mark


def renewer(now: Clock, lease: int) -> Callable[[Connection, Sequence[Held]], list[Exception | None]]:
    """The batch that keeps claims for another lease (microseconds)."""

    def renew(connection: Connection, held: Sequence[Held]) -> list[Exception | None]:
        until = now(connection) + lease
        renewed = _touch(connection, held, {"due_at": until}, literal(True))
        keep_probes(connection, {which for which, _ in renewed}, until)
        return [None] * len(held)

    return renew


def releaser(now: Clock) -> Callable[[Connection, Sequence[Held]], list[Exception | None]]:
    """The batch that gives claims back untried, at no cost to them."""

    def release(connection: Connection, held: Sequence[Held]) -> list[Exception | None]:
        at = now(connection)
        values = {"due_at": at, "lease": None, "attempt": queue.c.attempt - 1}
        released = _touch(connection, held, values, literal(True))
        wake_by(connection, ((each, at) for each in released.values()))
        through = {(each.lease, n): each.through for each in held for n in each.ids}
        refund(connection, [(through[which], which[0]) for which in released])
        end_probes(connection, ((each, lease) for (lease, _), each in released.items()))
        return [None] * len(held)

    return release


def _touch(
    connection: Connection, held: Sequence[Held], values: Mapping[str, object], only: ColumnElement[bool]
) -> dict[tuple[str, str], int]:
    """Update what is still under its lease; returns the lane of each, by lease and id."""
    touched: dict[tuple[str, str], int] = {}
    for lease, ids in by_lease(held):
        ours = update(queue).where(queue.c.id.in_(ids), queue.c.lease == lease, only)
        rows = connection.execute(ours.values(values).returning(queue.c.id, queue.c.lane))
        touched |= {(lease, row.id): row.lane for row in rows}
    return touched


def by_lease(held: Sequence[Held]) -> Iterable[tuple[str, list[str]]]:
    for lease, group in groupby(sorted(held, key=attrgetter("lease")), attrgetter("lease")):
        yield lease, [each for one in group for each in one.ids]


def recover(connection: Connection, now: int) -> int:
    """After a start with the database to ourselves: whatever is leased belonged to the dead, so it is due. How many."""
    dead = update(queue).where(queue.c.lease.is_not(None), queue.c.due_at > now).values(due_at=now)
    lanes = connection.execute(dead.returning(queue.c.lane)).scalars().all()
    wake_by(connection, ((each, now) for each in lanes))
    forget_probes(connection)
    return len(lanes)
