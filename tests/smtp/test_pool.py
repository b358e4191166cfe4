"""Warm connections: used again, opened sparingly, and never a reason for a message to be lost or counted wrongly."""

import asyncio
import contextlib
import time
from dataclasses import replace

import pytest

from postroom.domain.delivery import Deferred, InDoubt, Refused, Scope, Sent
from postroom.domain.message import Envelope
from postroom.smtp.attempt import Answer, Attempt
from postroom.smtp.pool import Pool
from postroom.smtp.route import Timeouts

from . import moods
from .conftest import CONTENT, ENVELOPE, QUICK, route_to, yes
from .moods import Mood


def kinds(attempts: list[Attempt]) -> list[str]:
    return [type(outcome).__name__ for attempt in attempts for outcome in attempt.outcomes.values()]


def codes(attempt: Attempt) -> list[str]:
    return [getattr(outcome, "code", "sent") for outcome in attempt.outcomes.values()]


@pytest.fixture
async def pool_to():
    pools: list[Pool] = []

    def opened(*args, pool=None, **kwargs) -> Pool:
        pools.append(Pool(route_to(*args, **kwargs), **(pool or {})))
        return pools[-1]

    yield opened
    for pool in pools:
        async with asyncio.timeout(5):
            await pool.close()
        assert pool.connections == pool.idle == pool.in_flight == 0


async def all_of(pool: Pool, count: int) -> list[Attempt]:
    return await asyncio.gather(*(pool.send(ENVELOPE, CONTENT, yes) for _ in range(count)))


async def test_messages_one_after_the_other_share_a_connection(relay, pool_to):
    good = await relay()
    pool = pool_to(good)
    for _ in range(5):
        assert kinds(await all_of(pool, 1)) == ["Sent"]
    assert good.visits == 1
    assert (pool.connections, pool.idle, pool.in_flight) == (1, 1, 0)


async def test_many_messages_use_several_connections_but_not_more_than_allowed(relay, pool_to):
    slow = await relay(dot=moods.after(0.01, b"250 ok\r\n"))
    pool = pool_to(slow, pool={"most_connections": 4})
    attempts = await all_of(pool, 60)
    assert kinds(attempts) == ["Sent"] * 60
    assert 2 <= slow.visits <= 4
    assert slow.said["dot"] == 60


async def test_pipelined_messages_arrive_whole_and_in_order(relay, pool_to):
    good = await relay()
    pool = pool_to(good, pool={"most_connections": 1})
    futures = [pool.send(ENVELOPE, f"Subject: {n}\r\n\r\n.{n}\r\n".encode(), yes) for n in range(50)]
    assert kinds(list(await asyncio.gather(*futures))) == ["Sent"] * 50
    assert [mail.content for mail in good.mails] == [f"Subject: {n}\r\n\r\n.{n}\r\n".encode() for n in range(50)]
    assert "RSET" not in good.heard


async def test_the_next_message_does_not_wait_for_the_answer_to_a_dot(relay, pool_to):
    pace = 0.05
    slow = await relay(dot=moods.after(pace, b"250 ok\r\n"), DATA=moods.after(pace, b"354 go\r\n"))
    quick_start = time.monotonic()
    await all_of(pool_to(slow, pool={"most_connections": 1}), 6)
    assert slow.heard.count("DATA") == 6
    assert time.monotonic() - quick_start < 6 * 2 * pace + 0.3


async def test_a_connection_carries_so_many_messages_and_no_more(relay, pool_to):
    good = await relay()
    pool = pool_to(good, pool={"messages_per_connection": 3, "most_connections": 1})
    assert kinds(await all_of(pool, 8)) == ["Sent"] * 8
    assert good.visits == 3
    assert good.heard.count("QUIT") == 2


async def test_after_a_failed_transaction_comes_reset(relay, pool_to):
    picky = await relay(RCPT=(b"550 5.1.1 nobody\r\n", b"250 ok\r\n"), DATA=(b"554 no\r\n", b"354 go\r\n"))
    pool = pool_to(picky)
    assert kinds(await all_of(pool, 1)) == ["Refused"]
    assert kinds(await all_of(pool, 1)) == ["Sent"]
    assert picky.visits == 1
    assert picky.heard.count("RSET") == 1


