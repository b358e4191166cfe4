"""From a draft to the bytes of the mail (RFC 5322). Pure: whoever composes gives the message id and the date.

Our own serialiser, for two reasons: the standard library's takes a hundred times as long (`bench/compose.py`), and it
turns some display names and subjects into header fields of their own (`research/security-reliability.md` M5, M6). The
tests read every kind of mail back with that library. Dot-stuffing is the protocol's business.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from postroom.domain.delivery import SECOND
from postroom.domain.message import LONGEST_HEADER, LONGEST_SUBJECT, MOST_HEADERS, Draft, Mailbox
from postroom.domain.problems import Invalid
from postroom.smtp.header import LINE, fields, mailbox, mailboxes, one_line, unstructured
from postroom.smtp.judge import MOST_OCTETS, Fields, HeaderUnsafe
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

_MIME = fields({"MIME-Version": "1.0"})
# RFC 5322 appendix A.1.3; some readers distrust a mail to nobody.
_NOBODY = fields({"To": "undisclosed-recipients:;"})
_one = lru_cache(maxsize=256)(mailbox)  # a profile's sender is in each of its mails


def compose(draft: Draft, *, sender: Mailbox, reply_to: Mailbox | None, message_id: str, date: int) -> bytes:
    """The mail as it goes over the wire: CRLF, seven bits (UTF-8 only where an address is, RFC 6532), no Bcc.

    `message_id` has its angle brackets; `date` is in microseconds since 1970, UTC. The draft's own `sender` and
    `reply_to` are not looked at. Raises Invalid, naming the draft's field that no mail can say.
    """
    content = body(draft)
    about = {
        "Message-ID": _checked_id(message_id),
        "Subject": unstructured("Subject", one_line(draft.subject, "subject", LONGEST_SUBJECT)),
    }
    if draft.headers:
        about |= _callers_own(draft.headers)
    people = _people(draft, sender, reply_to)
    header = (_date(date // SECOND), *people, fields(about), _MIME, content.header)  # whole fields, and each was judged
    return b"".join((*header, b"\r\n", content.content))


def _people(draft: Draft, sender: Mailbox, reply_to: Mailbox | None) -> list[Fields]:
    people = [_one("From", sender, "from")]
    if reply_to is not None:
        people.append(_one("Reply-To", reply_to, "reply_to"))
    if draft.to:
        people.append(mailboxes("To", draft.to, "to"))
    if draft.cc:
        people.append(mailboxes("Cc", draft.cc, "cc"))
    if not draft.to and not draft.cc:
        people.append(_NOBODY)
    return people


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


@lru_cache(maxsize=16)
def _date(second: int) -> Fields:
    # RFC 5322 3.3. Not strftime: its names of days and months follow the locale.
    at = datetime.fromtimestamp(second, UTC)
    day = f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
    return fields({"Date": f"{day} {at.hour:02}:{at.minute:02}:{at.second:02} +0000"})
