"""What someone hands in to be sent, and what travels on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from postroom.domain.address import Address

MOST_RECIPIENTS = 100  # RFC 5321 4.5.3.1.8: every relay takes this many in one transaction
MOST_MESSAGES = 500  # in one request
MOST_ATTACHMENTS = 50
MOST_HEADERS = 50  # given by the caller
LONGEST_SUBJECT = 998
LONGEST_HEADER = 8 * 1024
LONGEST_NAME = 255  # of a person, a file or a content type
DEFAULT_LIFE = 5 * 86_400  # seconds; RFC 5321 4.5.4.1: give up after 4 to 5 days
LONGEST_LIFE = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with its display name, as headers show it."""

    address: Address
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    filename: str
    content_type: str
    content: bytes


class OnDoubt(StrEnum):
    """What to do when the connection was lost after the final dot, so that nobody knows whether the relay took it."""

    RETRY = "retry"  # at least once: send again, same Message-ID
    HOLD = "hold"  # at most once: keep it until a person decides


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail as handed in, parsed but not yet accepted. `sender` None means the profile's."""

    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    sender: Mailbox | None = None
    reply_to: Mailbox | None = None
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    attachments: tuple[Attachment, ...] = ()
    profile: int | None = None  # None means the tenant's default profile
    life: int = DEFAULT_LIFE  # seconds from acceptance until it is no longer worth sending
    on_doubt: OnDoubt = OnDoubt.RETRY

    @property
    def recipients(self) -> tuple[Address, ...]:
        """Everyone it goes to, once each, in the order given."""
        everyone = (mailbox.address for mailbox in (*self.to, *self.cc, *self.bcc))
        return tuple({address.folded: address for address in everyone}.values())


@dataclass(frozen=True, slots=True)
class Envelope:
    """What MAIL and RCPT say (RFC 5321 3.3): up to MOST_RECIPIENTS of one message in one transaction."""

    sender: str
    recipients: tuple[str, ...]

    @property
    def needs_smtputf8(self) -> bool:
        return not (self.sender.isascii() and all(map(str.isascii, self.recipients)))
