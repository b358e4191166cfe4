"""The ASGI app. Its route list is the table of contents of everything that is served."""

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from postroom import __version__, log
from postroom.actions.room import Room
from postroom.dialects import ALL
from postroom.domain.counts import Counts
from postroom.domain.problems import Invalid, NoRoute, Problem
from postroom.web import bodies, dialects, headers, metrics, openapi, problems, request_ids
from postroom.web.api import (
    audit,
    checks,
    conversion,
    keys,
    messages,
    profiles,
    revisions,
    sandbox,
    status,
    tenants,
    vault,
)
from postroom.web.api.models import ProblemOut
from postroom.web.callers import Surroundings
from postroom.web.events import Streams
from postroom.web.pages import site as pages
from postroom.web.pages import trouble
from postroom.web.territories import Territories
from postroom.web.uploads import Uploads

_NATIVE = (profiles, checks, messages, keys, tenants, vault)
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemOut, "content": {"application/problem+json": {}}}
    for status in (400, 401, 403, 404, 409, 412, 413, 429, 500, 503)
}
_BEARER = {"key": {"type": "http", "scheme": "bearer"}}


@dataclass(frozen=True, slots=True)
class Ready:
    """`wrong` says what is wrong, by part; nothing when all is well."""

    wrong: Callable[[], Awaitable[Mapping[str, str]]]


def build(
    room: Room, health: Ready, surroundings: Surroundings, counts: Counts | None = None, streams: Streams | None = None
) -> ASGIApp:
    speaking = {dialect: dialects.build(dialect) for dialect in ALL}
    native = _native()
    documents = {"v1": native} | {dialect.name: app for dialect, app in speaking.items()}
    routes: list[BaseRoute] = [
        *pages.routes(documents),
        *openapi.pages(documents),
        Route("/healthz", _alive),
        Route("/readyz", _ready(health)),
        Route("/metrics", metrics.show),
        Mount("/v1", native),
    ]
    handlers: dict[Any, Any] = {HTTPException: _nothing_here, Problem: _problem, Exception: _sorry}
    site = Starlette(routes=routes, exception_handlers=handlers)
    site.router.redirect_slashes = False
    streams = streams or Streams()
    for app in (site, native, *speaking.values()):
        app.state.room = room
        app.state.streams = streams
        app.state.surroundings = surroundings
    areas: dict[ASGIApp, str] = {app: dialect.name for dialect, app in speaking.items()} | {_send_mail: "v1"}
    return _Front(site, Territories(speaking), areas, counts or Counts(), surroundings.is_https)


def _native() -> FastAPI:
    app = FastAPI(
        title="Postroom", version=__version__, summary="Outgoing-mail settings and mail: set, check, send, look up.",
        openapi_url=None, docs_url=None, redoc_url=None, servers=[{"url": "/v1"}], responses=_REFUSALS,
        redirect_slashes=False,
    )  # fmt: skip
    for noun in (*_NATIVE, revisions, conversion, audit, sandbox, status):
        app.include_router(noun.router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _bad_parameter)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _bug)
    models = [model for noun in _NATIVE for model in noun.MODELS]
    app.openapi = openapi.document(app, models, _BEARER)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


class _Front:
    """Sends each request to the dialect whose territory it is in, or to the site; names and counts it; adds the headers
    that all answers carry; and lets no exception out."""

    def __init__(
        self, site: ASGIApp, territories: Territories, areas: Mapping[ASGIApp, str], counts: Counts, https: bool
    ) -> None:
        self._site = site
        self._territories = territories
        self._areas = areas
        self._counts = counts
        self._https = https
        self._uploads = Uploads()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._site(scope, receive, send)
            return
        started, status, area = time.perf_counter(), 0, "none"
        name = request_ids.of(scope)
        log.request_id.set(name)
        receive, over = self._uploads.metered(receive)

        async def dressed(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = [*message["headers"], (request_ids.HEADER, name.encode())]
                message["headers"] = [*given, *headers.missing(scope["path"], given, https=self._https)]
            await send(message)

        try:
            app, understood = self._find(scope)
            area = self._areas.get(app) or ("v1" if scope["path"].startswith("/v1/") else "site")
            await app(understood, receive, dressed)
        except ClientDisconnect:
            pass  # nobody is left to be told
        except Exception as bug:
            log.request_failed(scope["method"], scope["path"], bug)
            if not status:
                await problems.respond_to_bug()(scope, receive, dressed)
        finally:
            over()
        self._counts.requests[area, status] += 1
        log.request(scope["method"], scope["path"], status, (time.perf_counter() - started) * 1000)

    def _find(self, scope: Scope) -> tuple[ASGIApp, Scope]:
        if scope["path"] == "/v1/messages" and scope["method"] == "POST":
            return _send_mail, {**scope, "app": self._site}
        return self._territories.find(scope) or (_nul if _has_nul(scope) else self._site, scope)


async def _send_mail(scope: Scope, receive: Receive, send: Send) -> None:
    """Asked before any framework: its routing and middleware cost more than all that a request does before the queue
    (docs/performance.md)."""
    try:
        response = await messages.send_directly(Request(scope, receive))
    except Problem as problem:
        response = problems.respond(problem)
    await response(scope, receive, send)


def _has_nul(scope: Scope) -> bool:
    return "\0" in scope["path"] or b"%00" in scope["query_string"]


async def _nul(scope: Scope, receive: Receive, send: Send) -> None:
    """PostgreSQL takes no such text, so nothing that we keep can be meant."""
    await problems.respond(Invalid("path", "A path or query must not have a NUL character."))(scope, receive, send)


async def _alive(_request: Request) -> Response:
    return JSONResponse({"alive": True, "version": __version__})


def _ready(health: Ready) -> Callable[[Request], Awaitable[Response]]:
    async def ready(_request: Request) -> Response:
        wrong = await health.wrong()
        return JSONResponse({"ready": not wrong, "wrong": dict(wrong)}, 503 if wrong else 200)

    return ready


async def _problem(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101  registered for it
    return problems.respond(problem)


async def _bug(_request: Request, _error: Exception) -> Response:
    """The framework raises it again after this answer, for `_Front` to log."""
    return problems.respond_to_bug()


async def _nothing_here(request: Request, error: Exception) -> Response:
    """A page for people who have lost their way, JSON for programs."""
    return await pages.lost(request) if trouble.wants_page(request) else await _no_route(request, error)


async def _sorry(request: Request, error: Exception) -> Response:
    return trouble.bug() if trouble.wants_page(request) else await _bug(request, error)


async def _bad_parameter(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for it
    first = error.errors()[0]
    return problems.respond(Invalid(bodies.path(first["loc"][1:]), f"{first['msg']}."))


async def _no_route(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for it
    if error.status_code == 405:
        return problems.respond(NoRoute("There is no such method here; see /docs for what there is."))
    return problems.respond(NoRoute("There is nothing here; see /docs for what there is."))
