"""A session that carries no mail: for a check, and for a look at what answers on a port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from postroom.smtp.attempt import GOOD_FOR, Job
from postroom.smtp.connect import Tell, to_nobody
from postroom.smtp.route import Route
from postroom.smtp.session import Session


@asynccontextmanager
async def visiting(route: Route, tell: Tell = to_nobody) -> AsyncIterator[Session]:
    """A session to open; it is gone when this ends, politely if nothing went wrong here."""
    visitor = _Visitor()
    session = Session(route, visitor, most_messages=0, tell=tell)
    try:
        yield session
        session.leave()
    except BaseException:  # whoever looked on has gone
        session.abort()
        raise
    finally:
        await visitor.has_left(session)


class _Visitor:
    """Owns a session without having messages for it."""

    def __init__(self) -> None:
        self._gone = asyncio.Event()

    async def has_left(self, session: Session) -> None:
        if session.relay:
            await self._gone.wait()

    def next_job(self) -> Job | None:
        return None

    def take_back(self, job: Job) -> None: ...

    reads_ahead = False
    permit_holds = GOOD_FOR

    def was_cut_short(self) -> None: ...

    def rests(self, _: Session) -> float:
        return 0

    def gone(self, _: Session) -> None:
        self._gone.set()
