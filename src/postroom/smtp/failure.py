"""A failure on the way to a relay: a stable code, what happened, whom it is about, and (by code) what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from postroom.domain.delivery import Deferred, Refused, RelayReply, Scope, Stage
from postroom.smtp.advice import advice_on


@dataclass(frozen=True, slots=True)
class Failure:
    """`what` is a sentence in the past tense; a failure is temporary unless `permanent`."""

    code: str
    what: str
    stage: Stage
    scope: Scope
    reply: RelayReply | None = None
    permanent: bool = False
    detail: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False)  # facts, for a check

    @property
    def advice(self) -> str:
        return advice_on(self.code)

    def outcome(self) -> Deferred | Refused:
        message = f"{self.what} {self.advice}".rstrip()
        if self.permanent:
            return Refused(self.code, message, self.stage, self.scope, self.reply)
        return Deferred(self.code, message, self.stage, self.scope, self.reply)


class Stopped(Exception):
    """A dialogue came to an end before its end. Raised and caught inside `smtp` only."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure
