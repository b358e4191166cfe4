"""How many connections a pool may open can change, and a relay that rejects a login is left alone."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from postroom.smtp.pool import Pool

from . import moods
from .conftest import CONTENT, ENVELOPE, route_to, yes
from .moods import Mood, Relay, open_relay

SLOWLY = moods.after(0.005, b"250 ok\r\n")


@pytest.fixture
async def slow() -> AsyncIterator[Relay]:
    async with open_relay(Mood({"dot": SLOWLY})) as relay:
        yield relay


async def close(pool: Pool) -> None:
    async with asyncio.timeout(5):
        await pool.close()


async def test_what_waits_goes_out_as_soon_as_a_connection_is_allowed(slow: Relay) -> None:
    pool = Pool(route_to(slow), most_connections=0)
    waiting = [pool.send(ENVELOPE, CONTENT, yes) for _ in range(20)]
    await asyncio.sleep(0)
    assert (pool.held, slow.visits) == (0, 0)
    pool.allow(2)
    await asyncio.gather(*waiting)
    assert slow.visits == 2
    await close(pool)


async def test_connections_beyond_what_is_allowed_are_not_replaced_when_they_close(slow: Relay) -> None:
    pool = Pool(route_to(slow), most_connections=4, messages_per_connection=5)
    first = [pool.send(ENVELOPE, CONTENT, yes) for _ in range(20)]
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    pool.allow(1)
    visits = slow.visits
    await asyncio.gather(*first, *(pool.send(ENVELOPE, CONTENT, yes) for _ in range(40)))
    assert pool.held <= 1
    assert slow.visits - visits <= 12  # 40 and what was left of 20, five on each
    await close(pool)


async def test_what_is_handed_back_has_not_begun(slow: Relay) -> None:
    pool = Pool(route_to(slow), most_connections=0)
    waiting = [pool.send(ENVELOPE, CONTENT, yes) for _ in range(3)]
    pool.hand_back()
    outcomes = [each for attempt in await asyncio.gather(*waiting) for each in attempt.outcomes.values()]
    assert {each.code for each in outcomes} == {"pool.closed"}  # type: ignore[union-attr]
    pool.allow(1)
    await pool.send(ENVELOPE, CONTENT, yes)
    assert len(slow.mails) == 1
    await close(pool)


async def test_a_login_that_is_rejected_while_others_stand_is_not_repeated() -> None:
    answers = (b"235 2.7.0 welcome\r\n", b"535 5.7.8 no\r\n")
    mood = Mood({"AUTH": answers, "dot": SLOWLY}, ("AUTH PLAIN",))
    async with open_relay(mood) as strict:
        pool = Pool(route_to(strict, login=True, plaintext=True), idle_seconds=0.001, messages_per_connection=1000)
        await asyncio.gather(*(pool.send(ENVELOPE, CONTENT, yes) for _ in range(60)))
        assert strict.said["AUTH"] == 2
        assert len(strict.mails) == 60
        await close(pool)
