"""Several machines on one PostgreSQL: each delivery once, none forgotten, nobody in another's way."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from sqlalchemy import select

from postroom.domain.delivery import State
from postroom.store.queue.claim import Claim
from postroom.store.schema import delivery

from .room import Lane, Room

MACHINES = 4
PATIENCE = 60  # seconds until a lost wake-up is called one


async def on_machines(
    url: str, data_dir: Path, first: Room, work: Callable[[Room, int], Coroutine[Any, Any, None]]
) -> None:
    """Run `work` on each machine: a thread, an event loop and a Database of its own."""

    async def machine(n: int) -> None:
        room = Room(url, data_dir, first.clock)
        try:
            async with asyncio.timeout(PATIENCE):
                await work(room, n)
        finally:
            await room.database.close()

    await asyncio.gather(*(asyncio.to_thread(lambda it=n: asyncio.run(machine(it))) for n in range(MACHINES)))


async def deliver(room: Room, claims: list[Claim], log: list[str]) -> None:
    """As the worker does: mark before the dot, settle after it."""
    marked = await asyncio.gather(*(room.mark(each) for each in claims))
    assert all(marked)
    log += [each.id for each in claims]
    assert all(await room.sent(*claims))


async def all_sent(room: Room) -> bool:
    states = select(delivery.c.state).distinct()
    return await room.database.read(lambda c: set(c.execute(states).scalars())) == {State.SENT.value}


async def test_four_machines_empty_twenty_lanes_and_send_each_mail_once(
    migrated_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    room = Room(migrated_postgresql(), tmp_path)
    lanes = await room.lanes(20)
    await asyncio.gather(*(room.accept_many(each, 100) for each in lanes))
    sent: list[list[str]] = [[] for _ in range(MACHINES)]

    async def work(room: Room, n: int) -> None:
        while await room.waiting():
            await deliver(room, await room.claim(50), sent[n])

    await on_machines(room.url, tmp_path, room, work)
    counts = Counter(each for log in sent for each in log)
    assert len(counts) == 2000
    assert set(counts.values()) == {1}
    assert await all_sent(room)
    await room.database.close()


async def test_what_four_machines_accept_retry_and_deliver_at_once_is_all_sent_once(
    migrated_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    """The clock stands still: a wake-up that got lost would stay lost."""
    room = Room(migrated_postgresql(), tmp_path)
    lanes = await room.lanes(6)
    each_accepts, total = 150, MACHINES * 150
    sent: list[list[str]] = [[] for _ in range(MACHINES)]

    async def accept(room: Room, n: int) -> None:
        for number in range(each_accepts):
            await room.accept(lanes[(number + n) % len(lanes)])

    async def work(room: Room, n: int) -> None:
        accepting = asyncio.ensure_future(accept(room, n))
        while sum(map(len, sent)) < total:
            claims = await room.claim(20)
            retried, released, rest = claims[:1], claims[1:2], claims[2:]
            if n % 2:
                await asyncio.gather(*(room.later(each, 0) for each in retried), deliver(room, rest, sent[n]))
            else:
                await deliver(room, retried + rest, sent[n])
            if released:
                await room.release(*released)
        await accepting

    await on_machines(room.url, tmp_path, room, work)
    counts = Counter(each for log in sent for each in log)
    assert (len(counts), set(counts.values())) == (total, {1})
    assert await all_sent(room)
    assert await room.claim() == []
    assert await room.ready() == 0
    await room.database.close()


async def test_machines_that_report_save_accept_and_claim_crosswise_come_to_no_standoff(
    migrated_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    room = Room(migrated_postgresql(), tmp_path)
    lanes = await room.lanes(4)

    async def work(room: Room, n: int) -> None:
        order: list[Lane] = lanes if n % 2 else lanes[::-1]
        for _ in range(15):
            async with room.one_commit():
                asked = [asyncio.ensure_future(room.claim(10))]
                asked += [asyncio.ensure_future(room.accept(each)) for each in order]
                asked += [asyncio.ensure_future(room.rest(each, 0)) for each in order]
            claims, *_ = await asyncio.gather(*asked)
            assert isinstance(claims, list)
            assert all(await room.sent(*claims))

    await on_machines(room.url, tmp_path, room, work)
    while claims := await room.claim():
        await room.sent(*claims)
    assert await all_sent(room)
    await room.database.close()


async def test_a_machine_that_was_stopped_beyond_its_lease_writes_nothing(two_rooms: tuple[Room, Room]) -> None:
    room, other = two_rooms
    await room.accept_many(await room.lane("acme"), 50)
    stopped = await room.claim(50)
    room.clock.forward(61)
    taken_over = await other.claim(50)
    assert {each.id for each in taken_over} == {each.id for each in stopped}
    assert await asyncio.gather(*(room.mark(each) for each in stopped)) == [False] * 50
    assert await room.sent(*stopped) == [False] * 50
    await room.release(*stopped)
    assert await asyncio.gather(*(other.mark(each) for each in taken_over)) == [True] * 50
    assert await other.sent(*taken_over) == [True] * 50
    assert await all_sent(room)
