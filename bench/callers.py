"""Many callers of `POST /v1/messages` at once, each on its own kept connection: `bench/relay.py` starts it.

It must cost little, because it shares the machine with what it measures: requests are built beforehand, and of an
answer only status, length and end are looked at. It writes one JSON object with what it saw.
"""

import argparse
import asyncio
import json
import os
import sys
import time

BUFFER = 64 * 1024
TEXT = "Your build has finished, and all of its tests have passed.\n" * 17


def request(host: str, port: int, key: str, messages: int) -> bytes:
    """One request that hands in this many messages; one alone goes without a list."""
    one = {"to": [{"address": "bob@bench.example"}], "subject": "Your build has finished", "text": TEXT[:1024]}
    body = json.dumps(one if messages == 1 else [one] * messages).encode()
    head = (
        f"POST /v1/messages HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Shared:
    """What is left to ask, and how long each answer took."""

    def __init__(self, requests: int, content: bytes) -> None:
        self.left = requests
        self.content = content
        self.unanswered = requests
        self.seconds: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Caller(asyncio.BufferedProtocol):
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._view = memoryview(bytearray(BUFFER))
        self._head = b""
        self._missing = 0  # octets of the body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  narrows the type
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        if self._shared.unanswered and not self._shared.done.done():
            self._shared.done.set_exception(ConnectionError("the server closed a connection"))

    def ask(self) -> None:
        if self._shared.left:
            self._shared.left -= 1
            self._asked_at = time.monotonic()
            self._transport.write(self._shared.content)

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
        shared, head, self._head = self._shared, self._head, b""
        if not head.startswith(b"HTTP/1.1 202 ") and not shared.done.done():
            shared.done.set_exception(ConnectionError(head.decode(errors="replace")))
            return
        shared.seconds.append(time.monotonic() - self._asked_at)
        shared.unanswered -= 1
        if shared.unanswered:
            self.ask()
        elif not shared.done.done():
            shared.done.set_result(None)


def _length(head: bytes) -> int:
    _, _, after = head.lower().partition(b"content-length:")
    return int(after.split(b"\r\n", 1)[0])


async def call(host: str, port: int, key: str, requests: int, callers: int, messages: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    shared = Shared(requests, request(host, port, key, messages))
    pairs = [await loop.create_connection(lambda: Caller(shared), host, port) for _ in range(callers)]
    first = time.monotonic()
    for _, caller in pairs:
        caller.ask()
    await shared.done
    last = time.monotonic()
    ordered = sorted(shared.seconds)
    used = os.times()
    return {
        "first": first, "last": last, "p50": ordered[len(ordered) // 2], "p99": ordered[len(ordered) * 99 // 100],
        "cpu": used.user + used.system,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--messages", type=int, default=1, help="in one request")
    given = vars(parser.parse_args())
    try:
        print(json.dumps(asyncio.run(call(**given))))
    except OSError as error:
        sys.exit(f"callers: {error}")


if __name__ == "__main__":
    main()
