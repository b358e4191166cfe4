"""The console: its pages by noun. Each noun's file begins with its routes."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from postroom.domain.problems import NoRoute
from postroom.web.callers import url_of
from postroom.web.pages import (
    as_dialect,
    audit,
    checks,
    keys,
    messages,
    overview,
    profiles,
    revisions,
    sandbox,
    sign_in,
    tenants,
    trouble,
)
from postroom.web.pages.render import page as plain_page
from postroom.web.pages.render import prepare
from postroom.web.pages.visit import Visit, is_signed_in, page

_STATIC = Path(__file__).parent / "static"
_NOUNS = (overview, checks, profiles, as_dialect, revisions, messages, sandbox, keys, audit, tenants, sign_in)


def routes(documents: Mapping[str, FastAPI]) -> list[BaseRoute]:
    """`documents` are what /docs lists, by name."""
    prepare()
    said = {name: app.title for name, app in documents.items()}

    async def inside(visit: Visit) -> Response:
        return visit.show("docs_here.html", documents=said, mail=_mail(visit.request))

    async def docs(request: Request) -> Response:
        """Open to all, as the documents are; in the console's frame for whoever is signed in."""
        shown = await page(inside)(request) if is_signed_in(request) else None
        if shown and shown.status_code == 200:
            return shown
        return plain_page("docs.html", documents=said, mail=_mail(request))

    pages = [route for noun in _NOUNS for route in noun.routes()]
    return [*pages, Route("/docs", docs), Mount("/static", StaticFiles(directory=_STATIC))]


def _mail(request: Request) -> str:
    """Where whoever reads this hands mail in."""
    return str(url_of(request).replace(path="/v1/messages", query=""))


async def lost(request: Request) -> Response:
    """At an address where there is no page."""
    return await page(_nowhere)(request) if is_signed_in(request) else trouble.told(_NOWHERE)


_NOWHERE = NoRoute("There is no page at this address.")


async def _nowhere(_visit: Visit) -> Response:
    raise _NOWHERE
