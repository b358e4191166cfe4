"""SQLite or PostgreSQL by URL, and the one writer that every change goes through.

Group commit without a timer: while one transaction commits, what callers ask for gathers; the next transaction takes it
all (`writer.py`). The running commit is the batching clock (`research/performance.md` section 7).

What every mail goes through are batches (`fold`), which a server has done by a process beside it
(`writing_process.py`). A step (`write`) is done right here, in a thread; so are batches where there is none.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from sqlalchemy import Connection, Engine, make_url

from postroom.domain.problems import Unavailable
from postroom.store.engine import (
    READERS,
    database_clock,
    endpoints,
    hold,
    migrate,
    process_clock,
    sqlite_engine,
    writing_engine,
)  # fmt: skip
from postroom.store.space import Space, space_of
from postroom.store.writer import MOST_PER_COMMIT, Batch, Job, Writer, connected, each_alone
from postroom.store.writing import Writing

T = TypeVar("T")
R = TypeVar("R")
Clock = Callable[[Connection], int]
Done = Callable[[R | Exception], None]

_STOP = object()


class _Asked(Job):
    """By whom."""

    __slots__ = ("done", "loop")

    def __init__(
        self, batch: Callable[..., Any], item: Any, loop: asyncio.AbstractEventLoop, done: "Done[Any]"
    ) -> None:
        super().__init__(batch, item)
        self.loop = loop
        self.done = done


class Database:
    """Opened by `Database.open`; `read` and `fold`/`write` are all that anyone needs."""

    def __init__(
        self, writer: Engine, readers: Engine, clock: Clock, *, held: "IO[str] | None" = None,
        space: Space | None = None, writing: Writing | None = None,
    ) -> None:  # fmt: skip
        self.writer = writer
        self.readers = readers
        self.now = clock
        self.space = space  # where it is on a disk of ours
        self.writing = writing
        self._here = Writer(writer, space)
        self._held = held
        self._closing = False
        self._jobs: deque[Any] = deque()
        self._work = threading.Event()
        self._calling: asyncio.AbstractEventLoop | None = None  # the one that is about to call the writer
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._thread = threading.Thread(target=self._write_until_stopped, name="writer", daemon=True)
        if writing is not None:
            writing.begin()
        self._thread.start()

    @classmethod
    def open(
        cls, url: str, *, data_dir: Path, clock: Clock | None = None, writing: Writing | None = None
    ) -> "Database":
        """Open and bring the tables up to date. `writing` holds the data directory already; without it, raises
        Unavailable when another process does."""
        parsed = make_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        held = hold(data_dir) if is_sqlite and writing is None else None
        writer = writing_engine(parsed)
        migrate(writer)
        return cls(
            writer,
            sqlite_engine(parsed, "BEGIN", pool_size=READERS) if is_sqlite else writer,
            clock or (process_clock if is_sqlite else database_clock),
            held=held, space=space_of(parsed), writing=writing,
        )  # fmt: skip

    @property
    def is_sqlite(self) -> bool:
        return self.writer.dialect.name == "sqlite"

    @property
    def is_writing(self) -> bool:
        return self._thread.is_alive() and not (self.writing is not None and self.writing.ended.is_set())

    @property
    def commits(self) -> int:
        """Transactions so far."""
        return self._here.commits + (self.writing.commits if self.writing else 0)

    @property
    def jobs(self) -> int:
        """That were done in these."""
        return self._here.jobs + (self.writing.jobs if self.writing else 0)

    def busy_for(self) -> float:
        """Seconds that a transaction under way has taken so far: nobody who asked meanwhile has waited longer."""
        return max(self._here.busy_for(), self.writing.busy_for() if self.writing else 0.0)

    @property
    def endpoints(self) -> frozenset[tuple[str, int]]:
        """Where its server is: the addresses that connections to it really go to. None for SQLite, or for a socket."""
        return endpoints(self.readers)

    async def read(self, ask: Callable[[Connection], T]) -> T:
        """Run `ask` on a reading connection, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, ask)

    async def write(self, step: Callable[[Connection], T]) -> T:
        """Run `step` in its own savepoint of the next transaction; returns once that is durable."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._submit_here(each_alone, step, partial(fulfil, future))
        return await future

    def fold(self, batch: Batch[T, R], item: T) -> "asyncio.Future[R]":
        """Have `item` done by `batch` together with the others of its kind, in the next transaction. Both are values
        that another process can be told. Raises Unavailable when it is being closed."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.submit(batch, item, partial(fulfil, future))
        return future

    def submit(self, batch: Batch[T, R], item: T, done: Done[R]) -> None:
        """`fold` for what is asked for by the thousand: calls `done` with the result or the exception, in this event
        loop."""
        if self.writing is None or self._closing:
            self._submit_here(batch, item, done)
        else:
            self.writing.submit(batch, item, done)

    def _submit_here(self, batch: Batch[T, R], item: T, done: Done[R]) -> None:
        loop = asyncio.get_running_loop()
        if self._closing:
            loop.call_soon(done, Unavailable("Postroom is stopping: try again in a moment."))
            return
        self._jobs.append(_Asked(batch, item, loop, done))
        if self._calling is not loop:
            self._calling = loop
            loop.call_soon(self._call_writer)

    def _call_writer(self) -> None:
        """When everything else that could be done just now has been: so the transaction is for all of it, and writer
        and event loop wrestle less for the interpreter lock."""
        self._calling = None
        self._work.set()

    async def close(self) -> None:
        """Finish what was asked for, then close."""
        self._closing = True
        self._jobs.append(_STOP)
        self._work.set()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        if self.writing is not None:
            await self.writing.end()
        self._pool.shutdown()
        self.readers.dispose()
        self.writer.dispose()
        if self._held:
            self._held.close()

    def _read(self, ask: Callable[[Connection], T]) -> T:
        with connected(self.readers) as connection:
            return ask(connection)

    def _write_until_stopped(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()  # before looking, so that what comes now is seen or wakes us again
            jobs = self._gathered()
            if jobs and jobs[-1] is _STOP:
                self._do(jobs[:-1])
                self._here.let_go_of_connection()
                return
            if len(jobs) == MOST_PER_COMMIT:
                self._work.set()  # there may be more
            self._do(jobs)

    def _gathered(self) -> list[Any]:
        """What has come in, at most a commit's worth, ending with _STOP if that was among it."""
        jobs: list[Any] = []
        while self._jobs and len(jobs) < MOST_PER_COMMIT and (not jobs or jobs[-1] is not _STOP):
            jobs.append(self._jobs.popleft())
        return jobs

    def _do(self, jobs: list[_Asked]) -> None:
        if not jobs:
            return
        try:
            with self._turn():
                self._here.do(jobs)
        except Unavailable as gone:  # whose turn it was has ended, and so it did not come to ours
            for job in jobs:
                job.result = gone
        _answer(jobs)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """SQLite has one writer at a time. PostgreSQL has as many as it is asked by."""
        if self.writing is None or not self.is_sqlite:
            yield
        else:
            with self.writing.turn():
                yield


def _answer(jobs: list[_Asked]) -> None:
    """Hand the results over, one call per event loop (nearly always the only one)."""
    loops: dict[asyncio.AbstractEventLoop, list[_Asked]] = {}
    for job in jobs:
        loops.setdefault(job.loop, []).append(job)
    for loop, ours in loops.items():
        with suppress(RuntimeError):  # it was closed: nobody is left who asks
            loop.call_soon_threadsafe(_tell, loop, ours)


def _tell(loop: asyncio.AbstractEventLoop, jobs: list[_Asked]) -> None:
    for job in jobs:
        try:
            job.done(job.result)
        except Exception as bug:  # of who asked: the others must hear all the same
            loop.call_exception_handler({"message": "a result was not taken", "exception": bug})


def fulfil(future: "asyncio.Future[R]", result: R | Exception) -> None:
    """Hand the result to whoever waits for the future, if anyone still does."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
