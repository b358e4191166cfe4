"""The body of a message: text, HTML and attachments as MIME parts (RFC 2045, 2046), seven bits throughout."""

import re
from binascii import b2a_base64, b2a_qp
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote

from postroom.domain.message import LONGEST_NAME, MOST_ATTACHMENTS, Attachment, Draft
from postroom.domain.problems import Invalid
from postroom.smtp.header import MOST_OCTETS, block, cut, encoded_words, one_line

BASE64_LINE = 76  # RFC 2045 6.8
_LONGEST_SIMPLE = 60  # a file name that fits on one line with its parameter's name and quotes
_LONGEST_PIECE = 40  # of a file name that does not

# What quoted-printable has to write as three octets (RFC 2045 6.7).
_ESCAPED = bytes({*range(0x20), 0x3D, *range(0x7F, 0x100)} - set(b"\t\r\n"))
_ATTRIBUTE = r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+"  # RFC 2045 5.1
_PARAMETER = re.compile(rf" *; *({_ATTRIBUTE})=({_ATTRIBUTE}|\"[^\"\\?]*\")")
_TYPE = re.compile(rf"({_ATTRIBUTE}/{_ATTRIBUTE})((?:{_PARAMETER.pattern})*)")
_QUOTABLE = re.compile(r"[ !#-\[\]-~]*")  # of qtext, what needs no backslash (RFC 5322 3.2.4)


class Part(NamedTuple):
    """A MIME entity: its own header fields and its encoded content, which ends with CRLF."""

    fields: dict[str, str]
    content: bytes


def body(draft: Draft) -> Part:
    """Everything that a draft says below its header. Raises Invalid, naming the field."""
    main = _spoken(draft)
    if not draft.attachments:
        return main
    if len(draft.attachments) > MOST_ATTACHMENTS:
        raise Invalid("attachments", f"There are more than {MOST_ATTACHMENTS} attachments.")
    attached = [_attached(given, f"attachments[{at}]") for at, given in enumerate(draft.attachments)]
    return _multipart("mixed", [main, *attached])


def _spoken(draft: Draft) -> Part:
    if draft.html is None:
        return _text("plain", draft.text or "", "text")
    html = _text("html", draft.html, "html")
    if draft.text is None:
        return html
    return _multipart("alternative", [_text("plain", draft.text, "text"), html])  # the richest last (RFC 2046 5.1.4)


def _text(subtype: str, text: str, field: str) -> Part:
    lines = text.split("\n") if "\r" not in text else text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[-1]:
        lines.append("")  # a last line is ended like the others
    try:
        raw = "\r\n".join(lines).encode()
    except UnicodeEncodeError:
        raise Invalid(field, "This has half a character (a lone surrogate), which no mail can carry.") from None
    encoding, content = _seven_bits(raw, max(map(len, lines)))
    fields = {"Content-Type": f"text/{subtype}; charset=utf-8", "Content-Transfer-Encoding": encoding}
    return Part(fields, content)


def _seven_bits(raw: bytes, longest_line: int) -> tuple[str, bytes]:
    """As it is if that is possible (RFC 2045 2.7), else what is likely to be shorter of quoted-printable and base64."""
    if raw.isascii() and longest_line <= MOST_OCTETS and b"\x00" not in raw:
        return "7bit", raw
    escaped = len(raw) - len(raw.translate(None, _ESCAPED))
    # Three octets for each of these, against four for every three of all.
    if escaped * 6 <= len(raw):
        return "quoted-printable", b2a_qp(raw, istext=True)
    return "base64", _base64(raw)


def _base64(raw: bytes) -> bytes:
    encoded = b2a_base64(raw, newline=False)
    return b"\r\n".join([encoded[at : at + BASE64_LINE] for at in range(0, len(encoded), BASE64_LINE)]) + b"\r\n"


def _attached(given: Attachment, field: str) -> Part:
    filename = one_line(given.filename, f"{field}.filename", LONGEST_NAME)
    if not filename:
        raise Invalid(f"{field}.filename", "An attachment needs a file name.")
    kind = _content_type(given.content_type, f"{field}.content_type")
    fields = {
        # RFC 2183 knows only the second name; readers that can't read RFC 2231 look at the first.
        "Content-Type": ";\r\n ".join([*kind, _old_name(filename)]),
        "Content-Transfer-Encoding": "base64",
        "Content-Disposition": ";\r\n ".join(["attachment", *_name(filename)]),
    }
    return Part(fields, _base64(given.content))


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


def _multipart(subtype: str, parts: list[Part]) -> Part:
    # RFC 2046 5.1.1: no part may hold the boundary. "=_" is in no base64; what else there is can't foretell its own
    # digest. The subtype keeps inner and outer boundary from starting alike.
    digest = blake2b(digest_size=12)
    for part in parts:
        if part.fields.get("Content-Transfer-Encoding") != "base64":
            digest.update(part.content)
    boundary = f"=_{subtype[0]}{digest.hexdigest()}"
    between = f"--{boundary}\r\n".encode()
    # The line break before a boundary belongs to it (RFC 2046 5.1.1), so the content's own one needs another.
    pieces = [piece for part in parts for piece in (between, block(part.fields), part.content, b"\r\n")]
    pieces.append(f"--{boundary}--\r\n".encode())
    return Part({"Content-Type": f'multipart/{subtype};\r\n boundary="{boundary}"'}, b"".join(pieces))
