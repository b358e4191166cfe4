"""The engines behind `database.py`: SQLite or PostgreSQL, each set up so that what is committed stays committed."""

import fcntl
import sqlite3
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, ExceptionContext

from postroom.domain.problems import Unavailable
from postroom.store.space import DiskFull

if TYPE_CHECKING:
    import psycopg  # a third of a second, which who has SQLite need not wait for

READERS = 4
LOOK_AGAIN = 0.01  # seconds
CACHED_STATEMENTS = 1024  # per connection: there is one for each number of rows (rows.py)
_MIGRATION_LOCK = 0x706F7374726F6F6D  # "postroom", for pg_advisory_lock


def hold(data_dir: Path, patience: float = 0) -> IO[str]:
    """Take the data directory for this process, and those that it forks, alone: SQLite has one writer at a time, who
    also does the checkpoints (its WAL-reset bug before 3.51.3 needs two). Raises Unavailable when it is still taken
    after `patience` seconds."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = (data_dir / "lock").open("w")
    until = time.monotonic() + patience
    while not _locked(handle):
        if time.monotonic() >= until:
            handle.close()
            raise Unavailable(f"Another Postroom process is using the data directory {data_dir}.")
        time.sleep(LOOK_AGAIN)
    return handle


def _locked(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def migrate(engine: Engine) -> None:
    """Bring the tables up to date, one process at a time."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


# `hide_parameters`: what is written holds passwords, keys and mail, and an exception's text reaches the log.


def sqlite_engine(url: URL, begin: str, pool_size: int) -> Engine:
    connect_args = {"check_same_thread": False, "cached_statements": CACHED_STATEMENTS}
    engine = create_engine(url, hide_parameters=True, pool_size=pool_size, max_overflow=0, connect_args=connect_args)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, else the driver says the deferred kind
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=5000",
            "foreign_keys=ON",
            "cache_size=-16000",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "handle_error")
    def tell_full_disk(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise DiskFull from context.original_exception

    @event.listens_for(engine, "begin")
    def say_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def writing_engine(url: URL) -> Engine:
    """For the one who writes."""
    if url.get_backend_name() == "sqlite":
        return sqlite_engine(url, "BEGIN IMMEDIATE", pool_size=1)
    return postgresql_engine(url)


def postgresql_engine(url: URL) -> Engine:
    # READ COMMITTED is what SKIP LOCKED and ON CONFLICT are thought out for; a server's default may differ.
    url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(
        url, hide_parameters=True, isolation_level="READ COMMITTED", pool_size=READERS + 1, max_overflow=4,
        pool_pre_ping=True,
    )  # fmt: skip

    @event.listens_for(engine, "handle_error")
    def hide_row(context: ExceptionContext) -> None:
        """PostgreSQL's DETAIL shows the row that it did not take."""
        for error in (context.original_exception, context.sqlalchemy_exception):
            if error is not None and error.args:
                error.args = (str(error.args[0]).partition("\nDETAIL:")[0], *error.args[1:])

    return engine


def endpoints(engine: Engine) -> frozenset[tuple[str, int]]:
    """The server's address and port, as a connection that stands has them."""
    if engine.dialect.name != "postgresql":
        return frozenset()
    with engine.connect() as connection:
        info = cast("psycopg.Connection[Any]", connection.connection.driver_connection).info
        return frozenset({(info.hostaddr, info.port)} if info.hostaddr else ())


def process_clock(_connection: Connection) -> int:
    return time.time_ns() // 1000


def database_clock(connection: Connection) -> int:
    """PostgreSQL's: with several machines only one clock may decide about leases."""
    microseconds = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    return int(connection.execute(microseconds).scalar_one())
