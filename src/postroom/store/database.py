"""SQLite or PostgreSQL by URL, and the one writer that every change goes through.

Group commit without a timer: while one transaction commits, what callers ask for gathers; the next transaction takes it
all, one statement per kind. The running commit is the batching clock (`research/performance.md` section 7).

A `Batch` is a function `(connection, items) -> results`, one result per item in order; a result that is an exception is
raised to its caller alone. Everything it does is durable (SQLite: WAL with synchronous=FULL) before anyone is answered.

Kinds are done in the same order in every transaction on every machine, so that two of them don't wait crosswise for
each other's rows; one that says `comes_last` does so. Where PostgreSQL finds such a standoff all the same, or the
connection breaks before the COMMIT, nothing was written, and all of it is done once more.
"""

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from postroom.domain.problems import Unavailable
from postroom.store.engine import (
    READERS,
    database_clock,
    endpoints,
    hold,
    migrate,
    postgresql_engine,
    process_clock,
    sqlite_engine,
)  # fmt: skip
from postroom.store.space import DiskFull, Space

T = TypeVar("T")
R = TypeVar("R")
Batch = Callable[[Connection, Sequence[T]], Sequence[R | Exception]]
Clock = Callable[[Connection], int]
Done = Callable[[R | Exception], None]

MOST_PER_COMMIT = 1000
TRIES = 5  # for a transaction that met a standoff or lost its connection
BACK_OFF = 0.02  # seconds at most between them
_STANDOFF = ("40001", "40P01")  # serialization_failure, deadlock_detected
_STOP = object()


class _Job:
    __slots__ = ("batch", "done", "item", "loop", "result")

    def __init__(
        self, batch: Callable[..., Any], item: Any, loop: asyncio.AbstractEventLoop, done: "Done[Any]"
    ) -> None:
        self.batch = batch
        self.item = item
        self.loop = loop
        self.done = done
        self.result: Any = None


class Database:
    """Opened by `Database.open`; `read` and `fold`/`write` are all that anyone needs."""

    def __init__(
        self, writer: Engine, readers: Engine, clock: Clock, held: "IO[str] | None" = None, space: Space | None = None
    ) -> None:
        self.writer = writer
        self.readers = readers
        self.now = clock
        self.commits = 0  # transactions so far, for the benchmark and metrics
        self.jobs = 0  # that were done in these
        self.space = space  # where it is on a disk of ours
        self._busy_since: float | None = None
        self._held = held
        self._connection: Connection | None = None  # the writer's, kept as long as it works
        self._closing = False
        self._jobs: deque[Any] = deque()
        self._work = threading.Event()
        self._calling: asyncio.AbstractEventLoop | None = None  # the one that is about to call the writer
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._thread = threading.Thread(target=self._write_until_stopped, name="writer", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, url: str, *, data_dir: Path, clock: Clock | None = None) -> "Database":
        """Open and bring the tables up to date. Raises Unavailable when another process holds the data directory."""
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            held = hold(data_dir)
            writer = sqlite_engine(parsed, "BEGIN IMMEDIATE", pool_size=1)
            migrate(writer)
            space = Space(Path(parsed.database or "").parent)
            return cls(writer, sqlite_engine(parsed, "BEGIN", pool_size=READERS), clock or process_clock, held, space)
        engine = postgresql_engine(parsed)
        migrate(engine)
        return cls(engine, engine, clock or database_clock)

    @property
    def is_sqlite(self) -> bool:
        return self.writer.dialect.name == "sqlite"

    @property
    def is_writing(self) -> bool:
        return self._thread.is_alive()

    def busy_for(self) -> float:
        """Seconds that the transaction under way has taken so far: nobody who asked meanwhile has waited longer."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def endpoints(self) -> frozenset[tuple[str, int]]:
        """Where its server is: the addresses that connections to it really go to. None for SQLite, or for a socket."""
        return endpoints(self.readers)

    async def read(self, ask: Callable[[Connection], T]) -> T:
        """Run `ask` on a reading connection, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, ask)

    async def write(self, step: Callable[[Connection], T]) -> T:
        """Run `step` in its own savepoint of the next transaction; returns once that is durable."""
        return cast("T", await self.fold(_each_alone, step))

    def fold(self, batch: Batch[T, R], item: T) -> "asyncio.Future[R]":
        """Have `item` done by `batch` together with the others of its kind, in the next transaction. Raises Unavailable
        when it is being closed."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.submit(batch, item, partial(fulfil, future))
        return future

    def submit(self, batch: Batch[T, R], item: T, done: Done[R]) -> None:
        """`fold` for what is asked for by the thousand: calls `done` with the result or the exception, in this event
        loop."""
        loop = asyncio.get_running_loop()
        if self._closing:
            loop.call_soon(done, Unavailable("Postroom is stopping: try again in a moment."))
            return
        self._jobs.append(_Job(batch, item, loop, done))
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
        self._pool.shutdown()
        self.readers.dispose()
        self.writer.dispose()
        if self._held:
            self._held.close()

    def _read(self, ask: Callable[[Connection], T]) -> T:
        with _connected(self.readers) as connection:
            return ask(connection)

    def _write_until_stopped(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()  # before looking, so that what comes now is seen or wakes us again
            jobs = self._gathered()
            if jobs and jobs[-1] is _STOP:
                self._do(jobs[:-1])
                self._let_go_of_connection()
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

    def _do(self, jobs: list[_Job]) -> None:
        if jobs:
            self._busy_since = time.monotonic()
            self._commit_all_or_each(jobs)
            self._busy_since = None
            _answer(jobs)

    def _commit_all_or_each(self, jobs: list[_Job]) -> None:
        """One transaction for all; if a statement in it fails, one for each, so that nobody fails for another."""
        failure = self._commit_at_last(jobs)
        if failure is None:
            return
        if len(jobs) == 1 or failure.of_all:
            for job in jobs:
                job.result = failure.cause
            return
        for job in jobs:
            self._commit_all_or_each([job])

    def _commit_at_last(self, jobs: list[_Job]) -> "_NotCommitted | None":
        """Again, while it is nobody's fault that it failed. Returns the failure that remains."""
        for left in reversed(range(TRIES)):
            try:
                self._commit(jobs)
            except _NotCommitted as failure:
                if left and self._made_room_for(failure.cause):
                    continue
                if failure.of_all or not (left and _is_passing(failure.cause)):
                    return failure
                time.sleep(random.random() * BACK_OFF)  # noqa: S311  or two that met would meet again
            else:
                return None
        return None

    def _made_room_for(self, cause: Exception) -> bool:
        """Also where it was the COMMIT that failed: SQLITE_FULL is a write that did not happen, and its last frame is
        what commits, so nothing was. (Of a failed sync nobody could say that; it has another code.)"""
        return isinstance(cause, DiskFull) and self.space is not None and self.space.drop_ballast()

    def _commit(self, jobs: list[_Job]) -> None:
        # Without a connection nobody's turn would go better. After a failed COMMIT nobody can know what is on disk: it
        # is reported, never repeated (PostgreSQL's fsync lesson of 2018; security-reliability.md section 2).
        of_all = True
        try:
            if self._connection is None:
                self._connection = _connected(self.writer)
            connection = self._connection
            connection.begin()
            of_all = False
            for batch, ours in _by_kind(jobs):
                results = batch(connection, [job.item for job in ours])
                for job, result in zip(ours, results, strict=True):
                    job.result = result
            of_all = True
            connection.commit()
            self.commits += 1
            self.jobs += len(jobs)
        except Exception as error:
            self._let_go_of_connection()
            raise _NotCommitted(error, of_all) from error

    def _let_go_of_connection(self) -> None:
        """What it had begun is rolled back."""
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None


