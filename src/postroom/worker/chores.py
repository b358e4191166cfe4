"""What has to be done now and then: forget old idempotency keys, keep the sandbox small."""

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from postroom import log
from postroom.store import caught
from postroom.store.database import Database
from postroom.store.queue.accept import forget_old_keys

EVERY = 300.0  # seconds


async def run(database: Database) -> None:
    """For ever; a chore that fails is logged and tried again next time."""
    chores: dict[str, Callable[[Connection], Any]] = {
        "forget_old_keys": lambda connection: forget_old_keys(connection, database.now(connection)),
        "prune_sandbox": caught.prune,
    }
    while True:
        for name, chore in chores.items():
            try:
                await database.write(chore)
            except Exception as error:
                log.chore_failed(name, error)
        await asyncio.sleep(EVERY)
