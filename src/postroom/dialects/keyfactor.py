"""Keyfactor Command 10 to 25: seed 001 (`PUT /SMTP`), and the endpoints round it."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, Field, RootModel, WithJsonSchema

from postroom.dialects import wire
from postroom.dialects.dialect import Asked, Dialect, Endpoint, Fields, Json, KeyStyle, Reply, Standing, Trial, Verb
from postroom.dialects.key_styles import BasicKey, HeaderKey
from postroom.domain.problems import Denied, Invalid, Problem, Unavailable
from postroom.domain.profile import KEEP, Auth, Keep, Patch, Profile, Security, apply
from postroom.domain.secret import Secret
from postroom.domain.trial import TestMail, Verdict

VERSION: Final = "x-keyfactor-api-version"
VERSIONS: Final = {"": 1, "1": 1, "1.0": 1, "2": 2, "2.0": 2}
PRODUCT: Final = {"x-keyfactor-product-version": "25.1.1"}  # clients read it, and take 10.5 where it is missing

TEST_FAILED: Final = "0xA0110004"
CODES: Final = {  # by ours; only the one for "denied" is documented
    "denied": "0xA0140002", "unauthenticated": "0xA0140001", "invalid": "0xA0110001", "secret_needed": "0xA0110003",
    "too_large": "0xA0110005", "too_many": "0xA0110006", "not_found": "0xA0120001", "no_route": "0xA0120002",
    "conflict": "0xA0130001", "stale": "0xA0130002", "unavailable": "0xA01F0001",
}  # fmt: skip

AUTHS: Final = {0: Auth.NONE, 1: Auth.NTLM, 2: Auth.PASSWORD, 3: Auth.OAUTH2}
NUMBERS: Final = {auth: number for number, auth in AUTHS.items()}
OAUTH: Final = ("ClientId", "ClientSecret", "TokenEndpoint", "Scope", "Audience", "RequestHeaders")


def _auth(value: Any) -> Auth:
    if wire.whole(value) not in AUTHS:
        raise ValueError("This must be 0 (no login), 1 (Windows, NTLM), 2 (user name and password) or 3 (OAuth).")
    return AUTHS[wire.whole(value)]


def _secret(value: Any) -> str | None:
    """Text, or an object round it. What a PAM provider keeps can't be fetched from here."""
    if isinstance(value, Mapping):
        said = {str(name).lower(): held for name, held in value.items()}
        if said.get("provider") is not None or said.get("parameters"):
            raise ValueError("A secret that a PAM provider keeps can't be used here: give its SecretValue.")
        value = said.get("secretvalue")
    if value is None or isinstance(value, str):
        return value
    raise ValueError("This must be text, or an object with a SecretValue.")


_TEXT_OR_NULL: Final = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_OBJECT: Final = {"type": "object", "properties": {"SecretValue": _TEXT_OR_NULL}}
SecretText = Annotated[str | None, BeforeValidator(_secret), WithJsonSchema({"anyOf": [_TEXT_OR_NULL, _OBJECT]})]
AuthType = Annotated[
    Auth, BeforeValidator(_auth), wire.null_is(0), WithJsonSchema({"type": "integer", "enum": list(AUTHS)})
]


class RequestHeader(wire.AnyCase):
    Name: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,255}$")]
    Value: Annotated[str, Field(pattern=r"^[\x20-\x7e]{0,1024}$")]


class Settings(wire.AnyCase):
    Host: wire.Text
    Id: wire.Number | None = Field(None, description="The number that GET shows; left out: the default profile.")
    Port: Annotated[wire.Port, wire.null_is(25)] = Field(25, description="Left out: 25.")
    RelayAuthenticationType: AuthType = Field(
        Auth.NONE, description="0 none, 1 NTLM, 2 user name and password, 3 OAuth. Left out: 0."
    )
    RelayUsername: SecretText = Field(None, description="Left out: cleared.")
    RelayPassword: SecretText = Field(None, description="Left out or null: the stored one stays. Never answered.")
    SenderAccount: wire.Text
    SenderName: wire.Text = Field(description="May be empty.")
    UseSSL: Annotated[wire.Flag, wire.null_is(False)] = Field(False, description="Left out: false.")
    ClientId: SecretText = Field(None, description="Version 2.")
    ClientSecret: SecretText = Field(None, description="Version 2. With OAuth, this is the `password`.")
    TokenEndpoint: str | None = Field(None, description="Version 2.")
    Scope: str | None = Field(None, description="Version 2.")
    Audience: str | None = Field(None, description="Version 2.")
    RequestHeaders: list[RequestHeader] | None = Field(
        None, max_length=20, description="Version 2. Kept and answered; not sent."
    )


