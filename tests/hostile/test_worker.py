"""H16, H20, H22, H25, H33: what the queue makes of a hostile relay, by a clock that only the test moves."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from hostile.moods import dirty, good
from hostile.shift import lane_to, shift
from postroom.domain.delivery import SECOND, State
from postroom.domain.profile import Auth
from smtp.moods import Mood, Visit, between, open_relay
from store.room import DAY, Lane, Room

HOUR = 3600
FLOOR = 45  # seconds: a minute, less a quarter by the dice


class Diary:
    """An answer, and when it was asked for (seconds of the test's clock since its beginning)."""

    def __init__(self, room: Room, answer: Callable[[Visit, "Diary"], bytes]) -> None:
        self._room, self._answer, self._since = room, answer, room.now
        self.times: list[float] = []

    @property
    def now(self) -> float:
        return (self._room.now - self._since) / SECOND

    async def __call__(self, visit: Visit) -> bytes:
        self.times.append(self.now)
        said = self._answer(visit, self)
        await visit.say(said)
        return said


def states(room: Room, lane: Lane, message: str):
    return room.states(lane, message)


async def test_h16_450_for_ever_keeps_the_floor_and_expires_at_its_time(room: Room):
    diary = Diary(room, lambda _visit, _diary: b"450 4.2.0 not now\r\n")
    async with open_relay(good(RCPT=diary)) as relay, shift(room) as work:
        lane = await lane_to(room, relay.port)
        message = await room.accept(lane, life=5 * DAY)
        expires_at = room.now + 5 * DAY
        while await states(room, lane, message) == [State.WAITING]:
            assert await work.go_on()
        assert await states(room, lane, message) == [State.EXPIRED]
        assert room.now == expires_at
    pauses = [later - earlier for earlier, later in zip(diary.times, diary.times[1:], strict=False)]
    assert min(pauses) >= FLOOR
    assert 10 <= len(diary.times) <= 60
    assert relay.mails == []


RECIPIENTS = ("a@x.test", "b@x.test", "c@x.test", "d@x.test")
FIRST_ANSWERS = {
    "a@x.test": b"250 ok\r\n",
    "b@x.test": b"550 5.1.1 nobody\r\n",
    "c@x.test": b"451 4.7.1 greylisted\r\n",
    "d@x.test": b"452 4.5.3 too many recipients\r\n",
}


def four_answers() -> Mood:
    """Each its own, and whoever comes again is welcome."""
    seen: set[str] = set()

    async def act(visit: Visit) -> bytes:
        recipient = between(visit.relay.heard[-1])
        said = b"250 ok\r\n" if recipient in seen else FIRST_ANSWERS[recipient]
        seen.add(recipient)
        await visit.say(said)
        return said

    return good(RCPT=act)


async def test_h20_four_answers_are_four_ends_and_each_recipient_gets_one_mail(room: Room):
    async with open_relay(four_answers()) as relay, shift(room) as work:
        lane = await lane_to(room, relay.port)
        message = await room.accept(lane, *RECIPIENTS)
        await work.quiet()
        a, b, c, _ = await states(room, lane, message)
        assert (a, b, c) == (State.SENT, State.REFUSED, State.WAITING)
        while State.WAITING in await states(room, lane, message):
            assert await work.go_on()
        assert await states(room, lane, message) == [State.SENT, State.REFUSED, State.SENT, State.SENT]
    got = [recipient for mail in relay.mails for recipient in mail.recipients]
    assert sorted(got) == ["a@x.test", "c@x.test", "d@x.test"]
    assert relay.said["dot"] == len(relay.mails)  # one body for each transaction


async def test_h20_who_was_one_too_many_is_sent_to_at_once_in_a_new_transaction(room: Room):
    async with open_relay(four_answers()) as relay, shift(room) as work:
        lane = await lane_to(room, relay.port)
        await room.accept(lane, *RECIPIENTS)
        await work.quiet()  # the clock stands still
    assert [mail.recipients for mail in relay.mails] == [("a@x.test",), ("d@x.test",)]


@pytest.mark.parametrize("moment", ["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "dot"])
async def test_h22_nothing_that_is_logged_or_kept_is_as_the_relay_wrote_it(room: Room, moment: str):
    login = {"auth": Auth.PASSWORD, "username": "user"}
    with capture_logs() as logged:
        async with open_relay(good(**{moment: dirty(451)})) as relay, shift(room) as work:
            lane = await lane_to(room, relay.port, **login)
            message = await room.accept(lane)
            await work.quiet()
            shown = repr(await room.shown(lane, message)) + repr(await room.stored(lane)) + repr(logged)
    assert relay.said[moment] == 1
    assert any(each["event"] == "attempted" for each in logged)
    assert shown.isascii()
    assert shown.isprintable()
    assert "\\x1b[" not in shown  # as repr() would write an escape that was kept


class Account:
    """Locks itself when somebody tries five wrong passwords within an hour."""

    def __call__(self, _visit: Visit, diary: Diary) -> bytes:
        lately = [time for time in diary.times if time > diary.now - HOUR]
        self.locked = getattr(self, "locked", False) or len(lately) >= 5
        return b"535 5.7.8 account locked\r\n" if self.locked else b"535 5.7.8 wrong password\r\n"


async def test_h25_a_wrong_password_is_tried_three_times_an_hour_whatever_comes(room: Room):
    account = Account()
    diary = Diary(room, account)
    messages: list[str] = []

    async def work_for(lane: Lane, hours: float) -> None:
        end = room.now + hours * HOUR * SECOND
        async with shift(room) as work:
            while room.now < end:
                messages.append(await room.accept(lane))
                await work.quiet()
                room.clock.forward(600)

    async with open_relay(good(AUTH=diary)) as relay:
        lane = await lane_to(room, relay.port, auth=Auth.PASSWORD, username="user")
        await work_for(lane, 3)
        await work_for(lane, 3)  # another worker, after a restart
    assert len(diary.times) >= 6
    assert max(sum(start <= time < start + HOUR for time in diary.times) for start in diary.times) <= 3
    assert not account.locked
    assert relay.mails == []
    assert {state for each in messages for state in await states(room, lane, each)} == {State.WAITING}


def greylisting(room: Room, seconds: float) -> Diary:
    def answer(_visit: Visit, diary: Diary) -> bytes:
        return b"250 ok\r\n" if diary.now - diary.times[0] >= seconds else b"451 4.7.1 greylisted\r\n"

    return Diary(room, answer)


async def test_h33_greylisted_for_three_minutes_then_delivered_once(room: Room):
    diary = greylisting(room, 180)
    async with open_relay(good(RCPT=diary)) as relay, shift(room) as work:
        lane = await lane_to(room, relay.port)
        message = await room.accept(lane)
        await work.quiet()
        while await states(room, lane, message) == [State.WAITING]:
            assert await work.go_on()
        assert await states(room, lane, message) == [State.SENT]
        await work.go_on()
    assert len(relay.mails) == 1
    assert diary.times[-1] <= 15 * 60


async def test_h33_the_first_try_after_greylisting_comes_at_five_minutes(room: Room):
    diary = greylisting(room, 180)
    async with open_relay(good(RCPT=diary)) as relay, shift(room, dice=0.5) as work:
        await room.accept(await lane_to(room, relay.port))
        await work.quiet()
        assert await work.go_on()
    assert len(relay.mails) == 1
    first, second = diary.times
    assert first == 0
    assert 300 <= second <= 375
