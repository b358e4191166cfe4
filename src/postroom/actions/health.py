"""Whether this process can do its work: what is wrong, by part."""

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol

from postroom.actions.status import Status
from postroom.store.database import Database

PATIENCE = 5.0  # seconds that the database may take for an answer
STUCK = 15.0  # seconds that a transaction may be under way
STALE = 30.0  # seconds without a turn of its loop after which the worker is not well
LEFT_LYING = 120.0  # seconds that mail may have been due while the worker has nothing in hand


class AWorker(Protocol):
    """The worker in this process; `seen_at` is None where none runs."""

    seen_at: float | None

    @property
    def in_flight(self) -> int: ...


class Health:
    def __init__(self, database: Database, status: Status, worker: AWorker, *, stuck: float = STUCK) -> None:
        self._database = database
        self._status = status
        self._worker = worker
        self._stuck = stuck

    async def wrong(self) -> Mapping[str, str]:
        """Nothing when all is well. For the whole world to read: no names, no addresses."""
        wrong = {"disk": self._disk(), "database": self._writer(), "worker": self._loop()}
        try:
            async with asyncio.timeout(PATIENCE):
                backlog = await self._status.backlog(fresh=True)
        except TimeoutError:
            wrong["database"] = f"has not answered in {PATIENCE:.0f} s"
        except Exception as error:
            wrong["database"] = type(error).__name__
        else:
            wrong["worker"] = wrong["worker"] or self._idle(backlog.overdue / 1e6)
        return {part: what for part, what in wrong.items() if what}

    def _disk(self) -> str:
        space = self._database.space
        return "is nearly full: no new mail is taken" if space is not None and space.is_low else ""

    def _writer(self) -> str:
        if not self._database.is_writing:
            return "its writer has ended: restart this process"
        busy = self._database.busy_for()
        return f"a transaction has been under way for {busy:.0f} s" if busy > self._stuck else ""

    def _loop(self) -> str:
        seen_at = self._worker.seen_at
        if seen_at is None or time.monotonic() - seen_at <= STALE:
            return ""
        return "has not come round for too long"

    def _idle(self, overdue: float) -> str:
        if self._worker.seen_at is None or self._worker.in_flight or overdue <= LEFT_LYING:
            return ""
        return f"takes up nothing, though mail has been due for {overdue:.0f} s"
