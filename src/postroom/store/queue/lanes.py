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

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
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
        wanted = _free(lane.c.id.in_(sorted(asked))).add_columns(lane.c.failover, lane.c.rests_until)
        rows = connection.execute(wanted).all()
        free = {row.id for row in rows}
        resting = (row for row in rows if row.failover is not None and (row.rests_until or 0) > now)
        wake_by(connection, [(row.failover, asked[row.id]) for row in resting])  # seen by the next claim
        wake_by(connection, ((each, at) for each, at in asked.items() if each not in free))
        _make_ready(connection, lane.c.id.in_([each for each in sorted(free) if asked[each] <= now]), now)
        _look_later(connection, {each: asked[each] for each in sorted(free) if asked[each] > now})
    _make_ready(connection, lane.c.id.in_(_free((lane.c.wake_at <= now) & ~lane.c.ready & _rested(now))), now)


def _take_asked(connection: Connection) -> dict[int, int]:
    """Empty the inbox: per lane, when it is to be looked at."""
    oldest = select(wake.c.id).order_by(wake.c.id).limit(MOST_WAKES).with_for_update(skip_locked=True).cte("oldest")
    taken = delete(wake).where(wake.c.id.in_(select(oldest.c.id))).returning(wake.c.lane, wake.c.at)
    return _earliest((row.lane, row.at) for row in connection.execute(taken))


def _earliest(wakes: Iterable[tuple[int, int]]) -> dict[int, int]:
    earliest: dict[int, int] = {}
    for each, at in wakes:
        earliest[each] = min(at, earliest.get(each, at))
    return earliest


def _free(which: ColumnElement[bool]) -> Select[int]:
    """The lanes that nobody else works on just now, locked for this transaction."""
    return select(lane.c.id).where(which).with_for_update(skip_locked=True)


def _rested(now: int) -> ColumnElement[bool]:
    """Whether nothing keeps it: neither its relay nor a limit nor a person."""
    kept_until = (func.coalesce(each, 0) for each in (lane.c.rests_until, lane.c.spent_until))
    return and_(*(until <= now for until in kept_until), lane.c.paused_at.is_(None))


def _level() -> ColumnElement[int]:
    """A lane that joins the ready ones starts level with the least served: idle time is no credit, and what it was
    given in busier times is no debt (it would wait for every newcomer to catch up with its whole past)."""
    other = lane.alias("other")
    return func.coalesce(select(func.min(other.c.vt)).where(other.c.ready).scalar_subquery(), 0)


def _make_ready(connection: Connection, which: ColumnElement[bool], now: int) -> None:
    sleeping = which & ~lane.c.ready & _rested(now)
    connection.execute(update(lane).where(sleeping).values(ready=True, vt=_level(), wake_at=None))


def _look_later(connection: Connection, wakes: dict[int, int]) -> None:
    if wakes:
        at: ColumnElement[int] = bindparam("the_time")
        later = update(lane).where(
            lane.c.id == bindparam("the_lane"), or_(lane.c.wake_at.is_(None), lane.c.wake_at > at)
        )
        connection.execute(later.values(wake_at=at), [{"the_lane": each, "the_time": at} for each, at in wakes.items()])


def sleep(connection: Connection, lanes: list[int]) -> None:
    """These lanes (their rows locked) have nothing due: look again when the first row is, or when someone asks."""
    if lanes:
        first = select(func.min(queue.c.due_at)).where(queue.c.lane == lane.c.id).scalar_subquery()
        connection.execute(update(lane).where(lane.c.id.in_(lanes)).values(ready=False, wake_at=first))


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
