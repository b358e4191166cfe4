"""H40: 1,000 tenants on one dead relay, and one whose relay is well: it waits hardly longer than it would alone.

Waiting is counted in rounds of the worker (each is a claim), not in seconds, so that a busy machine changes nothing.
"""

import asyncio
import time
from statistics import quantiles

from sqlalchemy import Connection
from structlog.testing import capture_logs

from hostile.moods import good
from hostile.shift import PATIENT, Shift, lane_to, shift, until
from postroom.smtp.route import Timeouts
from postroom.store import profiles, tenants
from serving import free_port
from smtp.moods import Mood, Relay, is_silent, open_relay
from store.room import Lane, Room, revise

TENANTS = 1_000
EACH = 3  # mails of every tenant whose relay is dead
MAILS = 30  # of the one that is well
FOR_EVER = Timeouts(connect=300, reply=300, dot=300, attempt=300)  # no attempt of the dead ends while we look


async def p95_of_rounds(work: Shift, lane: Lane, relay: Relay) -> tuple[float, float]:
    """Of mails handed in one after the other: rounds from the acceptance to the relay, and seconds."""
    rounds, seconds = [], []
    for _ in range(MAILS):
        arrived, before, started = len(relay.mails), work.rounds.count, time.monotonic()
        await work.room.accept(lane)
        work.worker.wake()
        await until(lambda arrived=arrived: len(relay.mails) > arrived, seconds=12)
        rounds.append(work.rounds.count - before)
        seconds.append(time.monotonic() - started)
        work.room.clock.forward(1)  # so that the lanes of the dead come back from their rest, too
    return quantiles(rounds, n=20)[-1], quantiles(seconds, n=20)[-1]


async def tenants_of(room: Room, port: int) -> None:
    def all_at_once(connection: Connection) -> list[Lane]:
        return [_tenant_of(connection, f"dead-{n}", port, room.now) for n in range(TENANTS)]

    lanes = await room.database.write(all_at_once)
    mails = [room.message(lane) for lane in lanes for _ in range(EACH)]
    await asyncio.gather(*(room.take(*mails[n : n + 500]) for n in range(0, len(mails), 500)))


def _tenant_of(connection: Connection, slug: str, port: int, now: int) -> Lane:
    tenant = tenants.add(connection, slug, slug, now)
    profile_id, lane_id = profiles.add(connection, tenant.id, "default", now=now)
    revise(connection, tenant.id, profile_id, now, host="relay.test", port=port)
    return Lane(lane_id, tenant.id, profile_id)


async def has_what_it_can_hold(work: Shift) -> None:
    """Until the worker claims no more: all is in hand or at rest, or nothing more fits."""
    seen, since = -1, time.monotonic()
    while work.rounds.in_vain < 3 and time.monotonic() - since < 4:
        work.worker.wake()
        if work.worker.in_flight != seen:
            seen, since = work.worker.in_flight, time.monotonic()
        await asyncio.sleep(0.05)


async def compared(room: Room, dead_port: int, timeouts: Timeouts) -> None:
    with capture_logs():
        alone, among = await _measured(room, dead_port, timeouts)
    print(f"p95 alone {alone[0]} rounds, {alone[1]:.3f} s; among the dead {among[0]} rounds, {among[1]:.3f} s")  # noqa: T201
    assert among[0] <= 2 * max(alone[0], 1)


async def _measured(room: Room, dead_port: int, timeouts: Timeouts) -> tuple[tuple[float, float], tuple[float, float]]:
    async with open_relay(Mood()) as relay:
        healthy = await lane_to(room, relay.port)
        async with shift(room) as work:
            alone = await p95_of_rounds(work, healthy, relay)
        await tenants_of(room, dead_port)
        async with shift(room, timeouts) as work:
            await has_what_it_can_hold(work)
            return alone, await p95_of_rounds(work, healthy, relay)


async def test_h40_a_relay_that_refuses_connections_holds_up_nobody_else(room: Room):
    await compared(room, free_port(), PATIENT)


async def test_h40_a_relay_that_is_silent_holds_up_nobody_else(room: Room):
    async with open_relay(good(connect=is_silent)) as silent:
        await compared(room, silent.port, FOR_EVER)
