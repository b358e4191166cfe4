"""From judged addresses to a connected socket: each in turn, the next one a little later, the first to answer wins.

RFC 8305 (Happy Eyeballs) over a list that was judged before. Nothing is looked up here.
"""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from postroom.domain.delivery import Scope, Stage
from postroom.smtp.failure import Failure

STAGGER = 0.25  # seconds; RFC 8305 section 5
MOST_ADDRESSES = 8

_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


Stands = Callable[[str, Mapping[str, str]], None]  # the address, and what came of each one that was tried


async def dial(
    addresses: Sequence[str], port: int, seconds: float, stands: Stands | None = None
) -> socket.socket | Failure:
    """The first connection that stands, which `stands` is told about, or why there is none."""
    race = _Race(addresses[:MOST_ADDRESSES], port)
    try:
        async with asyncio.timeout(seconds):
            connection = await race.run()
        if connection is None:
            return _explain(list(race.errors.values()), port, race.tried())
        if stands is not None:
            stands(race.winner, race.tried())
        return connection
    except TimeoutError:
        return _explain([TimeoutError()], port, race.tried())
    finally:
        await race.stop()


class _Race:
    def __init__(self, addresses: Sequence[str], port: int) -> None:
        self.errors: dict[str, BaseException] = {}  # by address
        self.winner = ""  # its address
        self._begun: list[str] = []
        self._port = port
        self._left = deque(addresses)
        self._running: set[asyncio.Task[socket.socket]] = set()
        self._winner: socket.socket | None = None

    async def run(self) -> socket.socket | None:
        while self._winner is None and (self._left or self._running):
            if self._left:
                self._begin(self._left.popleft())
            pause = STAGGER if self._left else None
            done, self._running = await asyncio.wait(self._running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            self._judge(done)
        return self._winner

    def tried(self) -> dict[str, str]:
        """Each address that was dialled and what came of it, for people."""
        return {"tried": ", ".join(f"{each}: {self._end_of(each)}" for each in self._begun)} if self._begun else {}

    def _end_of(self, address: str) -> str:
        return "connected" if address == self.winner else _in_a_word(self.errors.get(address, TimeoutError()))

    def _begin(self, address: str) -> None:
        self._begun.append(address)
        self._running.add(asyncio.create_task(_connect(address, self._port), name=address))

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        ended = await asyncio.gather(*self._running, return_exceptions=True)
        for late in ended:
            if isinstance(late, socket.socket):
                late.close()

    def _judge(self, done: set[asyncio.Task[socket.socket]]) -> None:
        for task in done:
            error = task.exception()
            if error is not None:
                self.errors[task.get_name()] = error
            elif self._winner is None:
                self._winner, self.winner = task.result(), task.get_name()
            else:
                task.result().close()


async def _connect(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _in_a_word(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "no answer"
    return "no way there" if isinstance(error, OSError) and error.errno in _UNREACHABLE else "failed"


def _explain(errors: Sequence[BaseException], port: int, tried: Mapping[str, str]) -> Failure:
    # Of several addresses, the one that at least answered tells most.
    error = next((error for error in errors if isinstance(error, ConnectionRefusedError)), None) or errors[-1]
    code, what = "connect.failed", f"The connection to the relay's port {port} failed."
    if isinstance(error, ConnectionRefusedError):
        code, what = "connect.refused", f"Nothing accepts connections at the relay's port {port}."
    elif isinstance(error, TimeoutError):
        code, what = "connect.timeout", f"The relay's port {port} did not answer in time."
    elif isinstance(error, OSError) and error.errno in _UNREACHABLE:
        code, what = "connect.unreachable", "There is no way from this machine to the relay's address."
    return Failure(code, what, Stage.CONNECT, Scope.RELAY, detail=tried)
