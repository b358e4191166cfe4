"""Where the database is, as the network policy needs to know it: relays can't be there."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from postroom.smtp.reach import Reach
from postroom.store.database import Database


@pytest.fixture
def by_tcp(postgresql_url: str) -> Iterator[tuple[str, int]]:
    """The database's URL through a TCP port, wherever the server itself listens."""
    parts = urlsplit(postgresql_url)
    directory = parse_qs(parts.query).get("host", [""])[0]
    if not directory.startswith("/"):
        yield postgresql_url, parts.port or 5432
        return
    listener = socket.create_server(("127.0.0.1", 0))
    port, pairs = listener.getsockname()[1], []

    def serve() -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.socket(socket.AF_UNIX)
                far.connect(f"{directory}/.s.PGSQL.{parts.port or 5432}")
                pairs.append((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    user = parts.username or "postgres"
    yield f"postgresql://{user}@127.0.0.1:{port}{parts.path}", port
    listener.shutdown(socket.SHUT_RDWR)
    for each in (listener, *(each for pair in pairs for each in pair)):
        each.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


async def test_it_is_the_address_that_connections_go_to(by_tcp: tuple[str, int], tmp_path: Path):
    url, port = by_tcp
    database = Database.open(url, data_dir=tmp_path)
    try:
        assert database.endpoints == {("127.0.0.1", port)}
        assert not Reach(own=database.endpoints).permits("::ffff:127.0.0.1", port)
    finally:
        await database.close()


async def test_sqlite_has_none(tmp_path: Path):
    database = Database.open(f"sqlite:///{tmp_path / 'postroom.db'}", data_dir=tmp_path)
    assert not database.endpoints
    await database.close()
