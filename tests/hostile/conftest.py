"""The fixtures of `smtp/` (certificates) and of `store/` (a store with a clock), and a worker at work on them."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtp.conftest import certificates
from store.conftest import migrated_sqlite
from store.room import Room

__all__ = ["certificates", "migrated_sqlite"]


@pytest.fixture
async def room(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Room]:
    shutil.copy(migrated_sqlite, tmp_path / "postroom.db")
    room = Room(f"sqlite:///{tmp_path}/postroom.db", tmp_path)
    yield room
    await room.database.close()
