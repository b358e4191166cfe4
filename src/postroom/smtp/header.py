"""The header of a message or of a part: its fields checked, encoded and folded. `judge.py` reads the bytes again.

What callers give is literal text. It is never read as RFC 2047: what a reader could decode to something else
(`=?utf-8?q?hi=0d=0aBcc:_x?=`) is encoded once more, so that it shows as it was given.
"""

import re
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence

from postroom.domain.message import LONGEST_NAME, Mailbox
from postroom.domain.problems import Invalid
from postroom.smtp.judge import Fields, judged, judged_people

LINE = 78  # where folding is possible (RFC 5322 2.1.1)
ENCODED_WORD = 75  # RFC 2047 section 2
_FIRST_WORD = 60  # an encoded word that still fits behind "Reply-To: "
_LONGEST_WORD = 66  # of a text that is to be folded into lines

# C0 and C1 controls, DEL, line and paragraph separators, and surrogates, which have no UTF-8.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LOOKS_ENCODED = re.compile(r"=\?[^?]*\?[^?]*\?")
_WORD = re.compile(" +[^ ]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")  # RFC 5322 3.2.3

# RFC 2047 section 5 (3): what may stand for itself in an encoded word of a display name; "_" is a space (4.2).
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/ ")
_Q = tuple("_" if c == 32 else chr(c) if chr(c) in _PLAIN else f"={c:02X}" for c in range(256))
_SHORT = "".join(sorted(_PLAIN)).encode()


def one_line(text: str, field: str, longest: int) -> str:
    """`text` without spaces around it. Raises Invalid(field) when it could end a line anywhere downstream."""
    if len(text) > longest:
        raise Invalid(field, f"This is longer than {longest} characters.")
    if not text.isprintable() and _CONTROL.search(text):
        raise Invalid(field, "This must be one line without control characters.")
    return text.strip(" ")


def unstructured(name: str, text: str, longest_word: int = _LONGEST_WORD) -> str:
    """The value of a field that is free text (RFC 5322 3.6.5), encoded when it has to be, and folded."""
    if must_encode(text, longest_word):
        text = " ".join(encoded_words(text, first=ENCODED_WORD - len(name) - 2))
    return folded(name, text)


def fields(values: Mapping[str, str]) -> Fields:
    """The fields as bytes. Raises HeaderUnsafe unless they say just that."""
    return judged("".join([f"{name}: {value}\r\n" for name, value in values.items()]).encode(), tuple(values))


def mailboxes(name: str, boxes: Sequence[Mailbox], field: str) -> Fields:
    """An address field (RFC 5322 3.6.3). Raises Invalid, about `field[0].name`, `field[1].name`…"""
    shown = []
    for at, box in enumerate(boxes):
        try:
            shown.append(_mailbox(box))
        except Invalid as problem:
            raise problem.inside(f"{field}[{at}]") from None
    return judged_people(f"{name}: {folded(name, ', '.join(shown))}\r\n".encode(), name, boxes)


def mailbox(name: str, box: Mailbox, field: str) -> Fields:
    """A field with one address, `name <address>`. Raises Invalid(field.name)."""
    try:
        return judged_people(f"{name}: {folded(name, _mailbox(box))}\r\n".encode(), name, (box,))
    except Invalid as problem:
        raise problem.inside(field) from None


def _mailbox(box: Mailbox) -> str:
    # The address is a parsed one, so only the name can be wrong.
    address = f"{box.address.local}@{box.address.domain}"
    if not box.name:
        return address
    name = one_line(box.name, "name", LONGEST_NAME)
    return f"{_phrase(name)} <{address}>" if name else address


def must_encode(text: str, longest_word: int) -> bool:
    """Whether `text` can't stand in a header as it is, or wouldn't be shown as it is."""
    if not text.isascii() or ("=?" in text and _LOOKS_ENCODED.search(text)):
        return True
    return len(text) > longest_word and any(len(word) > longest_word for word in _WORD.findall(f" {text}"))


def encoded_words(text: str, first: int = _FIRST_WORD) -> list[str]:
    """RFC 2047 words of whole characters that show as `text`. The first is at most `first` long if that is enough."""
    raw = text.encode()
    q_length = len(raw) + 2 * len(raw.translate(None, _SHORT))
    if q_length * 3 <= len(raw) * 4:
        length, room, rest = q_length, first - 12, ENCODED_WORD - 12
        write, width = _q_word, lambda char: sum([len(_Q[octet]) for octet in char.encode()])
    else:
        length, room, rest = len(raw), (first - 12) // 4 * 3, (ENCODED_WORD - 12) // 4 * 3
        write, width = _b_word, lambda char: len(char.encode())
    return [write(text)] if length <= room else [write(piece) for piece in cut(text, width, room, rest)]


def _q_word(text: str) -> str:
    return f"=?utf-8?q?{''.join([_Q[octet] for octet in text.encode()])}?="


def _b_word(text: str) -> str:
    return f"=?utf-8?b?{b2a_base64(text.encode(), newline=False).decode()}?="


def cut(text: str, width: Callable[[str], int], first: int, rest: int) -> list[str]:
    """Pieces of whole characters that are at most `rest` wide, the first at most `first` if one character fits."""
    pieces, start, used, room = [], 0, 0, first if first >= 12 else rest
    for at, char in enumerate(text):
        if used + (wide := width(char)) > room:
            pieces.append(text[start:at])
            start, used, room = at, 0, rest
        used += wide
    return [*pieces, text[start:]]


def folded(name: str, text: str) -> str:
    """`text` broken before spaces, so that no line is longer than 78 where that is possible (RFC 5322 2.2.3)."""
    used = len(name) + 1
    if used + len(text) < LINE:
        return text
    pieces = []
    for word in _WORD.findall(f" {text}"):
        if used + len(word) > LINE:
            pieces.append("\r\n")
            used = 0
        pieces.append(word)
        used += len(word)
    return "".join(pieces).removeprefix(" ")


def _phrase(name: str) -> str:
    # RFC 5322 3.2.5. Encoded words may not stand inside quotes (RFC 2047 section 5), but readers decode them there too.
    if len(name) <= _FIRST_WORD and "=?" not in name and _ATOMS.fullmatch(name):
        return name
    if must_encode(name, _FIRST_WORD):
        return " ".join(encoded_words(name))
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
