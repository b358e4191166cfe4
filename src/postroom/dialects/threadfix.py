"""ThreadFix 3.x: seeds 000 (settings) and 003 (keys and tokens)."""

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from pydantic import Field

from postroom.dialects import wire
from postroom.dialects.dialect import Asked, Dialect, Endpoint, Fields, Json, KeyStyle, Reply, Standing, Token, Verb
from postroom.dialects.key_styles import HeaderKey
from postroom.domain.problems import Denied, Invalid, NoRoute, NotFound, Problem, Unauthenticated, Unavailable
from postroom.domain.profile import KEEP, Auth, Keep, Patch, Profile, Security
from postroom.domain.secret import Secret

_VERSION: Final = re.compile(r"v\d+(\.\d+)*|latest|legacy", re.ASCII)


class Settings(wire.Wire):
    """What PUT takes and GET shows. The page marks every field but `filter` as required."""

    host: wire.Text
    port: wire.Port = Field(description="The page's own sample sends text.")
    sender: wire.Text
    user: wire.Text = Field(description="May be empty when smtpAuthorization is false.")
    password: wire.Password = Field(None, description="Left out or null: the stored one stays. Answered as null.")
    tls: wire.Flag
    smtpAuthorization: wire.Flag
    filter: str | None = Field(None, description="Comma list, * wildcard. Left out: unchanged; empty: everyone.")


class ShownSettings(wire.Wire):
    filter: str
    password: None
    smtpAuthorization: bool
    port: str
    sender: str
    host: str
    tls: bool
    user: str


class Envelope(wire.Wire):
    """Round every answer, also errors; clients raise KeyError when one of the four is missing."""

    message: str
    success: bool
    responseCode: int = Field(description="Always -1: the product's own client overwrites it.")
    object: ShownSettings | None


class TokenAnswer(wire.Wire):
    token: str


class TokenOrCookie:
    """A Bearer token. One client sends the whole Set-Cookie value after the word: `Bearer name=<jwt>; Path=/`."""

    openapi: Mapping[str, str] = {"type": "http", "scheme": "bearer"}
    _bearer = HeaderKey(scheme="Bearer")

    def find(self, asked: Asked) -> Secret | None:
        found = self._bearer.find(asked)
        if found is None:
            return None
        return Secret(found.reveal().partition(";")[0].rpartition("=")[2].strip())

    def attach(self, key: Secret) -> Mapping[str, str]:
        return self._bearer.attach(key)


COOKIE: Final = "JSESSIONTOKEN"
_PATHS: Final = tuple(
    f"{context}/rest{version}/systemsettings/email" for context in ("/threadfix", "") for version in ("/{version}", "")
)


class ThreadFix(Dialect):
    """Sources: seeds 000 and 003; `wire/threadfix-digitanium-keycloak.md` section 1.

    Quirks: the context `/threadfix` and the version segment may be there or not; clients send every field as a query
    parameter with an empty body; the port is answered as text; the password is always null; one `tls` flag stands for
    two kinds of TLS; the envelope has the same four keys on every answer.
    """

    name = "threadfix"
    title = "ThreadFix 3.x"
    territory = ("/threadfix", "/rest", "/auth/apikey")
    error = Envelope
    key_styles: ClassVar[tuple[KeyStyle, ...]] = (HeaderKey(scheme="APIKEY"), TokenOrCookie())
    endpoints = (
        *(Endpoint(Verb.SAVE, "PUT", path, "Configure e-mail settings", Envelope, Settings)
          for path in _PATHS),
        *(Endpoint(Verb.SHOW, "GET", path, "Show e-mail settings", Envelope) for path in _PATHS),
        *(Endpoint(Verb.TOKEN, method, "/auth/apikey", "Exchange an API key for a token", TokenAnswer,
                   key_styles=(HeaderKey("apikey"), HeaderKey(scheme="APIKEY")))
          for method in ("POST", "GET")),
    )  # fmt: skip
    words: ClassVar[Mapping[str, str]] = {
        "sender_address": "sender", "username": "user", "auth": "smtpAuthorization", "security": "tls",
        "recipient_filter": "filter",
    }  # fmt: skip

    def admit(self, asked: Asked) -> None:
        if not _VERSION.fullmatch(asked.path.get("version", "latest")):
            raise NoRoute("unknown version")

    def fields(self, asked: Asked) -> Fields | None:
        # Both Python clients send the fields in the query and no body at all; where both are, the body is meant.
        if asked.body is None and asked.query:
            return asked.query
        return super().fields(asked)

    def read(self, fields: Fields) -> Patch:
        said = wire.parse(Settings, fields)
        return Patch(
            host=said.host,
            port=said.port,
            security=wire.security(said.tls, said.port),
            auth=Auth.PASSWORD if said.smtpAuthorization else Auth.NONE,
            username=said.user or None,
            sender_address=said.sender,
            recipient_filter=_filter(said),
            password=Secret(said.password) if said.password else KEEP,
        )

    def write(self, profile: Profile, secret: Secret | None = None) -> dict[str, Json]:
        return {
            "filter": profile.recipient_filter or "",
            "password": secret.reveal() if secret else None,
            "smtpAuthorization": profile.auth is not Auth.NONE,
            "port": str(profile.port),
            "sender": profile.sender_address or "",
            "host": profile.host,
            "tls": profile.security is not Security.NONE,
            "user": profile.username or "",
        }

    def reply(self, endpoint: Endpoint, asked: Asked, standing: Standing) -> Reply:
        if standing.profile is None:
            raise NotFound("There are no SMTP settings yet.")
        return _envelope(200, "", self.write(standing.profile))

    def grant(self, endpoint: Endpoint, asked: Asked, token: Token) -> Reply:
        # The 2.0.0 client reads the token from Set-Cookie after GET; the page documents the body after POST.
        secure = "; Secure" if asked.url.startswith("https:") else ""
        cookie = f"{COOKIE}={token.value}; Path=/; Max-Age={token.seconds}; HttpOnly; SameSite=Strict{secure}"
        return Reply(200, {"token": token.value}, {"set-cookie": cookie} if endpoint.method == "GET" else {})

    def refuse(self, problem: Problem) -> Reply:
        match problem:
            case Unauthenticated():
                message = "Authentication failed, check your API Key."
            case Denied():
                message = f"The requested URL is restricted for your API Key. {problem.message}"
            case NoRoute():
                message = "Bad rest request due to unrecognized path."
            case Invalid():
                message = f'"{self.field_of(problem)}": {problem.message}'
            case _:
                message = problem.message
        return _envelope(self.status(problem), message, None)

    def unwrap(self, status: int, body: Json) -> Fields:
        if not isinstance(body, Mapping) or body.get("success") is not True:
            words = body.get("message") if isinstance(body, Mapping) else None
            raise Unavailable(f"ThreadFix answered {status}: {words or 'without a reason'}")
        found = body.get("object")
        return found if isinstance(found, Mapping) else {}


def _filter(said: Settings) -> str | Keep | None:
    if "filter" not in said.model_fields_set:
        return KEEP
    return said.filter or None


def _envelope(status: int, message: str, content: Json) -> Reply:
    return Reply(status, {"message": message, "success": status < 400, "responseCode": -1, "object": content})
