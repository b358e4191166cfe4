"""Limits, probes, pauses and connections: what all workers keep to together, on either engine."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from postroom.domain.delivery import SECOND, Finish, Scope, State
from postroom.store import profiles
from postroom.store.queue import breaker
from postroom.store.queue.claim import Claim
from postroom.store.queue.seats import Ask, give_up
from postroom.store.queue.settle import Settlement, settle

from .room import LEASE, Lane, Room

Two = tuple[Room, Room]


@pytest.fixture
async def workers(url: str, tmp_path: Path) -> AsyncIterator[Two]:
    """Two workers with one clock: on PostgreSQL two machines, on SQLite the one process that there can be."""
    first = Room(url, tmp_path)
    second = first if first.database.is_sqlite else Room(url, tmp_path, first.clock)
    yield first, second
    for each in {id(room): room for room in (first, second)}.values():
        await each.database.close()


async def both(workers: Two, most: int = 200) -> list[Claim]:
    found = await asyncio.gather(*(each.claim(most) for each in workers))
    return [claim for claims in found for claim in claims]


async def do(room: Room, step: object, *said: int) -> None:
    await room.database.write(lambda connection: step(connection, *said))  # type: ignore[operator]


# --- limits


async def test_two_workers_together_send_as_many_as_allowed_and_never_more(workers: Two) -> None:
    room = workers[0]
    lane = await room.lane("acme", limit_per_minute=7)
    await room.accept_many(lane, 60)
    taken: list[tuple[int, int]] = []
    for _ in range(4 * 61):
        claims = await both(workers)
        await room.sent(*claims)
        taken.append((room.now, len(claims)))
        room.clock.forward(1)
    for begin, _ in taken:
        assert sum(count for at, count in taken if begin <= at < begin + 60 * SECOND) <= 7
    assert [(at - taken[0][0]) // SECOND for at, count in taken if count] == [0, 61, 122, 183]
    assert sum(count for _, count in taken) == 4 * 7


async def test_the_narrowest_of_several_limits_holds(room: Room) -> None:
    lane = await room.lane("acme", limit_per_minute=5, limit_per_hour=8, limit_per_day=9)
    await room.accept_many(lane, 30)
    counts = []
    for seconds in (0, 61, 61, 3600, 3600, 86_400):
        room.clock.forward(seconds)
        counts.append(len(await room.claim()))
    assert counts == [5, 3, 0, 1, 0, 5]


async def test_a_lane_that_has_spent_its_limit_is_not_ready_and_wakes_by_itself(room: Room) -> None:
    limited, other = await room.lane("limited", limit_per_hour=2), await room.lane("other")
    await room.accept_many(limited, 5)
    assert len(await room.claim()) == 2
    await room.accept(limited)  # asks for it, in vain
    await room.accept(other)
    assert [each.lane for each in await room.claim()] == [other.id]
    assert await room.ready() <= 1
    room.clock.forward(3660)
    assert len([each for each in await room.claim() if each.lane == limited.id]) == 2


async def test_what_is_given_back_untried_returns_its_allowance(room: Room) -> None:
    lane = await room.lane("acme", limit_per_day=4)
    await room.accept_many(lane, 10)
    first = await room.claim()
    assert (len(first), await room.claim()) == (4, [])
    room.clock.forward(100)
    await room.release(*first[:3])
    again = await room.claim()
    assert len(again) == 3
    await room.settle(first[3], Finish(State.SENT), "sent")
    await room.later(again[0], 0, counts=False)  # the relay was away: costs nothing either
    untried = Settlement(again[1], Finish(State.EXPIRED), "Too late.", room.now)
    await room.database.fold(settle, untried)
    assert len(await room.claim()) == 2
    assert await room.claim() == []


async def test_an_allowance_that_is_long_over_is_not_returned_twice(room: Room) -> None:
    lane = await room.lane("acme", limit_per_minute=3)
    await room.accept_many(lane, 20)
    old = await room.claim()
    room.clock.forward(61)
    assert len(await room.claim()) == 3
    await room.release(*old)
    assert await room.claim() == []


async def test_a_new_limit_holds_for_what_was_sent_under_the_old_one(room: Room) -> None:
    lane = await room.lane("acme", limit_per_hour=5)
    await room.accept_many(lane, 20)
    assert len(await room.claim()) == 5
    await room.save(lane, limit_per_hour=7)
    assert len(await room.claim()) == 2
    await room.save(lane, limit_per_hour=3)
    assert await room.claim() == []
    assert await room.claim() == []
    await room.save(lane)
    assert len(await room.claim()) == 13


# --- the breaker


async def test_after_a_rest_one_delivery_probes_over_all_workers(workers: Two) -> None:
    room = workers[0]
    lane = await room.lane("acme")
    await room.accept_many(lane, 50)
    await room.rest(lane, 30)
    assert await both(workers) == []
    room.clock.forward(30)
    (probe,) = await both(workers)
    for _ in range(5):  # however long it takes, while its worker lives
        room.clock.forward(LEASE / SECOND / 2)
        await workers[1].renew(probe)
        assert await both(workers) == []
    await workers[1].is_well(lane, pace=2)
    assert [len(await each.claim()) for each in workers] == [2, 2]


async def test_a_probe_that_fails_is_followed_by_a_rest_and_one_more_probe(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept_many(lane, 5)
    await room.rest(lane, 30)
    room.clock.forward(30)
    (probe,) = await room.claim()
    await room.rest(lane, 60)
    await room.later(probe, 0, counts=False)
    room.clock.forward(59)
    assert await room.claim() == []
    room.clock.forward(1)
    assert len(await room.claim()) == 1


@pytest.mark.parametrize("how", ["given back", "settled untried", "its worker died"])
async def test_a_probe_that_was_not_tried_makes_room_for_another(room: Room, how: str) -> None:
    lane, other = await room.lanes(2)
    await room.rest(lane, 30)
    room.clock.forward(30)
    await room.accept_many(lane, 5)
    await room.accept_many(other, 5)
    claims = await room.claim()
    (probe,) = [each for each in claims if each.lane == lane.id]
    await room.release(*(each for each in claims if each.lane == other.id))  # under the same lease: not the probe
    assert {each.lane for each in await room.claim()} == {other.id}
    if how == "given back":
        await room.release(probe)
    elif how == "settled untried":
        await room.database.fold(settle, Settlement(probe, Finish(State.EXPIRED), "Too late.", room.now))
    else:
        room.clock.forward(LEASE / SECOND)
    assert len([each for each in await room.claim() if each.lane == lane.id]) == 1


async def test_a_slow_start_holds_until_it_is_over_and_a_failure_in_it_counts(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept_many(lane, 100)
    await room.rest(lane, 30)
    room.clock.forward(30)
    assert len(await room.claim()) == 1
    await room.is_well(lane, pace=2)
    assert len(await room.claim()) == 2
    await room.is_well(lane, pace=4, clears=False)
    assert len(await room.claim()) == 4
    await room.rest(lane, 30)
    await room.is_well(lane, pace=8, clears=False)  # of another worker, which has not heard yet
    assert (await room.stored(lane)).trouble is not None
    assert await room.claim() == []
    await room.is_well(lane, pace=2)
    await room.is_well(lane, clears=False)
    assert len(await room.claim()) == 93


# --- what a person says


async def test_a_paused_lane_keeps_its_mail_until_it_is_resumed(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept(lane)
    await do(room, breaker.pause, lane.id, room.now)
    await room.accept(lane)
    room.clock.forward(10_000)
    assert (await room.stored(lane)).paused_at is not None
    await room.save(lane, host="other.example")  # new settings do not mean: go on
    assert await room.claim() == []
    await do(room, breaker.resume, lane.id)
    assert len(await room.claim()) == 2


async def test_the_end_of_a_rest_is_a_probe_and_not_the_whole_backlog(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept_many(lane, 5)
    await room.rest(lane, 1600)
    await do(room, breaker.end_rest, lane.id)
    assert len(await room.claim()) == 1
    await do(room, breaker.end_rest, lane.id)  # asked once more while it probes
    assert await room.claim() == []


async def test_the_end_of_a_rest_does_not_resume_what_somebody_paused(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept(lane)
    await room.rest(lane, 1600)
    await do(room, breaker.pause, lane.id, room.now)
    await do(room, breaker.end_rest, lane.id)
    assert await room.claim() == []


# --- connections


async def share(room: Room, worker: str, lane: Lane, held: int = 0) -> int:
    return await room.database.fold(room.seats, Ask(worker, lane.id, held, LEASE))


async def test_connections_are_shared_and_never_more_than_all(workers: Two) -> None:
    one, other = workers
    lane = await one.lane("acme", most_connections=5)
    assert await share(one, "a", lane) == 5
    assert await share(other, "b", lane) == 0  # all are taken for now
    assert await share(one, "a", lane, held=4) == 3  # one more than its share stands still
    assert await share(other, "b", lane) == 1
    assert await share(one, "a", lane, held=2) == 3
    assert await share(other, "b", lane, held=1) == 2
    await other.database.fold(give_up, ("b", lane.id))
    assert await share(one, "a", lane, held=3) == 5
    one.clock.forward(LEASE / SECOND)
    assert await share(other, "b", lane) == 5  # the other one died


async def test_a_single_connection_is_one_workers(workers: Two) -> None:
    lane = await workers[0].lane("acme", most_connections=1)
    shares = await asyncio.gather(share(workers[0], "a", lane), share(workers[1], "b", lane))
    assert sorted(shares) == [0, 1]


# --- failover


async def two_profiles(room: Room, **settings: int) -> tuple[Lane, Lane]:
    """One that fails over to the second."""
    tenant = await room.tenant("acme")
    second = await room.profile(tenant.id, "second", **settings)
    first = await room.profile(tenant.id, "first", failover=second.profile_id)
    return first, second


async def twice(room: Room) -> list[Claim]:
    """The first claim may only find that a lane is to be stood in for."""
    return await room.claim() + await room.claim()


def ways(claims: list[Claim]) -> set[tuple[int, int]]:
    return {(each.lane, each.through) for each in claims}


async def test_while_a_relay_is_away_its_mail_goes_through_the_other_profile(room: Room) -> None:
    first, second = await two_profiles(room)
    await room.accept_many(first, 3)
    claims = await room.claim(1)
    assert ways(claims) == {(first.id, first.id)}
    await room.rest(first, 600)
    await room.later(claims[0], 0, counts=False)
    await room.accept(second)
    claims = await room.claim()
    assert len(claims) == 4
    assert ways(claims) == {(first.id, second.id), (second.id, second.id)}
    await room.sent(*claims)
    await room.accept(first)
    assert ways(await twice(room)) == {(first.id, second.id)}


async def test_mail_that_is_due_later_goes_through_the_other_profile_when_it_is(room: Room) -> None:
    first, second = await two_profiles(room)
    await room.rest(first, 6000)
    await room.accept(first)
    (claim,) = await twice(room)
    await room.later(claim, 300)
    assert await twice(room) == []
    room.clock.forward(300)
    assert ways(await twice(room)) == {(first.id, second.id)}


async def test_when_its_rest_is_over_it_probes_and_then_has_its_mail_again(room: Room) -> None:
    first, second = await two_profiles(room)
    await room.rest(first, 30)
    room.clock.forward(30)
    await room.accept_many(first, 4)
    claims = await twice(room)
    assert ways(claims) == {(first.id, first.id), (first.id, second.id)}
    assert len([each for each in claims if each.through == first.id]) == 1
    await room.is_well(first, pace=2)
    await room.accept_many(first, 2)
    assert ways(await twice(room)) == {(first.id, first.id)}


@pytest.mark.parametrize("reason", ["wrong settings", "paused", "the other one is paused", "the other one was deleted"])
async def test_nothing_fails_over_for_any_other_reason(room: Room, reason: str) -> None:
    first, second = await two_profiles(room)
    await room.accept(first)
    if reason == "wrong settings":
        await room.rest(first, 600, scope=Scope.PROFILE)
    elif reason == "paused":
        await room.rest(first, 600)
        await do(room, breaker.pause, first.id, room.now)
    elif reason == "the other one is paused":
        await do(room, breaker.pause, second.id, room.now)
        await room.rest(first, 600)
    else:
        stored = await room.stored(second)

        def delete(connection: Connection) -> None:
            profiles.delete(connection, stored, room.now)

        await room.database.write(delete)
        await room.rest(first, 600)
    for _ in range(3):
        assert await room.claim() == []


async def test_the_other_profiles_limits_hold_for_what_it_stands_in_for(room: Room) -> None:
    first, _ = await two_profiles(room, limit_per_hour=2)
    await room.accept_many(first, 5)
    await room.rest(first, 6000)
    assert len(await twice(room)) == 2
    room.clock.forward(3660)
    assert len(await room.claim()) == 2


async def test_of_a_busy_stand_in_the_oldest_mail_goes_first_whosever_it_is(room: Room) -> None:
    first, second = await two_profiles(room)
    await room.accept_many(second, 10)
    room.clock.forward(1)
    await room.accept_many(first, 10)
    room.clock.forward(1)
    await room.accept_many(second, 10)
    await room.rest(first, 600)
    claims = await room.claim(15)
    assert [each.lane for each in claims].count(first.id) == 5
    claims = await room.claim(10)
    assert [each.lane for each in claims].count(first.id) == 5


async def test_a_lane_is_unhindered_while_nothing_has_to_be_asked_of_it(room: Room) -> None:
    lane = await room.lane("acme")
    assert (await room.stored(lane)).is_unhindered
    await room.rest(lane, 5)
    assert not (await room.stored(lane)).is_unhindered
    await room.is_well(lane, pace=2)
    assert not (await room.stored(lane)).is_unhindered
    await room.is_well(lane, clears=False)
    assert (await room.stored(lane)).is_unhindered
    await room.save(lane, limit_per_day=9)
    assert not (await room.stored(lane)).is_unhindered
