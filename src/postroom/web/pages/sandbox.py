"""/sandbox: the mails that the sandbox relay caught. And /sign-in, which it needs."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import FastAPI
from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from postroom.actions.keys import TOKEN_LIFE
from postroom.dialects.key_styles import of_this_site
from postroom.domain.access import Caller
from postroom.domain.problems import Problem, TooMany, Unauthenticated, Unavailable
from postroom.domain.secret import Secret
from postroom.domain.tenant import Tenant
from postroom.smtp.sandbox import read
from postroom.web import bodies, problems
from postroom.web.api.models import moment
from postroom.web.callers import address_of, is_https, room_of
from postroom.web.dialects import asked_by

COOKIE = "postroom_session"
PAGE = 50
_HERE = Path(__file__).parent
_templates = Environment(loader=PackageLoader("postroom.web.pages"), autoescape=select_autoescape(default=True))
_templates.filters["moment"] = moment


def routes(documents: Mapping[str, FastAPI]) -> list[BaseRoute]:
    """`documents` are what /docs lists, by name."""

    async def docs(_request: Request) -> Response:
        return _page("docs.html", documents={name: app.title for name, app in documents.items()})

    return [
        Route("/", _home),
        Route("/docs", docs),
        Route("/sign-in", _sign_in_page, methods=["GET"]),
        Route("/sign-in", _sign_in, methods=["POST"]),
        Route("/sign-out", _sign_out, methods=["POST"]),
        Route("/sandbox", _list),
        Route("/sandbox/{mail}", _show),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]


async def _home(_request: Request) -> Response:
    return RedirectResponse("/sandbox", 303)


async def _sign_in_page(_request: Request) -> Response:
    return _page("sign_in.html")


async def _sign_in(request: Request) -> Response:
    """Exchange an API key for a session cookie: SameSite=Strict, so that no other site can use it. Nor may another site
    sign somebody in with a key of its own, who would then take its mail for theirs."""
    if not of_this_site(asked_by(request)):
        return _page("sign_in.html", 403, problem="Sign in on this page, not from another site.")
    form = parse_qs((await bodies.read(request, 4096)).decode("utf-8", "replace"))
    keys = room_of(request).keys
    try:
        caller = await keys.authenticate(Secret(form.get("key", [""])[0].strip()), address_of(request))
    except (Unauthenticated, TooMany, Unavailable) as problem:
        return _told(problem)
    if caller.issuer is not None:
        return _page("sign_in.html", 401, problem="A session is made from an API key, not from another issuer's token.")
    return _with_session(RedirectResponse("/sandbox", 303), request, caller)


async def _sign_out(request: Request) -> Response:
    """Forget the session here. Whoever copied its token still has it until it ends, at most a quarter of an hour later;
    revoking the key ends it at once."""
    if not of_this_site(asked_by(request)):
        return _page("sign_in.html", 403, problem="Sign out on a page of this site.")
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(_cookie(request), httponly=True, samesite="strict", secure=is_https(request))
    return response


async def _list(request: Request) -> Response:
    try:
        caller, tenant = await _who(request)
        mails = await room_of(request).sandbox.every(caller, tenant, request.query_params.get("before"), PAGE)
    except Problem as problem:
        return _refused(problem)
    more = mails[-1].id if len(mails) == PAGE else None
    return _with_session(_page("sandbox.html", mails=mails, tenant=tenant, more=more), request, caller)


async def _show(request: Request) -> Response:
    try:
        caller, tenant = await _who(request)
        mail = await room_of(request).sandbox.show(caller, tenant, request.path_params["mail"])
    except Problem as problem:
        return _refused(problem)
    content = mail.content or b""
    source = content.decode("utf-8", "replace")
    reading = await asyncio.to_thread(read, content)
    page = _page("mail.html", mail=mail, reading=reading, source=source, tenant=tenant)
    return _with_session(page, request, caller)


async def _who(request: Request) -> tuple[Caller, Tenant]:
    room = room_of(request)
    caller = await room.keys.authenticate(Secret(request.cookies.get(_cookie(request), "")), address_of(request))
    return caller, await room.tenants.of(caller, request.query_params.get("tenant"))


def _refused(problem: Problem) -> Response:
    if isinstance(problem, Unauthenticated):
        return RedirectResponse("/sign-in", 303)
    if isinstance(problem, TooMany | Unavailable):
        return _told(problem)
    return _page("problem.html", 404, problem=problem.message)


def _told(problem: Problem) -> Response:
    """On the page to sign in at, with the status that it is."""
    said = problems.respond(problem)
    page = _page("sign_in.html", said.status_code, problem=problem.message)
    if "retry-after" in said.headers:
        page.headers["retry-after"] = said.headers["retry-after"]
    return page


def _with_session(response: Response, request: Request, caller: Caller) -> Response:
    """Each page prolongs the session; a revoked key ends it at once."""
    if caller.key_id != "operator":
        response.set_cookie(
            _cookie(request), room_of(request).keys.token(caller), max_age=TOKEN_LIFE, httponly=True,
            samesite="strict", secure=is_https(request),
        )  # fmt: skip
    return response


def _cookie(request: Request) -> str:
    """Over https under a name that only this very host can set (RFC 6265bis section 4.1.3.2)."""
    return f"__Host-{COOKIE}" if is_https(request) else COOKIE


def _page(template: str, status: int = 200, **values: object) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(template).render(**values), status)
