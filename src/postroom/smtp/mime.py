"""The body of a message: text, HTML and attachments as MIME parts (RFC 2045, 2046), seven bits throughout.

multipart/mixed               if there are attachments
├─ multipart/related          if there are inline parts (RFC 2387)
│  ├─ multipart/alternative   if there are both text and HTML
│  │  ├─ text/plain
│  │  └─ text/html            shows <img src="cid:logo.png">
│  └─ image/png               inline, Content-ID: <logo.png>
└─ application/pdf            attachment
"""

import re
from binascii import b2a_qp
from functools import cache
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote

from postroom.domain.message import LONGEST_CONTENT_ID, LONGEST_NAME, MOST_ATTACHMENTS, Attachment, Draft
from postroom.domain.problems import Invalid
from postroom.smtp.encoded import Encoded, base64_lines
from postroom.smtp.header import cut, encoded_words, fields, one_line
from postroom.smtp.judge import MOST_OCTETS, Fields

_REACH = MOST_OCTETS + len(b"\r\n")
_LONGEST_SIMPLE = 60  # a file name that fits on one line with its parameter's name and quotes
_LONGEST_PIECE = 40  # of a file name that does not

# What quoted-printable has to write as three octets (RFC 2045 6.7).
_ESCAPED = bytes({*range(0x20), 0x3D, *range(0x7F, 0x100)} - set(b"\t\r\n"))
_ATTRIBUTE = r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+"  # RFC 2045 5.1
_PARAMETER = re.compile(rf" *; *({_ATTRIBUTE})=({_ATTRIBUTE}|\"[^\"\\?]*\")")
_TYPE = re.compile(rf"({_ATTRIBUTE}/{_ATTRIBUTE})((?:{_PARAMETER.pattern})*)")
_QUOTABLE = re.compile(r"[ !#-\[\]-~]*")  # of qtext, what needs no backslash (RFC 5322 3.2.4)

# Of RFC 5322's msg-id, what stands in a cid: URL as it is (RFC 2392). The right-hand side is what mail programs can do
# without, and callers like to.
_CONTENT_ID = re.compile(r"[A-Za-z0-9._~+$-]+(?:@[A-Za-z0-9.-]+)?")

_attachment_lines = Encoded()


class Part(NamedTuple):
    """A MIME entity: its own header fields and its encoded content, which ends with CRLF."""

    header: Fields
    content: bytes
    is_base64: bool = False


def body(draft: Draft) -> Part:
    """Everything that a draft says below its header. Raises Invalid, naming the field."""
    main = _spoken(draft)
    if not draft.attachments:
        return main
    if len(draft.attachments) > MOST_ATTACHMENTS:
        raise Invalid("attachments", f"There are more than {MOST_ATTACHMENTS} attachments.")
    _check_content_ids(draft)
    inline: list[Part] = []
    attached: list[Part] = []
    for at, given in enumerate(draft.attachments):
        (attached if given.content_id is None else inline).append(_attached(given, f"attachments[{at}]"))
    if inline:
        # RFC 2387 3.1: the type of the part that the others belong to, which is the first.
        root = "text/html" if draft.text is None else "multipart/alternative"
        main = _multipart("related", [main, *inline], f';\r\n type="{root}"')
    return _multipart("mixed", [main, *attached]) if attached else main


def _spoken(draft: Draft) -> Part:
    if draft.html is None:
        return _text("plain", draft.text or "", "text")
    html = _text("html", draft.html, "html")
    if draft.text is None:
        return html
    return _multipart("alternative", [_text("plain", draft.text, "text"), html])  # the richest last (RFC 2046 5.1.4)


def _text(subtype: str, text: str, field: str) -> Part:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise Invalid(field, "This has half a character (a lone surrogate), which no mail can carry.") from None
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not raw.endswith(b"\n"):
        raw += b"\n"  # a last line is ended like the others
    encoding, content = _seven_bits(raw.replace(b"\n", b"\r\n"))
    return Part(_text_header(subtype, encoding), content, encoding == "base64")


@cache
def _text_header(subtype: str, encoding: str) -> Fields:
    return fields({"Content-Type": f"text/{subtype}; charset=utf-8", "Content-Transfer-Encoding": encoding})


def _seven_bits(raw: bytes) -> tuple[str, bytes]:
    """As it is if that is possible (RFC 2045 2.7), else what is likely to be shorter of quoted-printable and base64."""
    if raw.isascii() and b"\x00" not in raw and _has_short_lines(raw):
        return "7bit", raw
    escaped = len(raw) - len(raw.translate(None, _ESCAPED))
    # Three octets for each of these, against four for every three of all.
    if escaped * 6 <= len(raw):
        return "quoted-printable", b2a_qp(raw, istext=True)
    return "base64", base64_lines(raw)


