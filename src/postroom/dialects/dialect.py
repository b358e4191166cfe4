"""The contract of a dialect. Pure: no socket, no database, no framework, no clock.

    serving:  request → `fields` → `read` → Patch        profile → `write` → `reply`
    dialling: profile → `write(secret)` → request        answer → `unwrap` → `read`

`read` says only what the dialect has words for; everything else of the profile survives. What a dialect can't say is
found by asking: whatever changes in `apply(p, read(write(p)))`. How to add one: `docs/adding-a-dialect.md`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
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
    TooMany,
    Unauthenticated,
    Unavailable,
)  # fmt: skip
from postroom.domain.profile import KEEP, Patch, Profile
from postroom.domain.secret import Secret
from postroom.domain.trial import Job, TestMail, Verdict

Json = Any  # what `json` reads and writes; checked by the dialect's wire models
Fields = Mapping[str, Any]


class Verb(Enum):
    """What an endpoint asks for. The server maps each verb to one action."""

    SHOW = auto()
    SAVE = auto()
    RESET = auto()  # back to the installation's own settings
    TRY = auto()  # send a test mail, and say what came of it
    TRY_START = auto()  # the same as a job …
    TRY_STATUS = auto()  # … and how far it is
    TOKEN = auto()  # exchange a key for a short-lived token
    WHO = auto()  # is the key a good one? Answered without one, too
    FIXED = auto()  # an answer that is always the same; needs a good key


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a dialect sees it; header names are in lower case, `body` is JSON or a form's fields.

    `url` is the whole of it, as the caller sees it; `home` is the host that this installation is known by, if it is.
    """

    method: str = "GET"
    url: str = ""
    host: str = ""
    home: str | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Json = None


@dataclass(frozen=True, slots=True)
class Standing:
    """The settings as they stand. `profile` None: there are none. `is_fallback`: they are the installation's own."""

    profile: Profile | None
    id: int = 1
    is_fallback: bool = False
    has_secret: bool = True  # whether a password is stored: login may be on without one (`clear_if_moved`)


@dataclass(frozen=True, slots=True)
class Token:
    """A token just made, the seconds that it lives, and since when (seconds since 1970); `refresh` is another, to ask
    for the next one with."""

    value: str
    seconds: int
    made_at: int = 0
    refresh: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be tried: a mail, through the settings that the request names (None: the stored ones)."""

    mail: TestMail
    fields: Fields | None = None


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

    def find(self, asked: Asked) -> Secret | None: ...

    def attach(self, key: Secret) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method and path. `body` and `answer` are the wire models, for the dialect's own OpenAPI document; `answer`
    None is an answer without a body. `takes` are the content types of the body that the document names."""

    verb: Verb
    method: str
    path: str
    summary: str
    answer: type[BaseModel] | None
    body: type[BaseModel] | None = None
    key_styles: tuple[KeyStyle, ...] = ()  # where they differ from the dialect's
    takes: tuple[str, ...] = ("application/json",)
    status: int = 200  # of success
    refusal: type[BaseModel] | None = None  # the model of its refusals, where it differs from the dialect's


# The usual translation of problems; a dialect overrides `status` where its product differs.
STATUS: Mapping[type[Problem], int] = {
    Invalid: 400, Unauthenticated: 401, Denied: 403, NotFound: 404, Stale: 412, Conflict: 409, TooLarge: 413,
    TooMany: 429, Unavailable: 503,
}  # fmt: skip


