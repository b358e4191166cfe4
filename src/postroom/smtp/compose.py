"""From a draft to the bytes of the mail (RFC 5322). Pure: whoever composes gives the message id and the date.

Our own serialiser, for two reasons: the standard library's takes fifty times as long (`bench/compose.py`), and it turns
some display names and subjects into header fields of their own (`research/security-reliability.md` M5, M6). The tests
read every kind of mail back with that library. Dot-stuffing is the protocol's business.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from postroom.domain.delivery import SECOND
from postroom.domain.message import LONGEST_HEADER, LONGEST_SUBJECT, MOST_HEADERS, Draft, Mailbox
from postroom.domain.problems import Invalid
from postroom.smtp.header import LINE, MOST_OCTETS, HeaderUnsafe, block, mailbox, mailboxes, one_line, unstructured
from postroom.smtp.mime import body

_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")  # RFC 5322 3.6.8
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")  # RFC 5322 3.6.4
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Fields that are ours to write, that a relay on the way writes, or that some software takes recipients from.
RESERVED = frozenset({
    "to", "cc", "bcc", "from", "sender", "reply-to", "return-path", "received", "date", "message-id", "subject",
    "mime-version", "dkim-signature", "domainkey-signature", "received-spf", "authentication-results",
    "envelope-to", "envelope-from", "delivered-to", "apparently-to", "errors-to", "return-receipt-to", "x-bcc",
    "x-envelope-from", "x-envelope-to", "x-original-to", "x-receiver", "x-sender", "x-rcpt-to",
    "x-mc-bccaddress", "x-smtpapi",  # two hosted relays add recipients by these: a way around the filter
})  # fmt: skip
RESERVED_PREFIXES = ("content-", "resent-", "arc-")


def compose(draft: Draft, *, sender: Mailbox, reply_to: Mailbox | None, message_id: str, date: int) -> bytes:
    """The mail as it goes over the wire: CRLF, seven bits (UTF-8 only where an address is, RFC 6532), no Bcc.

    `message_id` has its angle brackets; `date` is in microseconds since 1970, UTC. The draft's own `sender` and
    `reply_to` are not looked at. Raises Invalid, naming the draft's field that no mail can say.
    """
    content = body(draft)
    header = block({
        "Date": _date(date // SECOND),
        **_people(draft, sender, reply_to),
        "Message-ID": _checked_id(message_id),
        "Subject": unstructured("Subject", one_line(draft.subject, "subject", LONGEST_SUBJECT)),
        **(_callers_own(draft.headers) if draft.headers else {}),
        "MIME-Version": "1.0",
        **content.fields,
    })  # fmt: skip
    if not header.isascii():
        _require_smtputf8(draft, sender, reply_to)
    return header + content.content


def _people(draft: Draft, sender: Mailbox, reply_to: Mailbox | None) -> dict[str, str]:
    fields = {"From": mailbox("From", sender, "from")}
    if reply_to is not None:
        fields["Reply-To"] = mailbox("Reply-To", reply_to, "reply_to")
    if draft.to:
        fields["To"] = mailboxes("To", draft.to, "to")
    if draft.cc:
        fields["Cc"] = mailboxes("Cc", draft.cc, "cc")
    if not draft.to and not draft.cc:
        fields["To"] = "undisclosed-recipients:;"  # RFC 5322 appendix A.1.3; some readers distrust a mail to nobody
    return fields


def _callers_own(headers: Mapping[str, str]) -> dict[str, str]:
    """The fields that a caller may add. Raises Invalid("headers.<name>")."""
    if len(headers) > MOST_HEADERS:
        raise Invalid("headers", f"There are more than {MOST_HEADERS} headers.")
    return {_own_name(name): _own_value(name, value) for name, value in headers.items()}


def _own_name(name: str) -> str:
    if not _FIELD_NAME.fullmatch(name):
        raise Invalid("headers", "A header's name has 1 to 76 printable ASCII characters, no space and no colon.")
    if name.lower() in RESERVED or name.lower().startswith(RESERVED_PREFIXES):
        raise Invalid(f"headers.{name}", "This header is written by Postroom or a relay; leave it out.")
    return name


def _own_value(name: str, value: str) -> str:
    # Message ids and addresses of web pages are long and must stay in one piece.
    longest_word = MOST_OCTETS - LINE
    return unstructured(name, one_line(value, f"headers.{name}", LONGEST_HEADER), longest_word)


def _checked_id(message_id: str) -> str:
    if not _MESSAGE_ID.fullmatch(message_id) or len(message_id) > LONGEST_SUBJECT - LINE:
        raise HeaderUnsafe("the message id is not <left@right>")
    return message_id


def _require_smtputf8(draft: Draft, sender: Mailbox, reply_to: Mailbox | None) -> None:
    shown = (sender, *draft.to, *draft.cc, *([reply_to] if reply_to else []))
    if not any(box.address.needs_smtputf8 for box in shown):
        raise HeaderUnsafe("the header has octets above 127, and no address asks for them")


@lru_cache(maxsize=16)
def _date(second: int) -> str:
    # RFC 5322 3.3. Not strftime: its names of days and months follow the locale.
    at = datetime.fromtimestamp(second, UTC)
    return (
        f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} "
        f"{at.hour:02}:{at.minute:02}:{at.second:02} +0000"
    )