def _has_short_lines(raw: bytes) -> bool:
    """Whether no line is too long to travel. It jumps from line end to the furthest one in reach."""
    at = 0
    while len(raw) - at > _REACH:
        at = raw.rfind(b"\n", at, at + _REACH) + 1
        if at == 0:
            return False
    return True


def _check_content_ids(draft: Draft) -> None:
    seen: set[str] = set()
    for at, given in enumerate(draft.attachments):
        if given.content_id is None:
            continue
        field = f"attachments[{at}].content_id"
        if not _CONTENT_ID.fullmatch(given.content_id) or len(given.content_id) > LONGEST_CONTENT_ID:
            raise Invalid(
                field,
                f"A content id has 1 to {LONGEST_CONTENT_ID} letters, digits and ._~+$- with at most one @, "
                'and no angle brackets: the HTML says src="cid:logo.png" where this says logo.png.',
            )
        if draft.html is None:
            raise Invalid(field, "Only HTML can show an inline part: give html, or leave out the content_id.")
        if given.content_id.lower() in seen:
            raise Invalid(field, "Another attachment has this content id already; capitals make no difference.")
        seen.add(given.content_id.lower())


def _attached(given: Attachment, field: str) -> Part:
    filename = one_line(given.filename, f"{field}.filename", LONGEST_NAME)
    if not filename:
        raise Invalid(f"{field}.filename", "An attachment needs a file name.")
    kind = _content_type(given.content_type, f"{field}.content_type")
    values = {
        # RFC 2183 knows only the second name; readers that can't read RFC 2231 look at the first.
        "Content-Type": ";\r\n ".join([*kind, _old_name(filename)]),
        "Content-Transfer-Encoding": "base64",
        "Content-Disposition": ";\r\n ".join(["inline" if given.content_id else "attachment", *_name(filename)]),
    }
    if given.content_id:
        values["Content-ID"] = f"<{given.content_id}>"
    return Part(fields(values), _attachment_lines(given.content), is_base64=True)


def _content_type(text: str, field: str) -> list[str]:
    """The type and its parameters, each as it is written. Raises Invalid(field)."""
    found = _TYPE.fullmatch(one_line(text, field, LONGEST_NAME))
    if not found or not text.isascii():
        raise Invalid(field, "A content type has the form application/pdf, with simple parameters if any.")
    kind = found[1].lower()
    if kind.startswith(("message/", "multipart/")):
        raise Invalid(field, "A mail or a multipart can't be attached as such; use application/octet-stream.")
    parameters = [(name.lower(), value) for name, value in _PARAMETER.findall(found[2])]
    if any(name.partition("*")[0] in ("name", "boundary") for name, _ in parameters):
        raise Invalid(field, "A content type may not have the parameters name and boundary; use the filename.")
    return [kind, *(f"{name}={value}" for name, value in parameters)]


def _name(filename: str) -> list[str]:
    """The `filename` parameter: quoted when that is enough, else in RFC 2231's form, in several pieces when long."""
    if _is_simple(filename):
        return [f'filename="{filename}"']
    pieces = [
        quote(piece, safe="")
        for piece in cut(filename, lambda c: len(quote(c, safe="")), _LONGEST_PIECE, _LONGEST_PIECE)
    ]
    if len(pieces) == 1:
        return [f"filename*=utf-8''{pieces[0]}"]
    pieces[0] = f"utf-8''{pieces[0]}"
    return [f"filename*{at}*={piece}" for at, piece in enumerate(pieces)]


def _old_name(filename: str) -> str:
    if _is_simple(filename):
        return f'name="{filename}"'
    return 'name="' + "\r\n ".join(encoded_words(filename)) + '"'


def _is_simple(filename: str) -> bool:
    return len(filename) <= _LONGEST_SIMPLE and "=?" not in filename and bool(_QUOTABLE.fullmatch(filename))


def _multipart(subtype: str, parts: list[Part], parameters: str = "") -> Part:
    # RFC 2046 5.1.1: no part may hold the boundary. "=_" is in no base64; what else there is can't foretell its own
    # digest. The subtype keeps the boundaries of multiparts in each other from starting alike.
    digest = blake2b(digest_size=12)
    for part in parts:
        if not part.is_base64:
            digest.update(part.content)
    boundary = f"=_{subtype[0]}{digest.hexdigest()}"
    between = f"--{boundary}\r\n".encode()
    # The line break before a boundary belongs to it (RFC 2046 5.1.1), so the content's own one needs another.
    pieces = [piece for part in parts for piece in (between, part.header, b"\r\n", part.content, b"\r\n")]
    pieces.append(f"--{boundary}--\r\n".encode())
    header = fields({"Content-Type": f'multipart/{subtype}{parameters};\r\n boundary="{boundary}"'})
    return Part(header, b"".join(pieces))
