"""ONLYOFFICE DocSpace 3.x: seed 004."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Generic, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, RootModel, StrictBool, StringConstraints

from postroom.dialects import wire
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
from postroom.dialects.key_styles import BasicKey, CookieKey, HeaderKey, of_this_site
from postroom.domain.delivery import Stage
from postroom.domain.problems import Denied, Invalid, Problem, Unauthenticated, Unavailable
from postroom.domain.profile import KEEP, Auth, Patch, Profile, Security
from postroom.domain.secret import Secret
from postroom.domain.text import LONGEST_TEXT
from postroom.domain.trial import Job, TestMail

_Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_TEXT)]
T = TypeVar("T")


class Settings(wire.Wire):
    """What POST takes and every call shows. What must not be empty is said after the permission is seen to."""

    host: _Text | None = Field(None, description="Must not be empty.")
    port: wire.Port | None = Field(None, description="Left out or null: 25. Text is taken, too.")
    senderAddress: _Text | None = Field(None, description="Must not be empty.")
    senderDisplayName: _Text | None = Field(None, description="Must be there; may be empty.")
    credentialsUserName: _Text | None = Field(None, description="Must not be empty when enableAuth is true.")
    credentialsUserPassword: wire.Password = Field(
        None, description="Left out, null or empty: the stored one stays. Answered as an empty text."
    )
    enableSSL: StrictBool = Field(False, description="TLS is required: from the first byte on 465, STARTTLS else.")
    enableAuth: StrictBool = Field(False, description="If false, credentials that are sent are dropped.")
    useNtlm: StrictBool = Field(False, description="Log in with NTLM.")
    isDefaultSettings: StrictBool = Field(False, description="Answered only: these are the installation's own.")


class ShownSettings(Settings):
    credentialsUserPassword: Literal[""]


class Login(wire.Wire):
    userName: str | None = None
    password: wire.Password = Field(None, description="The API key.")


class GrantedToken(wire.Wire):
    token: str
    expires: str
    sms: bool
    tfa: bool


class Progress(wire.Wire):
    completed: bool
    id: str
    error: str
    status: str
    percents: int


class Envelope(wire.Wire, Generic[T]):
    """Round everything that is answered, and round what the validation has to say. Nothing to say: no `response`."""

    response: T | None = None
    count: int
    links: list[dict[str, str]]
    status: int
    statusCode: int


class Thrown(wire.Wire):
    message: str
    type: str | None
    stack: None
    hresult: int


class Error(wire.Wire):
    error: Thrown
    status: int
    statusCode: int


class Validation(wire.Wire):
    type: str
    title: str
    status: int
    errors: dict[str, list[str]]


class Refusal(RootModel[Error | Envelope[Validation]]):
    """Two envelopes: one for exceptions, one for fields of the wrong type."""


class Malformed(Invalid):
    """A field of the wrong type or length: found before anything else is looked at."""


class NotJson(Problem):
    """A body of another kind than the product takes, or than a browser has to ask before it sends."""


class BareKey(HeaderKey):
    """`Authorization: <token>`; with a space in it, it is a scheme that isn't ours."""

    def find(self, asked: Asked) -> Secret | None:
        found = super().find(asked)
        return None if found is None or " " in found.reveal() else found


class LoginKey:
    """The key as the password of a login."""

    openapi: Mapping[str, str] = {}

    def find(self, asked: Asked) -> Secret | None:
        password = wire.in_any_case(Login, asked.body).get("password") if isinstance(asked.body, Mapping) else None
        return Secret(password) if isinstance(password, str) and password else None

    def attach(self, key: Secret) -> Mapping[str, str]:
        return {}


COOKIE: Final = CookieKey("asc_auth_key", nameless=True)
_SMTP: Final = "/api/2.0/smtpsettings/smtp"
_LOGIN: Final = "/api/2.0/authentication"
_JSON: Final = re.compile(r"application/(.+\+)?json|text/json")
_JSON_TYPES: Final = ("application/json", "application/*+json", "text/json")
_HEADERS: Final = {"content-type": "application/json; charset=utf-8"}
_MAIL: Final = TestMail("SMTP test message", "This message was sent to test the SMTP settings. They work.\n")
_NULL: Final = "Value cannot be null."
_PARAMETERS: Final = {"username": "userName", "password": "password"}  # in its messages, unlike its fields' names
_CONNECT, _SEND = (40, "Connect to host"), (80, "Send test message")
_STEPS: Final[Mapping[Stage, tuple[int, str]]] = {
    Stage.SETTINGS: (15, "Find user data"), Stage.POLICY: (20, "Create mime message"), Stage.RESOLVE: _CONNECT,
    Stage.CONNECT: _CONNECT, Stage.GREETING: _CONNECT, Stage.EHLO: _CONNECT, Stage.TLS: _CONNECT,
    Stage.AUTH: (60, "Authenticate"), Stage.SIZE: _SEND, Stage.SENDER: _SEND, Stage.RECIPIENT: _SEND, Stage.DATA: _SEND,
    Stage.DOT: _SEND,
}  # fmt: skip


