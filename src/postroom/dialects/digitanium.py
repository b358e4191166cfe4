"""Digitanium SSMS and SHIFT: seed 002."""

import ipaddress
from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar, Final

from pydantic import Field

from postroom.dialects import oidc, wire
from postroom.dialects.dialect import Asked, Dialect, Endpoint, Fields, Json, KeyStyle, Reply, Standing, Token, Verb
from postroom.dialects.key_styles import HeaderKey
from postroom.dialects.realm_mail import WORDS, Password, RealmMail, Words, written
from postroom.domain.problems import Invalid, Problem, Unavailable
from postroom.domain.profile import KEEP, Auth, Patch, Profile
from postroom.domain.secret import Secret

SAVED: Final = "Successfully updated SMTP Details"
MANDATORY: Final = "Host and From is mandatory to update Email Configuration."
MAIL: Final = 8  # the only one of the product's subsystems that its public pages show


class Settings(RealmMail):
    """What POST takes. The page's sample sends the port and both flags as text."""

    host: Words
    from_: Words = Field(alias="from")
    user: Words = Field("", description="Login is on when there is one.")
    password: Password = Field(None, description="Left out or empty: the stored one stays.")


class Answer(wire.Wire):
    message: str
    status: str = Field(description="The HTTP status in words.")
    subSystem: int = Field(description="Always 8: mail.")


class Refusal(Answer):
    error: str | None = Field(None, description="The HTTP status once more, as the identity provider says it.")


class Digitanium(Dialect):
    """Sources: seed 002; `wire/threadfix-digitanium-keycloak.md` section 2.

    Quirks: SSMS has the tenant in the host, SHIFT in the path; booleans are text; there is no flag for login; nothing
    reads the settings back; plain http is refused. The identity provider is a Keycloak: a realm's token endpoint, which
    SHIFT uses, is the one of `keycloak.py`.
    """

    name = "digitanium"
    title = "Digitanium SSMS / SHIFT"
    territory = ("/digitanium", "/auth/realms/{}/mail", "/realms/{}/mail")
    https_only = True
    error = Refusal
    key_styles: ClassVar[tuple[KeyStyle, ...]] = (HeaderKey(scheme="Bearer"),)
    endpoints = (
        *(Endpoint(Verb.SAVE, "POST", path, "Set the SMTP configuration", Answer, Settings)
          for path in ("/digitanium/v4/mail/config", "/auth/realms/{tenant}/mail/setup",
                       "/realms/{tenant}/mail/setup")),
        *(oidc.endpoint(f"/digitanium/{version}/login") for version in ("v1", "v2", "v4")),
    )  # fmt: skip
    words: ClassVar[Mapping[str, str]] = WORDS

    def tenant(self, asked: Asked) -> str | None:
        return asked.path.get("tenant") or _first_label(asked.host.lower(), asked.home)

    def fields(self, asked: Asked) -> Fields | None:
        said = super().fields(asked)
        if said is not None and not (_is_there(said, "host") and _is_there(said, "from")):
            raise Invalid("body", MANDATORY)
        return said

    def read(self, fields: Fields) -> Patch:
        said = wire.parse(Settings, fields)
        if said.ssl and said.starttls:
            raise Invalid("ssl", "Either ssl or starttls can be true: TLS begins at once, or after STARTTLS.")
        return said.patch(
            auth=Auth.PASSWORD if said.user else Auth.NONE,
            username=said.user or None,
            password=Secret(said.password) if said.password else KEEP,
        )

    def write(self, profile: Profile, secret: Secret | None = None) -> dict[str, Json]:
        user = profile.username if profile.auth is not Auth.NONE else None
        password = {"password": secret.reveal()} if secret else {}
        return {"from": "", **written(profile), "user": user or "", **password}

    def reply(self, endpoint: Endpoint, asked: Asked, standing: Standing) -> Reply:
        return Reply(200, {"message": SAVED, "status": "OK", "subSystem": MAIL})

    def grant(self, endpoint: Endpoint, asked: Asked, token: Token) -> Reply:
        return oidc.granted(asked, token)

    def refuse(self, problem: Problem) -> Reply:
        code = HTTPStatus(self.status(problem))
        if code is HTTPStatus.UNAUTHORIZED:
            return _refusal(code, "HTTP 401 Unauthorized", "Unauthorized")
        message = problem.message
        if isinstance(problem, Invalid) and problem.field != "body":
            message = f"{self.field_of(problem)}: {message}"
        return _refusal(code, message, code.name)

    def refusal(self, endpoint: Endpoint | None, asked: Asked, problem: Problem) -> Reply:
        about_token = oidc.refused(asked, problem) if endpoint is not None and endpoint.verb is Verb.TOKEN else None
        return about_token or self.refuse(problem)

    def unwrap(self, status: int, body: Json) -> Fields:
        """Nothing: the product's answers tell no settings."""
        said = body if isinstance(body, Mapping) else {}
        if status != HTTPStatus.OK or said.get("status") != "OK":
            raise Unavailable(f"Digitanium answered {status}: {said.get('message') or 'without a reason'}")
        return {}


def _is_there(said: Fields, name: str) -> bool:
    value = said.get(name)
    return bool(value.strip()) if isinstance(value, str) else value is not None


def _first_label(host: str, home: str | None) -> str | None:
    """The tenant in `acme.mail.company.com`: what stands before the host that we are known by. Where no such host is
    configured, the first label of any name that has several."""
    if home is not None:
        return host.removesuffix(f".{home.lower()}") if host.endswith(f".{home.lower()}") else None
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        label, dot, _rest = host.partition(".")
        return label if dot and label else None
    return None


def _refusal(code: HTTPStatus, message: str, status: str) -> Reply:
    said = {"message": message, "status": status, "subSystem": MAIL}
    # 400 is documented with these three; the identity provider's own refusals carry `error`.
    return Reply(code, said if code is HTTPStatus.BAD_REQUEST else said | {"error": f"HTTP {code} {code.phrase}"})
