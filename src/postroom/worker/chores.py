"""What has to be done now and then: forget what is no longer needed (`store/retention.py`), keep the sandbox small."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from postroom import log
from postroom.domain.delivery import SECOND
from postroom.store import caught, retention
from postroom.store.database import Database
from postroom.store.queue.accept import forget_old_keys

EVERY = 300.0  # seconds
PAUSE = 0.05  # seconds between two handfuls, in which others have the database
DAY = 86_400 * SECOND

Look = Callable[[Connection, str, int], tuple[list[str], str | None]]
Forget = Callable[[Connection, list[str], int], int]


@dataclass(frozen=True, slots=True)
class Keep:
    """For how long, in microseconds after the last delivery has ended."""

    contents: int = 7 * DAY
    messages: int = 90 * DAY


async def run(database: Database, keep: Keep) -> None:
    """For ever."""
    while True:
        await once(database, keep)
        await asyncio.sleep(EVERY)


async def once(database: Database, keep: Keep) -> None:
    """A round; a chore that fails is logged and tried again next time."""
    chores: dict[str, Callable[[], Awaitable[int]]] = {
        "idempotency_keys": lambda: database.write(lambda at: forget_old_keys(at, database.now(at))),
        "contents": lambda: _age(database, keep.contents, retention.contents, retention.forget_contents),
        "messages": lambda: _age(database, keep.messages, retention.messages, retention.forget_messages),
        # What is in the sandbox is content, too; but somebody has to be able to see it.
        "sandbox": lambda: _sandbox(database, max(keep.contents, DAY)),
        "trials": lambda: database.write(lambda at: retention.forget_trials(at, database.now(at) - DAY)),
    }
    gone = {}
    for name, chore in chores.items():
        try:
            gone[name] = await chore()
        except Exception as error:
            log.chore_failed(name, error)
    log.forgotten({name: count for name, count in gone.items() if count})


async def _age(database: Database, kept: int, look: Look, forget: Forget) -> int:
    """Forget what is older, a handful at a time; how many."""
    before = await database.read(database.now) - kept
    gone, after = 0, ""
    while True:
        found, further = await database.read(partial(_looked, look, after, before))
        for n in range(0, len(found), retention.AT_ONCE):
            some = found[n : n + retention.AT_ONCE]
            gone += await database.write(lambda at, ids=some: forget(at, ids, before))  # type: ignore[misc]
            await asyncio.sleep(PAUSE)
        if further is None:
            return gone
        after = further


def _looked(look: Look, after: str, before: int, connection: Connection) -> tuple[list[str], str | None]:
    return look(connection, after, before)


async def _sandbox(database: Database, kept: int) -> int:
    before = await database.read(database.now) - kept
    gone = int(await database.write(caught.prune))
    while some := await database.write(lambda at: retention.forget_caught(at, before)):
        gone += some
        await asyncio.sleep(PAUSE)
    return gone
