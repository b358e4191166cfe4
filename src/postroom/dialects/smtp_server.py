"""The map `smtpServer` of a Keycloak realm, in both directions."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from postroom.dialects import realm_mail
from postroom.dialects.dialect import Json
from postroom.dialects.realm_mail import Password, RealmMail, Switch, Words, quoted, without_nothing
from postroom.domain.problems import Invalid
from postroom.domain.profile import KEEP, Auth, Keep, Patch, Profile, Security
from postroom.domain.secret import Secret

MASK: Final = "**********"
LONGEST_WAIT: Final = 2**31 - 1  # milliseconds, as the product keeps them


def _milliseconds(value: Any) -> int | None:
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= LONGEST_WAIT:
        return int(text)
    raise ValueError("This must be a number of milliseconds.")


Wait = Annotated[int | None, BeforeValidator(_milliseconds)]
_KEPT: Final = "Given back as it was; Postroom's own {} holds."


class SmtpServer(RealmMail):
    """A map of texts; clients also send bare booleans, numbers and null."""

    auth: Switch = Field(False, description="Not true: user, password and token fields are dropped.")
    authType: Words = Field("", description="basic, or token: XOAUTH2 with a token by client credentials.")
    user: Words = ""
    password: Password = Field(None, description=f"`{MASK}`: the stored one. Left out: none.")
    authTokenUrl: Words = ""
    authTokenScope: Words = ""
    authTokenClientId: Words = ""
    authTokenClientSecret: Password = Field(None, description="As password.")
    allowutf8: Switch = Field(False, description=_KEPT.format("SMTPUTF8, when an address needs it,"))
    debug: Switch = Field(False, description=_KEPT.format("log level"))
    timeout: Wait = Field(None, description=_KEPT.format("deadlines"))
    connectionTimeout: Wait = Field(None, description=_KEPT.format("deadlines"))
    writeTimeout: Wait = Field(None, description=_KEPT.format("deadlines"))

    @property
    def login(self) -> Auth:
        if self.authType not in ("", "basic", "token"):
            raise Invalid("smtpServer.authType", "This must be basic or token.")
        if not self.auth:
            return Auth.NONE
        return Auth.OAUTH2 if self.authType == "token" else Auth.PASSWORD

    @property
    def kept(self) -> dict[str, str]:
        """What no other dialect can say."""
        both = {"starttls": "true"} if self.ssl and self.starttls else {}  # on TLS from the first byte it is moot
        flags = {name: "true" for name in ("allowutf8", "debug") if getattr(self, name)}
        waits = {name: getattr(self, name) for name in ("timeout", "connectionTimeout", "writeTimeout")}
        return both | flags | {name: str(wait) for name, wait in waits.items() if wait is not None}


WORDS: Final = {
    **realm_mail.WORDS, "auth": "auth", "security": "ssl", "token_url": "authTokenUrl",
    "token_scope": "authTokenScope", "client_id": "authTokenClientId",
}  # fmt: skip


def patch(said: SmtpServer) -> Patch:
    """The whole map is meant: what it does not say is gone. But for `extras`, which have the dialect's name on them."""
    login = said.login
    if login is Auth.NONE:
        # A password is dropped with the login that it was for.
        return said.patch(auth=login, username=None, token_url=None, token_scope=None, client_id=None)
    by_token = login is Auth.OAUTH2
    return said.patch(
        auth=login,
        username=said.user or None,
        token_url=(by_token and said.authTokenUrl) or None,
        token_scope=(by_token and said.authTokenScope) or None,
        client_id=(by_token and said.authTokenClientId) or None,
        password=_secret(said, "authTokenClientSecret" if by_token else "password"),
    )


def written(profile: Profile, kept: Mapping[str, Json], secret: str) -> dict[str, Json]:
    moot = {"starttls"} if profile.security is not Security.TLS else set()
    return {
        **realm_mail.written(profile),
        **_login(profile, secret),
        **{name: value for name, value in kept.items() if name not in moot},
    }


def _secret(said: SmtpServer, name: str) -> Secret | Keep | None:
    given: str | None = getattr(said, name)
    if given == MASK:
        return KEEP
    if given is not None and given.startswith("${vault."):
        raise Invalid(f"smtpServer.{name}", "There is no vault here that references are looked up in; give the secret.")
    return Secret(given) if given else None


def _login(profile: Profile, secret: str) -> dict[str, Json]:
    said: dict[str, Json] = {"auth": quoted(profile.auth is not Auth.NONE)}
    if profile.auth is Auth.NONE:
        return said
    if profile.auth is not Auth.OAUTH2:
        return said | without_nothing({"authType": "basic", "user": profile.username, "password": secret})
    return said | without_nothing({
        "authType": "token", "user": profile.username, "authTokenUrl": profile.token_url,
        "authTokenScope": profile.token_scope, "authTokenClientId": profile.client_id, "authTokenClientSecret": secret,
    })  # fmt: skip
