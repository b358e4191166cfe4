"""How much waits, since when, and what keeps it: for health checks and metrics."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from postroom.store.schema import lane, queue


@dataclass(frozen=True, slots=True)
class Backlog:
    """`overdue`: microseconds that the oldest delivery which nothing keeps has been due for."""

    deliveries: int
    overdue: int
    lanes_resting: int
    lanes_paused: int
    lanes_spent: int
    relays_in_trouble: int
    settings_in_trouble: int


def backlog(connection: Connection, now: int) -> Backlog:
    """One seek in the queue's key per lane, and one walk along its narrowest index."""
    rests = lane.c.rests_until > now
    paused = lane.c.paused_at.is_not(None)
    spent = lane.c.spent_until > now
    in_trouble = lane.c.trouble.is_not(None)
    counts = connection.execute(
        select(*map(_count, (rests, paused, spent, and_(in_trouble, lane.c.about == "relay"),
                             and_(in_trouble, lane.c.about == "profile"))))
    ).one()  # fmt: skip
    first = select(func.min(queue.c.due_at)).where(queue.c.lane == lane.c.id).scalar_subquery()
    # A lane that fails over is served all the same, but by another's rules: it is not looked at while it rests.
    kept = or_(func.coalesce(rests, False), paused, func.coalesce(spent, False))
    oldest = connection.execute(select(func.min(first)).select_from(lane).where(~kept)).scalar()
    deliveries = connection.execute(select(func.count()).select_from(queue)).scalar_one()
    return Backlog(deliveries, max(0, now - oldest) if oldest is not None else 0, *map(int, counts))


def _count(which: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((which, 1), else_=0)), 0)