async def test_a_connection_that_the_relay_closed_in_the_meantime_is_no_attempt(relay, pool_to):
    restless = await relay(dot=(moods.says_then_hangs_up(b"250 ok\r\n"), b"250 ok\r\n"))
    pool = pool_to(restless)
    assert kinds(await all_of(pool, 1)) == ["Sent"]
    await asyncio.sleep(0.05)
    assert pool.connections == 0
    assert kinds(await all_of(pool, 1)) == ["Sent"]
    assert restless.visits == 2


@pytest.mark.parametrize("answer", [b"421 4.4.2 too long idle\r\n", moods.hangs_up, moods.resets])
async def test_a_warm_connection_that_closes_when_it_is_used_is_replaced_in_silence(relay, pool_to, answer):
    tired = await relay(MAIL=(b"250 ok\r\n", answer, b"250 ok\r\n"))
    pool = pool_to(tired)
    first = await all_of(pool, 1)
    second = await all_of(pool, 1)
    assert kinds(first + second) == ["Sent", "Sent"]
    assert tired.visits == 2
    assert len(tired.mails) == 2


async def test_several_warm_connections_that_closed_are_all_passed_over(relay, pool_to):
    first_of_each: set[moods.Visit] = set()

    async def only_once(visit: moods.Visit) -> bytes:
        if visit in first_of_each:
            raise moods.HangUp
        first_of_each.add(visit)
        await visit.say(b"250 ok\r\n")
        return b"250"

    # Without pipelining nothing is said on a connection before the message that it is for.
    restarted = await relay(Mood({"MAIL": only_once, "dot": moods.after(0.05, b"250 ok\r\n")}, offers=()))
    pool = pool_to(restarted, pool={"most_connections": 3, "messages_per_connection": 2})
    warmed: list[Attempt] = []
    while pool.idle < 3 and len(warmed) < 30:
        warmed += await all_of(pool, 3)
    assert pool.idle == 3
    visits = restarted.visits
    (attempt,) = await all_of(pool, 1)
    assert kinds([*warmed, attempt]) == ["Sent"] * len([*warmed, attempt])
    assert restarted.visits == visits + 1


async def test_a_new_connection_that_is_cut_is_not_tried_again(relay, pool_to):
    broken = await relay(MAIL=(b"250 ok\r\n", moods.hangs_up))
    pool = pool_to(broken)
    assert kinds(await all_of(pool, 1)) == ["Sent"]
    (attempt,) = await all_of(pool, 1)
    assert codes(attempt) == ["connection.lost"]
    assert broken.visits == 2


async def test_what_was_pipelined_behind_a_lost_dot_goes_out_once_over_another_connection(relay, pool_to):
    async def swallows(visit: moods.Visit) -> None:
        await asyncio.sleep(0.02)
        raise moods.HangUp

    lossy = await relay(dot=(b"250 ok\r\n", swallows, b"250 ok\r\n"))
    pool = pool_to(lossy, pool={"most_connections": 1})
    attempts = await all_of(pool, 4)
    assert kinds(attempts) == ["Sent", "InDoubt", "Sent", "Sent"]
    assert len(lossy.mails) == 3


async def crashes_over_what_follows_a_dot(visit: moods.Visit) -> bytes:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await visit.reader.readline()
            raise moods.HangUp
    await visit.say(b"250 ok\r\n")
    return b"250 ok\r\n"


async def test_a_relay_that_does_not_survive_reading_ahead_makes_one_doubt_and_no_more(relay, pool_to):
    frail = await relay(dot=crashes_over_what_follows_a_dot)
    attempts = await all_of(pool_to(frail, pool={"most_connections": 1}), 5)
    assert kinds(attempts) == ["InDoubt", "Sent", "Sent", "Sent", "Sent"]
    assert frail.visits == 2


async def test_a_relay_that_is_known_not_to_survive_it_makes_none(relay, pool_to):
    frail = await relay(dot=crashes_over_what_follows_a_dot, greeting=b"220 relay.test Dovecot (Debian) ready.\r\n")
    attempts = await all_of(pool_to(frail, pool={"most_connections": 1}), 5)
    assert kinds(attempts) == ["Sent"] * 5
    assert frail.visits == 1


