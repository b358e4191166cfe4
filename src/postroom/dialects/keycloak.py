"""Keycloak: the mail settings of a realm (`smtpServer`), their test, and the realm's token endpoint."""

import json
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import ClassVar, Final

from pydantic import Field

from postroom.dialects import oidc, smtp_server, wire
from postroom.dialects.dialect import (
    Asked,
    Dialect,
    Endpoint,
    Fields,
    Json,
    KeyStyle,
    Reply,
    Standing,
    Token,
    Trial,
    Verb,
)
from postroom.dialects.key_styles import HeaderKey
from postroom.dialects.smtp_server import MASK, SmtpServer
from postroom.domain.problems import Conflict, Invalid, NoRoute, NotFound, Problem, Unavailable
from postroom.domain.profile import Patch, Profile
from postroom.domain.secret import Secret
from postroom.domain.trial import TestMail, Verdict

MASTER: Final = "master"  # where Keycloak's own administrators sign in; its clients do so unless told otherwise
TEST_MAIL: Final = TestMail("[KEYCLOAK] - SMTP test message", "This is a test message")


class Realm(wire.Wire):
    """A realm as far as Postroom knows it; every other member is accepted and ignored."""

    smtpServer: SmtpServer | None = Field(None, description="Left out: nothing changes. Empty: no settings of its own.")


class ShownRealm(wire.Wire):
    id: str
    realm: str
    displayName: str
    enabled: bool
    smtpServer: dict[str, str]


class Refusal(wire.Wire):
    error: str | None = None
    error_description: str | None = None
    errorMessage: str | None = None


_BASES: Final = ("/admin/realms/{tenant}", "/auth/admin/realms/{tenant}")


class Keycloak(Dialect):
    """Sources: `wire/threadfix-digitanium-keycloak.md` section 3 (Keycloak up to 26.8).

    Quirks: a save answers 204 without a body, or replaces the whole map; every value is text; the mask is ten asterisks
    and comes back as "unchanged", but clears the secret where the destination changed (26.8); the test sends what was
    posted to the caller's own address and says why it failed in one sentence only.
    """

    name = "keycloak"
    title = "Keycloak"
    territory = ("/admin/realms", "/auth/admin/realms", "/realms", "/auth/realms")
    clear_if_moved = True
    error = Refusal
    key_styles: ClassVar[tuple[KeyStyle, ...]] = (HeaderKey(scheme="Bearer"),)
    endpoints = (
        *(Endpoint(Verb.SHOW, "GET", path, "Show a realm", ShownRealm) for path in _BASES),
        *(Endpoint(Verb.SAVE, "PUT", path, "Change a realm", None, Realm, status=204) for path in _BASES),
        *(Endpoint(Verb.TRY, "POST", f"{path}/testSMTPConnection", "Send a test mail", None, SmtpServer, status=204,
                   takes=("application/json",)) for path in _BASES),
        *(oidc.endpoint(f"{context}/realms/{{realm}}/protocol/openid-connect/token") for context in ("", "/auth")),
    )  # fmt: skip
    words: ClassVar[Mapping[str, str]] = {ours: f"smtpServer.{theirs}" for ours, theirs in smtp_server.WORDS.items()}

    def tenant(self, asked: Asked) -> str | None:
        realm = asked.path.get("realm", MASTER)
        return asked.path.get("tenant") if realm == MASTER else realm

    def fields(self, asked: Asked) -> Fields | None:
        said = super().fields(asked)
        return said if said is not None and said.get("smtpServer") is not None else None

    def clears(self, fields: Fields) -> bool:
        return fields.get("smtpServer") == {}

    def read(self, fields: Fields) -> Patch:
        said = wire.parse(Realm, fields).smtpServer
        if said is None:
            return Patch()
        return replace(smtp_server.patch(said), extras={self.name: said.kept} if said.kept else {})

    def write(self, profile: Profile, secret: Secret | None = None) -> dict[str, Json]:
        kept = profile.extras.get(self.name, {})
        return {"smtpServer": smtp_server.written(profile, kept, secret.reveal() if secret else MASK)}

    def reply(self, endpoint: Endpoint, asked: Asked, standing: Standing) -> Reply:
        if endpoint.verb is not Verb.SHOW:
            return Reply(204, None)
        said = self.write(standing.profile)["smtpServer"] if standing.profile else {}
        if not standing.has_secret:
            said = {name: value for name, value in said.items() if value != MASK}
        realm = asked.path.get("tenant", "")
        return Reply(200, {"id": realm, "realm": realm, "displayName": realm, "enabled": True, "smtpServer": said})

    def trial(self, asked: Asked) -> Trial:
        said = super().fields(asked)
        if said is not None and isinstance(said.get("config"), str):  # the older form: JSON in one of its fields
            said = super().fields(Asked(body=_from_json(said["config"])))
        return Trial(TEST_MAIL, {"smtpServer": said})

    def tried(self, endpoint: Endpoint, asked: Asked, standing: Standing, verdict: Verdict) -> Reply:
        return Reply(204, None) if verdict.ok else _failed(verdict.message)

    def grant(self, endpoint: Endpoint, asked: Asked, token: Token) -> Reply:
        return oidc.granted(asked, token)

    def refuse(self, problem: Problem) -> Reply:
        status = self.status(problem)
        match problem:
            case Invalid(field="body"):
                said = {"error": "invalid_request", "error_description": "Cannot parse the JSON"}
            case Invalid():
                said = {"errorMessage": f"{self.field_of(problem)}: {problem.message}"}
            case Conflict():
                said = {"errorMessage": problem.message}
            case Unavailable():
                said = {"error": "unknown_error", "error_description": problem.message}
            case NotFound() if not isinstance(problem, NoRoute):
                said = {"error": "Realm not found."}
            case _:
                said = {"error": f"HTTP {status} {HTTPStatus(status).phrase}"}
        return Reply(status, said)

    def refusal(self, endpoint: Endpoint | None, asked: Asked, problem: Problem) -> Reply:
        verb = endpoint.verb if endpoint else None
        if verb is Verb.TRY and isinstance(problem, Invalid) and problem.field != "body":
            return _failed(f"{self.field_of(problem)}: {problem.message}")
        about_token = oidc.refused(asked, problem) if verb is Verb.TOKEN else None
        return about_token or self.refuse(problem)

    def unwrap(self, status: int, body: Json) -> Fields:
        said = body if isinstance(body, Mapping) else {}
        if not 200 <= status < 300:
            words = next((said[name] for name in ("errorMessage", "error") if said.get(name)), "without a reason")
            raise Unavailable(f"Keycloak answered {status}: {words}")
        return {"smtpServer": said["smtpServer"]} if said.get("smtpServer") else {}


def _from_json(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid("body", "The field config is not valid JSON.") from None


def _failed(why: str) -> Reply:
    return Reply(500, {"errorMessage": "Failed to send email", "error_description": why})