class Dialect(ABC):
    """One product's wire language. A subclass's docstring is its spec sheet: sources first, then quirks."""

    name: ClassVar[str]
    title: ClassVar[str]
    # Path prefixes where every answer, also "not found", is in this language; `{}` stands for any one segment.
    territory: ClassVar[tuple[str, ...]]
    any_case: ClassVar[bool] = False  # whether paths are taken in any case
    https_only: ClassVar[bool] = False  # whether the product refuses plain http
    # The product clears a secret whose destination changed, instead of refusing; and takes login without one.
    clear_if_moved: ClassVar[bool] = False
    error: ClassVar[type[BaseModel]]  # the model of its refusals
    refuses: ClassVar[tuple[int, ...]] = ()  # statuses of refusals that others don't have
    key_styles: ClassVar[tuple[KeyStyle, ...]]
    dial_headers: ClassVar[Mapping[str, str]] = {}  # what a request to the real product carries beside the key
    endpoints: ClassVar[tuple[Endpoint, ...]]
    words: ClassVar[Mapping[str, str]]  # canonical field -> the product's, to name a field in its words

    def admit(self, asked: Asked) -> None:  # noqa: B027  most dialects have nothing to add
        """Raises NoRoute for a path that fits an endpoint but isn't the product's (an unknown version, say), and what
        else keeps a request out, however good its key is. Its body isn't read yet."""

    def fields(self, asked: Asked) -> Fields | None:
        """Where the settings stand in a request; None when it says nothing of them. Raises Invalid when they aren't an
        object."""
        if not isinstance(asked.body, Mapping):
            raise Invalid("body", "The request body must be a JSON object with the settings.")
        return asked.body

    def clears(self, fields: Fields) -> bool:
        """Whether the fields say that there are to be no settings (any more)."""
        return False

    def tenant(self, asked: Asked) -> str | None:
        """The tenant that the host or the path names, if it does. The key's tenant has to agree."""
        return asked.path.get("tenant")

    def profile_id(self, fields: Fields) -> int | None:
        """Which of the tenant's profiles the fields are for; None is the default one. Raises Invalid."""
        return None

    @abstractmethod
    def read(self, fields: Fields) -> Patch:
        """What the product's fields say. Raises Invalid, naming the product's field. `extras` is the whole of this
        dialect's own (`{}`: none); what others keep there, `change` adds."""

    @abstractmethod
    def write(self, profile: Profile, secret: Secret | None = None) -> dict[str, Json]:
        """The profile in the product's fields; the password in its way of hiding it unless `secret` is given."""

    @abstractmethod
    def reply(self, endpoint: Endpoint, asked: Asked, standing: Standing) -> Reply:
        """The answer to SHOW, SAVE and RESET. Raises NotFound where the product has no way to show no settings."""

    @abstractmethod
    def refuse(self, problem: Problem) -> Reply:
        """The answer to anything that is wrong, in the product's envelope."""

    def enclose(self, fields: Mapping[str, Json]) -> Json:
        """The body that a client of the product sends to set these fields."""
        return fields

    def refusal(self, endpoint: Endpoint | None, asked: Asked, problem: Problem) -> Reply:
        """`refuse`, for a product whose refusals name the request, or with words of its own at one endpoint (None: no
        endpoint fits). `asked` is as far as it was read."""
        return self.refuse(problem)

    @abstractmethod
    def unwrap(self, status: int, body: Json) -> Fields:
        """The fields in an answer of the real product. Raises Unavailable with its words if it says no."""

    # What only some products have. The server asks for it only where an endpoint's verb says so.

    def trial(self, asked: Asked) -> Trial:
        """What TRY and TRY_START are to try. Raises Invalid."""
        raise AssertionError(f"{self.name} has no trial")

    def tried(self, endpoint: Endpoint, asked: Asked, standing: Standing, verdict: Verdict) -> Reply:
        """The answer to TRY."""
        raise AssertionError(f"{self.name} has no trial")

    def progress(self, endpoint: Endpoint, asked: Asked, job: Job | None) -> Reply:
        """The answer to TRY_START and TRY_STATUS; None when there is no job (any more)."""
        raise AssertionError(f"{self.name} has no trial")

    def grant(self, endpoint: Endpoint, asked: Asked, token: Token) -> Reply:
        """The answer to TOKEN."""
        raise AssertionError(f"{self.name} grants no token")

    def who(self, endpoint: Endpoint, asked: Asked, known: bool) -> Reply:
        """The answer to WHO."""
        raise AssertionError(f"{self.name} does not say who")

    def fixed(self, endpoint: Endpoint, asked: Asked) -> Reply:
        """The answer to FIXED."""
        raise AssertionError(f"{self.name} has no fixed answer")

    def status(self, problem: Problem) -> int:
        return next((code for kind, code in STATUS.items() if isinstance(problem, kind)), 500)

    def field_of(self, problem: Invalid) -> str:
        """The field in the product's words."""
        return self.words.get(problem.field, problem.field)

    def find_key(self, endpoint: Endpoint, asked: Asked) -> Secret | None:
        """The first key that one of the styles finds."""
        found = (style.find(asked) for style in endpoint.key_styles or self.key_styles)
        return next((key for key in found if key is not None), None)

    def shown(self, profile: Profile | None) -> Patch:
        """What `read` makes of what this dialect would show: for the mirror rule."""
        return self.read(self.write(profile)) if profile is not None else Patch()

    def change(self, patch: Patch, stored: Profile | None) -> Patch:
        """What a patch in this dialect really changes: less what comes back as it was shown, and without touching
        what other dialects keep in `extras`."""
        said = patch.without(self.shown(stored))
        if said.extras is KEEP or stored is None:
            return said
        others = {name: kept for name, kept in stored.extras.items() if name != self.name}
        return replace(said, extras={**others, **said.extras})

    def encode(self, body: Json) -> bytes:
        """A reply's body as the product spells JSON."""
        return json.dumps(body, ensure_ascii=False).encode()

    def loss(self, profile: Profile) -> Mapping[str, tuple[Any, Any]]:
        """What a product that is told of `profile` in this dialect would not know: by field, what is and what it would
        take it for. Found by asking, not from a list."""
        said = self.read(self.write(profile)).settings()
        there = {f.name: said.get(f.name, _default(f)) or None for f in fields(Profile) if f.name != "extras"}
        return {
            name: (getattr(profile, name), value)
            for name, value in there.items()
            if (getattr(profile, name) or None) != value
        }


def _default(described: "Field[Any]") -> Any:
    return None if described.default is MISSING else described.default