async def test_one_failed_connect_answers_everything_that_waits(relay, pool_to):
    refusing = await relay(greeting=moods.after(0.05, b"421 4.3.2 busy\r\n"))
    attempts = await all_of(pool_to(refusing), 20)
    assert {outcome.code for attempt in attempts for outcome in attempt.outcomes.values()} == {"greeting.refused"}
    assert {outcome.scope for attempt in attempts for outcome in attempt.outcomes.values()} == {Scope.RELAY}
    assert refusing.visits == 1


async def test_a_rejected_password_is_tried_once_for_all_that_wait(relay, pool_to):
    strict = await relay(Mood({"AUTH": b"535 5.7.8 no\r\n"}, ("AUTH PLAIN",)))
    attempts = await all_of(pool_to(strict, login=True, plaintext=True), 20)
    assert {outcome.scope for attempt in attempts for outcome in attempt.outcomes.values()} == {Scope.PROFILE}
    assert strict.said["AUTH"] == 1


async def test_an_idle_connection_says_quit_after_its_time(relay, pool_to):
    good = await relay()
    pool = pool_to(good, pool={"idle_seconds": 0.1})
    await all_of(pool, 1)
    assert pool.idle == 1
    await asyncio.sleep(0.25)
    assert pool.connections == 0
    assert good.heard[-1] == "QUIT"
    assert kinds(await all_of(pool, 1)) == ["Sent"]


async def test_close_lets_what_is_under_way_end_and_hands_the_rest_back(relay):
    under_way = asyncio.Event()

    async def thinks(visit: moods.Visit) -> bytes:
        under_way.set()
        await asyncio.sleep(0.1)
        await visit.say(b"250 ok\r\n")
        return b"250"

    slow = await relay(dot=thinks)
    pool = Pool(route_to(slow), most_connections=1)
    first = pool.send(ENVELOPE, CONTENT, yes)
    await under_way.wait()
    rest = [pool.send(ENVELOPE, CONTENT, yes) for _ in range(3)]
    await pool.close()
    assert kinds([first.result()]) == ["Sent"]
    assert [codes(future.result()) for future in rest] == [["pool.closed"]] * 3
    late = await pool.send(ENVELOPE, CONTENT, yes)
    assert codes(late) == ["pool.closed"]
    assert slow.heard[-1] == "QUIT"


async def test_close_may_be_called_by_several(relay):
    good = await relay(dot=moods.after(0.05, b"250 ok\r\n"))
    pool = Pool(route_to(good), most_connections=2)
    futures = [pool.send(ENVELOPE, CONTENT, yes) for _ in range(4)]
    await futures[0]
    async with asyncio.timeout(3):
        await asyncio.gather(pool.close(), pool.close(), pool.close())
    assert all(future.done() for future in futures)
    assert pool.connections == 0


async def test_close_ends_an_opening_that_hangs(relay):
    silent = await relay(greeting=moods.is_silent)
    pool = Pool(route_to(silent, timeouts=Timeouts()))
    future = pool.send(ENVELOPE, CONTENT, yes)
    await asyncio.sleep(0.05)
    async with asyncio.timeout(3):
        await pool.close()
    assert codes(await future) == ["pool.closed"]


async def test_a_caller_that_went_away_is_not_served(relay, pool_to):
    good = await relay(greeting=moods.after(0.05, b"220 hello\r\n"))
    pool = pool_to(good)
    gone, stays = pool.send(ENVELOPE, CONTENT, yes), pool.send(ENVELOPE, CONTENT, yes)
    gone.cancel()
    assert kinds([await stays]) == ["Sent"]
    assert len(good.mails) == 1
    assert pool.in_flight == 0


