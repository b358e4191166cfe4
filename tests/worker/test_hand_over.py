"""Mail that is accepted where a worker has room goes to it at once, and is no less safe for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from postroom.store.schema import queue
from serving import House, a_house
from smtp.moods import Mood, Relay, Visit, open_relay
from worker.test_loop import hand_in, point_to, until


@asynccontextmanager
async def at_work(tmp_path: Path, relay: Relay) -> AsyncIterator[House]:
    """A house whose own worker runs, and knows the lane: what waited in the queue has been sent."""
    async with a_house(tmp_path) as house:
        worker = house.postroom.worker
        running = asyncio.create_task(worker.run())
        await point_to(house, relay)
        await hand_in(house)
        await until(lambda: len(relay.mails) == 1 and worker.in_flight == 0, "a first mail")
        worker.wake()  # it looks once more, and finds nothing
        try:
            yield house
        finally:
            worker.stop()
            await running


async def leases(house: House) -> list[str | None]:
    wanted = select(queue.c.lease)
    return await house.postroom.database.read(lambda connection: list(connection.execute(wanted).scalars()))


def waits_for(may_go_on: asyncio.Event) -> Callable[[Visit], Any]:
    async def thinks_about_it(visit: Visit) -> bytes:
        await may_go_on.wait()
        await visit.say(b"250 ok\r\n")
        return b"250 ok"

    return thinks_about_it


async def test_mail_for_an_idle_lane_does_not_line_up(tmp_path: Path) -> None:
    may_go_on = asyncio.Event()
    may_go_on.set()
    async with open_relay(Mood({"dot": waits_for(may_go_on)})) as relay, at_work(tmp_path, relay) as house:
        worker = house.postroom.worker
        for n in range(100):
            may_go_on.clear()
            await hand_in(house, first=n)
            in_the_queue = await leases(house)
            may_go_on.set()
            await until(lambda: worker.in_flight == 0, "delivery")
            if in_the_queue == [worker.name]:
                break
        assert in_the_queue == [worker.name]
        await until(lambda n=n: len(relay.mails) == n + 2, "delivery of everything, once")
        assert await leases(house) == []


async def test_a_caller_who_goes_away_takes_the_mail_from_nobody(tmp_path: Path) -> None:
    async with open_relay(Mood()) as relay, at_work(tmp_path, relay) as house:
        for turns in range(60):
            asked = asyncio.ensure_future(hand_in(house, first=turns))
            for _ in range(turns):
                await asyncio.sleep(0)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        await hand_in(house, first=60)  # the writer does one thing after another: what was asked for before is done
        kept = await house.client.get("/v1/messages?limit=200", headers=house.admin)
        count = len(kept.json()["messages"])
        await until(lambda: len(relay.mails) == count, "delivery of all that was kept")
