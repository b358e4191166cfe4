"""Many HTTP callers at once, each on its own kept connection: the benches start it and give it the request on stdin.

It must cost little, because it shares the machine with what it measures: the request is built beforehand (only its
NUMBER is written anew, so that no two are the same), and of an answer only status, length and end are looked at.

Without `--rate` each caller asks again as soon as it has its answer. With it, the moment of every request is fixed
beforehand, and its time counts from that moment: if no connection is free then, waiting for one counts as well.
It writes one JSON object with what it saw.
"""

import argparse
import asyncio
import json
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping

BUFFER = 64 * 1024
NUMBER = b"@NUMBER@"  # becomes eight digits
TEXT = ("Your build has finished, and all of its tests have passed.\n" * 18)[:1024]


def request(host: str, port: int, path: str, body: object, headers: Mapping[str, str]) -> bytes:
    content = json.dumps(body).encode()
    lines = {"Host": f"{host}:{port}", "Content-Type": "application/json", "Content-Length": len(content), **headers}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode() + b"\r\n" + content


def run(content: bytes, port: int, requests: int, callers: int, rate: float = 0) -> dict[str, float]:
    """Have a process of its own do it; what it saw."""
    options = {"--port": port, "--requests": requests, "--callers": min(callers, requests), "--rate": rate}
    command = [sys.executable, __file__, *(str(part) for option in options.items() for part in option)]
    said = subprocess.run(command, input=content, check=True, stdout=subprocess.PIPE).stdout
    saw: dict[str, float] = json.loads(said)
    return saw


class Shared:
    """What is left to ask, who is free to ask it, and how long each answer took."""

    def __init__(self, content: bytes, requests: int, rate: float) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.seconds: list[float] = []
        self.free: deque[Caller] = deque()
        self._content = content
        self._has_number = NUMBER in content
        self._requests = requests
        self._asked = 0
        self._rate = rate
        self._first = 0.0
        self._waits = False  # for the next one's moment
        self._base = int(time.time()) % 100_000  # so that two runs have different numbers

    def start(self) -> float:
        self._first = time.monotonic() + (0.05 if self._rate else 0)
        self.go_on()
        return self._first

    def go_on(self) -> None:
        """Ask as much as is due and can be asked."""
        while self.free and self._asked < self._requests:
            due = self._first + self._asked / self._rate if self._rate else time.monotonic()
            if due > time.monotonic():
                if not self._waits:
                    self._waits = True
                    asyncio.get_running_loop().call_at(due, self._awake)
                return
            content = self._content
            if self._has_number:
                content = content.replace(NUMBER, b"%08d" % ((self._base * 1000 + self._asked) % 10**8))
            self._asked += 1
            self.free.popleft().ask(content, due)

    def _awake(self) -> None:
        self._waits = False
        self.go_on()

    def answered(self, caller: "Caller", seconds: float) -> None:
        self.seconds.append(seconds)
        self.free.append(caller)
        if len(self.seconds) < self._requests:
            self.go_on()
        elif not self.done.done():
            self.done.set_result(None)

    def failed(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(why))


class Caller(asyncio.BufferedProtocol):
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._view = memoryview(bytearray(BUFFER))
        self._head = b""
        self._missing = 0  # octets of the body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  narrows the type
        self._transport = transport
        self._shared.free.append(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._shared.failed("the server closed a connection")

    def ask(self, content: bytes, due: float) -> None:
        self._due = due
        self._transport.write(content)

    def get_buffer(self, _hint: int) -> memoryview:
        return self._view

    def buffer_updated(self, size: int) -> None:
        if self._missing:
            self._missing -= size
        else:
            self._head += bytes(self._view[:size])
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            self._missing = end + 4 + _length(self._head[:end]) - len(self._head)
        if not self._missing:
            self._answered()

    def _answered(self) -> None:
        head, self._head = self._head, b""
        if head.startswith((b"HTTP/1.1 202 ", b"HTTP/1.1 200 ")):
            self._shared.answered(self, time.monotonic() - self._due)
        else:
            self._shared.failed(head.decode(errors="replace"))


def _length(head: bytes) -> int:
    _, _, after = head.lower().partition(b"content-length:")
    return int(after.split(b"\r\n", 1)[0])


async def call(content: bytes, port: int, requests: int, callers: int, rate: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    shared = Shared(content, requests, rate)
    for _ in range(callers):
        await loop.create_connection(lambda: Caller(shared), "127.0.0.1", port)
    first, used = shared.start(), time.process_time()
    await shared.done
    last = time.monotonic()
    ordered = sorted(shared.seconds)
    quantiles = {name: ordered[int(len(ordered) * share)] for name, share in
                 (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}  # fmt: skip
    return {"first": first, "last": last, **quantiles, "max": ordered[-1], "cpu": time.process_time() - used}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--callers", type=int, default=64, help="connections")
    parser.add_argument("--rate", type=float, default=0, help="requests per second, at moments fixed beforehand")
    given = vars(parser.parse_args())
    # select(2) sleeps to the microsecond, epoll only to the millisecond.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector() if given["rate"] else None)
    try:
        print(json.dumps(loop.run_until_complete(call(sys.stdin.buffer.read(), **given))))
    except OSError as error:
        sys.exit(f"callers: {error}")


if __name__ == "__main__":
    main()
