"""What is written in one turn of the event loop leaves together, and nothing is left behind."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest

from postroom.web.gathered import Gathered


class Peer:
    """The other end, and what its end of the connection was told to write, one by one."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.reader: asyncio.StreamReader


class Recorded:
    """A real transport that notes each write."""

    def __init__(self, transport: asyncio.Transport, notes: list[bytes]) -> None:
        self._transport = transport
        self._notes = notes

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._notes.append(data)
        self._transport.write(data)


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Gathered, Peer]]:
    ours, theirs = socket.socketpair()
    peer = Peer()
    peer.reader, writer = await asyncio.open_connection(sock=theirs)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    yield Gathered(cast(asyncio.Transport, Recorded(transport, peer.written))), peer
    transport.abort()
    writer.close()


async def test_head_and_body_are_one_write(ends: tuple[Gathered, Peer]):
    gathered, peer = ends
    gathered.write(b"head ")
    gathered.write(b"body")
    assert peer.written == []
    assert await peer.reader.readexactly(9) == b"head body"
    gathered.write(b" more")
    assert await peer.reader.readexactly(5) == b" more"
    assert peer.written == [b"head body", b" more"]


async def test_what_was_written_goes_out_before_the_end(ends: tuple[Gathered, Peer]):
    gathered, peer = ends
    gathered.write(b"the last")
    gathered.close()
    assert gathered.is_closing()
    assert await peer.reader.read() == b"the last"


async def test_who_is_cut_off_gets_nothing_more(ends: tuple[Gathered, Peer]):
    gathered, peer = ends
    gathered.write(b"too late")
    gathered.abort()
    assert await peer.reader.read() == b""
    assert peer.written == []


async def test_what_waits_here_counts_as_unsent(ends: tuple[Gathered, Peer]):
    gathered, _ = ends
    large = b"x" * 4_000_000  # more than the system takes
    gathered.write(large)
    assert 0 < gathered.get_write_buffer_size() <= len(large)
