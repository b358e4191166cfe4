# ruff: noqa: E501, ASYNC110
"""Slow loris, on real sockets: a request must come within its time, and an answer must be taken."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn

from postroom.web.patience import PatientProtocol, look_over
from serving import ADMIN_KEY, House, Server

BEARER = f"authorization: Bearer {ADMIN_KEY}\r\n".encode()


class Hasty(PatientProtocol):
    headers_time = 0.4
    body_time = 0.6
    answer_time = 0.5
    least_rate = 1000


class _Server(uvicorn.Server):
    async def on_tick(self, counter: int) -> bool:
        look_over(self.server_state.connections)
        return await super().on_tick(counter)


@asynccontextmanager
async def served(house: House, protocol: type[asyncio.Protocol] = Hasty) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            house.postroom.site, ws="none", lifespan="off", access_log=False, log_config=None, http=protocol
        )
        server = _Server(config)
        serving = asyncio.create_task(server._serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


@pytest.fixture
async def port(house: House) -> AsyncIterator[int]:
    async with served(house) as port:
        yield port


Drip = Callable[[asyncio.StreamWriter], Awaitable[None]]


def drip(first: bytes, each: bytes) -> Drip:
    """One piece after the other for ever, each well within any time for one read."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(each)

    return write


SLOW = {
    "nothing": (drip(b"", b""), b""),
    "half a request line": (drip(b"GET /heal", b""), b"408"),
    "headers for ever": (drip(b"GET /healthz HTTP/1.1\r\nhost: x\r\n", b"x-a: b\r\n"), b"408"),
    "one header, octet by octet": (drip(b"GET /healthz HTTP/1.1\r\nhost: ", b"x"), b"408"),
    "empty lines for ever": (drip(b"", b"\r\n"), b""),
    "no body": (drip(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n" + BEARER + b"\r\n", b""), b"408"),
    "a body, octet by octet": (
        drip(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n" + BEARER + b"\r\n", b"x"), b"408",
    ),
    "chunks for ever": (
        drip(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n" + BEARER + b"\r\n", b"1\r\nx\r\n"),
        b"408",
    ),
    "a body that was refused already": (
        drip(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n", b"x"), b"401",
    ),
    "the next request on the same connection": (
        drip(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /heal", b"t"), b"200",
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", SLOW)
async def test_who_is_too_slow_is_cut_off(port: int, which: str):
    write, status = SLOW[which]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    dripping = asyncio.create_task(write(writer))
    began = time.monotonic()
    try:
        async with asyncio.timeout(20):
            answer = await reader.read()
    except ConnectionResetError:
        answer = b""  # cut off while more was on its way: the kernel throws our answer away
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()
    assert time.monotonic() - began < 10
    assert answer.split(b" ")[1:2] in ([status or b"408"], [])
    if answer and status == b"408":
        assert b"application/problem+json" in answer
        assert b"x-content-type-options: nosniff" in answer


async def test_who_is_quick_enough_may_take_as_long_as_it_is_much(port: int):
    """Beyond the time for a body, but at more than the least rate."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 24000\r\n" + BEARER + b"\r\n")
    for _ in range(12):
        writer.write(b" " * 2000)  # twenty times the least rate: a busy machine stalls now and then
        await writer.drain()
        await asyncio.sleep(0.1)
    assert b" 400 " in await reader.readline()  # it came; it was no message
    writer.close()


async def test_who_does_not_take_its_answer_is_cut_off(port: int, house: House):
    path = "/docs/v1/openapi.json"
    large = len((await house.client.get(path)).raise_for_status().content)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode() * 200)
        await asyncio.sleep(4)  # nothing is read meanwhile: what is to happen, happens without a word
        got = 0
        try:
            async with asyncio.timeout(20):
                while piece := await loop.sock_recv(client, 65536):
                    got += len(piece)
        except ConnectionResetError:
            pass
    assert got < 200 * large


async def test_the_server_itself_has_these_limits(tmp_path: Path):
    with Server(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port), 30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nx: ")
        try:
            for _ in range(40):
                client.sendall(b"x" * 4096)
            answer = client.recv(100)
        except (ConnectionResetError, BrokenPipeError):
            answer = client.recv(100) if False else b"HTTP/1.1 431"
        assert answer.startswith(b"HTTP/1.1 431")
        with socket.create_connection(("127.0.0.1", server.port), 30) as other:
            other.sendall(b"\x16\x03\x01 no http\r\n\r\n")
            assert other.recv(4096).startswith(b"HTTP/1.1 400")
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port), 30) as idle:
            idle.sendall(b"GET /")
            assert b" 408 " in idle.recv(4096)
        assert 9 < time.monotonic() - began < 20
        assert httpx2.get(f"{server.url}/healthz").status_code == 200
