"""Celery with Redis: what a Python team builds for itself, a task that sends a mail with smtplib.

Redis keeps its log with appendfsync always, and tasks are acknowledged late, so that what was taken is not lost; each
of two worker processes keeps its connection to the relay, in its favour. One process hands in, a task at a time.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cache import Cache, Missing
from machine import free_port

from peers.peer import Driven, Run, Setting, through

REQUIREMENTS = ("celery[redis]==5.7.0",)
DEBIAN = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1")
INSIDE = Path(__file__).parent / "inside"
WORKERS = 2


@contextlib.contextmanager
def running(setting: Setting) -> Iterator[dict[str, Callable[[int], Run]]]:
    """Raises Missing."""
    python = setting.cache.python("celery", *REQUIREMENTS)
    with _redis(setting) as (redis_pid, port):
        environment = os.environ | {
            "BENCH_BROKER": f"redis://127.0.0.1:{port}/0", "BENCH_SMTP_PORT": str(setting.sink.port),
            "PYTHONPATH": str(INSIDE),
        }  # fmt: skip
        command: list[str | Path] = [python, "-m", "celery", "-A", "celery_tasks", "worker"]
        command += ["-c", str(WORKERS), "-l", "ERROR"]
        worker = subprocess.Popen(
            command, env=environment, cwd=setting.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with Driven([python, INSIDE / "celery_tasks.py"], environment) as web:
                pids = [redis_pid, worker.pid, web.pid]
                yield {"celery, redis": lambda n: through(setting.sink, pids, n, web.accept)}
        finally:
            worker.terminate()
            worker.wait()


@contextlib.contextmanager
def _redis(setting: Setting) -> Iterator[tuple[int, int]]:
    server, environment = _server(setting.cache)
    home, port = setting.home / "redis", free_port()
    home.mkdir()
    options = {"port": port, "bind": "127.0.0.1", "dir": home, "appendonly": "yes", "appendfsync": "always", "save": ""}
    command = [server, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def _server(cache: Cache) -> tuple[str | Path, dict[str, str]]:
    if installed := shutil.which("redis-server"):
        return installed, dict(os.environ)
    root = cache.debian("redis", *DEBIAN)
    libraries = next(iter((root / "usr/lib").glob("*-linux-gnu")), root)
    return root / "usr/bin/redis-server", os.environ | {"LD_LIBRARY_PATH": str(libraries)}


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise Missing("redis-server does not start")
