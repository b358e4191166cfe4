"""Messages, as the native API takes and tells them."""

import base64
import binascii
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from postroom.domain.delivery import State
from postroom.domain.message import (
    DEFAULT_LIFE,
    LONGEST_LIFE,
    MOST_ATTACHMENTS,
    MOST_RECIPIENTS,
    Notify,
    OnDoubt,
    Returned,
)
from postroom.domain.profile import LARGEST_ID
from postroom.web.api.models import In, Out


def _mailbox(value: Any) -> Any:
    return {"address": value} if isinstance(value, str) else value


class MailboxBody(In):
    address: str
    name: str | None = None


MailboxIn = Annotated[
    MailboxBody,
    BeforeValidator(_mailbox),
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "string", "description": "A bare address: name@domain."},
                {
                    "type": "object",
                    "properties": {"address": {"type": "string"}, "name": {"type": ["string", "null"]}},
                    "required": ["address"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


def _base64(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("This must be base64.") from None
    return value


Base64 = Annotated[bytes, BeforeValidator(_base64), WithJsonSchema({"type": "string", "format": "byte"})]


class AttachmentBody(In):
    filename: str = Field(min_length=1, max_length=255)
    content_type: str = "application/octet-stream"
    content: Base64
    content_id: str | None = Field(None, description="A part of the HTML, which shows it as `cid:` and this id.")


class DsnBody(In):
    """Reports by mail to the envelope sender (RFC 3461), from relays that offer them; others are asked for nothing."""

    notify: list[Annotated[Notify, Field(strict=False)]] = Field(
        default_factory=list, max_length=len(Notify), description="`never` stands alone; empty leaves it to the relay."
    )
    returned: Annotated[Returned | None, Field(strict=False)] = Field(
        None, alias="return", description="What of the message a report of failure brings back."
    )


class MessageBody(In):
    """A mail to send. To, Cc and Bcc together name at least one recipient."""

    to: list[MailboxIn] = Field(default_factory=list, max_length=MOST_RECIPIENTS)
    cc: list[MailboxIn] = Field(default_factory=list, max_length=MOST_RECIPIENTS)
    bcc: list[MailboxIn] = Field(default_factory=list, max_length=MOST_RECIPIENTS)
    subject: str = ""
    text: str | None = None
    html: str | None = None
    sender: MailboxIn | None = Field(None, alias="from", description="Null means the profile's sender.")
    reply_to: MailboxIn | None = None
    headers: dict[str, str] = Field(default_factory=dict, max_length=50)
    attachments: list[AttachmentBody] = Field(default_factory=list, max_length=MOST_ATTACHMENTS)
    profile: int | None = Field(None, ge=1, le=LARGEST_ID, description="Null means the tenant's default profile.")
    expires_in: int = Field(DEFAULT_LIFE, ge=1, le=LONGEST_LIFE, description="Seconds until it need not be sent.")
    on_doubt: Annotated[OnDoubt, Field(strict=False)] = Field(
        OnDoubt.RETRY,
        description="When nobody can know whether the relay took it: send again, or hold it for a person.",
    )
    dsn: DsnBody | None = None


class DeliveryReceipt(Out):
    recipient: str
    state: State


class Receipt(Out):
    id: str
    state: State
    deliveries: list[DeliveryReceipt]


class AttemptOut(Out):
    number: int
    started_at: str
    seconds: float
    outcome: str
    stage: str
    code: str
    message: str
    reply: str | None = Field(description="The relay's words, cleaned of anything unprintable.")
    relay: str
    tls: str | None
    profile: int = Field(description="That it went through, in this revision: the message's own or its failover.")
    revision: int
    transcript: str | None


class DeliveryOut(Out):
    id: str
    recipient: str
    state: State
    attempts: int
    updated_at: str
    next_attempt_at: str | None
    note: str | None
    tries: list[AttemptOut] | None = Field(None, description="Only where one message is shown.")


class DsnOut(Out):
    notify: list[Notify]
    returned: Returned | None = Field(serialization_alias="return")


class MessageOut(Out):
    id: str
    state: State
    profile: int
    queued_at: str
    expires_at: str
    on_doubt: str
    envelope_sender: str
    sender: str = Field(serialization_alias="from")
    subject: str
    size: int
    content_kept: bool = Field(description="Without its content a message can't be tried again.")
    dsn: DsnOut | None
    deliveries: list[DeliveryOut]


class MessageList(Out):
    messages: list[MessageOut]
    next: str | None = Field(description="Give it as `before` to get the page after this one.")
