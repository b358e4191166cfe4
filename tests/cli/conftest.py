"""The real command line, run in this process against a real server or in place on a directory of its own."""

import asyncio
import contextlib
import io
import itertools
import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from postroom import app, cli, log, process
from serving import Server, free_port
from smtp.moods import Mood, Relay, open_relay

WIRING = cli.Wiring(serve=process.serve, opened=app.opened)
_numbers = itertools.count(1)


class Terminal(io.StringIO):
    """Where a person looks on."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The JSON object on stderr, which may stand behind remarks."""
        return json.loads(self.err.splitlines()[-1])


@dataclass(frozen=True)
class Cli:
    """`cli("profile", "list")` is `postroom profile list`."""

    environment: dict[str, str]
    before: tuple[str, ...] = ()
    seen: list[str] = field(default_factory=list)  # all that was ever printed

    def __call__(
        self, *arguments: str, stdin: str = "", kind: type[io.StringIO] = io.StringIO, **environment: str
    ) -> Done:
        out, err, code = kind(), kind(), 0
        given = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
        others = {name: value for name, value in os.environ.items() if not name.startswith("POSTROOM_")}
        with (
            patch.dict(os.environ, others | self.environment | environment, clear=True),
            patch.object(sys, "stdin", given),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                cli.run(WIRING, [*self.before, *arguments])
            except SystemExit as end:
                code = int(end.code or 0)
        self.seen.append(out.getvalue() + err.getvalue())
        return Done(code, out.getvalue(), err.getvalue())

    def ok(self, *arguments: str, stdin: str = "") -> Any:
        """The JSON that a command prints; it must succeed."""
        done = self(*arguments, "--json", stdin=stdin)
        assert done.code == 0, done
        return done.json

    def of(self, tenant: str) -> "Cli":
        return replace(self, before=("-t", tenant))


@pytest.fixture(autouse=True, scope="session")
def _log_as_before() -> Iterator[None]:
    yield
    log.forget()  # a command in place has turned it to a stderr that is gone


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def by_note(server: Server) -> Cli:
    """The server is found by the note it left in its data directory."""
    return Cli({"POSTROOM_DATA_DIR": str(server.data_dir / "data")})


@pytest.fixture
def in_place(tmp_path: Path) -> Cli:
    """Nothing runs on this data directory."""
    return Cli(
        {
            "POSTROOM_DATA_DIR": str(tmp_path / "data"),
            "POSTROOM_ADMIN_KEY": "an-admin-key-for-tests-0123456789",
            "POSTROOM_SANDBOX": f"127.0.0.1:{free_port()}",
        }
    )


@pytest.fixture(params=["by_note", "in_place"])
def either(request: pytest.FixtureRequest) -> Cli:
    """The same commands, spoken to a server and done in place, for a tenant of their own."""
    found: Cli = request.getfixturevalue(request.param)
    return of_a_new_tenant(found)


@pytest.fixture
def served(by_note: Cli, server: Server) -> Cli:
    """A tenant of its own on the server, whose mail goes to the sandbox."""
    tenant = of_a_new_tenant(by_note)
    relay = ("--host", "127.0.0.1", "--port", str(server.sandbox_port))
    tenant.ok("profile", "set", *relay, "--sender", "us@example.com")
    return tenant


@contextlib.contextmanager
def a_relay(mood: Mood) -> Iterator[Relay]:
    """A relay with moods, in a thread of its own: a command runs its own loop in this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opened = open_relay(mood)
    try:
        yield asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def of_a_new_tenant(cli: Cli) -> Cli:
    slug = f"t{next(_numbers)}"
    cli.ok("tenant", "create", slug, "--name", f"Tenant {slug}")
    return cli.of(slug)
