"""/sandbox: the mails that the sandbox relay caught, in every view that a mail program has, and safely."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from postroom.domain.problems import NotFound
from postroom.smtp import reading
from postroom.store.caught import CaughtRead
from postroom.web.headers import FILE_POLICY, MAIL_POLICY
from postroom.web.pages import live
from postroom.web.pages.messages import MESSAGE_ID
from postroom.web.pages.visit import Visit, page

PAGE = 50
LONGEST_FILTER = 320
VIEWS: Final[Mapping[str, str]] = MappingProxyType(
    {"html": "HTML", "text": "Text", "source": "Source", "headers": "Headers", "attachments": "Attachments"}
)


def routes() -> list[BaseRoute]:
    return [
        Route("/sandbox", page(_list)),
        Route("/live/sandbox", page(_follow)),
        Route("/sandbox/empty", page(_empty), methods=["POST"]),
        Route("/sandbox/{mail}", page(_show)),
        Route("/sandbox/{mail}/html", page(_html)),
        Route("/sandbox/{mail}/source", page(_source)),
        Route("/sandbox/{mail}/attachments/{number:int}", page(_attachment)),
    ]


async def _list(visit: Visit) -> Response:
    text, before = _text(visit), visit.query("before")
    mails = await visit.room.sandbox.every(visit.caller, visit.tenant, before, PAGE, text)
    more = mails[-1].id if len(mails) == PAGE else None
    return visit.show(
        "sandbox.html", mails=mails, more=more, text=text, is_first=before is None,
        live=visit.link("/live/sandbox", text=text, mark=live.mark(mails)),
    )  # fmt: skip


async def _follow(visit: Visit) -> Response:
    text = _text(visit)
    return live.follow(visit, lambda: visit.room.sandbox.every(visit.caller, visit.tenant, None, PAGE, text))


async def _empty(visit: Visit) -> Response:
    await visit.room.sandbox.empty(visit.caller, visit.tenant)
    return visit.to("/sandbox", done="emptied")


@dataclass(frozen=True, slots=True)
class _Mail:
    """`views` are those that it has, by the name in the address."""

    caught: CaughtRead
    content: bytes
    read: reading.Reading

    @property
    def views(self) -> dict[str, str]:
        lacks = {
            "html": self.read.html is None,
            "text": self.read.text is None,
            "attachments": not self.read.attachments,
        }
        return {name: word for name, word in VIEWS.items() if not lacks.get(name, False)}


async def _show(visit: Visit) -> Response:
    mail = await _mail(visit)
    asked = visit.query("view")
    view = asked if asked in mail.views else next(iter(mail.views))
    return visit.show(
        "mail.html", mail=mail.caught, reading=mail.read, views=mail.views, view=view,
        source=_as_text(mail.content[: reading.MOST_SHOWN]) if view == "source" else "",
        is_cut=len(mail.content) > reading.MOST_SHOWN,
        header=reading.header(mail.content) if view == "headers" else (), sent=await _sent(visit, mail),
    )  # fmt: skip


async def _sent(visit: Visit, mail: _Mail) -> str | None:
    """The id of the message that it was sent as, where it is one of the tenant's."""
    named = MESSAGE_ID.fullmatch(mail.read.message_id)
    if named is None:
        return None
    try:
        return (await visit.room.mail.show(visit.caller, visit.tenant, named[1])).id
    except NotFound:
        return None


async def _html(visit: Visit) -> Response:
    """The mail's own HTML, for a frame: by a policy under which nothing is fetched and nothing runs."""
    mail = await _mail(visit)
    html = await asyncio.to_thread(reading.html_with_images, mail.content)
    return HTMLResponse(html or "", headers={"content-security-policy": MAIL_POLICY})


async def _source(visit: Visit) -> Response:
    """The mail as a file for a mail program (RFC 822 by its old name, .eml)."""
    mail = await _mail(visit)
    return _saved(f"{mail.caught.id}.eml", mail.content)


async def _attachment(visit: Visit) -> Response:
    """Always to be saved, never shown, whatever the mail says that it is."""
    number = visit.request.path_params["number"]
    mail = await _mail(visit)
    file = await asyncio.to_thread(reading.file, mail.content, number)
    if file is None:
        raise NotFound("The mail has no such attachment.")
    return _saved(file.filename or f"attachment-{number + 1}", file.content)


async def _mail(visit: Visit) -> _Mail:
    """Raises NotFound, SecretLost."""
    caught = await visit.room.sandbox.show(visit.caller, visit.tenant, visit.part("mail"))
    content = caught.content or b""
    return _Mail(caught, content, await asyncio.to_thread(reading.read, content))


def _saved(filename: str, content: bytes) -> Response:
    name = filename.replace("/", "_").replace("\\", "_")
    return Response(content, headers={
        "content-type": "application/octet-stream", "content-security-policy": FILE_POLICY,
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    })  # fmt: skip


def _as_text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _text(visit: Visit) -> str | None:
    return (visit.query("text") or "").strip()[:LONGEST_FILTER] or None
