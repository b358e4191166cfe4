"""H31 and H32: what a relay does to connections that stand, over the pool that keeps them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from hostile.moods import good
from postroom.domain.delivery import Sent
from postroom.smtp.attempt import Attempt
from postroom.smtp.pool import Pool
from postroom.smtp.route import Timeouts
from smtp import moods
from smtp.conftest import CONTENT, ENVELOPE, route_to, yes
from smtp.moods import HangUp, Mood, Relay, Visit, open_relay

PATIENT = Timeouts(connect=5, reply=5, dot=5, attempt=10)


@asynccontextmanager
async def pool_to(mood: Mood) -> AsyncIterator[tuple[Pool, Relay]]:
    async with open_relay(mood) as relay:
        pool = Pool(route_to(relay, timeouts=PATIENT))
        try:
            yield pool, relay
        finally:
            await pool.close()


async def all_of(pool: Pool, count: int) -> list[Attempt]:
    return list(await asyncio.gather(*(pool.send(ENVELOPE, CONTENT, yes) for _ in range(count))))


def are_sent(attempts: list[Attempt]) -> bool:
    return all(isinstance(outcome, Sent) for attempt in attempts for outcome in attempt.outcomes.values())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("said", [b"421 4.4.2 idle for too long\r\n", b"421-4.4.2 idle\r\n421 bye\r\n", b""])
async def test_h31_an_unsolicited_421_while_idle_costs_nobody_an_attempt(said: bytes):
    may_close = asyncio.Event()

    async def is_bored(visit: Visit) -> bytes:
        await visit.say(b"250 ok\r\n")
        await may_close.wait()
        await visit.say(said)
        raise HangUp

    async with pool_to(good(dot=(is_bored, b"250 ok\r\n"))) as (pool, relay):
        assert are_sent(await all_of(pool, 1))
        assert pool.idle == 1
        may_close.set()
        await until(lambda: pool.connections == 0)
        assert are_sent(await all_of(pool, 1))
        assert relay.visits == 2
        assert [len(relay.mails), relay.said["dot"]] == [1, 2]  # the bored one kept no account of what it took


class Capped:
    """Takes so many connections at once; one more is turned away."""

    def __init__(self, most: int, refusal: bytes) -> None:
        self.most, self.refusal = most, refusal
        self.here: set[asyncio.Task[None] | None] = set()
        self.peak = self.refused = 0

    async def __call__(self, visit: Visit) -> bytes:
        self.here = {task for task in self.here if task and not task.done()}
        if len(self.here) >= self.most:
            self.refused += 1
            if not self.refusal:
                await moods.resets(visit)
            await visit.say(self.refusal)
            raise HangUp
        self.here.add(asyncio.current_task())
        self.peak = max(self.peak, len(self.here))
        await visit.say(b"220 relay.test\r\n")
        return b"220"


@pytest.mark.parametrize("refusal", [b"421 4.7.0 too many connections\r\n", b"554 5.7.0 too many\r\n", b""])
async def test_h32_a_sixth_connection_that_is_refused_is_no_failure_and_teaches_the_cap(refusal: bytes):
    capped = Capped(5, refusal)
    slow = moods.after(0.02, b"250 2.0.0 queued\r\n")
    async with pool_to(good(greeting=capped, dot=slow)) as (pool, relay):
        assert are_sent(await all_of(pool, 120))
        assert capped.peak == 5
        assert 1 <= capped.refused <= 5  # an opening or two were under way when the first was refused
        before = capped.refused
        assert are_sent(await all_of(pool, 120))
        assert capped.refused == before  # what was learnt is not forgotten with the next mail
        assert len(relay.mails) == 240