async def test_nobody_is_mailed_for_a_caller_that_goes_away_before_the_dot(relay, pool_to):
    good = await relay()
    pool = pool_to(good)
    asked = asyncio.Event()

    def before_dot(answer: Answer) -> None:
        asked.set()
        asyncio.get_running_loop().call_later(0.05, answer, True)

    future = pool.send(ENVELOPE, CONTENT, before_dot)
    await asked.wait()
    future.cancel()
    assert kinds(await all_of(pool, 1)) == ["Sent"]
    await asyncio.sleep(0.1)
    assert len(good.mails) == 1


async def test_a_connection_that_stood_idle_does_not_age_its_first_message(relay, pool_to):
    good = await relay(greeting=moods.after(0.05, b"220 hello\r\n"))
    pool = pool_to(good)
    pool.send(ENVELOPE, CONTENT, yes).cancel()
    await asyncio.sleep(0.3)
    assert pool.idle == 1
    (attempt,) = await all_of(pool, 1)
    assert attempt.seconds < 0.2


async def test_a_message_that_lost_its_lease_leaves_the_others_alone(relay, pool_to):
    def no(answer: Answer) -> None:
        answer(False)

    good = await relay()
    pool = pool_to(good, pool={"most_connections": 1})
    futures = [pool.send(ENVELOPE, f"{n}\r\n".encode(), no if n == 2 else yes) for n in range(5)]
    attempts = list(await asyncio.gather(*futures))
    assert [codes(attempt) for attempt in attempts] == [["sent"], ["sent"], ["lease.lost"], ["sent"], ["sent"]]
    assert [mail.content for mail in good.mails] == [b"0\r\n", b"1\r\n", b"3\r\n", b"4\r\n"]


async def test_a_dot_that_is_answered_late_is_waited_for(relay, pool_to):
    late = await relay(dot=moods.after(0.3, b"250 ok\r\n"))
    pool = pool_to(late, timeouts=replace(QUICK, reply=0.2, dot=0.6))
    assert kinds(await all_of(pool, 1)) == ["Sent"]


async def test_a_message_too_large_does_not_hold_up_the_next(relay, pool_to):
    small = await relay(Mood(offers=("PIPELINING", "SIZE 100")))
    pool = pool_to(small, pool={"most_connections": 1})
    futures = [pool.send(ENVELOPE, b"x" * (200 if n % 2 else 20), yes) for n in range(6)]
    assert kinds(list(await asyncio.gather(*futures))) == ["Sent", "Refused"] * 3
    assert small.visits == 1


async def test_each_attempt_tells_its_own_story(relay, pool_to):
    good = await relay()
    pool = pool_to(good, pool={"most_connections": 1})
    one = pool.send(Envelope("f@x.test", ("first@x.test",)), CONTENT, yes)
    two = pool.send(Envelope("f@x.test", ("second@x.test",)), CONTENT, yes)
    first, second = await one, await two
    assert "first@x.test" in first.transcript
    assert "second@x.test" not in first.transcript
    assert "second@x.test" in second.transcript
    assert "first@x.test" not in second.transcript
    assert first.transcript.startswith("S: 220 relay.test ESMTP")
    assert 0 < first.seconds < 5
    assert abs(first.started_at / 1e6 - time.time()) < 10


OUTCOMES = (Sent, Deferred, Refused, InDoubt)


@pytest.mark.parametrize("moment", ["MAIL", "RCPT", "DATA", "dot", "RSET"])
@pytest.mark.parametrize(
    "answer", [b"421 bye\r\n", b"451 no\r\n", b"250 a\r\n250 b\r\n", moods.resets, b"nonsense\r\n"]
)
async def test_whatever_happens_every_message_has_an_end(relay, pool_to, moment, answer):
    bad = await relay(**{moment: (b"250 ok\r\n" if moment not in ("DATA",) else b"354 go\r\n", answer)})
    pool = pool_to(bad, pool={"most_connections": 2}, timeouts=Timeouts(connect=0.3, reply=0.15, dot=0.15, attempt=0.5))
    async with asyncio.timeout(8):
        attempts = await all_of(pool, 8)
    assert all(isinstance(outcome, OUTCOMES) for attempt in attempts for outcome in attempt.outcomes.values())
    sent = kinds(attempts).count("Sent")
    assert sent <= len(bad.mails) <= sent + kinds(attempts).count("InDoubt")
