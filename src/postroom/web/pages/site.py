"""The console: its pages by noun. Each noun's file begins with its routes."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from postroom.web.pages import as_dialect, checks, overview, profiles, revisions, sandbox, sign_in
from postroom.web.pages.render import page, prepare

_STATIC = Path(__file__).parent / "static"
_NOUNS = (overview, checks, profiles, as_dialect, revisions, sandbox, sign_in)


def routes(documents: Mapping[str, FastAPI]) -> list[BaseRoute]:
    """`documents` are what /docs lists, by name."""
    prepare()

    async def docs(_request: Request) -> Response:
        return page("docs.html", documents={name: app.title for name, app in documents.items()})

    pages = [route for noun in _NOUNS for route in noun.routes()]
    return [*pages, Route("/docs", docs), Mount("/static", StaticFiles(directory=_STATIC))]
