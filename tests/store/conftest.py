"""Every store test runs on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from .room import Room

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/postroom.db"
    new: Callable[[], str] = request.getfixturevalue("new_postgresql")
    return new()


@pytest.fixture
async def room(url: str, tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(url, tmp_path)
    yield room
    await room.database.close()


@pytest.fixture
async def two_rooms(new_postgresql: Callable[[], str], tmp_path: Path) -> AsyncIterator[tuple[Room, Room]]:
    """Two machines on one PostgreSQL, with one clock."""
    first = Room(new_postgresql(), tmp_path)
    second = Room(first.url, tmp_path, first.clock)
    yield first, second
    await first.database.close()
    await second.database.close()
