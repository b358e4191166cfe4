"""Asking for delivery status notifications (RFC 3461): parameters of MAIL and RCPT, where the relay offers them."""

import re
from collections.abc import Mapping
from typing import Final

from postroom.domain.message import Envelope, Returned

LONGEST_ENVID = 100  # section 4.4, as it was before it is encoded
LONGEST_ORCPT = 500  # section 4.2

_RETURNED: Final[Mapping[Returned, str]] = {Returned.HEADERS: "HDRS", Returned.FULL: "FULL"}
_NO_XCHAR = re.compile("[^!-~]|[+=]")


def of_message(envelope: Envelope) -> str:
    """What MAIL says in addition: RET and ENVID (4.3, 4.4)."""
    reports = envelope.reports
    if reports is None:
        return ""
    returned = f" RET={_RETURNED[reports.returned]}" if reports.returned is not None else ""
    named = envelope.id.isascii() and 0 < len(envelope.id) <= LONGEST_ENVID
    return returned + (f" ENVID={xtext(envelope.id)}" if named else "")


def of_recipient(envelope: Envelope, recipient: str) -> str:
    """What RCPT says in addition: NOTIFY and ORCPT (4.1, 4.2)."""
    reports = envelope.reports
    if reports is None:
        return ""
    notify = f" NOTIFY={','.join(each.upper() for each in reports.notify)}" if reports.notify else ""
    # An address that is not ASCII would need another type (RFC 6533), which few read; ORCPT may be left out.
    original = f"rfc822;{xtext(recipient)}" if recipient.isascii() else ""
    return notify + (f" ORCPT={original}" if 0 < len(original) <= LONGEST_ORCPT else "")


def xtext(text: str) -> str:
    """ASCII as xtext (section 4): whatever could end a parameter, or begin another, as "+" and two hex digits."""
    return _NO_XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", text)
