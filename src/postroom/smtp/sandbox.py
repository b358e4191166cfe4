"""A relay that takes every mail and sends none, for newcomers and staging; and how to show what it caught.

It lets everyone log in, also without TLS, and neither keeps nor logs what they log in with. It is no open relay,
because nothing ever leaves it; still it belongs on a loopback address.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from hashlib import blake2b
from typing import Final, TypeVar
from weakref import WeakSet

from aiosmtpd.smtp import MISSING, SMTP, Envelope, Session

from postroom.domain.message import LONGEST_HEADER, LONGEST_NAME

MIB: Final = 1024 * 1024
SILENCE: Final = 120  # seconds after which a client that says nothing is let go

MOST_READ: Final = 8 * MIB  # of a caught mail, for showing it
MOST_SHOWN: Final = MIB  # characters of its text, and of its HTML
MOST_HEADER: Final = 256 * 1024
MOST_PARTS: Final = 200
MOST_BOUNDARIES: Final = 10 * MOST_PARTS  # lines that may be one; each part costs the standard library 60 µs
MOST_NESTED: Final = 30  # the standard library's parser gets slower with each level
LONGEST_PARAMETERS: Final = 4096  # and quadratically slower with the length of these (CPython #136063)

_log = logging.getLogger("postroom.sandbox")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_FOLD = re.compile(r"[\r\n]+(?=[ \t])")
_CONTAINER = re.compile(rb"(?:multipart|message)/", re.IGNORECASE)
_LONG_PARAMETERS = re.compile(
    rb"(?:\A|[\r\n])content-[a-z-]+:(?:[^\r\n]|[\r\n]+[ \t]){%d}" % LONGEST_PARAMETERS, re.IGNORECASE
)

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class Reading:
    """A mail for the eye: everything decoded, one line where a header is one line. None of it is to be trusted."""

    subject: str = ""
    from_: str = ""
    to: str = ""
    date: str = ""
    message_id: str = ""
    text: str | None = None
    html: str | None = None
    attachments: tuple[tuple[str, str, int], ...] = ()  # filename, content type, size
    complete: bool = True  # False when the mail was too large or too deeply nested to be read to its end


def subject(content: bytes) -> str:
    """Only that, quickly."""
    return _header_of(BytesHeaderParser().parsebytes(content[:MOST_HEADER].partition(b"\r\n\r\n")[0])).subject


def read(content: bytes) -> Reading:
    """Read any bytes as a mail; never raises. Takes up to seconds for the largest, so keep it off the event loop."""
    start = content[:MOST_READ]
    containers = len(_CONTAINER.findall(start))
    crowded = containers and start.count(b"\n--") > MOST_BOUNDARIES
    if crowded or containers > MOST_NESTED or _LONG_PARAMETERS.search(start):
        return replace(_header_of(BytesHeaderParser().parsebytes(start)), complete=False)
    mail = _tried(lambda: message_from_bytes(start), Message())
    parts = [part for _, part in zip(range(MOST_PARTS), mail.walk(), strict=False)]
    leaves = [part for part in parts if not part.is_multipart()]
    text, html = _first(leaves, "text/plain"), _first(leaves, "text/html")
    return replace(
        _header_of(mail),
        text=None if text is None else _words(text),
        html=None if html is None else _words(html),
        attachments=tuple(_described(part) for part in leaves if part is not text and part is not html),
        complete=len(content) <= MOST_READ and len(parts) < MOST_PARTS,
    )


def _header_of(mail: "Message[str, str]") -> Reading:
    return Reading(
        subject=_header(mail, "subject"),
        from_=_header(mail, "from"),
        to=_header(mail, "to"),
        date=_header(mail, "date"),
        message_id=_header(mail, "message-id"),
    )


def _tried(reading: Callable[[], T], otherwise: T) -> T:
    # The standard library's reading of broken mail raises a dozen kinds of exceptions, and gains new ones.
    try:
        return reading()
    except Exception:
        return otherwise


def _header(mail: "Message[str, str]", name: str) -> str:
    raw = next((value for key, value in mail.raw_items() if key.lower() == name), "")[:LONGEST_HEADER]
    # The parser hides octets above 127 in surrogates; mostly they are UTF-8 (RFC 6532).
    text = _FOLD.sub("", raw.encode("ascii", "surrogateescape").decode("utf-8", "replace"))
    return _one_line(_decoded(text))


def _decoded(text: str) -> str:
    return _tried(lambda: str(make_header(decode_header(text))), text)


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()


def _first(parts: "list[Message[str, str]]", kind: str) -> "Message[str, str] | None":
    return next((part for part in parts if _kind(part) == kind and not _is_attached(part)), None)


def _kind(part: "Message[str, str]") -> str:
    return _tried(part.get_content_type, "application/octet-stream")


def _is_attached(part: "Message[str, str]") -> bool:
    return _tried(part.get_content_disposition, None) == "attachment"


def _content(part: "Message[str, str]") -> bytes:
    found: object = _tried(lambda: part.get_payload(decode=True), None)
    return found if isinstance(found, bytes) else b""


def _words(part: "Message[str, str]") -> str:
    raw = _content(part)[: 4 * MOST_SHOWN]
    charset = _tried(part.get_content_charset, None) or "utf-8"
    text = _tried(lambda: raw.decode(charset, "replace"), raw.decode("utf-8", "replace"))
    return text.encode("utf-8", "replace").decode()[:MOST_SHOWN]


def _described(part: "Message[str, str]") -> tuple[str, str, int]:
    filename = (_tried(part.get_filename, None) or "")[:LONGEST_HEADER]
    return _one_line(_decoded(filename))[:LONGEST_NAME], _one_line(_kind(part)), len(_content(part))
