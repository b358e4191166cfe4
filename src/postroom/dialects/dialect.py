"""The contract of a dialect. Pure: no socket, no database, no framework, no clock.

    serving:  request → `fields` → `read` → Patch        profile → `write` → `reply`
    dialling: profile → `write(secret)` → request        answer → `unwrap` → `read`

`read` says only what the dialect has words for; everything else of the profile survives. What a dialect can't say is
found by asking: whatever changes in `apply(p, read(write(p)))`. How to add one: `docs/adding-a-dialect.md`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from postroom.domain.problems import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    Problem,
    Stale,
    TooLarge,
    Unauthenticated,
    Unavailable,
)  # fmt: skip
from postroom.domain.profile import Patch, Profile
from postroom.domain.secret import Secret

Json = Any  # what `json` reads and writes; checked by the dialect's wire models
Fields = Mapping[str, Any]


class Verb(Enum):
    """What an endpoint asks for. The server maps each verb to one action."""

    SHOW = auto()
    SAVE = auto()
    TOKEN = auto()  # exchange a key for a short-lived token


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a dialect sees it; header names are in lower case."""

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Json = None


@dataclass(frozen=True, slots=True)
class Reply:
    """`body` None means no body at all."""

    status: int
    body: Json
    headers: Mapping[str, str] = field(default_factory=dict)


class KeyStyle(Protocol):
    """How a product carries its key: one half to find it in a request, one to attach it to one."""

    @property
    def openapi(self) -> Mapping[str, str]:
        """The OpenAPI security scheme."""
        ...

    def find(self, headers: Mapping[str, str]) -> Secret | None: ...

    def attach(self, key: Secret) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """A key in a header: `Authorization: APIKEY <key>` with a scheme, `apikey: <key>` without."""

    header: str = "authorization"
    scheme: str = ""

    @property
    def openapi(self) -> Mapping[str, str]:
        if self.header == "authorization" and self.scheme.lower() == "bearer":
            return {"type": "http", "scheme": "bearer"}
        return {"type": "apiKey", "in": "header", "name": self.header}

    def find(self, headers: Mapping[str, str]) -> Secret | None:
        value = headers.get(self.header, "").strip()
        if self.scheme:
            scheme, _, value = value.partition(" ")
            if scheme.lower() != self.scheme.lower():  # RFC 9110 11.1: schemes have no case
                return None
        return Secret(value.strip()) if value.strip() else None

    def attach(self, key: Secret) -> Mapping[str, str]:
        return {self.header: f"{self.scheme} {key.reveal()}".strip()}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method and path. `body` and `answer` are the wire models, for the dialect's own OpenAPI document; with
    `fields_in_query` the body's fields may come as query parameters instead."""

    verb: Verb
    method: str
    path: str
    summary: str
    answer: type[BaseModel]
    body: type[BaseModel] | None = None
    fields_in_query: bool = False
    key_styles: tuple[KeyStyle, ...] = ()  # where they differ from the dialect's


# The usual translation of problems; a dialect overrides `status` where its product differs.
STATUS: Mapping[type[Problem], int] = {
    Invalid: 400, Unauthenticated: 401, Denied: 403, NotFound: 404, Stale: 412, Conflict: 409, TooLarge: 413,
    Unavailable: 503,
}  # fmt: skip


class Dialect(ABC):
    """One product's wire language. A subclass's docstring is its spec sheet: sources first, then quirks."""

    name: ClassVar[str]
    title: ClassVar[str]
    territory: ClassVar[tuple[str, ...]]  # path prefixes where every answer, also "not found", is in this language
    key_styles: ClassVar[tuple[KeyStyle, ...]]
    endpoints: ClassVar[tuple[Endpoint, ...]]
    words: ClassVar[Mapping[str, str]]  # canonical field -> the product's, to name a field in its words

    def admit(self, asked: Asked) -> None:  # noqa: B027  most dialects have nothing to add
        """Raises NoRoute for a path that fits an endpoint but isn't the product's (an unknown version, say)."""

    def fields(self, asked: Asked) -> Fields:
        """Where the settings stand in a request. Raises Invalid when they aren't an object."""
        if not isinstance(asked.body, Mapping):
            raise Invalid("body", "The request body must be a JSON object with the settings.")
        return asked.body

    @abstractmethod
    def read(self, fields: Fields) -> Patch:
        """What the product's fields say. Raises Invalid, naming the product's field."""

    @abstractmethod
    def write(self, profile: Profile, secret: Secret | None = None) -> dict[str, Json]:
        """The profile in the product's fields; the password in its way of hiding it unless `secret` is given."""

    @abstractmethod
    def reply(self, verb: Verb, profile: Profile) -> Reply:
        """The answer to SHOW and SAVE."""

    @abstractmethod
    def refuse(self, problem: Problem) -> Reply:
        """The answer to anything that is wrong, in the product's envelope."""

    @abstractmethod
    def unwrap(self, status: int, body: Json) -> Fields:
        """The fields in an answer of the real product. Raises Unavailable with its words if it says no."""

    def grant(self, endpoint: Endpoint, token: str, seconds: int) -> Reply:
        """The answer to TOKEN."""
        raise AssertionError(f"{self.name}: {endpoint.path} grants no token for {seconds} s, {len(token)} characters")

    def status(self, problem: Problem) -> int:
        return next((code for kind, code in STATUS.items() if isinstance(problem, kind)), 500)

    def field_of(self, problem: Invalid) -> str:
        """The field in the product's words."""
        return self.words.get(problem.field, problem.field)

    def find_key(self, endpoint: Endpoint, headers: Mapping[str, str]) -> Secret | None:
        """The first key that one of the styles finds."""
        found = (style.find(headers) for style in endpoint.key_styles or self.key_styles)
        return next((key for key in found if key is not None), None)

    def shown(self, profile: Profile | None) -> Patch:
        """What `read` makes of what this dialect would show: for the mirror rule."""
        return self.read(self.write(profile)) if profile is not None else Patch()
