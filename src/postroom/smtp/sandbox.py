"""A relay that takes every mail and sends none, for newcomers and staging. How to show what it caught: reading.py.

It lets everyone log in, also without TLS, and neither keeps nor logs what they log in with. It is no open relay,
because nothing ever leaves it; still it belongs on a loopback address.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final
from weakref import WeakSet

from aiosmtpd.smtp import MISSING, SMTP, Envelope, Session

MIB: Final = 1024 * 1024
SILENCE: Final = 120  # seconds after which a client that says nothing is let go

_log = logging.getLogger("postroom.sandbox")


@dataclass(frozen=True, slots=True)
class Caught:
    """A mail as it arrived, byte for byte after dot-unstuffing."""

    received_at: int  # microseconds since 1970, UTC
    peer: str
    envelope_sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def short_id(self) -> str:
        """What the client was told; two equal mails differ by their time."""
        return blake2b(b"%d %b" % (self.received_at, self.content), digest_size=5).hexdigest()


class Sandbox:
    """Listens, and hands every mail to `keep`; the client hears 250 only after `keep` has returned."""

    def __init__(self, keep: Callable[[Caught], Awaitable[None]], *, hostname: str, most_bytes: int = 25 * MIB) -> None:
        self._catcher = _Catcher(keep)
        self._hostname = hostname
        self._most_bytes = most_bytes
        self._server: asyncio.Server | None = None
        self._connections: WeakSet[SMTP] = WeakSet()

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen there, on a free port if it is 0. Returns the address that was bound. Raises OSError."""
        # What aiosmtpd says below WARNING holds addresses, content, and passwords that were sent in the wrong form.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        self._server = await asyncio.get_running_loop().create_server(self._connection, host, port)
        bound = self._server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def close(self) -> None:
        """Stop listening and let go of everyone; who has heard no 250 will send again."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            if connection.transport is not None:
                connection.transport.close()
        await self._server.wait_closed()
        self._server = None

    def _connection(self) -> SMTP:
        connection = SMTP(
            self._catcher,
            data_size_limit=self._most_bytes,
            enable_SMTPUTF8=True,
            hostname=self._hostname,
            ident="Postroom sandbox",
            timeout=SILENCE,
            auth_require_tls=False,
            loop=asyncio.get_running_loop(),
        )
        self._connections.add(connection)
        return connection


class _Catcher:
    """What aiosmtpd calls; the names are its own."""

    def __init__(self, keep: Callable[[Caught], Awaitable[None]]) -> None:
        self._keep = keep

    async def handle_AUTH(self, server: SMTP, session: Session, _: Envelope, args: list[str]) -> str | None:
        # The whole exchange happens here, so that what the client says is dropped where it is read.
        # RFC 4954 section 4: PLAIN without an initial response gets an empty challenge; LOGIN asks twice.
        asked = {"PLAIN": [""], "LOGIN": ["Username:", "Password:"]}[args[0]]
        for challenge in asked[len(args) - 1 :]:
            if await server.challenge_auth(challenge) is MISSING:
                return None  # it was cancelled or no base64, and that has been answered
        session.authenticated = True
        return "235 2.7.0 Welcome to the sandbox"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:
        caught = _caught(session, envelope)
        try:
            await self._keep(caught)
        except Exception:  # whatever it was, the mail is not kept, and the client must know
            _log.exception("a caught mail could not be kept")
            return "451 4.3.0 The mail could not be kept; try again later"
        return f"250 2.0.0 Caught as {caught.short_id}"


def _caught(session: Session, envelope: Envelope) -> Caught:
    content = envelope.content or b""
    return Caught(
        received_at=time.time_ns() // 1000,
        peer=str(session.peer[0]) if isinstance(session.peer, tuple) else "",
        envelope_sender=_as_text(envelope.mail_from or ""),
        recipients=tuple(_as_text(recipient) for recipient in envelope.rcpt_tos),
        content=content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"),
    )


def _as_text(address: str) -> str:
    # aiosmtpd hides octets that are not UTF-8 in surrogates, which no database takes; nor does PostgreSQL take a NUL.
    return address.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\ufffd")
