"""The fixtures of `smtp/` (certificates) and of `store/` (a store with a clock), and a worker at work on them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serving import with_tables
from smtp.conftest import certificates
from store.room import Room

__all__ = ["certificates"]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(f"sqlite:///{with_tables(tmp_path)}/postroom.db", tmp_path)
    yield room
    await room.database.close()
