"""What a dead server left behind, read without changing it."""

import shutil
import sqlite3
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

import postroom.store.database

_IN_DOUBT = "SELECT message_id, recipient FROM queue WHERE in_doubt"
_LEASED = "SELECT count(*) FROM queue WHERE lease IS NOT NULL"
_WAITING = "SELECT count(*) FROM queue"
_WHATEVER = ("SELECT * FROM queue LIMIT 5", "SELECT * FROM lane", "SELECT * FROM wake LIMIT 5")
_HELD = (
    "SELECT message_id, max(CASE WHEN note LIKE '%the worker died%' THEN 1 ELSE 0 END) FROM delivery"
    " WHERE state = 'held' GROUP BY message_id"
)
_OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
_MIGRATIONS = Path(postroom.store.database.__file__).parent / "migrations"
# How far a checkpoint meant to go and how far it was when it had synced: the WAL-index format, section "WalCkptInfo"
# (https://www.sqlite.org/walformat.html, 2.2).
_BACKFILLED, _MEANT_TO = 96, 128


@dataclass(frozen=True, slots=True)
class Remains:
    in_doubt: frozenset[tuple[str, str]]
    leased: int
    wrong: str | None  # what the integrity check says, if not ok


class SqliteRemains:
    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "postroom.db"

    def look(self) -> Remains:
        """In a copy: to open the file itself would do the recovery that the next life has to do."""
        with tempfile.TemporaryDirectory(dir=self._path.parent.parent) as directory:
            copy = Path(directory) / self._path.name
            for suffix in ("", "-wal"):
                if (source := Path(f"{self._path}{suffix}")).exists():
                    shutil.copyfile(source, f"{copy}{suffix}")
            with closing(sqlite3.connect(copy)) as connection:
                found = frozenset(connection.execute(_IN_DOUBT).fetchall())
                leased = connection.execute(_LEASED).fetchone()[0]
                said = connection.execute("PRAGMA integrity_check").fetchone()[0]
                return Remains(found, leased, None if said == "ok" else said)

    def waiting(self) -> int:
        return int(self._ask(_WAITING)[0][0])

    def held(self) -> dict[str, int]:
        """Ids of held messages; 1 for those that are because attempts at them ended with the worker's death."""
        return dict(self._ask(_HELD))

    def is_in_checkpoint(self) -> bool:
        with Path(f"{self._path}-shm").open("rb", buffering=0) as index:
            head = index.read(_MEANT_TO + 4)
        if len(head) < _MEANT_TO + 4:
            return False
        return bool(struct.unpack_from("=I", head, _MEANT_TO)[0] > struct.unpack_from("=I", head, _BACKFILLED)[0])

    def wait_for_checkpoint(self, within: float) -> bool:
        """Return in the middle of one. From outside: a second handle on this file in the server's own process would,
        when closed, drop its locks."""
        deadline = time.monotonic() + within
        while not self.is_in_checkpoint():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.0001)
        return True

    def whatever_waits(self) -> list[Any]:
        return [self._ask(query) for query in _WHATEVER]

    def downgrade(self) -> None:
        _downgrade(f"sqlite:///{self._path}")

    def _ask(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query).fetchall()


class PostgresqlRemains:
    def __init__(self, url: str) -> None:
        self._url = url

    def look(self) -> Remains:
        """What a dead client had asked for last may still be under way in the server."""
        with self._connected() as connection:
            while connection.execute(_OTHERS).fetchall() != [(0,)]:
                time.sleep(0.005)
            found = frozenset(connection.execute(_IN_DOUBT).fetchall())
            leased = connection.execute(_LEASED).fetchall()[0][0]
            return Remains(found, leased, None)

    def waiting(self) -> int:
        with self._connected() as connection:
            return int(connection.execute(_WAITING).fetchall()[0][0])

    def held(self) -> dict[str, int]:
        with self._connected() as connection:
            return dict(connection.execute(_HELD).fetchall())

    def whatever_waits(self) -> list[Any]:
        with self._connected() as connection:
            return [connection.execute(query).fetchall() for query in _WHATEVER]

    def downgrade(self) -> None:
        _downgrade(self._url.replace("postgresql://", "postgresql+psycopg://"))

    @contextmanager
    def _connected(self) -> "Iterator[psycopg.Connection]":
        with closing(psycopg.connect(self._url, autocommit=True)) as connection:
            yield connection


def _downgrade(url: str) -> None:
    """Take the tables back by one migration, so that the next start has to do it again, with mail in them."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
