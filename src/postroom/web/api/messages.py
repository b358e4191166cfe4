"""/v1/messages"""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import TypeAdapter

from postroom.domain.address import Address
from postroom.domain.delivery import State
from postroom.domain.message import MOST_MESSAGES, MOST_RECIPIENTS, Attachment, Draft, Mailbox, Reports
from postroom.domain.problems import Invalid
from postroom.domain.profile import LARGEST_ID
from postroom.store.messages import AttemptRead, DeliveryRead, MessageRead, Search
from postroom.web import bodies
from postroom.web.api.message_models import (
    AttachmentBody,
    AttemptOut,
    DeliveryOut,
    DsnBody,
    DsnOut,
    MailboxBody,
    MessageBody,
    MessageList,
    MessageOut,
    Receipt,
)  # fmt: skip
from postroom.web.api.models import moment
from postroom.web.callers import NativeCaller, NativeTenant, TheRoom, native_caller, native_tenant, room_of
from postroom.web.openapi import takes

router = APIRouter(tags=["messages"])
MODELS = (MessageBody, AttachmentBody, DsnBody)
_MANY: TypeAdapter[list[MessageBody]] = TypeAdapter(list[MessageBody])

Key = Annotated[
    str | None, Header(alias="Idempotency-Key", description="The same key and body get the same answer, sent once.")
]


@router.post(
    "/messages", status_code=202, summary=f"Send a mail, or a list of up to {MOST_MESSAGES}", response_class=Response,
    openapi_extra=takes(MessageBody, also_list=True), responses={202: {"model": Receipt | list[Receipt]}},
)  # fmt: skip
async def send(
    request: Request, room: TheRoom, caller: NativeCaller, tenant: NativeTenant, idempotency_key: Key = None
) -> Response:
    raw = await bodies.read(request, bodies.MAIL_OCTETS)
    if raw.lstrip()[:1] == b"[":
        read = partial(read_drafts, raw)
        answer = await room.mail.accept_list(caller, tenant, read, idempotency_key=idempotency_key, request=raw)
    else:
        draft = read_draft(raw)
        answer = await room.mail.accept(caller, tenant, draft, idempotency_key=idempotency_key, request=raw)
    return Response(answer, 202, media_type="application/json")


async def send_directly(request: Request) -> Response:
    """`send` without FastAPI (server.py), which has only the documentation of it."""
    caller = await native_caller(request)
    tenant = await native_tenant(request, caller)
    return await send(request, room_of(request), caller, tenant, request.headers.get("idempotency-key"))


