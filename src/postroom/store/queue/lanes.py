"""Lanes: one profile's stream of mail each, the unit of fairness and of rest.

Ready lanes are served by least virtual time, a few rows each, so that one tenant's million can't stand in front of
another's first (`research/performance.md` section 6). A lane that rests, is paused, has spent what a limit allows, or
has nothing due, is not ready and costs nothing; `wake_at` says when to look again.

Whoever adds mail to a lane, or puts it back, says so in the inbox `wake` (`wake_by`), which is only ever appended to:
nobody waits for a lane's row, and a wake-up is seen exactly when its mail is, so that no claim that looked a moment too
early can put the lane to sleep over it. Only claiming takes from the inbox, under the lane's row lock (`wake_up`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Update,
    and_,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from postroom.domain.breaker import PROBE
from postroom.domain.delivery import Scope
from postroom.store.rows import run
from postroom.store.schema import lane, profile, queue, wake

MOST_WAKES = 10_000  # taken from the inbox by one claim
AT_ONCE = 0


def wake_by(connection: Connection, wakes: Iterable[tuple[int, int]]) -> None:
    """See to it that each lane (the first of a pair) is looked at by the given time. One that rests stays at rest."""
    run(connection, "INSERT INTO wake (lane, at) VALUES {rows}", list(_earliest(wakes).items()))


def wake_up(connection: Connection, now: int) -> None:
    """Make ready what was asked for or whose time has come. Waits for nobody: a lane that somebody else works on
    keeps its wake-ups for later."""
    asked = _take_asked(connection)
    if asked:
        rows = connection.execute(_FREE, {"lanes": sorted(asked)}).all()
        free = {row.id for row in rows}
        resting = (row for row in rows if row.failover is not None and (row.rests_until or 0) > now)
        wake_by(connection, [(row.failover, asked[row.id]) for row in resting])  # seen by the next claim
        wake_by(connection, ((each, at) for each, at in asked.items() if each not in free))
        due = [each for each in sorted(free) if asked[each] <= now]
        if due:
            connection.execute(_MAKE_READY, {"now": now, "lanes": due})
        later = [{"the_lane": each, "the_time": asked[each]} for each in sorted(free) if asked[each] > now]
        if later:
            connection.execute(_LOOK_LATER, later)
    connection.execute(_MAKE_READY_IN_TIME, {"now": now})


def _take_asked(connection: Connection) -> dict[int, int]:
    """Empty the inbox: per lane, when it is to be looked at."""
    return _earliest((row.lane, row.at) for row in connection.execute(_TAKE_ASKED))


def _earliest(wakes: Iterable[tuple[int, int]]) -> dict[int, int]:
    earliest: dict[int, int] = {}
    for each, at in wakes:
        earliest[each] = min(at, earliest.get(each, at))
    return earliest


# Statements of every claim are put together once: to do so for each would take longer than the database does.


def _rested(now: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether nothing keeps it: neither its relay nor a limit nor a person."""
    kept_until = (func.coalesce(each, 0) for each in (lane.c.rests_until, lane.c.spent_until))
    return and_(*(until <= now for until in kept_until), lane.c.paused_at.is_(None))


def _level() -> ColumnElement[int]:
    """A lane that joins the ready ones starts level with the least served: idle time is no credit, and what it was
    given in busier times is no debt (it would wait for every newcomer to catch up with its whole past)."""
    other = lane.alias("other")
    return func.coalesce(select(func.min(other.c.vt)).where(other.c.ready).scalar_subquery(), 0)


def _making_ready(which: ColumnElement[bool], now: ColumnElement[int]) -> Update:
    return update(lane).where(which, ~lane.c.ready, _rested(now)).values(ready=True, vt=_level(), wake_at=None)


