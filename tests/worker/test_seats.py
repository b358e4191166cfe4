"""Two workers on one PostgreSQL share a profile's connections."""

from collections.abc import AsyncIterator, Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import psycopg
import pytest

from serving import House, a_house
from smtp.moods import Mood, Relay, Visit, open_relay
from worker.test_loop import at_work, hand_in, point_to, until

_numbers = count(1)


@pytest.fixture
async def houses(postgresql: str, tmp_path: Path) -> AsyncIterator[tuple[House, House]]:
    """Two machines on one database and one vault key."""
    name = f"seats_{next(_numbers)}"
    with closing(psycopg.connect(postgresql, autocommit=True)) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = postgresql.replace("/postgres?", f"/{name}?")
    async with a_house(tmp_path, database_url=url) as one, a_house(tmp_path, database_url=url) as other:
        yield one, other


def counting(relay_of: Callable[[], Relay]) -> tuple[Mood, list[int]]:
    """A mood that notes how many connections stand at each greeting, and is slow enough for others to come."""
    standing: list[int] = []

    async def greets(visit: Visit) -> bytes:
        standing.append(relay_of().here)
        await visit.say(b"220 relay.test ESMTP\r\n")
        return b"220"

    return Mood({"greeting": greets}), standing


async def test_together_they_never_have_more_connections_than_the_profile_may(houses: tuple[House, House]):
    holder: list[Relay] = []
    mood, standing = counting(lambda: holder[0])
    async with open_relay(mood) as relay:
        holder.append(relay)
        await point_to(houses[0], relay)
        answer = await houses[0].client.patch("/v1/profiles/1", json={"most_connections": 3}, headers=houses[0].admin)
        assert answer.status_code == 200
        await hand_in(houses[0], 150)
        async with at_work(houses[0]) as one, at_work(houses[1]) as other:
            await until(lambda: len(relay.mails) == 150, "delivery")
            await until(lambda: one.in_flight == other.in_flight == 0, "settling")
    assert len({mail.content for mail in relay.mails}) == 150
    assert 1 <= max(standing) <= 3