class _NotCommitted(Exception):
    """`of_all`: it is not about one of the jobs."""

    def __init__(self, cause: Exception, of_all: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.of_all = of_all


def _connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except SQLAlchemyError as error:
        raise Unavailable("The database can't be reached: try again in a moment.") from error


def _is_passing(error: BaseException) -> bool:
    """Whether the transaction was undone for a reason that may be gone the next time."""
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _STANDOFF


def _each_alone(connection: Connection, steps: Sequence[Callable[[Connection], T]]) -> list[T | Exception]:
    return [_in_savepoint(connection, step) for step in steps]


def _in_savepoint(connection: Connection, step: Callable[[Connection], T]) -> T | Exception:
    savepoint = connection.begin_nested()
    try:
        result = step(connection)
        savepoint.commit()
    except Exception as error:
        if _is_passing(error) or isinstance(error, DiskFull):
            raise
        try:
            savepoint.rollback()
        except Exception:
            # The database has undone more than the step (SQLite does so on a full disk): what others did in this
            # transaction is gone, too, and what came after would stand outside of any.
            raise error from None
        return error
    return result


def _by_kind(jobs: list[_Job]) -> Iterable[tuple[Callable[..., Any], list[_Job]]]:
    """Jobs of a kind together, kinds by name."""
    kinds: dict[Callable[..., Any], list[_Job]] = {}
    for job in jobs:
        kinds.setdefault(job.batch, []).append(job)
    return sorted(kinds.items(), key=lambda kind: _turn(kind[0]))


def _turn(batch: Callable[..., Any]) -> tuple[bool, str]:
    return getattr(batch, "comes_last", False), getattr(batch, "__qualname__", "")


def _answer(jobs: list[_Job]) -> None:
    """Hand the results over, one call per event loop (nearly always the only one)."""
    loops: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        loops.setdefault(job.loop, []).append(job)
    for loop, ours in loops.items():
        with suppress(RuntimeError):  # it was closed: nobody is left who asks
            loop.call_soon_threadsafe(_tell, loop, ours)


def _tell(loop: asyncio.AbstractEventLoop, jobs: list[_Job]) -> None:
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
