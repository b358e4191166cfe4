"""The relay that writes down every final dot before it says a word about it, and kills its client where told to."""

import asyncio
import os
import random
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

BUFFER = 256 * 1024
SLOWEST = 0.05  # seconds before a final dot is answered, so that many are in flight at any moment
_EHLO = b"250-relay.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
_TOKEN = re.compile(rb"^X-Campaign: (\S+)\r$", re.MULTILINE)
_MESSAGE_ID = re.compile(rb"^Message-ID: <(\w+)@", re.MULTILINE)
_RECIPIENT = re.compile(rb"^RCPT TO:<([^>]+)>", re.IGNORECASE)
_END = b"\r\n.\r\n"

Arrived = Callable[[str, str, str, int], None]  # token, recipient, message id, life


@dataclass(frozen=True, slots=True)
class Doom:
    """Kill `pid` at the first `moment`: mail, data or dot (heard, not answered), or answered (250 is written)."""

    pid: int
    moment: str


class Relay:
    def __init__(self, arrived: Arrived, dice: random.Random) -> None:
        self.arrived = arrived
        self.dice = dice
        self.life = 0
        self.doom: Doom | None = None
        self.connections: set[_Connection] = set()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]

    async def heard_all(self) -> None:
        """Return when all that a dead client had written is read: every connection has come to its end."""
        while self.connections:
            await asyncio.wait([each.ended for each in self.connections])

    def state(self) -> list[str]:
        return [each.state() for each in self.connections]

    def close(self) -> None:
        if self._server:
            self._server.close()

    def kills_at(self, moment: str) -> bool:
        if self.doom is None or self.doom.moment != moment:
            return False
        pid, self.doom = self.doom.pid, None
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        return True


class _Connection(asyncio.BufferedProtocol):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._life = relay.life
        self._view = memoryview(bytearray(BUFFER))
        self._pending = bytearray()
        self._in_data = self._waits = False
        self._recipients: list[str] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._relay.connections.add(self)
        transport.write(b"220 relay.example ESMTP\r\n")

    def connection_lost(self, _error: Exception | None) -> None:
        self._relay.connections.discard(self)
        self.ended.set_result(None)

    def state(self) -> str:
        doing = "owes an answer" if self._waits else "in data" if self._in_data else "between mails"
        return f"{doing}, {len(self._pending)} octets unread, for {self._recipients}"

    def get_buffer(self, _hint: int) -> memoryview:
        return self._view

    def buffer_updated(self, size: int) -> None:
        self._pending += self._view[:size]
        self._go_on()

    def _go_on(self) -> None:
        """Take what is complete. The answer to a dot comes later; what is behind it waits for that."""
        while not self._waits:
            mark = _END if self._in_data else b"\r\n"
            end = self._pending.find(mark)
            if end < 0:
                return
            taken = bytes(self._pending[: end + 2])
            del self._pending[: end + len(mark)]
            if self._in_data:
                self._take(taken)
            else:
                self._transport.write(self._reply(taken))

    def _reply(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"MAIL":
            self._recipients = []
            return b"" if self._relay.kills_at("mail") else b"250 OK\r\n"
        if verb == b"DATA":
            if self._relay.kills_at("data"):
                return b""
            self._in_data = True
            return b"354 Go on\r\n"
        if found := _RECIPIENT.match(line):
            self._recipients.append(found[1].decode())
        if verb == b"QUIT":
            asyncio.get_running_loop().call_soon(self._transport.close)
            return b"221 Bye\r\n"
        return _EHLO if verb == b"EHLO" else b"250 OK\r\n"

    def _take(self, content: bytes) -> None:
        self._in_data = False
        token, message_id = _marks(content)
        for recipient in self._recipients:
            self._relay.arrived(token, recipient, message_id, self._life)
        self._waits = True
        if not self._relay.kills_at("dot"):
            asyncio.get_running_loop().call_later(self._relay.dice.uniform(0, SLOWEST), self._answer)

    def _answer(self) -> None:
        self._waits = False
        if not self._transport.is_closing():
            self._transport.write(b"250 Taken\r\n")
            self._relay.kills_at("answered")
        self._go_on()


def _marks(content: bytes) -> tuple[str, str]:
    """The campaign's token and the message's id. Other mail than the campaign's would be a mistake: it has neither."""
    token, message_id = _TOKEN.search(content), _MESSAGE_ID.search(content)
    assert token, content[:2000]
    assert message_id, content[:2000]
    return token[1].decode(), message_id[1].decode()
