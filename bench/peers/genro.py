"""genro-mail-proxy: a mail queue with an HTTP interface, in SQLite, the nearest thing to Postroom on PyPI.

Version 0.5.0, because the packages of all later ones that PyPI has (0.5.8, 0.6.x, 0.7.0; seen in November 2026) lack
modules that they import (`mail_proxy.entities.instance`, `tools.prometheus`), so that they don't start. Its own
defaults: SQLite with a rollback journal and synchronous=FULL, fifty mails for each account and half second. Few
connections hand in: with 64 it answers 500, "database is locked".
"""

import contextlib
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import callers
from cache import Missing
from machine import free_port

from peers.peer import Accepted, Run, Setting, through

REQUIREMENTS = ("genro-mail-proxy==0.5.0",)
KEY = "bench"
CONNECTIONS = 4
HEADERS = {"X-API-Token": KEY}


@contextlib.contextmanager
def running(setting: Setting) -> Iterator[dict[str, Callable[[int], Run]]]:
    """Raises Missing."""
    python, port = setting.cache.python("genro", *REQUIREMENTS), free_port()
    environment = os.environ | {"GMP_DB_PATH": str(setting.home / "genro.db"), "GMP_API_TOKEN": KEY}
    command: list[str | Path] = [python, "-m", "uvicorn", "mail_proxy.server:app"]
    command += ["--port", str(port), "--log-level", "error"]
    log = (setting.home / "genro.log").open("w")
    process = subprocess.Popen(command, env=environment, cwd=setting.home, stdout=log, stderr=log)
    try:
        _wait_for(port, process)
        _ask(port, "/tenant", {"id": "bench", "name": "bench", "active": True})
        account = {"id": "sink", "tenant_id": "bench", "host": "127.0.0.1", "port": setting.sink.port, "use_tls": False}
        _ask(port, "/account", account)
        message = {
            "id": callers.NUMBER.decode(), "account_id": "sink", "from": "noreply@bench.example",
            "to": "bob@bench.example", "subject": "Your build has finished", "body": callers.TEXT,
        }  # fmt: skip
        request = callers.request("127.0.0.1", port, "/commands/add-messages", {"messages": [message]}, HEADERS)

        def accept(messages: int) -> Accepted:
            saw = callers.run(request, port, messages, CONNECTIONS)
            return Accepted(saw["first"], saw["last"], saw["p50"], saw["p99"])

        yield {"genro-mail-proxy": lambda n: through(setting.sink, [process.pid], n, accept)}
    finally:
        process.kill()  # it does not always end when it is told to
        process.wait()
        log.close()


def _ask(port: int, path: str, body: object) -> None:
    headers = {"Content-Type": "application/json", **HEADERS}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  always http://127.0.0.1
        answer.read()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return
        time.sleep(0.2)
    raise Missing("it does not start")
