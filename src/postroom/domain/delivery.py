"""How an attempt can end, and what happens then. Pure: who calls `decide` gives the time and the dice.

    waiting → (claimed: lease) → in_doubt → sent | waiting again | refused | expired | held | cancelled | filtered

Reply classes: RFC 5321 4.2.1 and `research/security-reliability.md` section 3.2.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from postroom.domain.message import OnDoubt

SECOND = 1_000_000  # all instants are microseconds since 1970, UTC

FIRST_WAIT = 60  # seconds
GREYLIST_WAIT = 300  # seconds: sooner, a relay that greylists counts from the start again
LONGEST_WAIT = 4 * 3600
JITTER = 0.25
# A worker may die of a message. Before it does so for ever, the message is held; that the worker died with its final
# dot due, or nearly (`Pool` asks ahead), says more about a message than that it died with this one among hundreds.
MOST_CRASHES = 12
CRASH_IN_DOUBT = 4
TOO_MANY = "recipient.too_many"  # in one transaction, says the relay (452 4.5.3)


class State(StrEnum):
    """A delivery's state. `claimed` and `in_doubt` are seen only while an attempt is under way."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    IN_DOUBT = "in_doubt"
    SENT = "sent"
    REFUSED = "refused"
    EXPIRED = "expired"
    HELD = "held"
    CANCELLED = "cancelled"
    FILTERED = "filtered"


FINAL = frozenset({State.SENT, State.REFUSED, State.EXPIRED, State.CANCELLED, State.FILTERED})


class Stage(StrEnum):
    """How far an attempt or a check got."""

    SETTINGS = "settings"
    POLICY = "policy"
    RESOLVE = "resolve"
    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    TLS = "tls"
    AUTH = "auth"
    SIZE = "size"  # of a check only
    SENDER = "sender"
    RECIPIENT = "recipient"
    DATA = "data"  # up to the 354
    DOT = "dot"  # the answer to the final dot


class Scope(StrEnum):
    """What a failure is about, and so who has to wait."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    RELAY = "relay"  # nobody's mail can go through this relay just now; costs the message no attempt
    PROFILE = "profile"  # the settings are wrong: wait for an administrator; costs the message no attempt


class RelayReply(NamedTuple):
    """What the relay answered, cleaned for logs and pages: printable ASCII, at most 512 characters."""

    code: int
    text: str
    enhanced: str | None = None  # RFC 3463, for example "5.1.1"


class Sent(NamedTuple):
    """The relay took responsibility (RFC 5321 6.1)."""

    reply: RelayReply
    stage: Stage = Stage.DOT


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now. `code` is stable (`connect.refused`), `message` is a sentence."""

    code: str
    message: str
    stage: Stage
    scope: Scope
    reply: RelayReply | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Never: the relay said so about this recipient or this message."""

    code: str
    message: str
    stage: Stage
    scope: Scope = Scope.RECIPIENT
    reply: RelayReply | None = None


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The final dot may have arrived and no answer came: taken or not, nobody can know (RFC 1047)."""

    code: str
    message: str
    stage: Stage = Stage.DOT
    reply: RelayReply | None = None


Outcome = Sent | Deferred | Refused | InDoubt


class Finish(NamedTuple):
    """The delivery is over: `state` is final or HELD."""

    state: State


class TryAgain(NamedTuple):
    """At `at`. `counts` says whether this attempt is held against the message."""

    at: int
    counts: bool


Decision = Finish | TryAgain
_IS_SENT = Finish(State.SENT)


def decide(
    outcome: Outcome, *, attempt: int, expires_at: int, on_doubt: OnDoubt, now: int, dice: float, progress: bool = False
) -> Decision:
    """What happens to one delivery after an attempt.

    `attempt` counts from 1; `dice` in [0, 1) spreads the retries; `progress` says whether the relay took the same
    message for somebody else. A wait never reaches past `expires_at`: the delivery expires then and not hours later.
    """
    match outcome:
        case Sent():
            return _IS_SENT
        case Refused():
            return Finish(State.REFUSED)
        case InDoubt() if on_doubt is OnDoubt.HOLD:
            return Finish(State.HELD)
        case InDoubt() | Deferred():
            if now >= expires_at:
                return Finish(State.EXPIRED)
            if waits_for_the_lane(outcome):
                return TryAgain(at=now, counts=False)
            if progress and outcome.code == TOO_MANY:
                return TryAgain(at=now, counts=False)  # RFC 5321 4.5.3.1.10: the rest goes in a transaction of its own
            pause = greylist_wait(attempt, dice) if _may_be_greylisted(outcome) else wait(attempt, dice)
            return TryAgain(at=min(now + pause, expires_at), counts=True)


def waits_for_the_lane(outcome: Outcome) -> bool:
    """Whether the relay or the settings failed, so that the whole lane rests and the message loses nothing."""
    return isinstance(outcome, Deferred) and outcome.scope in (Scope.RELAY, Scope.PROFILE)


def wait(attempt: int, dice: float) -> int:
    """Microseconds until the next try: doubling from a minute to four hours, give or take a quarter.

    RFC 5321 4.5.4.1 asks for 30 minutes to the same destination; a relay of one's own is asked more often at first,
    because notification mail is worth most when it is fresh.
    """
    seconds = min(FIRST_WAIT * 2 ** min(attempt - 1, 20), LONGEST_WAIT)
    return int(seconds * SECOND * (1 - JITTER + 2 * JITTER * dice))


def greylist_wait(attempt: int, dice: float) -> int:
    """Microseconds: never sooner than five minutes, then as any other."""
    return max(wait(attempt, dice), int(GREYLIST_WAIT * SECOND * (1 + JITTER * dice)))


def _may_be_greylisted(outcome: Outcome) -> bool:
    """450 or 451 to a recipient (`research/security-reliability.md` 3.2)."""
    return outcome.stage is Stage.RECIPIENT and outcome.reply is not None and outcome.reply.code in (450, 451)


def summary(states: "list[State]") -> State:
    """One state for a whole message: the most alive of its deliveries, else the worst end."""
    if len(states) == 1:  # of nearly every mail
        return states[0]
    return next((state for state in _MOST_ALIVE_FIRST if state in states), State.FILTERED)


_MOST_ALIVE_FIRST = (
    State.IN_DOUBT, State.CLAIMED, State.WAITING, State.HELD,
    State.REFUSED, State.EXPIRED, State.CANCELLED, State.SENT, State.FILTERED,
)  # fmt: skip
