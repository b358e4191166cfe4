"""Connections of a lane, shared out among the workers that want some: a lease in the database, never more than all.

A worker asks for its share again with every heartbeat and keeps what it has open until then, so that a share only
shrinks when connections have closed; what a dead worker had is free when its lease ends.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from postroom.domain.limits import MOST_CONNECTIONS
from postroom.store.schema import lane, seat

Clock = Callable[[Connection], int]


@dataclass(frozen=True, slots=True)
class Ask:
    """`worker` wants as many connections of the lane as it can have, for `lease` microseconds; `held` stand already."""

    worker: str
    lane: int
    held: int
    lease: int


@dataclass(frozen=True)
class Sharing:
    """The batch that shares connections out: up to how many each may open. Who has more open already keeps them until
    they close by themselves, and nobody else gets those meanwhile."""

    now: Clock

    def __call__(self, connection: Connection, asks: Sequence[Ask]) -> list[int | Exception]:
        order = sorted(range(len(asks)), key=lambda n: asks[n].lane)  # so that nobody waits crosswise
        given = {n: _share(connection, asks[n], self.now(connection)) for n in order}
        return [given[n] for n in range(len(asks))]


def _share(connection: Connection, ask: Ask, now: int) -> int:
    locked = select(lane.c.most_connections).where(lane.c.id == ask.lane).with_for_update()
    row = connection.execute(locked).one_or_none()
    most = (row.most_connections if row else None) or MOST_CONNECTIONS
    connection.execute(
        delete(seat).where(seat.c.lane == ask.lane, (seat.c.until <= now) | (seat.c.worker == ask.worker))
    )
    others: list[int] = list(connection.execute(select(seat.c.count).where(seat.c.lane == ask.lane)).scalars())
    fair = -(-most // (len(others) + 1))
    share: int = max(min(fair, most - sum(others)), 0)
    values = {"lane": ask.lane, "worker": ask.worker, "count": max(ask.held, share), "until": now + ask.lease}
    connection.execute(insert(seat).values(values))
    return share


def give_up(connection: Connection, gone: Sequence[tuple[str, int]]) -> list[Exception | None]:
    """These workers have no connection of these lanes any more, and want none."""
    for worker, lane_id in sorted(gone, key=lambda each: each[1]):
        connection.execute(delete(seat).where(seat.c.lane == lane_id, seat.c.worker == worker))
    return [None] * len(gone)
