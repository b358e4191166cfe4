"""What became of a message, for a page: its tries in order, what comes next, and what a person can do. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from postroom.domain.delivery import State
from postroom.smtp.advice import advice_on
from postroom.store.messages import AttemptRead, DeliveryRead, MessageRead
from postroom.store.profiles import StoredProfile

AGAIN = frozenset({State.WAITING, State.REFUSED, State.EXPIRED, State.HELD, State.CANCELLED})
BACK = frozenset({State.WAITING, State.HELD})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the relay said to several recipients alike: `sentence` is without the advice and the relay's words, which
    are shown beside it."""

    recipients: tuple[str, ...]
    attempt: AttemptRead
    sentence: str
    advice: str  # what an administrator can do about it, "" where that is nothing


@dataclass(frozen=True, slots=True)
class Try:
    """One transaction with a relay, for one or more recipients. `attempt` is any of its recipients'."""

    attempt: AttemptRead
    answers: tuple[Answer, ...]
    transcript: str | None


@dataclass(frozen=True, slots=True)
class Next:
    """`what`: under_way, paused, trouble, due, later or held; `at`: when, in microseconds since 1970; `why`: the
    trouble, as a sentence, unless the last attempt said the same."""

    what: str
    at: int | None = None
    why: str = ""


def tries(read: MessageRead) -> list[Try]:
    """In the order in which they began."""
    made = [(one, each.recipient) for each in read.deliveries for one in each.tries]
    made.sort(key=lambda pair: _transaction(pair[0]))
    return [_try(list(pairs)) for _, pairs in groupby(made, lambda pair: _transaction(pair[0]))]


def next_step(read: MessageRead, profile: StoredProfile | None, now: int) -> Next | None:
    """None when it is over. `profile`: the one that it goes through, None where the caller may not see it."""
    states = {each.state for each in read.deliveries}
    if states & {State.CLAIMED, State.IN_DOUBT}:
        return Next("under_way")
    if State.WAITING in states:
        return _waiting(read, profile, now)
    return Next("held") if State.HELD in states else None


def counts(deliveries: Iterable[DeliveryRead]) -> list[tuple[State, int]]:
    """How many there are in each state, in the order of the states."""
    states = [each.state for each in deliveries]
    return [(state, states.count(state)) for state in State if state in states]


def can_try_again(read: MessageRead) -> bool:
    return read.has_content and any(each.state in AGAIN for each in read.deliveries)


def can_be_cancelled(read: MessageRead) -> bool:
    return any(each.state in BACK for each in read.deliveries)


def _waiting(read: MessageRead, profile: StoredProfile | None, now: int) -> Next:
    if profile is not None and profile.paused_at is not None:
        return Next("paused", profile.paused_at)
    if profile is not None and profile.trouble is not None:
        last = max(
            (one for each in read.deliveries for one in each.tries), key=lambda one: one.started_at, default=None
        )
        said = last is not None and last.message == profile.trouble
        return Next("trouble", profile.rests_until, "" if said else profile.trouble)
    due = [each.next_attempt_at for each in read.deliveries if each.next_attempt_at is not None]
    return Next("later", min(due)) if due and min(due) > now else Next("due")


def _transaction(attempt: AttemptRead) -> tuple[object, ...]:
    """What the recipients of one transaction have in common."""
    return attempt.started_at, attempt.relay, attempt.profile_id or 0, attempt.revision, attempt.duration


def _try(pairs: list[tuple[AttemptRead, str]]) -> Try:
    alike: dict[tuple[object, ...], list[tuple[AttemptRead, str]]] = {}
    for attempt, recipient in pairs:
        said = (attempt.outcome, attempt.code, attempt.message, attempt.reply_code, attempt.reply_text)
        alike.setdefault(said, []).append((attempt, recipient))
    answers = [_answer(some[0][0], tuple(recipient for _, recipient in some)) for some in alike.values()]
    return Try(pairs[0][0], tuple(answers), next((one.transcript for one, _ in pairs if one.transcript), None))


def _answer(attempt: AttemptRead, recipients: tuple[str, ...]) -> Answer:
    advice = "" if attempt.outcome == State.SENT else advice_on(attempt.code)
    sentence = attempt.message.removesuffix(advice).strip()
    if attempt.reply_code:
        sentence = sentence.replace(f": {attempt.reply_code} {(attempt.reply_text or '').rstrip('.')}", "", 1)
    return Answer(recipients, attempt, sentence or attempt.message, advice)
