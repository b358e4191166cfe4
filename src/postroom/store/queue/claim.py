"""Claiming deliveries under a lease, and what is written about them while they are in a worker's hands."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import Connection, Integer, Row, bindparam, select, update

from postroom.domain.delivery import CRASH_IN_DOUBT, SECOND
from postroom.domain.message import OnDoubt, Reports
from postroom.domain.problems import SecretLost
from postroom.store import bodies, reports
from postroom.store.ids import new_id
from postroom.store.queue.breaker import StandIns, end_probes, forget_probes, keep_probes, stand_ins
from postroom.store.queue.lanes import sleep, wake_by, wake_up
from postroom.store.queue.limits import limits_of, refund
from postroom.store.queue.policy import follow_policy, within_policy
from postroom.store.rows import ask, run
from postroom.store.schema import lane, queue
from postroom.store.vault import Vault

LANES_AT_ONCE = 40
# The final dot is only sent with this much of the lease left, or a third of it if that is less.
SPARE_LEASE = 10 * SECOND

Clock = Callable[[Connection], int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker can take now: `most` rows, of a lane at most `free[lane]` or `per_lane` where it has no view of it
    yet, leased for `lease` microseconds; where `only` is given, of these lanes alone."""

    most: int
    lease: int
    per_lane: int
    free: Mapping[int, int] = field(default_factory=dict)
    only: frozenset[int] | None = None


class Claim(NamedTuple):
    """One delivery in a worker's hands. `in_doubt`: an earlier attempt may have got through. `through`: the lane that
    sends it, which is another than its own while that one's relay is away."""

    id: str
    lane: int
    through: int
    message_id: str
    recipient: str
    attempt: int
    crashes: int  # deaths of workers that had it in hand, weighed (domain/delivery.py)
    expires_at: int
    on_doubt: OnDoubt
    in_doubt: bool
    lease: str


