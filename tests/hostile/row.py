"""What a row of the table of hostile relays says.

What the relay does, and how an attempt to deliver ends. A check of the settings ends at the same step with the same
code, unless that step comes after the recipient, where a check has long said goodbye: then it passes, or unless `check`
says otherwise. Each row is run without TLS, with STARTTLS and with TLS from the start, unless `over` says otherwise;
with TLS there is a login too, so that there is a password to lose.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from postroom.domain.delivery import Deferred, InDoubt, Outcome, Refused, Scope, Sent, Stage
from postroom.domain.profile import Security
from postroom.smtp.route import Timeouts
from smtp.conftest import CONTENT
from smtp.moods import Mood

PLAIN, STARTTLS, TLS = Security.NONE, Security.STARTTLS, Security.TLS
EVERYWHERE = (PLAIN, STARTTLS, TLS)
ENCRYPTED = (STARTTLS, TLS)

PATIENT = Timeouts(connect=3, reply=3, dot=3, attempt=5)
QUICK = Timeouts(connect=0.5, reply=0.3, dot=0.4, attempt=1.2)  # where the row is about waiting in vain

ONE = ("one@example.com",)
LATER = frozenset({Stage.DATA, Stage.DOT})
WITH_LOGIN = frozenset({Stage.AUTH, Stage.SENDER, Stage.RECIPIENT, Stage.DATA, Stage.DOT})


@dataclass(frozen=True)
class End:
    """`stage` and `code` are a check's too."""

    kind: type[Outcome]
    code: str = "sent"
    stage: Stage = Stage.DOT
    scope: Scope | None = None


# The classes of section 3.2.
def relay_temp(code: str, stage: Stage) -> End:
    return End(Deferred, code, stage, Scope.RELAY)


def config(code: str, stage: Stage) -> End:
    return End(Deferred, code, stage, Scope.PROFILE)


def message_temp(code: str, stage: Stage) -> End:
    return End(Deferred, code, stage, Scope.MESSAGE)


def message_permanent(code: str, stage: Stage) -> End:
    return End(Refused, code, stage, Scope.MESSAGE)


def recipient_temp(code: str) -> End:
    return End(Deferred, code, Stage.RECIPIENT, Scope.RECIPIENT)


def recipient_permanent(code: str) -> End:
    return End(Refused, code, Stage.RECIPIENT, Scope.RECIPIENT)


def in_doubt(code: str) -> End:
    return End(InDoubt, f"in_doubt.{code}", Stage.DOT)


def protocol_error(stage: Stage) -> End:
    return relay_temp("reply.malformed", stage)


SENT = End(Sent)


@dataclass(frozen=True)
class Row:
    h: int
    variant: str
    mood: Mood
    ends: End | tuple[End, ...]  # several: one for each recipient, in order
    over: tuple[Security, ...] = EVERYWHERE
    check: End | None = None
    timeouts: Timeouts = PATIENT
    recipients: tuple[str, ...] = ONE
    content: bytes = CONTENT
    certificate: str = "good"
    login: Mapping[Security, bool] = field(default_factory=lambda: {PLAIN: False, STARTTLS: True, TLS: True})
    auth_due: bool | None = None  # whether the relay is to see AUTH at all; None: if it comes so far
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def each(self) -> tuple[End, ...]:
        return self.ends if isinstance(self.ends, tuple) else (self.ends,) * len(self.recipients)

    def check_ends(self) -> End:
        """Where a check stops; SENT is the top of the ladder."""
        first = self.each[0]
        return self.check or (SENT if first.stage in LATER else first)

    def may_log_in(self, security: Security, end: End) -> bool:
        if not self.login[security]:
            return False
        return end.stage in WITH_LOGIN if self.auth_due is None else self.auth_due

    def __str__(self) -> str:
        return f"H{self.h} {self.variant}"
