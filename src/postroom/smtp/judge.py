"""The last look at a header: the finished bytes are read again, and say what was meant or are not sent.

A reader of its own, which shares no code with the writer (`header.py`). Whatever slips through the checks before ends
here: a line break, a field or an address more than was meant.
"""

import re
from collections.abc import Sequence
from typing import NewType

from postroom.domain.message import Mailbox

MOST_OCTETS = 998  # in a line, without CRLF (RFC 5322 2.1.1)

# Whole header fields, each with its CRLF, that were judged. Only this file makes them.
Fields = NewType("Fields", bytes)

# RFC 5322 2.2. A continuation has something to show (3.2.2), or it would read as the end.
# A possessive group is written (?>(?:…)*): Python before 3.11.5 misreads (?:…)*+ (CPython issue 106052).
_FIELD = re.compile(rb"([!-9;-~]++):[ -~]*+(?>(?:\r\n ++[!-~][ -~]*+)*)\r\n")

# One of a list of mailboxes (RFC 5322 3.4), in the narrow form that is written here: no comment, no group, no route.
# UTF-8 (RFC 6532) stands before an @ only.
_SPACE = rb"(?>(?:\r\n)?) ++"  # or a fold
_ATOMS = rb"(?>(?:[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]++" + _SPACE + rb")+)"
_QUOTED = rb'"(?>(?:[ !#-\[\]-~]++|\\["\\]|\r\n(?= ++[!-~]))+)"' + _SPACE
_OPENED = rb"(?:" + _ATOMS + rb"|" + _QUOTED + rb")<(?=[^<>, ]++>)|(?![^<>, ]++>)"  # angle brackets: both or none
_ADDRESS = rb"([A-Za-z0-9#$&'*+\-/=?^_`{|}~.\x80-\xff]++@[a-z0-9.-]++)"
_LONG = rb"(?>(?: (?=\r\n))?)"  # before a fold: the first of the list alone is longer than a line
_MAILBOX = re.compile(_LONG + _SPACE + rb"(?:" + _OPENED + rb")" + _ADDRESS + rb">?+(?:,(?= |\r\n )|\r\n\Z)")


class HeaderUnsafe(Exception):
    """The finished header is not the one that was meant. It is a fault of ours, and nothing may be sent."""


def judged(written: bytes, names: Sequence[str]) -> Fields:
    """`written` as fields of just these names, in this order. Raises HeaderUnsafe."""
    pieces = _FIELD.split(written)  # what is between fields, a name, what is between fields, a name…
    if any(pieces[::2]):
        raise HeaderUnsafe("a line of the header is no header field")
    # Whatever was found has no line break, so here and below: joined by one they are equal only when each is.
    if b"\n".join(pieces[1::2]) != "\n".join(names).encode():
        raise HeaderUnsafe("the header has other fields than were meant")
    if len(written) > MOST_OCTETS:
        _require_short_lines(written)
    return Fields(written)


def judged_people(written: bytes, name: str, boxes: Sequence[Mailbox]) -> Fields:
    """`written` as one address field that holds these addresses, each once, in this order. Raises HeaderUnsafe."""
    pieces = _MAILBOX.split(written)  # the field's name, an address, what is between mailboxes, an address…
    if pieces[0] != f"{name}:".encode() or any(pieces[2::2]):
        raise HeaderUnsafe("a list of addresses is none")
    if b"\n".join(pieces[1::2]) != "\n".join([f"{box.address.local}@{box.address.domain}" for box in boxes]).encode():
        raise HeaderUnsafe("the header has other addresses than were meant")
    if len(written) > MOST_OCTETS:
        _require_short_lines(written)
    return Fields(written)


def _require_short_lines(written: bytes) -> None:
    if max(map(len, written.split(b"\r\n"))) > MOST_OCTETS:
        raise HeaderUnsafe("a line of the header is too long")