class OnlyOffice(Dialect):
    """Sources: seed 004; `wire/keyfactor-onlyoffice.md` part B.

    Quirks: two envelopes, of which the one for success is also the validation's; nulls are left out of it; fields are
    taken in any case; the password is always an empty text; a cookie is a key; the end of a test is told once.
    """

    name = "onlyoffice"
    title = "ONLYOFFICE DocSpace 3.x"
    territory = ("/api/2.0",)
    error = Refusal
    refuses = (415,)
    key_styles: ClassVar[tuple[KeyStyle, ...]] = (
        HeaderKey(scheme="Bearer"), BasicKey(), BareKey(), HeaderKey("apikeybearer"), COOKIE,
    )  # fmt: skip
    endpoints = (
        Endpoint(Verb.SHOW, "GET", _SMTP, "Get the SMTP settings", Envelope[ShownSettings]),
        Endpoint(Verb.SAVE, "POST", _SMTP, "Save the SMTP settings", Envelope[ShownSettings], Settings,
                 takes=_JSON_TYPES),
        Endpoint(Verb.RESET, "DELETE", _SMTP, "Reset the SMTP settings", Envelope[ShownSettings]),
        Endpoint(Verb.TRY_START, "GET", f"{_SMTP}/test", "Test the SMTP settings", Envelope[Progress]),
        Endpoint(Verb.TRY_STATUS, "GET", f"{_SMTP}/test/status", "Get the SMTP testing process status",
                 Envelope[Progress]),
        Endpoint(Verb.TOKEN, "POST", _LOGIN, "Authenticate a user", Envelope[GrantedToken], Login, (LoginKey(),),
                 _JSON_TYPES),
        Endpoint(Verb.WHO, "GET", _LOGIN, "Check authentication", Envelope[bool]),
    )  # fmt: skip
    words: ClassVar[Mapping[str, str]] = {
        "sender_address": "senderAddress", "sender_name": "senderDisplayName", "username": "credentialsUserName",
        "password": "credentialsUserPassword", "security": "enableSSL", "auth": "enableAuth",
    }  # fmt: skip

    def admit(self, asked: Asked) -> None:
        kind = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
        by_cookie = next((style for style in self.key_styles if style.find(asked)), None) is COOKIE
        # A login sets the cookie: no other site may make a browser work with somebody else's key.
        if (by_cookie or _is_login(asked)) and not of_this_site(asked):
            raise Denied("A cookie counts, and is given, only in requests that come from this site.")
        # What a page of another site can send without asking is a form, or text: never JSON, never DELETE.
        if asked.method == "POST" and (by_cookie or "form" in kind) and not _JSON.fullmatch(kind):
            raise NotJson("The body must be JSON, sent as application/json, application/*+json or text/json.")

    def read(self, fields: Fields) -> Patch:
        try:
            said = wire.parse(Settings, wire.in_any_case(Settings, fields))
        except Invalid as problem:
            raise Malformed(problem.field, problem.message) from None
        login = Auth.NTLM if said.useNtlm else Auth.PASSWORD
        port = said.port or 25
        return Patch(
            host=said.host or "",
            port=port,
            security=wire.security(said.enableSSL, port),
            auth=login if said.enableAuth else Auth.NONE,
            username=(said.credentialsUserName or None) if said.enableAuth else None,
            sender_address=said.senderAddress or None,
            sender_name=KEEP if said.senderDisplayName is None else said.senderDisplayName or None,
            password=Secret(said.credentialsUserPassword) if said.credentialsUserPassword else KEEP,
        )

    def change(self, patch: Patch, stored: Profile | None) -> Patch:
        """What the product's constructor checks, in its order; then the mirror rule. A user name or a password that
        stays as it was shown is there."""
        for field, value, message in (
            ("host", patch.host, "Empty smtp host."),
            ("sender_address", patch.sender_address, "Empty sender address."),
            ("sender_name", patch.sender_name is not KEEP, _NULL),
        ):
            if not value:
                raise Invalid(field, message)
        changed = super().change(patch, stored)
        if patch.auth is Auth.NONE:
            return replace(changed, password=KEEP)  # dropped; a stored one goes with the login that it was for
        if patch.username is None and (changed.username, changed.auth) != (KEEP, KEEP):
            raise Invalid("username", "Empty user name.")
        if patch.password is KEEP and (stored is None or stored.auth is Auth.NONE):
            raise Invalid("password", "Empty password.")
        return changed

    def write(self, profile: Profile, secret: Secret | None = None) -> dict[str, Json]:
        with_login = profile.auth is not Auth.NONE
        said = {
            "host": profile.host,
            "port": profile.port,
            "senderAddress": profile.sender_address,
            "senderDisplayName": profile.sender_name or "",
            "credentialsUserName": profile.username if with_login else None,
        }
        return {name: value for name, value in said.items() if value is not None} | {
            "credentialsUserPassword": secret.reveal() if secret else "",
            "enableSSL": profile.security is not Security.NONE,
            "enableAuth": with_login,
            "useNtlm": profile.auth is Auth.NTLM,
            "isDefaultSettings": False,
        }

    def reply(self, endpoint: Endpoint, asked: Asked, standing: Standing) -> Reply:
        flags = dict.fromkeys(("enableSSL", "enableAuth", "useNtlm"), False)
        said = self.write(standing.profile) if standing.profile else {"credentialsUserPassword": "", **flags}
        return _envelope(asked, said | {"isDefaultSettings": standing.is_fallback})

    def trial(self, asked: Asked) -> Trial:
        return Trial(_MAIL)

    def progress(self, endpoint: Endpoint, asked: Asked, job: Job | None) -> Reply:
        if job is None:
            return _envelope(asked, None)
        verdict = job.verdict
        percents, step = _STEPS[verdict.stage if verdict else job.stage]
        if verdict is None and job.stage is Stage.SETTINGS:
            percents, step = 5, "Setup tenant"
        said = {"completed": verdict is not None, "id": job.id, "error": verdict.message if verdict else ""}
        return _envelope(asked, said | {"status": step, "percents": 100 if verdict and verdict.ok else percents})

    def grant(self, endpoint: Endpoint, asked: Asked, token: Token) -> Reply:
        expires = datetime.fromtimestamp(token.made_at + token.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.0000000Z")
        said = _envelope(asked, {"token": token.value, "expires": expires, "sms": False, "tfa": False})
        secure = "; Secure" if asked.url.startswith("https:") else ""
        cookie = f"{COOKIE.name}={token.value}; Path=/; Max-Age={token.seconds}; HttpOnly; SameSite=Strict{secure}"
        return replace(said, headers={**said.headers, "set-cookie": cookie})

    def who(self, endpoint: Endpoint, asked: Asked, known: bool) -> Reply:
        return _envelope(asked, known)

    def status(self, problem: Problem) -> int:
        return 415 if isinstance(problem, NotJson) else super().status(problem)

    def refuse(self, problem: Problem) -> Reply:
        return self.refusal(None, Asked(), problem)

    def refusal(self, endpoint: Endpoint | None, asked: Asked, problem: Problem) -> Reply:
        status, kind, hresult, message = self.status(problem), None, 0, problem.message
        match problem:
            case Invalid(field="body") | Malformed():
                return _envelope(replace(asked, query={}), _validation(problem), status)
            case Invalid():
                kind, hresult = _ARGUMENT_NULL if message == _NULL else _ARGUMENT
                message = f"{message} (Parameter '{_PARAMETERS.get(problem.field, self.field_of(problem))}')"
            case Denied():
                (kind, hresult), message = _SECURITY, "Access denied"
            case Unauthenticated():
                message = "User authentication failed"
        thrown = {"message": message, "type": kind, "stack": None, "hresult": hresult}
        return Reply(status, {"error": thrown, "status": 1, "statusCode": status}, _HEADERS)

    def unwrap(self, status: int, body: Json) -> Fields:
        if not isinstance(body, Mapping) or body.get("status") != 0:
            thrown = body.get("error") if isinstance(body, Mapping) else None
            words = thrown.get("message") if isinstance(thrown, Mapping) else None
            raise Unavailable(f"DocSpace answered {status}: {words or 'without a reason'}")
        found = body.get("response")
        return found if isinstance(found, Mapping) else {}


def _is_login(asked: Asked) -> bool:
    return asked.method == "POST" and urlsplit(asked.url).path.endswith(_LOGIN)


# What .NET calls these exceptions, and their HRESULTs (COR_E_ARGUMENT, E_POINTER, COR_E_SECURITY).
_ARGUMENT: Final = ("System.ArgumentException", -0x7FF8FFA9)
_ARGUMENT_NULL: Final = ("System.ArgumentNullException", -0x7FFFBFFD)
_SECURITY: Final = ("System.Security.SecurityException", -0x7FECEAF6)


def _envelope(asked: Asked, content: Json, status: int = 200) -> Reply:
    wanted = {name.strip().lower() for name in asked.query.get("fields", "").split(",")} - {""}
    if wanted and isinstance(content, Mapping):
        content = {name: value for name, value in content.items() if name.lower() in wanted}
    said: dict[str, Json] = {} if content is None else {"response": content}
    links = [{"href": asked.url, "action": asked.method}]
    said |= {"count": len(said), "links": links, "status": int(status >= 400), "statusCode": status}
    return Reply(status, said, _HEADERS)


def _validation(problem: Invalid) -> Json:
    field = "$" if problem.field == "body" else problem.field[:1].upper() + problem.field[1:]
    return {
        "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
        "title": "One or more validation errors occurred.",
        "status": 400,
        "errors": {field: [problem.message]},
    }
