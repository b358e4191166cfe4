"""One request of somebody who is signed in: who it is, which tenant it is about, and how a page answers.

A page is a function from a `Visit` to a response; `page` makes a route's endpoint of it, which knows people by their
cookie (design section 4: everything is an API key underneath), refuses what another site sends, and turns every Problem
into a page. What may be done is asked of `actions/`, never here.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from postroom.actions.keys import TOKEN_LIFE
from postroom.actions.room import Room
from postroom.dialects.key_styles import of_this_site
from postroom.domain.access import Caller, Permission
from postroom.domain.problems import Denied, Problem, Unauthenticated
from postroom.domain.secret import Secret
from postroom.domain.tenant import DEFAULT, Tenant
from postroom.web import bodies, problems
from postroom.web.callers import address_of, is_https, room_of
from postroom.web.dialects import asked_by
from postroom.web.pages import render, trouble

COOKIE = "postroom_session"
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Visit:
    """`form` holds the fields of a POST, else nothing; `now` is in microseconds since 1970."""

    request: Request
    room: Room
    caller: Caller
    tenant: Tenant
    form: Mapping[str, str]
    now: int

    def query(self, name: str) -> str | None:
        """A parameter of the address; None where it is missing or empty."""
        return self.request.query_params.get(name) or None

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def may(self, permission: str) -> bool:
        """Whether to offer something; whether it is allowed is decided where it is done."""
        return Permission(permission) in self.caller.permissions

    def link(self, path: str, **query: object) -> str:
        """An address on this site that stays with the tenant whose pages are shown."""
        said = {name: value for name, value in query.items() if value is not None}
        if self.caller.is_installation_wide and self.tenant.slug != DEFAULT:
            said["tenant"] = self.tenant.slug
        return f"{path}?{urlencode(said)}" if said else path

    @property
    def frame(self) -> dict[str, object]:
        """What console.html needs."""
        done = render.DONE.get(self.query("done") or "")
        return {"visit": self, "link": self.link, "now": self.now, "done": done}

    def show(self, template: str, status: int = 200, **values: object) -> Response:
        return render.page(template, status, **self.frame, **values)

    def grow(self, template: str, parts: AsyncGenerator[str, None], **values: object) -> Response:
        """A page that is there before all of it is known."""
        return render.growing(template, trouble.within(parts, self.request), **self.frame, **values)

    def to(self, path: str, **query: object) -> Response:
        """After something was done: the page that shows it, so that reloading does it not again."""
        return RedirectResponse(self.link(path, **query), 303)


Page = Callable[[Visit], Awaitable[Response]]


def page(shows: Page) -> Endpoint:
    """The endpoint of a page. Each answer prolongs the session; a revoked key ends it at once."""

    async def endpoint(request: Request) -> Response:
        caller = visit = None
        try:
            caller = await caller_of(request)
            visit = await visit_of(request, caller)
            response = await shows(visit)
        except Problem as problem:
            response = _refused(request, visit, problem)
        return response if caller is None else with_session(response, request, caller)

    return endpoint


async def visit_of(request: Request, caller: Caller) -> Visit:
    """Raises NotFound for a tenant that is not there, and what `form_of` raises."""
    form = await form_of(request) if request.method == "POST" else {}
    tenant = await room_of(request).tenants.of(caller, request.query_params.get("tenant"))
    return Visit(request, room_of(request), caller, tenant, form, time.time_ns() // 1000)


async def caller_of(request: Request) -> Caller:
    """Raises Unauthenticated, TooMany, Unavailable."""
    shown = Secret(request.cookies.get(cookie(request), ""))
    return await room_of(request).keys.authenticate(shown, address_of(request))


async def form_of(request: Request) -> Mapping[str, str]:
    """Raises Denied where another site sent it (its cookie is SameSite=Strict, too), Invalid, TooLarge."""
    if not of_this_site(asked_by(request)):
        raise Denied("That came from another site, so it was not done. Do it on a page of this one.")
    return bodies.form(await bodies.read(request, bodies.SETTINGS_OCTETS))


def with_session(response: Response, request: Request, caller: Caller) -> Response:
    if caller.key_id != "operator" and "set-cookie" not in response.headers:
        response.set_cookie(
            cookie(request), room_of(request).keys.token(caller), max_age=TOKEN_LIFE, httponly=True,
            samesite="strict", secure=is_https(request),
        )  # fmt: skip
    return response


def cookie(request: Request) -> str:
    """Over https under a name that only this very host can set (RFC 6265bis section 4.1.3.2)."""
    return f"__Host-{COOKIE}" if is_https(request) else COOKIE


def _refused(request: Request, visit: Visit | None, problem: Problem) -> Response:
    if isinstance(problem, Unauthenticated):
        return RedirectResponse(f"/sign-in?{urlencode(_way_back(request))}".rstrip("?"), 303)
    return trouble.told(problem, **(visit.frame if visit else {}))


def _way_back(request: Request) -> dict[str, str]:
    """Where to go after signing in. What was to be done is not done then: it has to be asked for again."""
    if request.method != "GET":
        return {"ended": "yes"}
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return {"next": asked} if asked != "/" else {}


def sign_in_again(problem: Problem, **values: object) -> Response:
    """The page to sign in, with what is wrong, and the status that this has in the API."""
    said = problems.respond(problem)
    shown = render.page("sign_in.html", said.status_code, **{"problem": problem.message, "next": None} | values)
    if "retry-after" in said.headers:
        shown.headers["retry-after"] = said.headers["retry-after"]
    return shown


def is_signed_in(request: Request) -> bool:
    """Whether a session is shown; whether it is good, `page` finds out."""
    return bool(request.cookies.get(cookie(request)))
