"""The relay that everybody in `bench/relay.py` delivers to: it takes every mail, counts it and forgets it.

A process of its own (`python bench/sink.py`), so that nobody's figures contain its work. It says its two ports on its
first line: one speaks SMTP with PIPELINING, the other answers `wait N` with the count, as soon as N mails have come,
and the moment at which they had (the clock is the machine's, so that other processes can compare).
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

BUFFER = 64 * 1024
PATIENCE = 120.0  # seconds for everything to arrive
_EHLO = b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n"
_REPLIES = {b"EHLO": _EHLO, b"DATA": b"354 Go on\r\n", b"QUIT": b"221 Bye\r\n"}
_END = b"\r\n.\r\n"


class Count:
    def __init__(self) -> None:
        self.mails = 0
        self._waiters: list[tuple[int, asyncio.Future[float]]] = []

    def one_more(self) -> None:
        self.mails += 1
        if self._waiters and self.mails >= self._waiters[0][0]:
            self._tell()

    async def reached(self, wanted: int) -> float:
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiters.append((wanted, future))
        self._waiters.sort(key=lambda waiter: waiter[0])
        self._tell()
        return await future

    def _tell(self) -> None:
        while self._waiters and self.mails >= self._waiters[0][0]:
            _, future = self._waiters.pop(0)
            if not future.done():
                future.set_result(time.monotonic())


class Taking(asyncio.BufferedProtocol):
    """One connection: reads into one buffer that is used again, answers all that came in with one write."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._view = memoryview(bytearray(BUFFER))
        self._pending = bytearray()
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  narrows the type
        self._transport = transport
        transport.write(b"220 sink.example ESMTP\r\n")

    def get_buffer(self, _hint: int) -> memoryview:
        return self._view

    def buffer_updated(self, size: int) -> None:
        self._pending += self._view[:size]
        replies = list(self._replies())
        if replies:
            self._transport.write(b"".join(replies))
            if replies[-1] is _REPLIES[b"QUIT"]:
                self._transport.close()

    def _replies(self) -> Iterator[bytes]:
        pending = self._pending
        while True:
            mark = _END if self._in_data else b"\r\n"
            end = pending.find(mark)
            if end < 0:
                return
            verb = b"" if self._in_data else bytes(pending[:4]).upper()
            del pending[: end + len(mark)]
            if self._in_data:
                self._count.one_more()
            self._in_data = verb == b"DATA"
            yield _REPLIES.get(verb, b"250 OK\r\n")


async def _serve() -> None:
    count = Count()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            moment = await count.reached(int(line.split()[1]))
            writer.write(b"%d %.6f\n" % (count.mails, moment))
        writer.close()

    loop = asyncio.get_running_loop()
    mail = await loop.create_server(lambda: Taking(count), "127.0.0.1", 0, backlog=1024)
    control = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(*(server.sockets[0].getsockname()[1] for server in (mail, control)), flush=True)
    await mail.serve_forever()


class Sink:
    """The sink as the benchmark sees it."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, control: socket.socket) -> None:
        self.process = process
        self.port = port
        self._control = control
        self._answers = control.makefile("r")

    def count(self) -> int:
        return self.wait(0)[0]

    def wait(self, mails: int) -> tuple[int, float]:
        """The count once it is at least `mails`, and when it was. Raises TimeoutError."""
        self._control.sendall(b"wait %d\n" % mails)
        count, moment = self._answers.readline().split()
        return int(count), float(moment)


@contextlib.contextmanager
def running() -> Iterator[Sink]:
    process = subprocess.Popen([sys.executable, Path(__file__)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None  # noqa: S101  narrows the type
        mail, control = map(int, process.stdout.readline().split())
        with socket.create_connection(("127.0.0.1", control), timeout=PATIENCE) as connection:
            yield Sink(process, mail, connection)
    finally:
        process.terminate()
        process.wait()


class _Flooding(asyncio.BufferedProtocol):
    """Sends mails as a pipelining client does: envelope and DATA in one write, the content in the next."""

    _ENVELOPE = b"MAIL FROM:<a@bench.example>\r\nRCPT TO:<b@bench.example>\r\nDATA\r\n"

    def __init__(self, mails: int, content: bytes, done: "asyncio.Future[None]") -> None:
        self._left = mails
        self._content = content + _END
        self._done = done
        self._view = memoryview(bytearray(4096))
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  narrows the type
        self._transport = transport
        transport.write(b"EHLO bench.example\r\n")

    def get_buffer(self, _hint: int) -> memoryview:
        return self._view

    def buffer_updated(self, size: int) -> None:
        self._heard += bytes(self._view[:size])
        if self._heard.endswith(b"354 Go on\r\n"):
            self._transport.write(self._content)
        elif not self._heard.endswith((b"8BITMIME\r\n", b"250 OK\r\n")):
            return
        elif self._left and self._heard.count(b"250 OK") != 2:
            self._left -= 1
            self._transport.write(self._ENVELOPE)
        elif not self._left:
            self._transport.close()
            self._done.set_result(None)
        else:
            return
        self._heard = b""


async def flood(port: int, mails: int, connections: int, content: bytes) -> float:
    """Mails per second that the sink takes at most, from a client that does nothing else."""
    loop = asyncio.get_running_loop()
    done = [loop.create_future() for _ in range(connections)]
    started = time.monotonic()
    for future in done:
        await loop.create_connection(partial(_Flooding, mails // connections, content, future), "127.0.0.1", port)
    await asyncio.gather(*done)
    return mails / (time.monotonic() - started)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
