"""Leave for the final dot: asked for early where that spares a connection the wait, and anew when it has grown old."""

import asyncio
from collections.abc import Callable

from postroom.domain.delivery import Deferred, Sent
from postroom.smtp.attempt import Answer, Attempt
from postroom.smtp.pool import AHEAD, Pool
from postroom.smtp.route import Timeouts

from . import moods
from .conftest import CONTENT, ENVELOPE, route_to, yes
from .moods import Mood, open_relay


class Asked:
    """Who asks, in order; the answers are given later, by hand."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.answers: list[Answer] = []

    def by(self, number: int) -> Callable[[Answer], None]:
        def before_dot(answer: Answer) -> None:
            self.numbers.append(number)
            self.answers.append(answer)

        return before_dot


def outcome(attempt: Attempt) -> str:
    (found,) = attempt.outcomes.values()
    return "sent" if isinstance(found, Sent) else found.code


def thinks_until(event: asyncio.Event) -> moods.Act:
    """About the end of a mail."""

    async def thinks(visit: moods.Visit) -> bytes:
        await event.wait()
        await visit.say(b"250 ok\r\n")
        return b"250 ok\r\n"

    return thinks


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen")


async def test_the_next_few_for_each_connection_are_asked_for_while_they_wait():
    asked, may_go_on = Asked(), asyncio.Event()

    async with open_relay(Mood({"dot": thinks_until(may_go_on)}, offers=())) as relay:
        pool = Pool(route_to(relay), most_connections=2)
        first = [pool.send(ENVELOPE, CONTENT, yes) for _ in range(2)]
        await until(lambda: relay.said["body"] == 2)  # both connections are busy
        waiting = [pool.send(ENVELOPE, CONTENT, asked.by(n), early=True) for n in range(10)]
        late = pool.send(ENVELOPE, CONTENT, asked.by(99))
        assert asked.numbers == list(range(2 * AHEAD))
        may_go_on.set()
        for count in range(11):
            await until(lambda count=count: len(asked.answers) > count)
            asked.answers[count](True)
        attempts = await asyncio.gather(*first, *waiting, late)
        assert [outcome(each) for each in attempts] == ["sent"] * 13
        assert asked.numbers == [*range(10), 99]
        await pool.close()


async def test_one_that_was_refused_early_never_sees_a_connection():
    may_go_on, refused = asyncio.Event(), []

    def no(answer: Answer) -> None:
        refused.append(True)
        answer(False)

    async with open_relay(Mood({"dot": thinks_until(may_go_on)}, offers=())) as relay:
        pool = Pool(route_to(relay), most_connections=1)
        first = pool.send(ENVELOPE, CONTENT, yes)
        await until(lambda: relay.said["body"] == 1)
        lost, last = pool.send(ENVELOPE, CONTENT, no, early=True), pool.send(ENVELOPE, CONTENT, yes, early=True)
        assert refused == [True]
        may_go_on.set()
        assert [outcome(each) for each in await asyncio.gather(first, lost, last)] == ["sent", "lease.lost", "sent"]
        assert (relay.visits, len(relay.mails), relay.said["MAIL"]) == (1, 2, 2)
        await pool.close()


async def test_leave_that_has_grown_old_is_asked_for_anew():
    asked: list[int] = []

    def before_dot(answer: Answer) -> None:
        asked.append(len(asked))
        asyncio.get_running_loop().call_soon(answer, True)

    async with open_relay(Mood({"DATA": moods.after(0.3, b"354 go on\r\n")})) as relay:
        pool = Pool(route_to(relay, timeouts=Timeouts()), permit_holds=0.1)
        assert outcome(await pool.send(ENVELOPE, CONTENT, before_dot)) == "sent"
        assert asked == [0, 1]
        await pool.close()


async def test_leave_that_is_old_and_not_given_again_keeps_the_dot_back():
    answers = iter([True, False])

    async with open_relay(Mood({"DATA": moods.after(0.3, b"354 go on\r\n")})) as relay:
        pool = Pool(route_to(relay, timeouts=Timeouts()), permit_holds=0.1)
        attempt = await pool.send(ENVELOPE, CONTENT, lambda answer: answer(next(answers)))
        (found,) = attempt.outcomes.values()
        assert isinstance(found, Deferred)
        assert found.code == "lease.lost"
        assert relay.mails == []
        assert list(answers) == []
        await pool.close()


async def test_an_answer_that_comes_after_it_was_asked_for_anew_is_not_taken_for_the_new_one():
    asked = Asked()
    async with open_relay(Mood({"DATA": moods.after(0.3, b"354 go on\r\n")})) as relay:
        pool = Pool(route_to(relay, timeouts=Timeouts()), permit_holds=0.1)
        sent = pool.send(ENVELOPE, CONTENT, asked.by(1))
        await until(lambda: len(asked.answers) == 1)
        asked.answers[0](True)
        await until(lambda: len(asked.answers) == 2)
        asked.answers[0](True)
        await asyncio.sleep(0.05)
        assert relay.mails == []
        asked.answers[1](True)
        assert outcome(await sent) == "sent"
        await pool.close()


async def test_what_is_handed_back_is_not_asked_for_any_more():
    asked, may_go_on = Asked(), asyncio.Event()

    async with open_relay(Mood({"dot": thinks_until(may_go_on)}, offers=())) as relay:
        pool = Pool(route_to(relay), most_connections=1)
        first = pool.send(ENVELOPE, CONTENT, yes)
        await until(lambda: relay.said["body"] == 1)
        waiting = [pool.send(ENVELOPE, CONTENT, asked.by(n), early=True) for n in range(5)]
        pool.hand_back()
        assert {outcome(each) for each in await asyncio.gather(*waiting)} == {"pool.closed"}
        assert asked.numbers == list(range(AHEAD))
        may_go_on.set()
        assert outcome(await first) == "sent"
        await pool.close()
