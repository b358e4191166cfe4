"""Postroom itself: a `postroom serve` with default settings (SQLite, synchronous=FULL), handed in over HTTP."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import callers
from cache import SOURCE

from peers.peer import Accepted, Run, Setting, through

PROGRAM = ("-m", "postroom")
LIST = 100  # messages in one request of the second contestant
MESSAGE = {"to": [{"address": "bob@bench.example"}], "subject": "Your build has finished", "text": callers.TEXT}


class Postroom:
    """A running one, whose default profile points at the sink."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, key: str) -> None:
        self.process = process
        self.port = int(url.rpartition(":")[2])
        self.key = key

    def ask(self, method: str, path: str, body: Any = None, tenant: str = "default") -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1{path}",
            json.dumps(body).encode() if body is not None else None,
            {"Authorization": f"Bearer {self.key}", "X-Postroom-Tenant": tenant},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  always http://127.0.0.1
            return json.load(answer)

    def request(self, in_one: int) -> bytes:
        """One that hands in this many messages; one alone goes without a list."""
        body = MESSAGE if in_one == 1 else [MESSAGE] * in_one
        return callers.request("127.0.0.1", self.port, "/v1/messages", body, {"Authorization": f"Bearer {self.key}"})

    def accept(self, messages: int, in_one: int, connections: int) -> Accepted:
        before = self.ask("GET", "/status")
        saw = callers.run(self.request(in_one), self.port, messages // in_one, connections)
        after = self.ask("GET", "/status")
        return Accepted(
            saw["first"], saw["last"], saw["p50"], saw["p99"],
            generator=saw["cpu"] / (saw["last"] - saw["first"]),
            per_commit=(after["accepted"] - before["accepted"]) / max(1, after["commits"] - before["commits"]),
        )  # fmt: skip


@contextlib.contextmanager
def serving(
    home: Path, relay_port: int, program: Sequence[str] = PROGRAM, source: Path = SOURCE,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Postroom]:  # fmt: skip
    """`program` is what Python runs, `source` where that is; `settings` go by their names without POSTROOM_."""
    key = secrets.token_urlsafe(24)
    every = {"DATA_DIR": str(home), "LISTEN": "127.0.0.1:0", "SANDBOX": "off", "ADMIN_KEY": key, **settings}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTROOM_")}
    environment |= {f"POSTROOM_{name}": value for name, value in every.items()} | {"PYTHONPATH": str(source)}
    command = [sys.executable, *program, "serve"]
    process = subprocess.Popen(command, env=environment, cwd=home.parent, stdout=subprocess.DEVNULL)
    try:
        postroom = Postroom(process, _url_of(process, home / "running.json"), every["ADMIN_KEY"])
        relay = {"host": "127.0.0.1", "port": relay_port, "sender_address": "noreply@bench.example"}
        postroom.ask("PUT", "/profiles/default", relay)
        yield postroom
    finally:
        process.terminate()
        process.wait()


def _url_of(process: "subprocess.Popen[bytes]", note: Path) -> str:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            url: str = json.loads(note.read_text())["url"]
            with urllib.request.urlopen(f"{url}/healthz", timeout=10):  # noqa: S310  always http://127.0.0.1
                return url
        time.sleep(0.1)
    raise RuntimeError("postroom serve did not start")


def running(setting: Setting) -> contextlib.AbstractContextManager[dict[str, Callable[[int], Run]]]:
    return _running("postroom", setting, SOURCE)


def running_compiled(setting: Setting) -> contextlib.AbstractContextManager[dict[str, Callable[[int], Run]]]:
    """With its busiest modules compiled. Raises Missing."""
    return _running("postroom-compiled", setting, setting.cache.compiled())


@contextlib.contextmanager
def _running(name: str, setting: Setting, source: Path) -> Iterator[dict[str, Callable[[int], Run]]]:
    with serving(setting.home / name, setting.sink.port, source=source) as postroom:

        def run(messages: int, in_one: int) -> Run:
            return through(
                setting.sink, [postroom.process.pid], messages,
                lambda wanted: postroom.accept(wanted, in_one, setting.callers),
            )  # fmt: skip

        yield {name: lambda n: run(n, 1), f"{name}, lists of {LIST}": lambda n: run(n // LIST * LIST, LIST)}
