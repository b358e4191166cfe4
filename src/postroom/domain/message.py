"""What someone hands in to be sent, and what travels on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from postroom.domain.address import Address
from postroom.domain.problems import Invalid

MOST_RECIPIENTS = 100  # RFC 5321 4.5.3.1.8: every relay takes this many in one transaction
MOST_MESSAGES = 500  # in one request
MOST_ATTACHMENTS = 50
MOST_HEADERS = 50  # given by the caller
LONGEST_SUBJECT = 998
LONGEST_HEADER = 8 * 1024
LONGEST_NAME = 255  # of a person, a file or a content type
LONGEST_CONTENT_ID = 128
DEFAULT_LIFE = 5 * 86_400  # seconds; RFC 5321 4.5.4.1: give up after 4 to 5 days
LONGEST_LIFE = 30 * 86_400


class Mailbox(NamedTuple):
    """An address with its display name, as headers show it."""

    address: Address
    name: str | None = None


class Attachment(NamedTuple):
    """A file. With a `content_id` it is a part of the HTML, which shows it as `cid:<content_id>` (RFC 2392)."""

    filename: str
    content_type: str
    content: bytes
    content_id: str | None = None


class OnDoubt(StrEnum):
    """What to do when the connection was lost after the final dot, so that nobody knows whether the relay took it."""

    RETRY = "retry"  # at least once: send again, same Message-ID
    HOLD = "hold"  # at most once: keep it until a person decides


class Notify(StrEnum):
    """When the relay, or one after it, is to report to the envelope sender (RFC 3461 4.1)."""

    SUCCESS = "success"
    FAILURE = "failure"
    DELAY = "delay"
    NEVER = "never"


class Returned(StrEnum):
    """How much of the message a report of failure brings back (RFC 3461 4.3)."""

    HEADERS = "headers"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Reports:
    """What a message asks of relays that offer delivery status notifications; of the others it asks nothing. Raises
    Invalid. Empty, and None, leave it to the relay: most report failures, with the headers."""

    notify: tuple[Notify, ...] = ()
    returned: Returned | None = None

    def __post_init__(self) -> None:
        if Notify.NEVER in self.notify and len(self.notify) > 1:
            raise Invalid("dsn.notify", "never stands alone: it contradicts the others.")


class Draft(NamedTuple):
    """A mail as handed in, parsed but not yet accepted. `sender` None means the profile's."""

    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    sender: Mailbox | None = None
    reply_to: Mailbox | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    attachments: tuple[Attachment, ...] = ()
    profile: int | None = None  # None means the tenant's default profile
    life: int = DEFAULT_LIFE  # seconds from acceptance until it is no longer worth sending
    on_doubt: OnDoubt = OnDoubt.RETRY
    reports: Reports | None = None

    @property
    def recipients(self) -> tuple[Address, ...]:
        """Everyone it goes to, once each, in the order given."""
        everyone = [mailbox.address for mailbox in (*self.to, *self.cc, *self.bcc)]
        return tuple({address.folded: address for address in everyone}.values())

    @property
    def size(self) -> int:
        """How much it says, roughly: characters of text and HTML, octets of attachments."""
        return len(self.text or "") + len(self.html or "") + sum([len(each.content) for each in self.attachments])


class Envelope(NamedTuple):
    """What MAIL and RCPT say (RFC 5321 3.3): up to MOST_RECIPIENTS of one message in one transaction. A report names
    the message by `id`."""

    sender: str
    recipients: tuple[str, ...]
    reports: Reports | None = None
    id: str = ""

    @property
    def needs_smtputf8(self) -> bool:
        return not (self.sender.isascii() and all(map(str.isascii, self.recipients)))