_NOW: ColumnElement[int] = bindparam("now", type_=BigInteger)
_AT: ColumnElement[int] = bindparam("the_time", type_=BigInteger)
_LANES: BindParameter[Any] = bindparam("lanes", expanding=True)
_OLDEST = select(wake.c.id).order_by(wake.c.id).limit(MOST_WAKES).with_for_update(skip_locked=True).cte("oldest")
_TAKE_ASKED = delete(wake).where(wake.c.id.in_(select(_OLDEST.c.id))).returning(wake.c.lane, wake.c.at)
# What nobody else works on just now, locked for this transaction.
_FREE = select(lane.c.id, lane.c.failover, lane.c.rests_until).where(lane.c.id.in_(_LANES))
_FREE = _FREE.with_for_update(skip_locked=True)
_IN_TIME = select(lane.c.id).where(lane.c.wake_at <= _NOW, ~lane.c.ready, _rested(_NOW))
_MAKE_READY = _making_ready(lane.c.id.in_(_LANES), _NOW)
_MAKE_READY_IN_TIME = _making_ready(lane.c.id.in_(_IN_TIME.with_for_update(skip_locked=True)), _NOW)
_LOOK_LATER = (
    update(lane)
    .where(lane.c.id == bindparam("the_lane"), or_(lane.c.wake_at.is_(None), lane.c.wake_at > _AT))
    .values(wake_at=_AT)
)
_FIRST_DUE = select(func.min(queue.c.due_at)).where(queue.c.lane == lane.c.id).scalar_subquery()
_SLEEP = update(lane).where(lane.c.id.in_(_LANES)).values(ready=False, wake_at=_FIRST_DUE)


def sleep(connection: Connection, lanes: list[int]) -> None:
    """These lanes (their rows locked) have nothing due: look again when the first row is, or when someone asks."""
    if lanes:
        connection.execute(_SLEEP, {"lanes": lanes})


@dataclass(frozen=True, slots=True)
class LaneReport:
    """How a lane's relay is doing under `revision` of its settings: `rests_until` None means well again, and then
    `pace` how many a worker may hold of it for now (None: as many as it likes). One that does not clear tells the pace
    of a slow start, and nothing of a lane that has failed since."""

    lane: int
    failures: int
    revision: int
    rests_until: int | None = None
    trouble: str | None = None
    scope: Scope = Scope.RELAY
    pace: int | None = None
    clears: bool = True


def report_lanes(connection: Connection, reports: Sequence[LaneReport]) -> list[Exception | None]:
    """Rest lanes whose relay or settings failed, or clear what was noted of them. The last report of a lane holds; one
    about settings that are no longer in force says nothing about the new ones."""
    latest = {each.lane: each for each in reports}
    for _, report in sorted(latest.items()):  # in this order everywhere, so that nobody waits crosswise
        _report(connection, report)
    return [None] * len(reports)


def _report(connection: Connection, report: LaneReport) -> None:
    failed = report.rests_until is not None
    values: dict[str, object] = {
        "failures": report.failures, "trouble": report.trouble, "rests_until": report.rests_until, "probe": None,
        "about": report.scope.value if failed else None, "pace": PROBE if failed else report.pace,
    }  # fmt: skip
    if failed:
        values |= {"ready": False, "wake_at": report.rests_until}
    in_force = select(profile.c.id).where(profile.c.lane == lane.c.id, profile.c.revision == report.revision).exists()
    still = literal(True) if report.clears else lane.c.failures == 0
    noted = connection.execute(update(lane).where(lane.c.id == report.lane, in_force, still).values(values))
    if noted.rowcount:
        wake_by(connection, [(report.lane, AT_ONCE)] if not failed else [])
        if failed and report.scope is Scope.RELAY:
            call_stand_ins(connection, report.lane)


def call_stand_ins(connection: Connection, failing: int) -> None:
    """Have the lane that stands in for this one, if any, look at once what is due there."""
    wanted = select(lane.c.failover).where(lane.c.id == failing, lane.c.failover.is_not(None))
    for each in connection.execute(wanted).scalars().all():
        connection.execute(update(lane).where(lane.c.id == each).values(stands_in=True))
        wake_by(connection, [(each, AT_ONCE)])


def waiting_in(connection: Connection, lane_id: int) -> int:
    """How many deliveries wait in a lane."""
    return connection.execute(select(func.count()).select_from(queue).where(queue.c.lane == lane_id)).scalar_one()
