"""The process that writes beside a server (`store/forked.py` has what is looked at)."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from postroom.domain.problems import Unavailable
from serving import eventually

from .forked import SCENARIOS
from .room import Room

ON_THEIR_OWN = ("abandoned", "it_meets_a_mistake_of_ours", "stays")


def started(name: str, url: str, directory: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-m", "store.forked", name, url, str(directory)], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parent.parent,
    )  # fmt: skip


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/postroom.db"


@pytest.mark.parametrize("name", [each for each in SCENARIOS if each not in ON_THEIR_OWN])
def test_beside_sqlite(name: str, sqlite_url: str, tmp_path: Path):
    _, said = (process := started(name, sqlite_url, tmp_path)).communicate(timeout=60)
    assert process.returncode == 0, said


@pytest.mark.parametrize("name", ["answers", "what_cannot_be_told", "sees_what_came_before", "closing"])
def test_beside_postgresql(name: str, new_postgresql: Callable[[], str], tmp_path: Path):
    _, said = (process := started(name, new_postgresql(), tmp_path)).communicate(timeout=60)
    assert process.returncode == 0, said


def test_when_the_server_is_killed_what_was_on_its_way_is_written_and_the_next_one_waits_for_that(
    sqlite_url: str, tmp_path: Path
):
    process = started("abandoned", sqlite_url, tmp_path)
    writing = int(process.communicate(timeout=10)[0])
    following = started("answers", sqlite_url, tmp_path)  # its directory is still held: it has patience
    _, said = following.communicate(timeout=60)
    assert following.returncode == 0, said
    with closing(sqlite3.connect(tmp_path / "postroom.db")) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM fact")}
    assert {"before", "lingered 0", "with it"} <= names
    eventually(lambda: not lives(writing), what="the end of the writing process")


def test_a_mistake_of_ours_ends_it_and_is_told(sqlite_url: str, tmp_path: Path):
    said = "".join((process := started("it_meets_a_mistake_of_ours", sqlite_url, tmp_path)).communicate(timeout=60))
    assert process.returncode == 0, said
    assert "writing_process_failed" in said
    assert "KeyError" in said


async def test_the_directory_is_held_as_long_as_either_lives(sqlite_url: str, tmp_path: Path):
    process = started("stays", sqlite_url, tmp_path)
    assert process.stdout
    assert await asyncio.to_thread(process.stdout.readline) == "here\n"
    with pytest.raises(Unavailable, match="data directory"):
        Room(sqlite_url, tmp_path)
    began = time.monotonic()
    second = started("stays", sqlite_url, tmp_path)
    _, said = await asyncio.to_thread(second.communicate, timeout=60)
    assert second.returncode == 1
    assert "Another Postroom process" in said
    assert time.monotonic() - began < 30
    await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0
    await Room(sqlite_url, tmp_path).database.close()


def lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False
