"""This worker's share of each lane's connections, asked for in the database that all workers share."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from postroom import log
from postroom.store.database import Database
from postroom.store.ids import new_id
from postroom.store.queue.seats import Ask, Sharing, give_up

if TYPE_CHECKING:
    import asyncio


class Seats:
    """`lease` (microseconds) is how long a share holds without being asked for again."""

    def __init__(self, database: Database, lease: int, now: int) -> None:
        self._database = database
        self._lease = lease
        self._worker = new_id(now)
        self._share = Sharing(database.now)

    def ask(self, lane: int, held: int, tell: Callable[[int], None]) -> None:
        """`tell` hears up to how many connections may be opened, those that are `held` included."""
        asked = self._database.fold(self._share, Ask(self._worker, lane, held, self._lease))
        asked.add_done_callback(partial(_answered, tell))

    def give_up(self, lane: int) -> None:
        self._database.fold(give_up, (self._worker, lane)).add_done_callback(_look_at)


def _answered(tell: Callable[[int], None], asked: "asyncio.Future[int]") -> None:
    """Without an answer nothing more is opened; it is asked again with the next heartbeat."""
    if _look_at(asked):
        tell(asked.result())


def _look_at(future: "asyncio.Future[object] | asyncio.Future[int] | asyncio.Future[None]") -> bool:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        log.worker_failed(error)
    return error is None and not future.cancelled()
