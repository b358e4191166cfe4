"""What a tenant's overview shows, by statements that stay quick with a hundred thousand messages: each seeks in an
index (migration 0008 brings the one for held mail), and a day's chart is 24 short walks instead of one long one."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from postroom.domain.delivery import SECOND
from postroom.store.ids import first_id, time_of
from postroom.store.schema import lane, queue

HOUR = 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Hour:
    """What became of the deliveries that were handed in within an hour from `start`."""

    start: int
    sent: int = 0
    failed: int = 0  # refused, expired
    waiting: int = 0  # or held, or under way
    others: int = 0  # cancelled, filtered

    @property
    def is_settled(self) -> bool:
        return self.waiting == 0


@dataclass(frozen=True, slots=True)
class LaneRead:
    """`oldest` is when the mail that has waited longest was handed in; `about` is what the last failure was about."""

    waiting: int = 0
    oldest: int | None = None
    about: str | None = None
    spent_until: int | None = None  # a limit is reached


def hour(connection: Connection, tenant_id: int, start: int) -> Hour:
    found = connection.execute(_HOUR, {"tenant": tenant_id, "first": first_id(start), "end": first_id(start + HOUR)})
    return Hour(start, *(int(each or 0) for each in found.one()))


_HOUR = text("""
SELECT SUM(CASE WHEN d.state = 'sent' THEN 1 ELSE 0 END),
       SUM(CASE WHEN d.state IN ('refused', 'expired') THEN 1 ELSE 0 END),
       SUM(CASE WHEN d.state IN ('waiting', 'held', 'claimed', 'in_doubt') THEN 1 ELSE 0 END),
       SUM(CASE WHEN d.state IN ('cancelled', 'filtered') THEN 1 ELSE 0 END)
FROM message m JOIN delivery d ON d.message_id = m.id
WHERE m.tenant_id = :tenant AND m.id >= :first AND m.id < :end AND d.id >= :first AND d.id < :end
""")


def held(connection: Connection, tenant_id: int) -> int:
    """How many deliveries wait for a person. As a parameter the state would keep SQLite from the partial index; in a
    join both engines, as long as they have no statistics, would begin with all of the tenant's messages."""
    return int(connection.execute(_HELD, {"tenant": tenant_id}).scalar_one())


_HELD = text("""
SELECT COUNT(*) FROM delivery d
WHERE d.state = 'held' AND (SELECT m.tenant_id FROM message m WHERE m.id = d.message_id) = :tenant
""")


def lanes(connection: Connection, ids: Sequence[int]) -> dict[int, LaneRead]:
    standing = connection.execute(select(lane.c.id, lane.c.about, lane.c.spent_until).where(lane.c.id.in_(ids))).all()
    counted = select(queue.c.lane, func.count().label("waiting"), func.min(queue.c.message_id).label("oldest"))
    waiting = {row.lane: row for row in connection.execute(counted.where(queue.c.lane.in_(ids)).group_by(queue.c.lane))}
    found = {}
    for row in standing:
        there = waiting.get(row.id)
        count, oldest = (there.waiting, time_of(there.oldest)) if there else (0, None)
        found[row.id] = LaneRead(count, oldest, row.about, row.spent_until)
    return found
