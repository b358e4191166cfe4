"""Probes of lanes that failed, the lanes that stand in for them meanwhile, and what a person says to all of it.

A lane whose rest is over gives out one delivery, under a lease, and rests on until that one's end is known: so there is
one probe over all workers. While a lane rests because its relay is away, the lane that it fails over to claims its due
deliveries together with its own, oldest first.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, func, select, update

from postroom.domain.delivery import Scope
from postroom.store.queue.lanes import AT_ONCE, wake_by
from postroom.store.schema import lane, queue

StandIns = Mapping[int, list[int]]  # a lane, and those that it stands in for just now


def begin_probes(connection: Connection, lanes: Iterable[int], lease: str, until: int) -> None:
    """What was just claimed of these (their rows locked) is their probe: nothing else is claimed before its end."""
    ours = list(lanes)
    if ours:
        values = {"ready": False, "probe": lease, "rests_until": until, "wake_at": until}
        connection.execute(update(lane).where(lane.c.id.in_(ours)).values(values))
        helpers = select(lane.c.failover).where(lane.c.id.in_(ours), lane.c.failover.is_not(None))
        wake_by(connection, [(each, AT_ONCE) for each in connection.execute(helpers).scalars().all()])


def keep_probes(connection: Connection, leases: Iterable[str], until: int) -> None:
    """Their deliveries are still under way."""
    probing = lane.c.probe.in_(sorted(set(leases)))
    connection.execute(update(lane).where(probing).values(rests_until=until, wake_at=until))


def end_probes(connection: Connection, untried: Iterable[tuple[int, str]]) -> None:
    """What was claimed of these lanes under these leases was not tried after all: another one may probe."""
    for each, lease in sorted(set(untried)):
        probing = (lane.c.id == each) & (lane.c.probe == lease)
        if connection.execute(update(lane).where(probing).values(probe=None, rests_until=None)).rowcount:
            wake_by(connection, [(each, AT_ONCE)])


def forget_probes(connection: Connection) -> None:
    """Those who probed are dead."""
    probing = update(lane).where(lane.c.probe.is_not(None)).values(probe=None, rests_until=None)
    lanes = connection.execute(probing.returning(lane.c.id)).scalars().all()
    wake_by(connection, [(each, AT_ONCE) for each in lanes])


def stand_ins(connection: Connection, lanes: Iterable[int], now: int) -> dict[int, list[int]]:
    """The lanes that these (which were called once, their rows locked) stand in for now."""
    ours = list(lanes)
    if not ours:
        return {}
    wanted = select(lane.c.id, lane.c.failover, lane.c.rests_until, lane.c.paused_at, lane.c.about).where(
        lane.c.failover.in_(ours), lane.c.failures > 0
    )
    rows = connection.execute(wanted).all()
    done = set(ours) - {row.failover for row in rows}
    if done:
        connection.execute(update(lane).where(lane.c.id.in_(sorted(done))).values(stands_in=False))
    helped: dict[int, list[int]] = {}
    for row in rows:
        if row.about == Scope.RELAY.value and row.paused_at is None and (row.rests_until or 0) > now:
            helped.setdefault(row.failover, []).append(row.id)
    return helped


def first_due_there(connection: Connection, helped: StandIns) -> list[tuple[int, int]]:
    """When each lane has to look again because of those that it stands in for."""
    there = {other: each for each, others in helped.items() for other in others}
    if not there:
        return []
    first = select(queue.c.lane, func.min(queue.c.due_at).label("at")).where(queue.c.lane.in_(sorted(there)))
    return [(there[row.lane], row.at) for row in connection.execute(first.group_by(queue.c.lane))]


def pause(connection: Connection, lane_id: int, now: int) -> None:
    """Nothing goes out until `resume`; what is on the wire comes to its end."""
    connection.execute(update(lane).where(lane.c.id == lane_id).values(ready=False, paused_at=now))


def resume(connection: Connection, lane_id: int) -> None:
    """Go on at once, whatever it waited for but its limits; a lane that had failed begins with a probe."""
    connection.execute(update(lane).where(lane.c.id == lane_id).values(paused_at=None, rests_until=None, probe=None))
    wake_by(connection, [(lane_id, AT_ONCE)])


def end_rest(connection: Connection, lane_id: int) -> bool:
    """Somebody mended the relay, or says so: probe at once, unless a probe is under way. Whether it rested."""
    resting = (lane.c.id == lane_id) & (lane.c.failures > 0) & lane.c.probe.is_(None)
    ended = connection.execute(update(lane).where(resting).values(rests_until=None)).rowcount > 0
    wake_by(connection, [(lane_id, AT_ONCE)] if ended else [])
    return ended
