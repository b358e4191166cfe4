"""Serves any dialect. The only code that knows both a dialect and the web framework."""

import json
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from postroom import log
from postroom.actions.keys import TOKEN_LIFE
from postroom.dialects.dialect import Asked, Dialect, Endpoint, Reply, Verb
from postroom.domain.access import Caller
from postroom.domain.problems import NoRoute, Problem, Unauthenticated, Unavailable
from postroom.domain.tenant import Tenant
from postroom.store.profiles import StoredProfile
from postroom.web import bodies, openapi
from postroom.web.callers import TENANT_HEADER, address_of, room_of

_FORM = "application/x-www-form-urlencoded"


def build(dialect: Dialect) -> FastAPI:
    """An app of its own, with its own OpenAPI document, in which every answer is in the dialect's envelope."""
    app = FastAPI(title=f"Postroom speaks {dialect.title}", openapi_url=None, docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False  # a redirect is no envelope, and leads where the Host header says
    for endpoint in dialect.endpoints:
        app.add_api_route(
            endpoint.path,
            _serve(dialect, endpoint),
            methods=[endpoint.method],
            summary=endpoint.summary,
            responses={200: {"model": endpoint.answer}},
            openapi_extra=openapi.takes(endpoint.body) if endpoint.body else None,
        )

    async def no_route(_request: Request, _error: Exception) -> Response:
        return _respond(dialect.refuse(NoRoute("There is no such path or method.")))

    app.add_exception_handler(HTTPException, no_route)
    models = {endpoint.body for endpoint in dialect.endpoints if endpoint.body}
    schemes = {f"key{n}": style.openapi for n, style in enumerate(dialect.key_styles, 1)}
    app.openapi = openapi.document(app, models, schemes)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _serve(dialect: Dialect, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        try:
            return _respond(await _do(dialect, endpoint, request))
        except Problem as problem:
            return _respond(dialect.refuse(problem))
        except Exception as bug:
            log.request_failed(request.method, request.url.path, bug)
            return _respond(dialect.refuse(Unavailable("Something went wrong here; it is in the server's log.")))

    return serve


async def _do(dialect: Dialect, endpoint: Endpoint, request: Request) -> Reply:
    caller = await _caller(dialect, endpoint, request)
    asked = await _asked(request)
    dialect.admit(asked)
    room = room_of(request)
    tenant = await room.tenants.of(caller, request.headers.get(TENANT_HEADER))
    match endpoint.verb:
        case Verb.SHOW:
            stored = await room.profiles.show(caller, tenant)
            return dialect.reply(endpoint.verb, stored.settings)
        case Verb.SAVE:
            stored = await _save(dialect, request, caller, tenant, asked)
            return dialect.reply(endpoint.verb, stored.settings)
        case Verb.TOKEN:
            return dialect.grant(endpoint, room.keys.token(caller), TOKEN_LIFE)


async def _save(dialect: Dialect, request: Request, caller: Caller, tenant: Tenant, asked: Asked) -> StoredProfile:
    patch = dialect.read(dialect.fields(asked))
    return await room_of(request).profiles.save(
        caller,
        tenant,
        None,
        lambda stored: patch.without(dialect.shown(stored.settings if stored else None)),
        dialect=dialect.name,
    )


async def _asked(request: Request) -> Asked:
    raw = await bodies.read(request, bodies.SETTINGS_OCTETS)
    is_form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
    return Asked(
        path=request.path_params,
        query=dict(request.query_params),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=(bodies.form(raw) or None) if is_form else bodies.loose_json(raw),
    )


async def _caller(dialect: Dialect, endpoint: Endpoint, request: Request) -> Caller:
    key = dialect.find_key(endpoint, request.headers)
    if key is None:
        raise Unauthenticated("The API key is missing.")
    return await room_of(request).keys.authenticate(key, address_of(request))


def _respond(reply: Reply) -> Response:
    body = b"" if reply.body is None else json.dumps(reply.body, ensure_ascii=False).encode()
    return Response(body, reply.status, dict(reply.headers), "application/json" if body else None)
