"""Where a stored secret could be made to go: every field that says so, and every way to change it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from postroom.dialects import ALL
from postroom.dialects.dialect import Dialect, Endpoint, Verb
from postroom.domain.profile import Auth, ClientAuth, Profile, Security, TlsVersion, TokenGrant
from postroom.domain.secret import Secret

PASSWORD = "canary-password-14"
REFRESH = "canary-refresh-14"
FORMS = ("absent", "null", "empty", "mask", "right")  # of the secret that comes with the change
MASK = "**********"


@dataclass(frozen=True)
class Home:
    """Where the secrets belong, and where the attacker listens."""

    port: int
    token_url: str
    attackers_host: str
    attackers_port: int
    attackers_token_url: str

    def base(self, name: str) -> Profile:
        common: dict[str, Any] = {
            "host": "127.0.0.1", "port": self.port, "username": "mailer", "sender_address": "us@home.example",
            "sender_name": "Us", "envelope_sender": "bounce@home.example",
        }  # fmt: skip
        if name == "password":
            return Profile(**common, auth=Auth.PASSWORD)
        token = {"token_url": self.token_url, "client_id": "us", "token_scope": "send", "token_audience": "mail"}
        grant = TokenGrant.REFRESH_TOKEN if name == "sign-in" else TokenGrant.CLIENT_CREDENTIALS
        return Profile(**common, **token, auth=Auth.OAUTH2, token_grant=grant)

    def elsewhere(self, field: str) -> Any:
        """What the attacker would have there."""
        return {
            "host": self.attackers_host,
            "port": self.attackers_port,
            "security": Security.STARTTLS_IF_OFFERED,
            "verify_certificate": False,
            "ca_certificates": "PEM",
            "server_name": "attacker.example",
            "tls_minimum": TlsVersion.V1_3,
            "auth": Auth.NTLM,
            "mechanism": "LOGIN",
            "username": "attacker",
            "token_url": self.attackers_token_url,
            "token_grant": TokenGrant.REFRESH_TOKEN,
            "token_client_auth": ClientAuth.BASIC,
            "client_id": "attacker",
            "token_scope": "everything",
            "token_audience": "attacker",
            "envelope_sender": "bounce@attacker.example",
        }[field]


ABOUT_PASSWORDS = ("password",)
ABOUT_TOKENS = ("client", "sign-in")
EVERY = ("password", "client", "sign-in")
FIELDS: Mapping[str, tuple[str, ...]] = {  # and the kinds of login that it is tried with
    "host": EVERY, "port": EVERY, "security": EVERY, "verify_certificate": EVERY, "ca_certificates": EVERY,
    "server_name": EVERY, "tls_minimum": EVERY, "auth": ABOUT_PASSWORDS, "mechanism": ABOUT_PASSWORDS,
    "username": EVERY, "token_url": ABOUT_TOKENS, "token_grant": ("client",), "token_client_auth": ABOUT_TOKENS,
    "client_id": ABOUT_TOKENS, "token_scope": ABOUT_TOKENS, "token_audience": ABOUT_TOKENS, "envelope_sender": EVERY,
}  # fmt: skip


@dataclass(frozen=True)
class Way:
    """A way in: native, a dialect as served or as imported, by HTTP or by the command line."""

    kind: str
    dialect: Dialect | None = None
    endpoint: Endpoint | None = None
    version: str = ""

    @property
    def title(self) -> str:
        dialect = f" {self.dialect.name}{self.version}" if self.dialect else ""
        return f"{self.kind}{dialect}"

    @property
    def tries_without_saving(self) -> bool:
        return self.kind == "check" or (self.endpoint is not None and self.endpoint.verb is Verb.TRY)

    def can_say(self, base: Profile, changed: Profile, field: str) -> bool:
        if self.dialect is None:
            return True
        if self.version == " 1" and base.auth is Auth.OAUTH2:
            return False
        said = [self.dialect.read(self.dialect.write(each)).settings().get(field) for each in (base, changed)]
        return bool(said[0] != said[1])


def ways() -> Iterator[Way]:
    yield from (Way("PUT"), Way("PATCH"), Way("check"), Way("command line"), Way("command line, --from-json"))
    for dialect in ALL:
        yield Way("import", dialect)
        yield Way("command line, --from", dialect)
        for endpoint in dialect.endpoints:
            first = next(each for each in dialect.endpoints if each.verb is endpoint.verb)
            if endpoint.verb in (Verb.SAVE, Verb.TRY) and endpoint is first:
                versions = (" 1", " 2") if dialect.dial_headers else ("",)
                yield from (Way(endpoint.verb.name, dialect, endpoint, version) for version in versions)


@dataclass(frozen=True)
class Case:
    way: Way
    field: str
    login: str
    form: str

    @property
    def title(self) -> str:
        return f"{self.way.title}: {self.field} of {self.login}, secret {self.form}"


def cases(home: Home) -> Iterator[Case]:
    for way in ways():
        for field, logins in FIELDS.items():
            for login in logins:
                base = home.base(login)
                if way.can_say(base, replace(base, **{field: home.elsewhere(field)}), field):
                    yield from (Case(way, field, login, form) for form in FORMS)


def secrets_in(form: str, login: str, field: str) -> dict[str, Any]:
    """What a native body says of the secrets."""
    names = ["password"] + (["refresh_token"] if login == "sign-in" or field == "token_grant" else [])
    right = {"password": PASSWORD, "refresh_token": REFRESH}
    said: dict[str, Any] = {"null": None, "empty": "", "mask": MASK}
    return {} if form == "absent" else {name: right[name] if form == "right" else said[form] for name in names}


def body_in(way: Way, changed: Profile, form: str) -> Any:
    """The settings in the dialect's words, with the secret in that form."""
    assert way.dialect is not None
    said = json.loads(json.dumps(way.dialect.write(changed, Secret(PASSWORD))))
    assert PASSWORD in json.dumps(said)
    return _with_secret(said, form)


def _with_secret(said: Any, form: str) -> Any:
    if isinstance(said, dict):
        kept = {name: _with_secret(value, form) for name, value in said.items()}
        return {name: value for name, value in kept.items() if value is not _GONE}
    if said != PASSWORD:
        return said
    return {"absent": _GONE, "null": None, "empty": "", "mask": MASK, "right": PASSWORD}[form]


_GONE = object()