@dataclass(frozen=True)
class Claiming:
    """The batch that claims. Takes only what nobody else has locked, so it never waits; and comes last in its
    transaction, so that nobody waits for what it has locked while the rest of that transaction waits for them."""

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
        lanes = _least_served(connection, min(room, LANES_AT_ONCE), full, wanted.only)
        if not lanes:
            break
        limits = limits_of(lanes)
        room_in = {each: free.get(each, wanted.per_lane) for each in lanes}
        free |= within_policy(connection, lanes, limits, room_in, now)
        shares = {each: min(room // len(lanes), free[each]) for each in lanes}
        helped = stand_ins(connection, [each for each, row in lanes.items() if row.stands_in], now)
        ids = _due_ids(connection, shares, helped, now)
        found = _lease(connection, ids, lease, now + wanted.lease, now, helped) if ids else []
        given = Counter(claim.through for claim in found)
        _charge(connection, {each: lanes[each].vt + count for each, count in given.items()})
        sleep(connection, [each for each in lanes if given[each] < shares[each]])
        follow_policy(connection, lanes, limits, given, helped, lease, now, now + wanted.lease)
        free |= {each: free[each] - given[each] for each in lanes}
        claims += found
    return claims


def _least_served(
    connection: Connection, most: int, full: list[int], only: frozenset[int] | None
) -> dict[int, Row[Any]]:
    which: dict[str, object] = {"most": most, "full": sorted(full)}
    if only is None:
        found = connection.execute(_LEAST_SERVED, which)
    else:
        found = connection.execute(_LEAST_SERVED_OF, which | {"only": sorted(only)})
    return {row.id: row for row in found}


# Put together once (lanes.py).
_NOT_FULL = select(lane).where(lane.c.ready, lane.c.id.not_in(bindparam("full", expanding=True)))
_LEAST_SERVED = _NOT_FULL.order_by(lane.c.vt).limit(bindparam("most", type_=Integer)).with_for_update(skip_locked=True)
_LEAST_SERVED_OF = _LEAST_SERVED.where(lane.c.id.in_(bindparam("only", expanding=True)))


# Written out per lane: each arm is one short range scan, on both databases (PostgreSQL turned a joined LIMIT into a
# scan of everything; performance.md section 6). Nobody else claims from these lanes, but somebody may just settle late,
# cancel or hasten a row: it is left for the next time. The same goes for lanes that one stands in for.
_ARM = (
    "SELECT id, due_at FROM"
    " (SELECT id, due_at FROM queue WHERE lane = ? AND due_at <= ? ORDER BY due_at, id LIMIT {:d} {}) AS lane_{}_{}"
)
_arm = lru_cache(maxsize=8192)(_ARM.format)
_OLDEST = "SELECT id, due_at FROM (SELECT * FROM ({}) AS each_{} ORDER BY due_at, id LIMIT {}) AS oldest_{}"
_LEASE = """
UPDATE queue
SET due_at = ?, lease = ?, attempt = attempt + 1,
    crashes = crashes + CASE WHEN lease IS NULL THEN 0 WHEN in_doubt THEN ? ELSE 1 END
WHERE id IN ({rows}) AND due_at <= ?
RETURNING id, lane, message_id, recipient, attempt, crashes, expires_at, hold_in_doubt, in_doubt, lease
"""


def _due_ids(connection: Connection, shares: dict[int, int], helped: StandIns, now: int) -> list[str]:
    skip_locked = "FOR UPDATE SKIP LOCKED" if connection.dialect.name == "postgresql" else ""
    arms: list[str] = []
    values: list[int] = []
    for place, (each, share) in enumerate(shares.items()):
        if share > 0:
            lanes = (each, *helped.get(each, ()))
            of_each = [_arm(share, skip_locked, place, n) for n in range(len(lanes))]
            both = " UNION ALL ".join(of_each)
            arms.append(both if len(lanes) == 1 else _OLDEST.format(both, place, share, place))
            values += [value for one in lanes for value in (one, now)]
    return [row[0] for row in ask(connection, " UNION ALL ".join(arms), values)] if arms else []


def _lease(connection: Connection, ids: list[str], lease: str, until: int, now: int, helped: StandIns) -> list[Claim]:
    taken = run(connection, _LEASE, _each(ids), before=(until, lease, CRASH_IN_DOUBT), after=(now,))
    through = {other: each for each, others in helped.items() for other in others}
    return [_claimed(through, *row) for row in sorted(taken, key=itemgetter(1, 0))]


def _claimed(
    through: Mapping[int, int], delivery: str, lane_id: int, message: str, recipient: str, attempt: int, crashes: int,
    expires_at: int, holds: bool, in_doubt: bool, lease: str,
) -> Claim:  # fmt: skip
    return Claim(
        delivery, lane_id, through.get(lane_id, lane_id), message, recipient, attempt, crashes, expires_at,
        OnDoubt.HOLD if holds else OnDoubt.RETRY, bool(in_doubt), lease,
    )  # fmt: skip


_CHARGE = """
WITH served (lane, vt) AS (VALUES {rows})
UPDATE lane SET vt = served.vt FROM served WHERE lane.id = served.lane
"""


def _charge(connection: Connection, served: Mapping[int, int]) -> None:
    run(connection, _CHARGE, list(served.items()))


def sizes(connection: Connection, message_ids: Iterable[str]) -> dict[str, int]:
    """Octets of each message, as sent."""
    return dict(run(connection, "SELECT id, size FROM message WHERE id IN ({rows})", _each(message_ids)))


_CONTENTS = """
SELECT message.id, message.tenant_id, message.envelope_sender, body.content, message.dsn
FROM message JOIN body ON body.message_id = message.id
WHERE message.id IN ({rows})
"""


Kept = tuple[str, bytes, Reports | None]  # envelope sender, bytes, and what reports are asked for


def contents(connection: Connection, vault: Vault, message_ids: Iterable[str]) -> dict[str, Kept | SecretLost]:
    """What is kept of each message to be sent, or why it can't be opened."""
    found = run(connection, _CONTENTS, _each(message_ids))
    return {row[0]: _opened(vault, *row) for row in found}


def _opened(vault: Vault, each: str, tenant_id: int, sender: str, sealed: bytes, dsn: str | None) -> Kept | SecretLost:
    try:
        return sender, bodies.opened(vault, sealed, tenant_id, each), reports.from_json(dsn)
    except SecretLost as lost:
        return lost


class Held(NamedTuple):
    """Claims under one lease and through one lane, for `Marking`, `Renewing` and `Releasing`."""

    lease: str
    ids: tuple[str, ...]
    through: int = 0  # for `Releasing`: whose allowance they were taken from
    in_doubt: tuple[str, ...] = ()  # for `Releasing`: which of them were so when they were claimed


# Each is for what is still under its lease. SQLite looks `held` up in `queue` by its index on `id`, one after another.
_MARK = """
WITH held (id, lease) AS (VALUES {rows})
UPDATE queue SET in_doubt = TRUE FROM held
WHERE queue.id = held.id AND queue.lease = held.lease AND queue.due_at > ?
RETURNING queue.id, queue.lease
"""
_RENEW = """
WITH held (id, lease, until) AS (VALUES {rows})
UPDATE queue SET due_at = CAST(held.until AS BIGINT) FROM held WHERE queue.id = held.id AND queue.lease = held.lease
RETURNING queue.lease
"""
_RELEASE = """
WITH held (id, lease, due_at, doubt) AS (VALUES {rows})
UPDATE queue
SET due_at = CAST(held.due_at AS BIGINT), lease = NULL, attempt = attempt - 1,
    in_doubt = CAST(held.doubt AS INTEGER) = 1
FROM held
WHERE queue.id = held.id AND queue.lease = held.lease
"""
_STILL_OURS = """
WITH held (id, lease) AS (VALUES {rows})
SELECT queue.id, queue.lease, queue.lane FROM held
JOIN queue ON queue.id = held.id AND queue.lease = held.lease
"""


def spare_lease(lease: int) -> int:
    """How much of a lease is left at least when leave for a final dot is given, and so for how long that holds."""
    return min(SPARE_LEASE, lease // 3)


@dataclass(frozen=True)
class Marking:
    """The batch that marks claims as in doubt, before their final dot. True when all of them are still ours, with lease
    to spare; else the dot must not be sent."""

    now: Clock
    lease: int = 3 * SPARE_LEASE

    def __call__(self, connection: Connection, marks: Sequence[Held]) -> list[bool | Exception]:
        until = self.now(connection) + spare_lease(self.lease)
        ours = set(run(connection, _MARK, one_by_one(marks), after=(until,)))
        return [all((each, mark.lease) in ours for each in mark.ids) for mark in marks]


@dataclass(frozen=True)
class Renewing:
    """The batch that keeps claims for another `lease` (microseconds)."""

    now: Clock
    lease: int

    def __call__(self, connection: Connection, held: Sequence[Held]) -> list[Exception | None]:
        until = self.now(connection) + self.lease
        renewed = run(connection, _RENEW, [(*each, until) for each in one_by_one(held)])
        keep_probes(connection, {lease for (lease,) in renewed}, until)
        return [None] * len(held)


@dataclass(frozen=True)
class Releasing:
    """The batch that gives claims back untried, at no cost to them."""

    now: Clock

    def __call__(self, connection: Connection, held: Sequence[Held]) -> list[Exception | None]:
        at = self.now(connection)
        ours = still_ours(connection, one_by_one(held))
        doubts = {(each, one.lease) for one in held for each in one.in_doubt}
        run(connection, _RELEASE, [(*each, at, int(each in doubts)) for each in ours])
        wake_by(connection, ((lane_id, at) for lane_id in ours.values()))
        through = {(each, one.lease): one.through for one in held for each in one.ids}
        refund(connection, [(through[each], each[1]) for each in ours])
        end_probes(connection, [(lane_id, lease) for (_, lease), lane_id in ours.items()])
        return [None] * len(held)


def still_ours(connection: Connection, holds: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Of claims (id and lease) those that nobody else has taken, and nobody can now; with their lanes."""
    locked = " FOR UPDATE OF queue" if connection.dialect.name == "postgresql" else ""
    return {(each, lease): lane_id for each, lease, lane_id in run(connection, _STILL_OURS + locked, holds)}


def one_by_one(held: Iterable[Held]) -> list[tuple[str, str]]:
    """Id and lease of each, in an order that is the same everywhere, so that nobody waits crosswise."""
    return sorted((each, one.lease) for one in held for each in one.ids)


def _each(ids: Iterable[str]) -> list[tuple[str]]:
    return [(each,) for each in ids]


def recover(connection: Connection, now: int) -> int:
    """After a start with the database to ourselves: whatever is leased belonged to the dead, so it is due. How many."""
    dead = update(queue).where(queue.c.lease.is_not(None), queue.c.due_at > now).values(due_at=now)
    lanes = connection.execute(dead.returning(queue.c.lane)).scalars().all()
    wake_by(connection, ((each, now) for each in lanes))
    forget_probes(connection)
    return len(lanes)
