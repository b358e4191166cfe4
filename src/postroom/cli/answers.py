"""A server's `application/problem+json` becomes the Problem again that it was there."""

import json
from collections.abc import Callable, Mapping

from postroom.domain.problems import (
    Conflict,
    Denied,
    Invalid,
    NoRoute,
    NotFound,
    Problem,
    SecretNeeded,
    Stale,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)  # fmt: skip

_PLAIN: Mapping[str, Callable[[str], Problem]] = {
    kind.code: kind
    for kind in (Unauthenticated, Denied, NotFound, NoRoute, Conflict, Stale, TooLarge, TooMany, Unavailable)
}  # fmt: skip
_WITH_FIELD: Mapping[str, Callable[[str, str], Problem]] = {kind.code: kind for kind in (Invalid, SecretNeeded)}


def problem_in(status: int, content: bytes, where: str) -> Problem:
    """The problem that an answer tells; Unavailable for a bug over there, and for what is no answer of Postroom's."""
    said = _object(content)
    code, detail, field = (str(said.get(name) or "") for name in ("code", "detail", "field"))
    if code in _WITH_FIELD:
        return _WITH_FIELD[code](field, detail)
    if code in _PLAIN:
        return _PLAIN[code](detail)
    if code:
        return Unavailable(detail or f"{where} answered {status}.")
    return Unavailable(f"{where} answered {status}, and not as Postroom does: check POSTROOM_URL.")


def _object(content: bytes) -> dict[str, object]:
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
