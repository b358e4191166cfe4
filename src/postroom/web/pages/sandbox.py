"""/sandbox: the mails that the sandbox relay caught."""

import asyncio

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.smtp.sandbox import read
from postroom.web.pages.visit import Visit, page

PAGE = 50


def routes() -> list[BaseRoute]:
    return [Route("/sandbox", page(_list)), Route("/sandbox/{mail}", page(_show))]


async def _list(visit: Visit) -> Response:
    mails = await visit.room.sandbox.every(visit.caller, visit.tenant, visit.query("before"), PAGE)
    more = mails[-1].id if len(mails) == PAGE else None
    return visit.show("sandbox.html", mails=mails, more=more)


async def _show(visit: Visit) -> Response:
    mail = await visit.room.sandbox.show(visit.caller, visit.tenant, visit.part("mail"))
    content = mail.content or b""
    reading = await asyncio.to_thread(read, content)
    return visit.show("mail.html", mail=mail, reading=reading, source=content.decode("utf-8", "replace"))
