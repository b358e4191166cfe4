"""A real worker on a real store, under a clock that only the test moves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import func, select

from postroom.domain.profile import Auth
from postroom.domain.secret import Secret
from postroom.smtp.reach import Reach
from postroom.smtp.route import Route, Timeouts
from postroom.store.database import Database
from postroom.store.profiles import StoredProfile
from postroom.store.queue.claim import Claiming
from postroom.store.schema import lane as lanes
from postroom.worker.loop import Worker
from smtp.conftest import PASSWORD, loopback
from store.room import VAULT, Lane, Room

PATIENT = Timeouts(connect=20, reply=20, dot=20, attempt=60)


class Rounds:
    """The database, and how often the worker has asked it for work."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.count = self.in_vain = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def fold(self, batch: Any, item: Any) -> Any:
        folded = self._database.fold(batch, item)
        if isinstance(batch, Claiming):
            folded.add_done_callback(self._claimed)
        return folded

    def _claimed(self, folded: "asyncio.Future[list[Any]]") -> None:
        self.count += 1
        found = not folded.cancelled() and folded.exception() is None and folded.result()
        self.in_vain = 0 if found else self.in_vain + 1


class Shift:
    def __init__(self, room: Room, worker: Worker, rounds: Rounds) -> None:
        self.room, self.worker, self.rounds = room, worker, rounds

    async def quiet(self) -> None:
        """Until there is nothing to do at this time."""
        self.rounds.in_vain = 0

        def is_quiet() -> bool:
            self.worker.wake()
            return self.rounds.in_vain >= 3 and not self.worker.in_flight

        await until(is_quiet)

    async def go_on(self) -> bool:
        """Forward to when there is something to do; False when there never will be."""
        await self.quiet()
        wake_at = await self.room.database.read(
            lambda connection: connection.execute(select(func.min(lanes.c.wake_at))).scalar()
        )
        if wake_at is None:
            return False
        self.room.clock.now = max(self.room.now, wake_at)
        await self.quiet()
        return True


def route_of(timeouts: Timeouts = PATIENT) -> Callable[[StoredProfile], Route]:
    def route(stored: StoredProfile) -> Route:
        password = None if stored.settings.auth is Auth.NONE else Secret(PASSWORD)
        return Route(
            stored.settings,
            password,
            Reach(lookup=loopback),
            "worker.test",
            allow_plaintext_auth=True,
            timeouts=timeouts,
        )

    return route


@asynccontextmanager
async def shift(room: Room, timeouts: Timeouts = PATIENT, dice: float = 0.0) -> AsyncIterator[Shift]:
    """`dice` 0 is the shortest of all waits."""
    rounds: Any = Rounds(room.database)
    worker = Worker(rounds, VAULT, route_of(timeouts), lease=600, clock=lambda: room.now, dice=lambda: dice)
    running = asyncio.create_task(worker.run())
    try:
        yield Shift(room, worker, rounds)
    finally:
        worker.stop()
        await running


async def lane_to(room: Room, port: int, slug: str = "acme", **settings: Any) -> Lane:
    return await room.lane(slug, host="relay.test", port=port, **settings)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Gives the others a turn until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.002)
