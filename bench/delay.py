"""A long line to whatever listens on a port: every octet arrives later, none is held up by another.

A process of its own (`python bench/delay.py PORT MILLISECONDS`), which says its port on its first line. Half of the
time passes in each direction. It delays, it does not throttle: what a pipelining client writes at once arrives at once.
"""

import asyncio
import contextlib
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

BUFFER = 64 * 1024


class End(asyncio.BufferedProtocol):
    """One of a connection's two ends: what it hears, the other says later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._view = memoryview(bytearray(BUFFER))
        self._early: list[bytes] = []  # said before this end was connected
        self._transport: asyncio.Transport | None = None
        self.other: End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  narrows the type
        self._transport = transport
        transport.writelines(self._early)

    def get_buffer(self, _hint: int) -> memoryview:
        return self._view

    def buffer_updated(self, size: int) -> None:
        if self.other is not None:
            asyncio.get_running_loop().call_later(self._seconds, self.other.say, bytes(self._view[:size]))

    def connection_lost(self, _error: Exception | None) -> None:
        if self.other is not None:
            asyncio.get_running_loop().call_later(self._seconds, self.other.hang_up)

    def say(self, data: bytes) -> None:
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.write(data)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _serve(port: int, round_trip: float) -> None:
    loop = asyncio.get_running_loop()
    reaching = set()

    def accept() -> End:
        near, far = End(round_trip / 2), End(round_trip / 2)
        near.other, far.other = far, near
        task = loop.create_task(loop.create_connection(lambda: far, "127.0.0.1", port))
        reaching.add(task)
        task.add_done_callback(reaching.discard)
        return near

    server = await loop.create_server(accept, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def line(port: int, milliseconds: float) -> Iterator[int]:
    """The port of a long line to that port, until the block ends."""
    command = [sys.executable, __file__, str(port), str(milliseconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101  narrows the type
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def round_trip(port: int, times: int = 9) -> float:
    """Seconds for one command and its reply, as a client on an idle machine sees it."""
    took = []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(1024)
        for _ in range(times):
            started = time.perf_counter()
            connection.sendall(b"RSET\r\n")
            connection.recv(1024)
            took.append(time.perf_counter() - started)
        connection.sendall(b"QUIT\r\n")
    return statistics.median(took)


if __name__ == "__main__":
    # select(2) sleeps to the microsecond; epoll to the millisecond, which would make every line longer than it says.
    chosen = asyncio.SelectorEventLoop(selectors.SelectSelector())
    with contextlib.suppress(KeyboardInterrupt):
        chosen.run_until_complete(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
