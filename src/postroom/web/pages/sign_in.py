"""/sign-in and /sign-out: an API key for a session cookie, and back."""

import re
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from postroom.dialects.key_styles import of_this_site
from postroom.domain.problems import Problem
from postroom.domain.secret import Secret
from postroom.web import bodies
from postroom.web.callers import address_of, is_https, room_of
from postroom.web.dialects import asked_by
from postroom.web.pages.render import page
from postroom.web.pages.visit import cookie, sign_in_again, with_session

KEY_OCTETS = 4096

# A path on this very site: neither another one (`//host`, `/\\host`) nor with anything that a browser strips.
_HERE: Final = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}")


def routes() -> list[BaseRoute]:
    return [
        Route("/sign-in", _ask, methods=["GET"]),
        Route("/sign-in", _sign_in, methods=["POST"]),
        Route("/sign-out", _sign_out, methods=["POST"]),
    ]


async def _ask(request: Request) -> Response:
    said = request.query_params
    return page("sign_in.html", problem=None, next=here(said.get("next")), ended="ended" in said)


async def _sign_in(request: Request) -> Response:
    """Exchange an API key for a session cookie: SameSite=Strict, so that no other site can use it. Nor may another site
    sign somebody in with a key of its own, who would then take its mail for theirs."""
    if not of_this_site(asked_by(request)):
        return page("sign_in.html", 403, problem="Sign in on this page, not from another site.", next=None)
    form: Mapping[str, str] = {}
    try:
        form = bodies.form(await bodies.read(request, KEY_OCTETS))
        caller = await room_of(request).keys.authenticate(Secret(form.get("key", "").strip()), address_of(request))
    except Problem as problem:
        return sign_in_again(problem, next=here(form.get("next")))
    if caller.issuer is not None:
        no_key = "A session is made from an API key, not from another issuer's token."
        return page("sign_in.html", 401, problem=no_key, next=None)
    return with_session(RedirectResponse(here(form.get("next")) or "/", 303), request, caller)


async def _sign_out(request: Request) -> Response:
    """Forget the session here. Whoever copied its token still has it until it ends, at most a quarter of an hour later;
    revoking the key ends it at once."""
    if not of_this_site(asked_by(request)):
        return page("sign_in.html", 403, problem="Sign out on a page of this site.", next=None)
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(cookie(request), httponly=True, samesite="strict", secure=is_https(request))
    return response


def here(path: str | None) -> str | None:
    """`path` where it is one of this site, to go to after signing in; whoever made the link may have meant another."""
    return path if path and _HERE.fullmatch(path) else None
