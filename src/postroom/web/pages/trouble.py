"""Pages about what did not go well: what happened, and what to do next. In the frame for whoever is signed in."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from postroom import log
from postroom.domain.problems import Problem
from postroom.web import problems
from postroom.web.pages import render

# What is for programs, and answers them in JSON whatever they accept.
_NO_PAGES = ("/v1", "/docs/", "/static/", "/live/", "/healthz", "/readyz", "/metrics")

# By a problem's code: how the page is headed, and what can be done.
WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "not_found": ("Not here", "It may have been deleted, or it belongs to another tenant."),
        "no_route": ("Not here", "Check the address, or go on from the overview."),
        "denied": ("Not allowed", "Ask whoever manages the keys for one with this permission."),
        "conflict": ("Not possible just now", "Go back and look at how things stand now."),
        "stale": ("Somebody else was faster", "Go back, look at what has changed, and do it again if need be."),
        "invalid": ("Not understood", "Go back and correct it."),
        "secret_needed": ("The secret is needed again", "Go back and enter it once more."),
        "too_large": ("Too much at once", "Send less."),
        "too_many": ("Too many requests", "Wait a moment, then load this page again."),
        "unavailable": ("Not just now", "Load this page again in a moment. If it lasts, look at the server's log."),
        "secret_lost": ("It can't be opened", "Restore the vault key that is named, then load this page again."),
        "internal": ("Something went wrong here", "Nothing was changed. Look at the server's log for this request."),
    }
)  # fmt: skip


def wants_page(request: Request) -> bool:
    """Whether a person is looking, at what is no API."""
    path = request.url.path
    return "text/html" in request.headers.get("accept", "") and not path.startswith(_NO_PAGES)


def told(problem: Problem, **frame: object) -> Response:
    """A page about a problem, with the status that the problem has in the API. `frame`: of whoever is signed in."""
    said = problems.respond(problem)
    shown = _page(problem.code, problem.message, said.status_code, frame)
    if "retry-after" in said.headers:
        shown.headers["retry-after"] = said.headers["retry-after"]
    return shown


def bug() -> Response:
    """What happened is in the log; the page says only which request it was."""
    return _page("internal", "This is not your mistake.", 500, {})


async def within(parts: AsyncGenerator[str, None], request: Request) -> AsyncGenerator[str, None]:
    """The parts of a page that has begun. It can't become another one: what ends it is told where it would go on."""
    async with aclosing(parts):
        try:
            async for each in parts:
                yield each
        except Problem as problem:
            yield _part(problem.code, problem.message)
        except Exception as failure:
            log.request_failed(request.method, request.url.path, failure)
            yield _part("internal", "This is not your mistake.")


def _part(code: str, message: str) -> str:
    title, advice = _words(code)
    return render.text("broken_off.html", title=title, message=message, advice=advice, request_id=log.request_id.get())


def _words(code: str) -> tuple[str, str]:
    return WORDS.get(code, ("Not done", "Go back and look again."))


def _page(code: str, message: str, status: int, frame: Mapping[str, object]) -> Response:
    title, advice = _words(code)
    template = "problem_here.html" if frame else "problem.html"
    return render.page(
        template, status, code=code, title=title, message=message, advice=advice, request_id=log.request_id.get(),
        **frame,
    )  # fmt: skip
