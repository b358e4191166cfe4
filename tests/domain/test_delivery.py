"""What happens to a delivery after an attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.domain.delivery import (
    FINAL,
    FIRST_WAIT,
    GREYLIST_WAIT,
    JITTER,
    LONGEST_WAIT,
    SECOND,
    Deferred,
    Finish,
    InDoubt,
    Outcome,
    Refused,
    RelayReply,
    Scope,
    Sent,
    Stage,
    State,
    TryAgain,
    decide,
    summary,
    wait,
    waits_for_the_lane,
)
from postroom.domain.message import OnDoubt

NOW = 1_700_000_000 * SECOND
LATER = NOW + 5 * 86_400 * SECOND

SENT = Sent(RelayReply(250, "Ok"))
REFUSED = Refused("recipient.refused", "No such user.", Stage.RECIPIENT)
IN_DOUBT = InDoubt("dot.lost", "The connection was lost.")


def deferred(scope: Scope) -> Deferred:
    return Deferred("busy", "Try later.", Stage.CONNECT, scope)


dice = st.floats(0, 1, exclude_max=True)
outcomes = st.sampled_from([SENT, REFUSED, IN_DOUBT, *(deferred(scope) for scope in Scope)])


@pytest.mark.parametrize("on_doubt", OnDoubt)
@pytest.mark.parametrize("now", [NOW, LATER, LATER + 1])
@pytest.mark.parametrize(("outcome", "state"), [(SENT, State.SENT), (REFUSED, State.REFUSED)])
def test_a_clear_answer_is_the_end_whatever_the_hour(outcome: Outcome, state: State, now: int, on_doubt: OnDoubt):
    assert decide(outcome, attempt=1, expires_at=LATER, on_doubt=on_doubt, now=now, dice=0.5) == Finish(state)


@pytest.mark.parametrize("now", [NOW, LATER, LATER + 1])
def test_a_mail_in_doubt_is_held_for_a_person_when_that_was_asked_for(now: int):
    decision = decide(IN_DOUBT, attempt=1, expires_at=LATER, on_doubt=OnDoubt.HOLD, now=now, dice=0.5)
    assert decision == Finish(State.HELD)
    assert State.HELD not in FINAL


def test_a_mail_in_doubt_is_tried_again_when_that_was_asked_for():
    decision = decide(IN_DOUBT, attempt=1, expires_at=LATER, on_doubt=OnDoubt.RETRY, now=NOW, dice=0.5)
    assert decision == TryAgain(NOW + FIRST_WAIT * SECOND, counts=True)


@pytest.mark.parametrize("scope", [Scope.RECIPIENT, Scope.MESSAGE])
def test_what_is_about_the_mail_is_held_against_it_and_waits(scope: Scope):
    decision = decide(deferred(scope), attempt=1, expires_at=LATER, on_doubt=OnDoubt.RETRY, now=NOW, dice=0.5)
    assert decision == TryAgain(NOW + FIRST_WAIT * SECOND, counts=True)
    assert not waits_for_the_lane(deferred(scope))


@pytest.mark.parametrize("scope", [Scope.RELAY, Scope.PROFILE])
@pytest.mark.parametrize("attempt", [1, 9])
def test_what_is_about_the_relay_or_the_settings_costs_nothing_because_the_lane_rests(scope: Scope, attempt: int):
    decision = decide(deferred(scope), attempt=attempt, expires_at=LATER, on_doubt=OnDoubt.RETRY, now=NOW, dice=0.5)
    assert decision == TryAgain(NOW, counts=False)
    assert waits_for_the_lane(deferred(scope))


@pytest.mark.parametrize("outcome", [IN_DOUBT, *(deferred(scope) for scope in Scope)])
@pytest.mark.parametrize("late", [0, 1, 10**12])
def test_what_is_not_over_by_its_time_expires(outcome: Outcome, late: int):
    decision = decide(outcome, attempt=1, expires_at=LATER, on_doubt=OnDoubt.RETRY, now=LATER + late, dice=0.5)
    assert decision == Finish(State.EXPIRED)


@given(outcomes, st.integers(1, 1000), st.integers(1, 10**13), dice)
def test_a_next_try_is_never_in_the_past_and_never_past_the_expiry(
    outcome: Outcome, attempt: int, left: int, chance: float
):
    decision = decide(
        outcome, attempt=attempt, expires_at=NOW + left, on_doubt=OnDoubt.RETRY, now=NOW, dice=chance
    )  # fmt: skip
    if isinstance(decision, TryAgain):
        assert NOW + (1 if decision.counts else 0) <= decision.at <= NOW + left
    else:
        assert decision.state in FINAL


@given(st.integers(1, 10_000), dice)
def test_a_wait_stays_within_a_quarter_of_its_doubling_bounds(attempt: int, chance: float):
    middle = min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_WAIT) * SECOND
    assert middle * (1 - JITTER) - 1 <= wait(attempt, chance) <= middle * (1 + JITTER)


def test_waits_double_from_a_minute_to_four_hours():
    minutes = [wait(attempt, 0.5) // (60 * SECOND) for attempt in range(1, 12)]
    assert minutes == [1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240]


def test_the_dice_spread_the_retries():
    assert wait(5, 0.0) < wait(5, 0.5) < wait(5, 0.999)


TOO_MANY_SAID = Deferred("recipient.too_many", "Too many.", Stage.RECIPIENT, Scope.RECIPIENT, RelayReply(452, "no"))


def test_recipients_beyond_what_one_transaction_takes_go_at_once_in_the_next_and_lose_nothing():
    decision = decide(
        TOO_MANY_SAID, attempt=3, expires_at=LATER, on_doubt=OnDoubt.RETRY, now=NOW, dice=0.5, progress=True
    )
    assert decision == TryAgain(NOW, counts=False)


def test_a_relay_that_takes_nobody_because_there_are_too_many_is_not_asked_again_at_once():
    decision = decide(TOO_MANY_SAID, attempt=1, expires_at=LATER, on_doubt=OnDoubt.RETRY, now=NOW, dice=0.5)
    assert decision == TryAgain(NOW + FIRST_WAIT * SECOND, counts=True)


@pytest.mark.parametrize("code", [450, 451])
@given(dice, st.integers(1, 8))
def test_a_recipient_who_may_be_greylisted_is_never_tried_before_five_minutes_are_over(
    code: int, chance: float, attempt: int
):
    said = Deferred("recipient.deferred", "Later.", Stage.RECIPIENT, Scope.RECIPIENT, RelayReply(code, "greylisted"))
    decision = decide(said, attempt=attempt, expires_at=LATER, on_doubt=OnDoubt.RETRY, now=NOW, dice=chance)
    assert isinstance(decision, TryAgain)
    assert decision.at - NOW >= GREYLIST_WAIT * SECOND
    if attempt == 1:
        assert decision.at - NOW <= GREYLIST_WAIT * SECOND * (1 + JITTER)


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([], State.FILTERED),
        ([State.SENT, State.SENT], State.SENT),
        ([State.SENT, State.WAITING], State.WAITING),
        ([State.SENT, State.REFUSED], State.REFUSED),
        ([State.SENT, State.FILTERED], State.SENT),
        ([State.HELD, State.REFUSED, State.SENT], State.HELD),
        ([State.WAITING, State.IN_DOUBT], State.IN_DOUBT),
        ([State.EXPIRED, State.CANCELLED], State.EXPIRED),
    ],
)
def test_a_message_is_in_the_most_alive_state_of_its_deliveries(states: list[State], state: State):
    assert summary(states) is state


@pytest.mark.parametrize("state", State)
def test_a_message_of_one_delivery_is_in_its_state(state: State):
    assert summary([state]) is state