@router.get("/messages", summary="Find messages, newest first")
async def find(
    room: TheRoom, caller: NativeCaller, tenant: NativeTenant,
    state: State | None = None, recipient: Annotated[str | None, Query(max_length=320)] = None,
    profile: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    before: Annotated[str | None, Query(max_length=26)] = None, limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> MessageList:  # fmt: skip
    address = str(Address.parse(recipient, "recipient")) if recipient else None
    found = await room.mail.search(caller, tenant, Search(state, address, profile, before, limit))
    return MessageList(messages=[_message(each) for each in found], next=found[-1].id if len(found) == limit else None)


@router.get("/messages/{message}", summary="One message, with every attempt")
async def show(message: str, room: TheRoom, caller: NativeCaller, tenant: NativeTenant) -> MessageOut:
    return _message(await room.mail.show(caller, tenant, message), with_tries=True)


@router.post("/messages/{message}/cancel", summary="Take back what is not yet under way")
async def cancel(message: str, room: TheRoom, caller: NativeCaller, tenant: NativeTenant) -> MessageOut:
    return _message(await room.mail.cancel(caller, tenant, message), with_tries=True)


@router.post("/messages/{message}/retry", summary="Try again now what waits or has failed")
async def retry(message: str, room: TheRoom, caller: NativeCaller, tenant: NativeTenant) -> MessageOut:
    return _message(await room.mail.retry(caller, tenant, message), with_tries=True)


def read_draft(raw: bytes) -> Draft:
    """Raises Invalid, naming the field."""
    return _draft(bodies.parse(MessageBody, raw))


def read_drafts(raw: bytes) -> list[Draft]:
    """Those of a list. Raises Invalid, naming the place in it and the field."""
    many: list[MessageBody] = bodies.parse(_MANY, raw)
    if not 1 <= len(many) <= MOST_MESSAGES:
        raise Invalid("body", f"A list must have 1 to {MOST_MESSAGES} messages.")
    return [_placed_draft(n, body) for n, body in enumerate(many)]


def _placed_draft(place: int, body: MessageBody) -> Draft:
    try:
        return _draft(body)
    except Invalid as problem:
        raise problem.inside(f"[{place}]") from None


def _draft(body: MessageBody) -> Draft:
    draft = Draft(
        to=_mailboxes(body.to, "to"),
        cc=_mailboxes(body.cc, "cc"),
        bcc=_mailboxes(body.bcc, "bcc"),
        subject=body.subject,
        text=body.text,
        html=body.html,
        sender=_mailbox(body.sender, "from") if body.sender else None,
        reply_to=_mailbox(body.reply_to, "reply_to") if body.reply_to else None,
        headers=body.headers,
        attachments=tuple([_attachment(each) for each in body.attachments]) if body.attachments else (),
        profile=body.profile,
        life=body.expires_in,
        on_doubt=body.on_doubt,
        reports=Reports(tuple(dict.fromkeys(body.dsn.notify)), body.dsn.returned) if body.dsn else None,
    )
    named = len(draft.to) + len(draft.cc) + len(draft.bcc)
    if not named or (named > MOST_RECIPIENTS and len(draft.recipients) > MOST_RECIPIENTS):
        raise Invalid("to", f"A message needs 1 to {MOST_RECIPIENTS} recipients in to, cc and bcc together.")
    return draft


def _mailboxes(given: list[MailboxBody], field: str) -> tuple[Mailbox, ...]:
    return tuple([_mailbox(each, f"{field}[{n}]") for n, each in enumerate(given)]) if given else ()


def _mailbox(given: MailboxBody, field: str) -> Mailbox:
    return Mailbox(Address.parse(given.address, field), given.name)


def _attachment(given: AttachmentBody) -> Attachment:
    return Attachment(given.filename, given.content_type, given.content, given.content_id)


def _message(read: MessageRead, *, with_tries: bool = False) -> MessageOut:
    return MessageOut(
        id=read.id, state=read.state, profile=read.profile_id, queued_at=moment(read.queued_at),
        expires_at=moment(read.expires_at), on_doubt=read.on_doubt, envelope_sender=read.envelope_sender,
        sender=read.header_from, subject=read.subject, size=read.size, content_kept=read.has_content,
        dsn=DsnOut(notify=list(read.reports.notify), returned=read.reports.returned) if read.reports else None,
        deliveries=[_delivery(each, read.profile_id, with_tries) for each in read.deliveries],
    )  # fmt: skip


def _delivery(read: DeliveryRead, profile_id: int, with_tries: bool) -> DeliveryOut:
    return DeliveryOut(
        id=read.id, recipient=read.recipient, state=read.state, attempts=read.attempts,
        updated_at=moment(read.updated_at), note=read.note,
        next_attempt_at=moment(read.next_attempt_at) if read.next_attempt_at is not None else None,
        tries=[_attempt(each, profile_id) for each in read.tries] if with_tries else None,
    )  # fmt: skip


def _attempt(read: AttemptRead, profile_id: int) -> AttemptOut:
    return AttemptOut(
        number=read.number, started_at=moment(read.started_at), seconds=round(read.duration / 1e6, 6),
        outcome=read.outcome, stage=read.stage, code=read.code, message=read.message,
        reply=f"{read.reply_code} {read.reply_text}" if read.reply_code else None,
        relay=read.relay, tls=read.tls, profile=read.profile_id or profile_id, revision=read.revision,
        transcript=read.transcript,
    )  # fmt: skip