class TestSettings(Settings):
    __test__ = False  # not a test of pytest's
    TestRecipient: wire.Text


class ShownSettings(wire.Wire):
    """The answer in version 1. Version 2 has secret objects, the password (null) and the fields for OAuth as well."""

    Host: str | None
    Id: int
    Port: int
    RelayAuthenticationType: int
    RelayUsername: str | None
    SenderAccount: str | None
    SenderName: str | None
    UseSSL: bool


class TestedSettings(ShownSettings):
    __test__ = False  # not a test of pytest's
    TestRecipient: str


class Paths(RootModel[list[str]]):
    """The paths that are served."""


class Error(wire.Wire):
    ErrorCode: str
    Message: str


TAKES: Final = ("application/json", "application/x-www-form-urlencoded")


class Keyfactor(Dialect):
    """Sources: seed 001; `wire/keyfactor-onlyoffice.md` part A.

    Quirks: paths and members in any case; JSON and form bodies; what a PUT leaves out goes back to its default; version
    1 is flat, version 2 wraps secrets in objects and knows OAuth; one `UseSSL` flag stands for two kinds of TLS; the
    test mail goes through the settings of the request, and one client waits 5 s for the answer.
    """

    name = "keyfactor"
    title = "Keyfactor Command"
    territory = ("/KeyfactorAPI",)
    any_case = True
    error = Error
    key_styles: ClassVar[tuple[KeyStyle, ...]] = (BasicKey(), HeaderKey(scheme="Bearer"))
    dial_headers: ClassVar[Mapping[str, str]] = {VERSION: "2", "x-keyfactor-requested-with": "APIClient"}
    endpoints = (
        Endpoint(Verb.SHOW, "GET", "/KeyfactorAPI/SMTP", "Show the SMTP profile", ShownSettings),
        Endpoint(Verb.SAVE, "PUT", "/KeyfactorAPI/SMTP", "Replace the SMTP profile", ShownSettings, Settings,
                 takes=TAKES),
        Endpoint(Verb.TRY, "POST", "/KeyfactorAPI/SMTP/Test", "Send a test mail through these settings",
                 TestedSettings, TestSettings, takes=TAKES),
        Endpoint(Verb.FIXED, "GET", "/KeyfactorAPI/Status/Endpoints", "Which paths are served", Paths),
    )  # fmt: skip
    words: ClassVar[Mapping[str, str]] = {
        "host": "Host", "id": "Id", "port": "Port", "auth": "RelayAuthenticationType", "username": "RelayUsername",
        "password": "RelayPassword", "sender_address": "SenderAccount", "sender_name": "SenderName",
        "security": "UseSSL", "client_id": "ClientId", "token_url": "TokenEndpoint", "token_scope": "Scope",
        "token_audience": "Audience", "extras": "RequestHeaders", "recipient": "TestRecipient",
    }  # fmt: skip

    def admit(self, asked: Asked) -> None:
        _version(asked)

    def fields(self, asked: Asked) -> Fields | None:
        said: Fields = Settings.spelled(super().fields(asked) or {})
        return said if _version(asked) == 1 else dict.fromkeys(OAUTH) | dict(said)

    def profile_id(self, fields: Fields) -> int | None:
        number = wire.parse(Settings, fields).Id
        return number if number is None or 0 < number < 2**31 else 0  # which is nobody's

    def read(self, fields: Fields) -> Patch:
        said = wire.parse(Settings, fields)
        secret = said.ClientSecret if said.RelayAuthenticationType is Auth.OAUTH2 else said.RelayPassword
        return Patch(
            host=said.Host,
            port=said.Port,
            security=wire.security(said.UseSSL, said.Port),
            auth=said.RelayAuthenticationType,
            username=_text(said.RelayUsername),
            client_id=_said(said, "ClientId"),
            token_url=_said(said, "TokenEndpoint"),
            token_scope=_said(said, "Scope"),
            token_audience=_said(said, "Audience"),
            sender_address=said.SenderAccount,
            sender_name=said.SenderName or None,
            extras=_extras(said),
            password=Secret(secret) if secret else KEEP,
        )

    def write(self, profile: Profile, secret: Secret | None = None) -> dict[str, Json]:
        password, oauth = secret.reveal() if secret else None, profile.auth is Auth.OAUTH2
        return {
            "Host": profile.host,
            "Port": profile.port,
            "RelayAuthenticationType": NUMBERS[profile.auth],
            "RelayUsername": _wrapped(profile.username),
            "RelayPassword": _wrapped(None if oauth else password),
            "SenderAccount": profile.sender_address or "",
            "SenderName": profile.sender_name or "",
            "UseSSL": profile.security is not Security.NONE,
            "ClientId": _wrapped(profile.client_id),
            "ClientSecret": _wrapped(password if oauth else None),
            "TokenEndpoint": profile.token_url,
            "Scope": profile.token_scope,
            "Audience": profile.token_audience,
            "RequestHeaders": list(profile.extras.get(self.name, {}).get("RequestHeaders", ())),
        }

    def reply(self, endpoint: Endpoint, asked: Asked, standing: Standing) -> Reply:
        return _answer(200, self._shown(asked, standing.profile, standing.id))

    def _shown(self, asked: Asked, profile: Profile | None, number: int) -> dict[str, Json]:
        nothing = {"Host": None, "SenderAccount": None, "SenderName": None}
        said = self.write(profile) if profile else self.write(Profile("none.invalid")) | nothing
        said = {"Host": None, "Id": number} | said
        if _version(asked) == 2:
            return said
        return {name: said[name] for name in ShownSettings.model_fields} | {
            "RelayUsername": _secret(said["RelayUsername"])
        }

    def trial(self, asked: Asked) -> Trial:
        fields = self.fields(asked)
        recipient = wire.parse(TestSettings, fields).TestRecipient
        return Trial(TestMail("Keyfactor Command SMTP test", "The SMTP settings work.\n", recipient), fields)

    def tried(self, endpoint: Endpoint, asked: Asked, standing: Standing, verdict: Verdict) -> Reply:
        if not verdict.ok:
            where = f"{verdict.stage}, {verdict.code}"
            return _failed(400, TEST_FAILED, f"The test mail was not sent ({where}): {verdict.message}")
        if _version(asked) == 2:
            return _answer(204, None)
        said = wire.parse(TestSettings, self.fields(asked))
        meant = apply(standing.profile, self.change(self.read(self.fields(asked) or {}), standing.profile))
        return _answer(200, self._shown(asked, meant, standing.id) | {"TestRecipient": said.TestRecipient})

    def fixed(self, endpoint: Endpoint, asked: Asked) -> Reply:
        return _answer(200, sorted({each.path for each in self.endpoints}))

    def refuse(self, problem: Problem) -> Reply:
        message = problem.message
        if isinstance(problem, Denied):
            message = f"{' '.join(('User', problem.who)).strip()} doesn't have the required permission. {message}"
        elif isinstance(problem, Invalid):
            message = f"{self.field_of(problem)}: {message}"
        return _failed(self.status(problem), CODES.get(problem.code, CODES["unavailable"]), message)

    def unwrap(self, status: int, body: Json) -> Fields:
        if status >= 400 or not isinstance(body, Mapping):
            words = body.get("Message") if isinstance(body, Mapping) else None
            raise Unavailable(f"Keyfactor Command answered {status}: {words or 'without a reason'}")
        return body

    def encode(self, body: Json) -> bytes:
        # As .NET does, down to the apostrophe: `doesn\u0027t`. Outside of texts none of these characters occurs.
        text = json.dumps(body, separators=(",", ":"))
        return re.sub("[&'<>+`]", lambda found: f"\\u{ord(found[0]):04X}", text).encode()


def _version(asked: Asked) -> int:
    version = VERSIONS.get(asked.headers.get(VERSION, "").strip())
    if version is None:
        raise Invalid(VERSION, "There are versions 1 and 2.")
    return version


def _text(value: str | None) -> str | None:
    return (value or "").strip() or None


def _said(said: Settings, name: str) -> str | Keep | None:
    """Version 1 has no words for OAuth: what it leaves out stays."""
    return _text(getattr(said, name)) if name in said.model_fields_set else KEEP


def _extras(said: Settings) -> Mapping[str, Mapping[str, Any]] | Keep:
    if "RequestHeaders" not in said.model_fields_set:
        return KEEP
    headers = [each.model_dump() for each in said.RequestHeaders or ()]
    return {Keyfactor.name: {"RequestHeaders": headers}} if headers else {}


def _wrapped(value: str | None) -> dict[str, Json]:
    return {"SecretValue": value, "Parameters": {}, "Provider": None}


def _answer(status: int, body: Json) -> Reply:
    return Reply(status, body, PRODUCT)


def _failed(status: int, code: str, message: str) -> Reply:
    return _answer(status, {"ErrorCode": code, "Message": message})
