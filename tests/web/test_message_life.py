"""What a message's page says of its life, decided from what is known."""

from dataclasses import replace

from postroom.domain.delivery import State
from postroom.smtp.advice import advice_on
from postroom.store.messages import AttemptRead, DeliveryRead, MessageRead
from postroom.web.pages.message_life import can_be_cancelled, can_try_again, counts, next_step, tries

ONE = AttemptRead(1, 100, 5, "sent", "dot", "sent", "The relay took it.", 250, None, "ok", "127.0.0.1:25", None, None,
                  1, None)  # fmt: skip


def delivery(state: State, *attempts: AttemptRead, due: int | None = None, number: int = 1) -> DeliveryRead:
    return DeliveryRead(f"m.{number}", f"r{number}@x.example", state, len(attempts), 0, due, None, attempts)


def message(*deliveries: DeliveryRead, has_content: bool = True) -> MessageRead:
    return MessageRead(
        "m", 1, 1, 0, 10**9, "retry", "a@b.example", "a@b.example", "s", 9, None, has_content, deliveries
    )


def test_recipients_of_one_transaction_are_one_try_and_those_alike_one_answer():
    told = f'The relay did not take "x": 550 no. {advice_on("recipient.refused")}'
    refused = replace(ONE, outcome="refused", code="recipient.refused", reply_code=550, reply_text="no", message=told,
                      transcript="C: x")  # fmt: skip
    later = replace(ONE, started_at=200, number=2)
    read = message(
        delivery(State.SENT, ONE, number=1), delivery(State.SENT, ONE, number=2),
        delivery(State.REFUSED, refused, number=3), delivery(State.SENT, later, number=4),
    )  # fmt: skip
    first, second = tries(read)
    assert [each.recipients for each in first.answers] == [("r1@x.example", "r2@x.example"), ("r3@x.example",)]
    assert first.transcript == "C: x"
    assert first.answers[1].sentence == 'The relay did not take "x".'
    assert first.answers[1].advice == advice_on("recipient.refused")
    assert (first.answers[0].sentence, first.answers[0].advice) == ("The relay took it.", "")
    assert [each.recipients for each in second.answers] == [("r4@x.example",)]


def test_a_sentence_that_is_nothing_but_advice_stays():
    attempt = replace(ONE, outcome="deferred", code="data.deferred", message=advice_on("data.deferred"))
    assert tries(message(delivery(State.WAITING, attempt)))[0].answers[0].sentence == advice_on("data.deferred")


def test_what_comes_next():
    def what(*states: State, due: int | None = None) -> str | None:
        found = next_step(message(*(delivery(each, due=due) for each in states)), None, 1000)
        return found.what if found else None

    assert what(State.SENT, State.CLAIMED, State.WAITING) == "under_way"
    assert what(State.IN_DOUBT) == "under_way"
    assert what(State.WAITING, State.HELD, due=2000) == "later"
    assert what(State.WAITING, due=1000) == "due"
    assert what(State.HELD, State.SENT) == "held"
    assert what(State.SENT, State.REFUSED, State.FILTERED) is None


def test_what_a_person_can_do():
    for state in State:
        read = message(delivery(state))
        assert can_try_again(read) == (state in ("waiting", "refused", "expired", "held", "cancelled")), state
        assert can_be_cancelled(read) == (state in ("waiting", "held")), state
    assert not can_try_again(message(delivery(State.REFUSED), has_content=False))


def test_states_are_counted_in_their_order():
    read = message(delivery(State.REFUSED), delivery(State.SENT), delivery(State.SENT))
    assert counts(read.deliveries) == [(State.SENT, 2), (State.REFUSED, 1)]
