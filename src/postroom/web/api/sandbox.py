"""/v1/sandbox/messages: what the sandbox relay took instead of sending it."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from postroom.smtp.reading import read
from postroom.store.caught import CaughtRead
from postroom.web.api.models import Out, moment
from postroom.web.callers import NativeCaller, NativeTenant, TheRoom

router = APIRouter(tags=["sandbox"])


class CaughtOut(Out):
    id: str
    received_at: str
    envelope_sender: str
    recipients: list[str]
    subject: str


class CaughtAttachmentOut(Out):
    filename: str
    content_type: str
    size: int


class CaughtDetailOut(CaughtOut):
    sender: str = Field(serialization_alias="from")
    to: str
    date: str
    message_id: str
    text: str | None
    html: str | None
    attachments: list[CaughtAttachmentOut]
    source: str


class CaughtList(Out):
    messages: list[CaughtOut]
    next: str | None


class Emptied(Out):
    removed: int


@router.get("/sandbox/messages", summary="The mails that the sandbox caught, newest first")
async def list_caught(
    room: TheRoom, caller: NativeCaller, tenant: NativeTenant,
    before: Annotated[str | None, Query(max_length=26)] = None, limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> CaughtList:  # fmt: skip
    found = await room.sandbox.every(caller, tenant, before, limit)
    return CaughtList(messages=[_caught(each) for each in found], next=found[-1].id if len(found) == limit else None)


@router.get("/sandbox/messages/{mail}", summary="One of them, with its source")
async def show_caught(mail: str, room: TheRoom, caller: NativeCaller, tenant: NativeTenant) -> CaughtDetailOut:
    found = await room.sandbox.show(caller, tenant, mail)
    content = found.content or b""
    reading = await asyncio.to_thread(read, content)
    return CaughtDetailOut(
        **_caught(found).model_dump(), sender=reading.from_, to=reading.to, date=reading.date,
        message_id=reading.message_id, text=reading.text, html=reading.html, source=content.decode("utf-8", "replace"),
        attachments=[
            CaughtAttachmentOut(filename=filename, content_type=content_type, size=size)
            for filename, content_type, size in reading.attachments
        ],
    )  # fmt: skip


@router.delete("/sandbox/messages", summary="Empty the sandbox")
async def empty(room: TheRoom, caller: NativeCaller, tenant: NativeTenant) -> Emptied:
    return Emptied(removed=await room.sandbox.empty(caller, tenant))


def _caught(found: CaughtRead) -> CaughtOut:
    return CaughtOut(
        id=found.id, received_at=moment(found.received_at), envelope_sender=found.envelope_sender,
        recipients=list(found.recipients), subject=found.subject,
    )  # fmt: skip
