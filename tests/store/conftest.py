"""Every store test runs on SQLite and on PostgreSQL."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from postroom.store.engine import migrate
from serving import with_tables

from .room import Room

ENGINES = ("sqlite", "postgresql")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def new_postgresql(postgresql: str) -> Callable[..., str]:
    """Makes an empty database, or a copy of another, and gives its URL."""
    with closing(psycopg.connect(postgresql, autocommit=True)) as connection:
        # Some hundred databases that live for a moment each: none of them has to survive a power cut.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")

    def make(copy_of: str = "template1") -> str:
        name = f"room_{next(_numbers)}"
        with closing(psycopg.connect(postgresql, autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {copy_of}")
        return postgresql.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture(params=ENGINES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either kind without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/postroom.db"
    new: Callable[[], str] = request.getfixturevalue("new_postgresql")
    return new()


@pytest.fixture(scope="session")
def migrated_postgresql(new_postgresql: Callable[..., str]) -> Callable[[], str]:
    """Makes a database that has its tables."""
    url = make_url(new_postgresql())
    migrate(create_engine(url.set(drivername="postgresql+psycopg"), poolclass=NullPool))
    return lambda: new_postgresql(copy_of=url.database)


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either kind that has its tables: made once and copied, which is much quicker."""
    if request.param == "sqlite":
        return f"sqlite:///{with_tables(tmp_path)}/postroom.db"
    new: Callable[[], str] = request.getfixturevalue("migrated_postgresql")
    return new()


@pytest.fixture
async def room(url: str, tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(url, tmp_path)
    yield room
    await room.database.close()


@pytest.fixture
async def two_rooms(migrated_postgresql: Callable[[], str], tmp_path: Path) -> AsyncIterator[tuple[Room, Room]]:
    """Two machines on one PostgreSQL, with one clock."""
    first = Room(migrated_postgresql(), tmp_path)
    second = Room(first.url, tmp_path, first.clock)
    yield first, second
    await first.database.close()
    await second.database.close()
