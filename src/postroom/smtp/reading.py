"""Mails for the eye: whatever the sandbox caught, or we have sent, read without trusting any of it.

Every function here reads any bytes and never raises. It may take up to seconds for the largest: keep it off the event
loop.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Final, TypeVar
from urllib.parse import unquote

from postroom.domain.message import LONGEST_HEADER, LONGEST_NAME

MIB: Final = 1024 * 1024
MOST_READ: Final = 8 * MIB  # of a mail, for showing it
MOST_SHOWN: Final = MIB  # characters of its text, and of its HTML
MOST_HEADER: Final = 256 * 1024
MOST_PARTS: Final = 200
MOST_BOUNDARIES: Final = 10 * MOST_PARTS  # lines that may be one; each part costs the standard library 60 µs
MOST_NESTED: Final = 30  # the standard library's parser gets slower with each level
LONGEST_PARAMETERS: Final = 4096  # and quadratically slower with the length of these (CPython #136063)
# Images that a mail's HTML may show of its own. No browser runs anything in them, as the source of an image.
MOST_IMAGES: Final = 16 * MIB  # octets of them in one page: one and the same may be shown a thousand times
SHOWN_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_FOLD = re.compile(r"[\r\n]+(?=[ \t])")
_CONTAINER = re.compile(rb"(?:multipart|message)/", re.IGNORECASE)
_LONG_PARAMETERS = re.compile(
    rb"(?:\A|[\r\n])content-[a-z-]+:(?:[^\r\n]|[\r\n]+[ \t]){%d}" % LONGEST_PARAMETERS, re.IGNORECASE
)
_CID = re.compile(r"cid:([^\s\"'<>()\\]{1,256})", re.IGNORECASE)

T = TypeVar("T")


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
    """Everything that a page shows of it."""
    if _is_too_much(content):
        return replace(_header_of(BytesHeaderParser().parsebytes(content[:MOST_READ])), complete=False)
    mail, parts = _parts(content)
    leaves = [part for part in parts if not part.is_multipart()]
    text, html = _bodies(leaves)
    return replace(
        _header_of(mail),
        text=None if text is None else _words(text),
        html=None if html is None else _words(html),
        attachments=tuple(_described(part) for part in _files(leaves)),
        complete=len(content) <= MOST_READ and len(parts) < MOST_PARTS,
    )


def header(content: bytes) -> tuple[tuple[str, str], ...]:
    """Every field of the mail's own header, decoded, in its order."""
    mail = BytesHeaderParser().parsebytes(content[:MOST_HEADER].partition(b"\r\n\r\n")[0])
    return tuple((name, _shown(value)) for name, value in mail.raw_items())


@dataclass(frozen=True, slots=True)
class File:
    """What a mail has besides its text and its HTML. `content_type` is what the sender says, one line of it."""

    filename: str
    content_type: str
    content: bytes


def file(content: bytes, number: int) -> File | None:
    """The one that `read` lists at this place, counted from 0."""
    files = [] if _is_too_much(content) else _files(_leaves(content))
    if not 0 <= number < len(files):
        return None
    filename, content_type, _ = _described(files[number])
    return File(filename, content_type, _content(files[number]))


def html_with_images(content: bytes) -> str | None:
    """The HTML, with the mail's own images in place of their `cid:` (RFC 2392), so that nothing has to be fetched."""
    leaves = [] if _is_too_much(content) else _leaves(content)
    _, html = _bodies(leaves)
    if html is None:
        return None
    images = {_content_id(part): part for part in leaves if _kind(part) in SHOWN_IMAGES}
    left = MOST_IMAGES

    def shown(found: "re.Match[str]") -> str:
        nonlocal left
        part = images.get(unquote(found[1]))
        image = b"" if part is None else _content(part)
        left -= len(image)
        return found[0] if part is None or left < 0 else f"data:{_kind(part)};base64,{b64encode(image).decode()}"

    return _CID.sub(shown, _words(html))


def _is_too_much(content: bytes) -> bool:
    """Whether only its header is read: the standard library would take too long for the rest."""
    start = content[:MOST_READ]
    containers = len(_CONTAINER.findall(start))
    crowded = containers > 0 and start.count(b"\n--") > MOST_BOUNDARIES
    return crowded or containers > MOST_NESTED or _LONG_PARAMETERS.search(start) is not None


def _parts(content: bytes) -> "tuple[Message[str, str], list[Message[str, str]]]":
    mail = _tried(lambda: message_from_bytes(content[:MOST_READ]), Message())
    return mail, [part for _, part in zip(range(MOST_PARTS), mail.walk(), strict=False)]


def _leaves(content: bytes) -> "list[Message[str, str]]":
    return [part for part in _parts(content)[1] if not part.is_multipart()]


def _bodies(leaves: "list[Message[str, str]]") -> "tuple[Message[str, str] | None, Message[str, str] | None]":
    """The text and the HTML."""
    return _first(leaves, "text/plain"), _first(leaves, "text/html")


def _files(leaves: "list[Message[str, str]]") -> "list[Message[str, str]]":
    text, html = _bodies(leaves)
    return [part for part in leaves if part is not text and part is not html]


def _content_id(part: "Message[str, str]") -> str:
    return _header(part, "content-id").removeprefix("<").removesuffix(">")


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
    return _shown(next((value for key, value in mail.raw_items() if key.lower() == name), ""))


def _shown(raw: str) -> str:
    # The parser hides octets above 127 in surrogates; mostly they are UTF-8 (RFC 6532).
    text = _FOLD.sub("", raw[:LONGEST_HEADER].encode("ascii", "surrogateescape").decode("utf-8", "replace"))
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
