"""Every operation that is served, with a request for each: a route without a row makes a test fail."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from postroom.dialects import ALL
from postroom.dialects.dialect import Dialect, Endpoint, Verb
from postroom.domain.profile import Profile

SETTINGS: dict[str, Any] = {"host": "127.0.0.1", "port": 9, "sender_address": "in@intruder.example"}
MAIL = {"to": ["someone@intruder.example"], "text": "hello"}
PROFILE = Profile(host="127.0.0.1", port=9, sender_address="in@intruder.example", sender_name="Intruder")


@dataclass(frozen=True)
class Operation:
    """`path` may name a tenant, and things of a tenant: a profile, a message, a key, a caught mail. A page is asked for
    with a session, and says its tenant in its address."""

    method: str
    path: str
    json: Any = None
    form: Mapping[str, str] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    dialect: Dialect | None = None
    is_page: bool = False

    @property
    def route(self) -> tuple[str, str]:
        return self.method, self.path

    @property
    def title(self) -> str:
        return f"{self.method} {self.path}{'?' + '&'.join(self.query) if self.query else ''}"


def of_pages(method: str, path: str, form: Mapping[str, str] | None = None) -> Operation:
    return Operation(method, path, form=form, query={"tenant": "{tenant}"}, is_page=True)


FORM = {"name": "Intruder", "host": "127.0.0.1", "port": "9", "security": "none"}

# First, while the profile's revision is the first.
PROFILE_PAGES = (
    of_pages("GET", "/"),
    of_pages("GET", "/profiles"),
    of_pages("GET", "/profiles/new"),
    of_pages("POST", "/profiles/new", FORM),
    of_pages("POST", "/profiles/new/check", FORM),
    of_pages("GET", "/profiles/{profile}"),
    of_pages("GET", "/profiles/{profile}/check"),
    of_pages("POST", "/profiles/{profile}/check", FORM | {"password": "p"}),
    of_pages("POST", "/profiles/{profile}", FORM | {"revision": "1", "password": "p"}),
    of_pages("GET", "/profiles/{profile}/revisions"),
    of_pages("GET", "/profiles/{profile}/revisions/{number}"),
    of_pages("POST", "/profiles/{profile}/revisions/{number}/restore", {"revision": "2"}),
    of_pages("POST", "/profiles/{profile}/pause"),
    of_pages("POST", "/profiles/{profile}/resume"),
    of_pages("POST", "/profiles/{profile}/default"),
    of_pages("GET", "/profiles/{profile}/as"),
    *(of_pages("GET", f"/profiles/{{profile}}/as/{each.name}") for each in ALL),
    of_pages("POST", "/profiles/{profile}/delete"),
)

NATIVE = (
    Operation("GET", "/v1/profiles"),
    Operation("POST", "/v1/profiles", SETTINGS | {"name": "intruder"}),
    Operation("GET", "/v1/profiles/{profile}"),
    Operation("PUT", "/v1/profiles/{profile}", SETTINGS),
    Operation("PATCH", "/v1/profiles/{profile}", {"sender_name": "Intruder", "default": True}),
    Operation("DELETE", "/v1/profiles/{profile}"),
    Operation("POST", "/v1/profiles/{profile}/check", {}),
    Operation("POST", "/v1/profiles/{profile}/check", {"settings": SETTINGS}),
    Operation("POST", "/v1/check", {"settings": SETTINGS}),
    Operation("POST", "/v1/profiles/{profile}/pause"),
    Operation("POST", "/v1/profiles/{profile}/resume"),
    *(Operation("GET", "/v1/profiles/{profile}/as/" + each.name) for each in ALL),
    *(Operation("PUT", "/v1/profiles/{profile}/from/" + each.name, each.write(PROFILE)) for each in ALL),
    Operation("POST", "/v1/messages", MAIL | {"profile": "{profile}"}),
    Operation("GET", "/v1/messages"),
    Operation("GET", "/v1/messages", query={"recipient": "{recipient}"}),
    Operation("GET", "/v1/messages", query={"before": "{message}"}),
    Operation("GET", "/v1/messages", query={"profile": "{profile}"}),
    Operation("GET", "/v1/messages/{message}"),
    Operation("POST", "/v1/messages/{message}/cancel"),
    Operation("POST", "/v1/messages/{message}/retry"),
    Operation("GET", "/v1/profiles/{profile}/revisions"),
    Operation("GET", "/v1/profiles/{profile}/revisions/{number}"),
    Operation("POST", "/v1/profiles/{profile}/revisions/{number}/restore"),
    Operation("GET", "/v1/audit"),
    Operation("GET", "/v1/audit/verification"),
    Operation("GET", "/v1/vault"),
    Operation("POST", "/v1/vault/rotate"),
    Operation("POST", "/v1/vault/reseal", {}),
    Operation("DELETE", "/v1/vault/keys/{key}"),
    Operation("POST", "/v1/keys/{key}/rotate", {"overlap": 0}),
    Operation("GET", "/v1/keys"),
    Operation("POST", "/v1/keys", {"name": "intruder"}),
    Operation("DELETE", "/v1/keys/{key}"),
    Operation("GET", "/v1/tenants"),
    Operation("POST", "/v1/tenants", {"slug": "{tenant}"}),
    Operation("GET", "/v1/tenants/{tenant}"),
    Operation("GET", "/v1/sandbox/messages"),
    Operation("GET", "/v1/sandbox/messages", query={"before": "{mail}"}),
    Operation("GET", "/v1/sandbox/messages/{mail}"),
    Operation("DELETE", "/v1/sandbox/messages"),
    Operation("GET", "/v1/status"),
)  # fmt: skip


def of_dialects() -> Iterator[Operation]:
    """From the dialects' own route tables."""
    for dialect in ALL:
        for endpoint in dialect.endpoints:
            yield Operation(
                endpoint.method,
                endpoint.path.replace("{version}", "latest").replace("{realm}", "{tenant}"),
                _body(dialect, endpoint),
                _form(endpoint),
                dialect=dialect,
            )


def _body(dialect: Dialect, endpoint: Endpoint) -> Any:
    said = dialect.write(PROFILE)
    match endpoint.verb:
        case Verb.SAVE:
            return _with_number(said)
        case Verb.TRY:
            said = {"TestRecipient": "a@intruder.example", **_with_number(said)}
            return said.get("smtpServer", said)
        case Verb.TOKEN if endpoint.takes != ("application/x-www-form-urlencoded",):
            return {"userName": "anyone", "password": "{credential}"}
        case _:
            return None


def _with_number(said: dict[str, Any]) -> dict[str, Any]:
    """One product names a profile by its number."""
    return {"Id": "{profile}", **said} if "RelayAuthenticationType" in said else said


def _form(endpoint: Endpoint) -> Mapping[str, str] | None:
    if endpoint.verb is Verb.TOKEN and "application/x-www-form-urlencoded" in endpoint.takes:
        return {"grant_type": "password", "username": "anyone", "password": "{credential}"}
    return None


OPERATIONS = (*PROFILE_PAGES, *NATIVE, *of_dialects())


def filled(template: Any, places: Mapping[str, Any]) -> Any:
    """The template with what stands in braces put in; a whole text in braces takes the value as it is."""
    if isinstance(template, Mapping):
        return {name: filled(value, places) for name, value in template.items()}
    if isinstance(template, list):
        return [filled(value, places) for value in template]
    if isinstance(template, str):
        if template[:1] == "{" and template[-1:] == "}" and template[1:-1] in places:
            return places[template[1:-1]]
        for name, value in places.items():
            template = template.replace("{" + name + "}", str(value))
    return template
