"""The one tree of things that can be wrong with a request.

    Problem
     ├─ Invalid          a field is missing or can't be so (names the field)
     │   └─ SecretNeeded a destination changed and the secret was not given again
     ├─ Unauthenticated  no credential, or not one of ours
     ├─ Denied           the caller lacks a permission
     ├─ NotFound         not there, or not yours: the two look alike
     │   └─ NoRoute      no such path or method
     ├─ Conflict         it can't be done as things stand, or the same idempotency key with another body
     │   └─ Stale        somebody else changed it since it was read
     ├─ TooLarge         more than is taken in one request
     ├─ TooMany          more requests than are taken in this time: wait
     └─ Unavailable      ours to fix: try again later
         └─ SecretLost   what is stored sealed can't be opened

Each edge (native API, each dialect, the CLI) translates this tree once. A message is one sentence for an
administrator: what is wrong, and what to do. It never holds a secret or echoes a value that could be one.
What a relay says is not a Problem but an outcome (`delivery.py`).
"""

from typing import ClassVar


class Problem(Exception):
    """Something is wrong with what was asked; `message` says what, and what to do about it."""

    code: ClassVar[str] = "problem"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[object, ...]:
        """Whatever its class wants to be made with: another process may have found it."""
        return _as_it_was, (type(self), self.args), self.__dict__


def _as_it_was(kind: type[Problem], arguments: tuple[object, ...]) -> Problem:
    return kind.__new__(kind, *arguments)


class Invalid(Problem):
    """`field` can't be so. Nested fields are written as in JSON: `[3].to[0]`."""

    code = "invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field

    def inside(self, where: str) -> "Invalid":
        """The same problem seen from outside: `Invalid("to[0]").inside("[3]")` is about `[3].to[0]`."""
        separator = "" if not self.field or self.field.startswith("[") else "."
        return type(self)(f"{where}{separator}{self.field}", self.message)


class SecretNeeded(Invalid):
    """The destination changed, so the stored secret may not be used for it without being given again."""

    code = "secret_needed"


class Unauthenticated(Problem):
    code = "unauthenticated"


class Denied(Problem):
    """`who` is the name of the key, where that is what lacks the permission."""

    code = "denied"

    def __init__(self, message: str, who: str = "") -> None:
        super().__init__(message)
        self.who = who


class NotFound(Problem):
    code = "not_found"


class NoRoute(NotFound):
    code = "no_route"


class Conflict(Problem):
    code = "conflict"


class Stale(Conflict):
    """`revision` is the one in force, if there is one."""

    code = "stale"

    def __init__(self, message: str, revision: int | None = None) -> None:
        super().__init__(message)
        self.revision = revision


class TooLarge(Problem):
    code = "too_large"


class TooMany(Problem):
    code = "too_many"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class Unavailable(Problem):
    code = "unavailable"

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class SecretLost(Unavailable):
    """Sealed with a key that is not here, or moved from where it belongs. Never the same as "there is none"."""

    code = "secret_lost"
