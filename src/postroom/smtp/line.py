"""The connection itself, with or without TLS: bytes in, bytes out, and whether there is room for more.

Bytes are read into one small buffer that is used again and again, because asyncio's ordinary protocols allocate a
quarter of a megabyte for each read (`research/performance.md` section 2).
"""

import asyncio
import socket
import ssl
from typing import Protocol as Interface
from typing import cast

from postroom.domain.profile import Profile
from postroom.smtp import tls
from postroom.smtp.dialogue import TlsFacts
from postroom.smtp.failure import Failure

BUFFER = 16 * 1024
PATIENCE_WITH_SHUTDOWN = 2.0  # seconds for the peer's close_notify


class Listener(Interface):
    """Who is told what happens on the line."""

    def heard(self, data: bytes) -> None: ...

    def has_room(self) -> None:
        """Everything that was written has gone to the system."""

    def lost(self) -> None: ...


class Line(asyncio.BufferedProtocol):
    """One connected socket. It knows nothing of SMTP."""

    def __init__(self, listener: Listener) -> None:
        self.address = ""  # the relay's, once there is a connection
        self.relay = ""  # ip:port
        self.tls: str | None = None  # version and cipher
        self.is_full = False
        self._listener = listener
        self._is_lost = False
        self._buffer = memoryview(bytearray(BUFFER))
        self._transport: asyncio.Transport | None = None
        self._early: bytearray | None = None  # while TLS begins: what came inside it before anyone was told it stands

    async def take(self, connection: socket.socket) -> None:
        """Take over a connected socket."""
        self.address, self.relay = _peer(connection)
        await asyncio.get_running_loop().create_connection(lambda: self, sock=connection)

    async def encrypt(self, profile: Profile, seconds: float) -> TlsFacts | Failure:
        """Begin TLS: from the start and after STARTTLS it is the same handshake, verified in the same way."""
        secured = None
        self._early = bytearray()
        try:
            secured = await asyncio.get_running_loop().start_tls(
                self._open_transport,
                self,
                tls.context(profile),
                server_hostname=tls.certificate_name(profile),
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=PATIENCE_WITH_SHUTDOWN,
            )
        except (OSError, ValueError) as error:  # ValueError: a name that no certificate can have
            return tls.explain(error, profile)
        finally:
            if secured is None:
                self.abort()
                self.connection_lost(None)  # asyncio says nothing when a handshake took too long, by its clock or ours
            early, self._early = self._early, None
        if early:
            # A relay may greet in the same breath as its side of the handshake ends (TLS 1.2 from the first byte).
            asyncio.get_running_loop().call_soon(self._listener.heard, bytes(early))
        self._use(cast(asyncio.Transport, secured))
        facts = tls.facts(cast(ssl.SSLObject, self._open_transport.get_extra_info("ssl_object")))
        self.tls = f"{facts['version']} {facts['cipher']}"
        return facts

    def write(self, data: bytes | memoryview) -> None:
        self._open_transport.write(data)

    def close(self) -> None:
        """After what was written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def _open_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise RuntimeError("not connected")
        return self._transport

    def _use(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        # Full as soon as a byte is left behind, so that the final dot is written only when everything before it has
        # gone to the system: a connection lost before that is a clear case.
        transport.set_write_buffer_limits(high=1)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._use(cast(asyncio.Transport, transport))

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        if self._early is None:
            self._listener.heard(data)
        else:
            # asyncio hands over to TLS before anything more is read, so this came encrypted and is no injection.
            self._early += data

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self._listener.has_room()

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._listener.lost()


def _peer(connection: socket.socket) -> tuple[str, str]:
    try:
        host, port = connection.getpeername()[:2]
    except OSError:  # it has gone already; reading will say so
        return "", ""
    return host, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
