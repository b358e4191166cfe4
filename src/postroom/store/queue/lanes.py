"""Lanes: one profile's stream of mail each, the unit of fairness and of rest.

Ready lanes are served by least virtual time, a few rows each, so that one tenant's million can't stand in front of
another's first (`research/performance.md` section 6). A lane that rests, or has nothing due, is not ready and costs
nothing; `wake_at` says when to look again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, or_, select, update

from postroom.store.schema import lane, queue


def _level() -> ColumnElement[int]:
    """A lane that joins the ready ones starts level with the least served: idle time is no credit."""
    other = lane.alias("other")
    least = select(func.min(other.c.vt)).where(other.c.ready).scalar_subquery()
    return case((least > lane.c.vt, least), else_=lane.c.vt)


def make_ready(connection: Connection, lanes: Iterable[int], now: int) -> None:
    """These lanes have something due. One that rests stays at rest."""
    _wake(connection, lane.c.id.in_(sorted(lanes)) & ~lane.c.ready, now)


def wake_due(connection: Connection, now: int) -> None:
    """Look again at the lanes whose time has come."""
    _wake(connection, lane.c.wake_at <= now, now)


def _wake(connection: Connection, which: ColumnElement[bool], now: int) -> None:
    rested = func.coalesce(lane.c.rests_until, 0) <= now
    connection.execute(update(lane).where(which, rested).values(ready=True, vt=_level(), wake_at=None))


def wake_by(connection: Connection, wakes: dict[int, int]) -> None:
    """See to it that each lane is looked at by the given time."""
    if wakes:
        later = update(lane).where(
            lane.c.id == bindparam("the_lane"), or_(lane.c.wake_at.is_(None), lane.c.wake_at > bindparam("the_time"))
        )
        rows = [{"the_lane": each, "the_time": at} for each, at in sorted(wakes.items())]
        connection.execute(later.values(wake_at=bindparam("the_time")), rows)


def wake_at_next(connection: Connection, lanes: list[int]) -> None:
    """Nothing due for the second time: sleep until the first row that will be, or until someone adds one."""
    if lanes:
        first = select(func.min(queue.c.due_at)).where(queue.c.lane == lane.c.id).scalar_subquery()
        connection.execute(update(lane).where(lane.c.id.in_(lanes)).values(wake_at=first))


def wake_all_with_due(connection: Connection, now: int) -> None:
    """After mail of any lane may have become due at once."""
    has_due = select(queue.c.id).where(queue.c.lane == lane.c.id, queue.c.due_at <= now).exists()
    _wake(connection, ~lane.c.ready & has_due, now)


@dataclass(frozen=True, slots=True)
class LaneReport:
    """How a lane's relay is doing: `rests_until` None means well again."""

    lane: int
    failures: int
    rests_until: int | None = None
    trouble: str | None = None


def report_lanes(connection: Connection, reports: Sequence[LaneReport]) -> list[Exception | None]:
    """Rest lanes whose relay or settings failed, or clear what was noted of them. The last report of a lane holds."""
    for report in {each.lane: each for each in reports}.values():
        values: dict[str, object] = {"failures": report.failures, "trouble": report.trouble}
        values |= {"rests_until": report.rests_until}
        if report.rests_until is not None:
            values |= {"ready": False, "wake_at": report.rests_until}
        connection.execute(update(lane).where(lane.c.id == report.lane).values(values))
    return [None] * len(reports)


def waiting_in(connection: Connection, lane_id: int) -> int:
    """How many deliveries wait in a lane."""
    return connection.execute(select(func.count()).select_from(queue).where(queue.c.lane == lane_id)).scalar_one()
