"""Group commit: one transaction for all that was asked for, one statement per kind.

A `Batch` is a function `(connection, items) -> results`, one result per item in order; a result that is an exception is
raised to its caller alone. Everything it does is durable (SQLite: WAL with synchronous=FULL) before anyone is answered.

Kinds are done in the same order in every transaction on every machine, so that two of them don't wait crosswise for
each other's rows; one that says `comes_last` does so. Where PostgreSQL finds such a standoff all the same, or the
connection breaks before the COMMIT, nothing was written, and all of it is done once more.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from postroom.domain.problems import Unavailable
from postroom.store.space import DiskFull, Space

T = TypeVar("T")
R = TypeVar("R")
Batch = Callable[[Connection, Sequence[T]], Sequence[R | Exception]]

MOST_PER_COMMIT = 1000
TRIES = 5  # for a transaction that met a standoff or lost its connection
BACK_OFF = 0.02  # seconds at most between them
_STANDOFF = ("40001", "40P01")  # serialization_failure, deadlock_detected


class Job:
    """An item for a batch, and what came of it."""

    __slots__ = ("batch", "item", "result")

    def __init__(self, batch: Callable[..., Any], item: Any) -> None:
        self.batch = batch
        self.item = item
        self.result: Any = None


class Writer:
    """Writes for one thread at a time; `space` is that of the database where it is on a disk of ours."""

    def __init__(self, engine: Engine, space: Space | None = None) -> None:
        self.engine = engine
        self.space = space
        self.commits = 0  # transactions so far, for the benchmark and metrics
        self.jobs = 0  # that were done in these
        self._busy_since: float | None = None
        self._connection: Connection | None = None  # kept as long as it works

    def busy_for(self) -> float:
        """Seconds that the transaction under way has taken so far: nobody who asked meanwhile has waited longer."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def do(self, jobs: Sequence[Job]) -> None:
        """Durably, all of them: each has its result then, or the exception that it met with."""
        if jobs:
            self._busy_since = time.monotonic()
            self._commit_all_or_each(jobs)
            self._busy_since = None

    def let_go_of_connection(self) -> None:
        """What it had begun is rolled back."""
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None

    def _commit_all_or_each(self, jobs: Sequence[Job]) -> None:
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

    def _commit_at_last(self, jobs: Sequence[Job]) -> "_NotCommitted | None":
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

    def _commit(self, jobs: Sequence[Job]) -> None:
        # Without a connection nobody's turn would go better. After a failed COMMIT nobody can know what is on disk: it
        # is reported, never repeated (PostgreSQL's fsync lesson of 2018; security-reliability.md section 2).
        of_all = True
        try:
            if self._connection is None:
                self._connection = connected(self.engine)
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
            self.let_go_of_connection()
            raise _NotCommitted(error, of_all) from error


class _NotCommitted(Exception):
    """`of_all`: it is not about one of the jobs."""

    def __init__(self, cause: Exception, of_all: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.of_all = of_all


def connected(engine: Engine) -> Connection:
    """Raises Unavailable."""
    try:
        return engine.connect()
    except SQLAlchemyError as error:
        raise Unavailable("The database can't be reached: try again in a moment.") from error


def each_alone(connection: Connection, steps: Sequence[Callable[[Connection], T]]) -> list[T | Exception]:
    """The batch of steps that share nothing but their transaction: each in a savepoint of its own."""
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


def _is_passing(error: BaseException) -> bool:
    """Whether the transaction was undone for a reason that may be gone the next time."""
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _STANDOFF


def _by_kind(jobs: Sequence[Job]) -> Iterable[tuple[Callable[..., Any], list[Job]]]:
    """Jobs of a kind together, kinds by name."""
    kinds: dict[Callable[..., Any], list[Job]] = {}
    for job in jobs:
        kinds.setdefault(job.batch, []).append(job)
    return sorted(kinds.items(), key=lambda kind: _turn(kind[0]))


def _turn(batch: Callable[..., Any]) -> tuple[bool, str]:
    named = batch if hasattr(batch, "__qualname__") else type(batch)
    return getattr(batch, "comes_last", False), named.__qualname__
