"""What the native API takes and answers. Bodies are strict: an unknown member is refused; a typo is never silence.

Times are RFC 3339 text, durations whole seconds, identifiers opaque text.
"""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from postroom.domain.access import LONGEST_KEY_LIFE, Permission
from postroom.domain.delivery import State
from postroom.domain.limits import LARGEST_LIMIT
from postroom.domain.message import DEFAULT_LIFE, LONGEST_LIFE, MOST_ATTACHMENTS, MOST_RECIPIENTS, OnDoubt
from postroom.domain.profile import LARGEST_ID, Auth, Security


def moment(microseconds: int) -> str:
    """RFC 3339 in UTC."""
    return (
        datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


class In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)


class Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class ProblemOut(Out):
    """RFC 9457. `code` is stable, `detail` is a sentence for an administrator, `field` names what is wrong."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None


# --- profiles


class PolicyBody(In):
    """How a profile's mail may go out. In a patch, as anywhere, null clears."""

    limit_per_minute: int | None = Field(None, ge=1, le=LARGEST_LIMIT, description="Deliveries; null is no limit.")
    limit_per_hour: int | None = Field(None, ge=1, le=LARGEST_LIMIT)
    limit_per_day: int | None = Field(None, ge=1, le=LARGEST_LIMIT)
    most_connections: int | None = Field(None, ge=1, le=1000, description="Of all workers together; null is 20.")
    failover: int | None = Field(
        None, ge=1, le=LARGEST_ID, description="The profile that its mail goes through while its relay is away."
    )


class ProfileBody(PolicyBody):
    """A profile's settings. Left out or null means the default; a password left out stays, as long as nothing changes
    that it is bound to."""

    host: str = Field(description="Host name or IP address of the relay.")
    port: int = Field(25, ge=1, le=65535)
    security: Annotated[Security, Field(strict=False)] = Security.NONE
    verify_certificate: bool = True
    ca_certificates: str | None = Field(None, description="PEM; null trusts the system's authorities.")
    server_name: str | None = Field(None, description="The name in the relay's certificate, if it is not the host.")
    auth: Annotated[Auth, Field(strict=False)] = Auth.NONE
    username: str | None = None
    password: str | None = Field(None, json_schema_extra={"writeOnly": True}, description="With oauth2 the client's.")
    token_url: str | None = Field(None, description="With oauth2: where the access token is asked for.")
    client_id: str | None = None
    token_scope: str | None = None
    token_audience: str | None = None
    envelope_sender: str | None = Field(None, description="MAIL FROM, where bounces go; null means the sender.")
    sender_address: str | None = None
    sender_name: str | None = None
    reply_to_address: str | None = None
    reply_to_name: str | None = None
    recipient_filter: str | None = Field(None, description="Comma list with * wildcards; null allows everyone.")
    ehlo_name: str | None = None


class NewProfileBody(ProfileBody):
    name: str = Field(min_length=1, max_length=255)


class ProfilePatchBody(PolicyBody):
    """A merge patch (RFC 7396): only what is named changes, null clears. `name` and `default` may stand in it too."""

    name: str | None = Field(None, min_length=1, max_length=255)
    default: Literal[True] | None = None
    host: str | None = None
    port: int | None = Field(None, ge=1, le=65535)
    security: Annotated[Security | None, Field(strict=False)] = None
    verify_certificate: bool | None = None
    ca_certificates: str | None = None
    server_name: str | None = None
    auth: Annotated[Auth | None, Field(strict=False)] = None
    username: str | None = None
    password: str | None = Field(None, json_schema_extra={"writeOnly": True}, description="With oauth2 the client's.")
    token_url: str | None = Field(None, description="With oauth2: where the access token is asked for.")
    client_id: str | None = None
    token_scope: str | None = None
    token_audience: str | None = None
    envelope_sender: str | None = None
    sender_address: str | None = None
    sender_name: str | None = None
    reply_to_address: str | None = None
    reply_to_name: str | None = None
    recipient_filter: str | None = None
    ehlo_name: str | None = None


class ProfileOut(Out):
    id: int
    name: str
    default: bool
    revision: int
    host: str
    port: int
    security: Security
    verify_certificate: bool
    ca_certificates: str | None
    server_name: str | None
    auth: Auth
    username: str | None
    password_set: bool
    token_url: str | None
    client_id: str | None
    token_scope: str | None
    token_audience: str | None
    envelope_sender: str | None
    sender_address: str | None
    sender_name: str | None
    reply_to_address: str | None
    reply_to_name: str | None
    recipient_filter: str | None
    ehlo_name: str | None
    limit_per_minute: int | None
    limit_per_hour: int | None
    limit_per_day: int | None
    most_connections: int | None
    failover: int | None
    changed_at: str
    changed_by: str
    dialect: str
    trouble: str | None = Field(description="Why its mail waits just now, if it does.")
    rests_until: str | None
    paused_at: str | None = Field(description="Since when a person keeps its mail back; null when nobody does.")


class ProfileList(Out):
    profiles: list[ProfileOut]


class CheckBody(In):
    recipient: str | None = Field(None, description="Ask the relay whether it would take mail for this address.")


class StepOut(Out):
    stage: str
    status: Literal["ok", "failed", "skipped"]
    code: str
    message: str
    advice: str
    detail: dict[str, str]
    seconds: float


class CheckOut(Out):
    ok: bool
    steps: list[StepOut]


# --- messages


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
    deliveries: list[DeliveryOut]


class MessageList(Out):
    messages: list[MessageOut]
    next: str | None = Field(description="Give it as `before` to get the page after this one.")


# --- keys, tenants


class NewKeyBody(In):
    name: str = Field(min_length=1, max_length=255)
    permissions: list[Annotated[Permission, Field(strict=False)]] | None = Field(
        None, description="Null means all that the calling key has."
    )
    expires_in: int | None = Field(None, ge=60, le=LONGEST_KEY_LIFE, description="Seconds; null never expires.")
    email: str | None = Field(None, description="Whose it is: where the test mail of some products goes.")


class KeyOut(Out):
    id: str
    name: str
    email: str | None
    tenant: str | None = Field(description="Null is the whole installation.")
    permissions: list[Permission]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class NewKeyOut(KeyOut):
    key: str = Field(description="Shown this once.")


class KeyList(Out):
    keys: list[KeyOut]


class NewTenantBody(In):
    slug: str
    name: str = Field("", max_length=255)


class TenantOut(Out):
    slug: str
    name: str
    created_at: str


class TenantList(Out):
    tenants: list[TenantOut]
