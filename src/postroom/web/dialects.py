"""Serves any dialect. The only code that knows both a dialect and the web framework."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from postroom import log
from postroom.actions.keys import TOKEN_LIFE
from postroom.actions.profiles import Change
from postroom.dialects.dialect import Asked, Dialect, Endpoint, Fields, Reply, Standing, Token, Verb
from postroom.domain.access import Caller, Permission
from postroom.domain.problems import Denied, NoRoute, NotFound, Problem, TooMany, Unauthenticated, Unavailable
from postroom.domain.tenant import Tenant
from postroom.store.profiles import StoredProfile
from postroom.store.tenants import UNKNOWN
from postroom.web import bodies, openapi
from postroom.web.callers import TENANT_HEADER, address_of, came_securely, home_of, room_of, url_of

_FORM = "application/x-www-form-urlencoded"
_KEY_IN_BODY = (Verb.TOKEN, Verb.WHO)
REFUSALS = (400, 401, 403, 404, 409, 413, 429, 500, 503)


def build(dialect: Dialect) -> FastAPI:
    """An app of its own, with its own OpenAPI document, in which every answer is in the dialect's envelope."""
    app = FastAPI(title=f"Postroom speaks {dialect.title}", openapi_url=None, docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False  # a redirect is no envelope, and leads where the Host header says
    statuses = (*REFUSALS, *dialect.refuses)
    for endpoint in dialect.endpoints:
        app.add_api_route(
            endpoint.path,
            _serve(dialect, endpoint),
            methods=[endpoint.method],
            status_code=endpoint.status,
            summary=endpoint.summary,
            responses=openapi.refusals(endpoint.refusal or dialect.error, statuses)
            | {endpoint.status: {"model": endpoint.answer} if endpoint.answer else {}},
            openapi_extra=openapi.path_parameters(endpoint.path)
            | ({"security": []} if endpoint.verb is Verb.WHO else {})  # answered without a key, too
            | (openapi.takes(endpoint.body, media=endpoint.takes) if endpoint.body else {}),
        )

    async def no_route(request: Request, _error: Exception) -> Response:
        return _respond(dialect, dialect.refusal(None, asked_by(request), NoRoute("There is no such path or method.")))

    app.add_exception_handler(HTTPException, no_route)
    models = {endpoint.body for endpoint in dialect.endpoints if endpoint.body}
    schemes = {f"key{n}": style.openapi for n, style in enumerate(dialect.key_styles, 1)}
    app.openapi = openapi.document(app, models, schemes)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _serve(dialect: Dialect, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        asked = asked_by(request)
        try:
            if dialect.https_only and not came_securely(request):
                raise Denied("Calls must be made over https.")
            # The key first: nothing of a stranger's body is parsed, unless the key may be in it.
            if endpoint.verb in _KEY_IN_BODY:
                asked = await _with_body(asked, request)
            return _respond(dialect, await _do(dialect, endpoint, asked, request))
        except Problem as problem:
            return _respond(dialect, _waiting(dialect.refusal(endpoint, asked, problem), problem))
        except Exception as bug:
            log.request_failed(request.method, request.url.path, bug)
            sorry = Unavailable("Something went wrong here; it is in the server's log.")
            return _respond(dialect, dialect.refusal(endpoint, asked, sorry))

    return serve


async def _do(dialect: Dialect, endpoint: Endpoint, asked: Asked, request: Request) -> Reply:
    try:
        caller = await _caller(dialect, endpoint, asked, request)
    except Unauthenticated:
        if endpoint.verb is Verb.WHO:
            return dialect.who(endpoint, asked, known=False)
        raise
    dialect.admit(asked)
    if endpoint.verb not in _KEY_IN_BODY:
        asked = await _with_body(asked, request)
    tenant = await _tenant(dialect, caller, asked, request)
    return await _VERBS[endpoint.verb](_Call(dialect, endpoint, asked, request, caller, tenant))


class _Call:
    """One request on its way: all that a verb needs."""

    def __init__(
        self, dialect: Dialect, endpoint: Endpoint, asked: Asked, request: Request, caller: Caller, tenant: Tenant
    ) -> None:
        self.dialect = dialect
        self.endpoint = endpoint
        self.asked = asked
        self.caller = caller
        self.tenant = tenant
        self.room = room_of(request)

    def standing(self, stored: StoredProfile | None) -> Standing:
        is_fallback = self.room.profiles.is_fallback(stored)
        if stored is None:
            return Standing(None, is_fallback=is_fallback)
        return Standing(stored.settings, stored.id, is_fallback, has_secret=stored.sealed_password is not None)

    async def profile_id(self, fields: Fields) -> int | None:
        """The profile that the fields are for. Before there is one, the number that is shown then stands for it."""
        number = self.dialect.profile_id(fields)
        if number == Standing(None).id and await self.room.profiles.are_none(self.tenant):
            return None
        return number

    def change(self, fields: Fields) -> Change:
        patch = self.dialect.read(fields)
        return lambda stored: self.dialect.change(patch, stored.settings if stored else None)


async def _show(call: _Call) -> Reply:
    stored = await call.room.profiles.find(call.caller, call.tenant)
    return call.dialect.reply(call.endpoint, call.asked, call.standing(stored))


async def _save(call: _Call) -> Reply:
    fields = call.dialect.fields(call.asked)
    if fields is None:
        call.caller.require(Permission.SETTINGS_WRITE)
        return await _show(call)
    if call.dialect.clears(fields):
        return await _reset(call)
    stored = await call.room.profiles.save(
        call.caller, call.tenant, await call.profile_id(fields), call.change(fields), dialect=call.dialect.name,
        clear_if_moved=call.dialect.clear_if_moved,
    )  # fmt: skip
    return call.dialect.reply(call.endpoint, call.asked, call.standing(stored))


async def _reset(call: _Call) -> Reply:
    stored = await call.room.profiles.reset(call.caller, call.tenant, dialect=call.dialect.name)
    return call.dialect.reply(call.endpoint, call.asked, call.standing(stored))


async def _try(call: _Call) -> Reply:
    trial = call.dialect.trial(call.asked)
    fields = trial.fields or {}
    profile_id = await call.profile_id(fields) if trial.fields else None
    # Before the mail goes out: an answer that shows settings needs the permission to read them.
    stored = await call.room.profiles.find(call.caller, call.tenant, profile_id)
    verdict = await call.room.trials.now(
        call.caller, call.tenant, profile_id, call.change(fields) if trial.fields else None, trial.mail,
        clear_if_moved=call.dialect.clear_if_moved,
    )  # fmt: skip
    return call.dialect.tried(call.endpoint, call.asked, call.standing(stored), verdict)


async def _try_start(call: _Call) -> Reply:
    job = await call.room.trials.start(call.caller, call.tenant, call.dialect.trial(call.asked).mail)
    return call.dialect.progress(call.endpoint, call.asked, job)


async def _try_status(call: _Call) -> Reply:
    return call.dialect.progress(call.endpoint, call.asked, await call.room.trials.status(call.caller, call.tenant))


async def _token(call: _Call) -> Reply:
    value, refresh = call.room.keys.token(call.caller), call.room.keys.token(call.caller)
    token = Token(value, TOKEN_LIFE, int(time.time()), refresh)
    return call.dialect.grant(call.endpoint, call.asked, token)


async def _who(call: _Call) -> Reply:
    return call.dialect.who(call.endpoint, call.asked, known=True)


async def _fixed(call: _Call) -> Reply:
    return call.dialect.fixed(call.endpoint, call.asked)


_VERBS: Mapping[Verb, Callable[[_Call], Awaitable[Reply]]] = {
    Verb.SHOW: _show, Verb.SAVE: _save, Verb.RESET: _reset, Verb.TRY: _try, Verb.TRY_START: _try_start,
    Verb.TRY_STATUS: _try_status, Verb.TOKEN: _token, Verb.WHO: _who, Verb.FIXED: _fixed,
}  # fmt: skip


def asked_by(request: Request) -> Asked:
    """The request as a dialect sees it, but for its body."""
    return Asked(
        method=request.method,
        url=str(url_of(request)),
        host=request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", ""),
        home=home_of(request),
        path=request.path_params,
        query=dict(request.query_params),
        headers={name.lower(): value for name, value in request.headers.items()},
    )


async def _with_body(asked: Asked, request: Request) -> Asked:
    """The request with its body. Raises TooLarge, Invalid."""
    raw = await bodies.read(request, bodies.SETTINGS_OCTETS)
    # curl says "form" of whatever stands behind -d, also of JSON.
    is_form = _media_type(request) == _FORM and raw.lstrip()[:1] not in (b"{", b"[")
    return replace(asked, body=(bodies.form(raw) or None) if is_form else bodies.loose_json(raw))


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _caller(dialect: Dialect, endpoint: Endpoint, asked: Asked, request: Request) -> Caller:
    key = dialect.find_key(endpoint, asked)
    if key is None:
        raise Unauthenticated("The API key is missing.")
    return await room_of(request).keys.authenticate(key, address_of(request))


async def _tenant(dialect: Dialect, caller: Caller, asked: Asked, request: Request) -> Tenant:
    """The credential's; host, path and header may only agree (design section 3, rule 1)."""
    named = dialect.tenant(asked)
    header = request.headers.get(TENANT_HEADER)
    if named is not None and header is not None and named != header:
        raise NotFound(UNKNOWN)
    return await room_of(request).tenants.of(caller, named if named is not None else header)


def _waiting(reply: Reply, problem: Problem) -> Reply:
    """With what says how long to wait (RFC 9110 section 10.2.3), which is the same in every product."""
    if not isinstance(problem, TooMany | Unavailable):
        return reply
    return replace(reply, headers={**reply.headers, "retry-after": str(problem.retry_after)})


def _respond(dialect: Dialect, reply: Reply) -> Response:
    body = b"" if reply.body is None else dialect.encode(reply.body)
    return Response(body, reply.status, dict(reply.headers), "application/json" if body else None)
