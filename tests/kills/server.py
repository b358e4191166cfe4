"""The server that is killed: its lives follow each other on one port and in one data directory."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

from serving import ADMIN_KEY

START = 60.0  # seconds in which it must be ready


def steady_port() -> int:
    """One that the system gives to no outgoing connection: it must still be free when the next life wants it."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


class Doomed:
    """`broken` names a fault of `kills.doomed`."""

    def __init__(self, directory: Path, database_url: str | None, broken: str | None) -> None:
        self.data_dir = directory / "data"
        self.log = directory / "log"
        self.pid = 0
        self.ready_after: list[float] = []
        self._broken = broken
        self._listen = f"127.0.0.1:{steady_port()}"
        self._environment = {
            "POSTROOM_DATA_DIR": str(self.data_dir),
            "POSTROOM_LISTEN": self._listen,
            "POSTROOM_SANDBOX": "off",
            "POSTROOM_ADMIN_KEY": ADMIN_KEY,
            "POSTROOM_LEASE": "15",  # on PostgreSQL a dead worker's mail is due again when its lease ends
        }
        if database_url:
            self._environment["POSTROOM_DATABASE_URL"] = database_url
        self.client = httpx2.AsyncClient(
            base_url=f"http://{self._listen}", headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=60
        )

    async def open(self) -> None:
        tests = str(Path(__file__).parent.parent)
        path = os.pathsep.join([tests, *sys.path])
        self._mother = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kills.doomed", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip

    async def close(self) -> None:
        if self.pid:
            self.send(signal.SIGKILL)
            await self.died()
        assert self._mother.stdin
        self._mother.stdin.close()
        await self._mother.wait()
        await self.client.aclose()

    async def start(self, point: str | None = None, *, armed: bool = False) -> bool:
        """Begin a life; True when it is ready, False when it died before."""
        order = {
            "environment": self._environment, "log": str(self.log), "broken": self._broken, "point": point,
            "armed": armed,
        }  # fmt: skip
        assert self._mother.stdin
        self._mother.stdin.write(json.dumps(order).encode() + b"\n")
        began = time.monotonic()
        self.pid = await self._told()  # of its group, too
        self._death = asyncio.create_task(self._told())
        if not await self._is_ready():
            return False
        self.ready_after.append(time.monotonic() - began)
        return True

    def send(self, number: signal.Signals) -> None:
        """To the server and its writing process."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def send_to_one(self, number: signal.Signals, *, writing: bool) -> None:
        """To the server alone, or to its writing process alone."""
        others = [each for each in self._processes() if each != self.pid]
        with suppress(ProcessLookupError):
            os.kill(others[0] if writing and others else self.pid, number)

    def freeze(self) -> None:
        """Not another instruction of it is done from here on, until SIGCONT or SIGKILL."""
        self.send(signal.SIGSTOP)
        deadline = time.monotonic() + START
        while any(state != "T" for state in self._threads()):
            assert time.monotonic() < deadline, "the server does not stop"
            time.sleep(0.0001)

    def _processes(self) -> list[int]:
        """Those that live, the server's first."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        with suppress(OSError):
            return [self.pid, *map(int, children.read_text().split())]
        return [self.pid]

    def _threads(self) -> list[str]:
        """What state each is in (proc(5), stat)."""
        states = []
        for process in self._processes():
            for thread in Path(f"/proc/{process}/task").glob("*/stat"):
                with suppress(OSError):
                    states.append(thread.read_text().rpartition(")")[2].split()[0])
        return states

    async def died(self) -> int:
        """How: minus the number of a signal, or the exit code. Its writing process has ended, too."""
        status = int(await self._death)
        deadline = time.monotonic() + START
        while _lives(self.pid):
            assert time.monotonic() < deadline, "the writing process outlives its server"
            await asyncio.sleep(0.001)
        self.pid = 0
        return status

    async def has_died(self, within: float) -> bool:
        await asyncio.wait([self._death], timeout=within)
        return self._death.done()

    async def _is_ready(self) -> bool:
        """Or has died before. No request under way is cancelled: the client would lose its connection, unclosed."""
        deadline = time.monotonic() + START
        while not self._death.done():
            with suppress(httpx2.TransportError):
                if (await self.client.get("/readyz")).status_code == 200:
                    return True
            assert time.monotonic() < deadline, "the server is not ready, and has not died"
            await asyncio.sleep(0.005)
        return False

    async def _told(self) -> Any:
        assert self._mother.stdout
        line = await self._mother.stdout.readline()
        assert line, "the process that forks the servers has ended"
        return json.loads(line)


def _lives(group: int) -> bool:
    """Whether any process of it does; one that has ended and that nobody has asked about does not (proc(5), stat)."""
    for each in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = each.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False
