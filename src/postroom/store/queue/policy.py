"""What claiming heeds of a lane's breaker and limits. A lane without either costs no statement."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, bindparam, update

from postroom.domain.breaker import most_at_once
from postroom.store.queue.breaker import StandIns, begin_probes, first_due_there
from postroom.store.queue.limits import Limits, left_of, spend
from postroom.store.schema import lane

Lanes = Mapping[int, Row[Any]]


def within_policy(
    connection: Connection, lanes: Lanes, limits: Mapping[int, Limits], free: Mapping[int, int], now: int
) -> dict[int, int]:
    """How many may be claimed of each lane (their rows locked) of those that the worker has room for: a probe, what its
    slow start and its limits allow."""
    left = left_of(connection, limits, now)
    most = {each: most_at_once(row.failures, row.pace) for each, row in lanes.items()}
    return {each: min(room, left.get(each, room), most[each] or room) for each, room in free.items()}


def follow_policy(
    connection: Connection, lanes: Lanes, limits: Mapping[int, Limits], given: Mapping[int, int], helped: StandIns,
    lease: str, now: int, until: int,
) -> None:  # fmt: skip
    """Note what was claimed: probes are under way until `until`, limits are spent, stand-ins look again in time."""
    begin_probes(connection, [each for each in given if given[each] and lanes[each].failures], lease, until)
    spend(connection, given, limits, lease, now)
    due = first_due_there(connection, helped)
    if due:
        at: Any = bindparam("the_time")
        sooner = update(lane).where(
            lane.c.id == bindparam("the_lane"), lane.c.wake_at.is_(None) | (lane.c.wake_at > at)
        )
        connection.execute(sooner.values(wake_at=at), [{"the_lane": each, "the_time": when} for each, when in due])
