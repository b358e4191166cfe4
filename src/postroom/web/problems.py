"""The native API's translation of problems: `application/problem+json` (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response

from postroom import log
from postroom.domain.problems import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    Problem,
    Stale,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)  # fmt: skip

STATUS: Mapping[type[Problem], tuple[int, str]] = {
    Invalid: (400, "Bad Request"),
    Unauthenticated: (401, "Unauthorized"),
    Denied: (403, "Forbidden"),
    NotFound: (404, "Not Found"),
    Stale: (412, "Precondition Failed"),
    Conflict: (409, "Conflict"),
    TooLarge: (413, "Content Too Large"),
    TooMany: (429, "Too Many Requests"),
    Unavailable: (503, "Service Unavailable"),
}


def respond(problem: Problem) -> Response:
    status, title = next(found for kind, found in STATUS.items() if isinstance(problem, kind))
    headers = {}
    if isinstance(problem, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="postroom"'
    if isinstance(problem, Stale) and problem.revision is not None:
        headers["etag"] = f'"{problem.revision}"'
    if isinstance(problem, TooMany | Unavailable):
        headers["retry-after"] = str(problem.retry_after)
    return _problem(status, title, problem.code, problem.message, getattr(problem, "field", None), headers)


def respond_to_bug() -> Response:
    """What happened is in the log; the caller gets nothing of it."""
    message = "Something went wrong here. It is in the server's log; nothing of your request was kept."
    return _problem(500, "Internal Server Error", "internal", message, None, {})


def outside(status: int, code: str, detail: str) -> Response:
    """For what never became a request."""
    return _problem(status, HTTPStatus(status).phrase, code, detail, None, {})


def _problem(
    status: int, title: str, code: str, detail: str, field: str | None, headers: Mapping[str, str]
) -> Response:
    said = {"type": f"urn:postroom:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}
    if field:
        said["field"] = field
    if request_id := log.request_id.get():
        said["request_id"] = request_id
    return Response(json.dumps(said), status, headers, "application/problem+json")
