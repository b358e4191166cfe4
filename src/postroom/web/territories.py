"""Whose a path is: which dialect answers there, also when there is nothing."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Scope

from postroom.dialects.dialect import Dialect


class Territories:
    """The most literal prefix wins: `/auth/realms/{}/mail` before `/auth/realms`."""

    def __init__(self, apps: Mapping[Dialect, ASGIApp]) -> None:
        claims = [
            (prefix.strip("/").split("/"), dialect, app)
            for dialect, app in apps.items()
            for prefix in dialect.territory
        ]
        self._claims = sorted(claims, key=lambda claim: sum(part != "{}" for part in claim[0]), reverse=True)
        self._spelled: dict[str, str] = {
            endpoint.path.lower(): endpoint.path
            for dialect in apps
            if dialect.any_case
            for endpoint in dialect.endpoints
        }

    def find(self, scope: Scope) -> tuple[ASGIApp, Scope] | None:
        """The app, and the request as it understands it; None where no dialect is at home."""
        parts = scope["path"].strip("/").split("/")
        for prefix, dialect, app in self._claims:
            if _begins(parts, prefix, dialect.any_case):
                return app, self._as_spelled(scope) if dialect.any_case else scope
        return None

    def _as_spelled(self, scope: Scope) -> Scope:
        given: str = scope["path"]
        path = self._spelled.get(given.lower().rstrip("/"), given)
        return {**scope, "path": path, "raw_path": path.encode()}


def _begins(parts: list[str], prefix: list[str], any_case: bool) -> bool:
    if len(parts) < len(prefix):
        return False
    fold = str.lower if any_case else str
    return all(want == "{}" or fold(part) == fold(want) for part, want in zip(parts, prefix, strict=False))
