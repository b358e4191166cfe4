"""Fairness, rest and waking: a lane that has something due is never forgotten, and none stands in another's way."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import func, select, text, update

from postroom.domain.delivery import SECOND, TryAgain
from postroom.store.queue.accept import Acceptance
from postroom.store.queue.claim import Claim, Claiming, Wanted
from postroom.store.queue.lanes import LaneReport, report_lanes, waiting_in
from postroom.store.queue.settle import Settlement, settle
from postroom.store.schema import lane as lanes
from postroom.store.schema import queue, wake

from .room import LEASE, Lane, Room, ids


def of(claims: list[Claim], lane: Lane) -> list[Claim]:
    return [each for each in claims if each.lane == lane.id]


# --- fairness


async def test_a_newcomers_first_mail_goes_out_at_once_beside_anothers_thousands(room: Room) -> None:
    busy, newcomer = await room.lanes(2)
    await room.accept_many(busy, 3000)
    for _ in range(3):
        assert len(await room.claim()) == 200
    await room.accept(newcomer)
    assert len(of(await room.claim(), newcomer)) == 1


async def test_a_newcomer_is_served_within_two_batches_among_many_busy_lanes(room: Room) -> None:
    busy = await room.lanes(45)
    await asyncio.gather(*(room.accept_many(each, 60) for each in busy))
    for _ in range(4):
        await room.claim()
    newcomer = await room.lane("newcomer")
    await room.accept(newcomer)
    assert of(await room.claim() + await room.claim(), newcomer)


async def test_nobody_gets_more_by_coming_again_and_again_with_one_mail(room: Room) -> None:
    *busy, drip = await room.lanes(45)
    await asyncio.gather(*(room.accept_many(each, 50) for each in busy))
    counts = Counter[int]()
    for _ in range(60):
        if not await room.count(select(func.count()).select_from(queue).where(queue.c.lane == drip.id)):
            await room.accept(drip)
        claims = await room.claim(20)
        counts.update(each.lane for each in claims)
        await room.sent(*claims)
    fair = sum(counts.values()) / 45
    assert fair - 2 <= counts[drip.id] <= fair + 6
    assert min(counts[each.id] for each in busy) >= fair - 2


async def test_lanes_that_wait_share_alike(room: Room) -> None:
    busy = await room.lanes(50)
    await asyncio.gather(*(room.accept_many(each, 30) for each in busy))
    claims = [claim for _ in range(5) for claim in await room.claim()]
    counts = [len(of(claims, each)) for each in busy]
    assert sum(counts) == 1000
    assert max(counts) - min(counts) <= 5


async def test_a_lane_does_not_wait_for_others_to_catch_up_with_its_past(room: Room) -> None:
    old, *others = await room.lanes(46)
    await room.accept_many(old, 2000)
    while claims := await room.claim(1000):
        await room.sent(*claims)
    await asyncio.gather(*(room.accept_many(each, 40) for each in others))
    await room.claim()
    await room.accept(old)
    assert of(await room.claim() + await room.claim(), old)


async def test_many_lanes_with_one_mail_each_are_claimed_in_full_batches(room: Room) -> None:
    await asyncio.gather(*(room.accept(lane) for lane in await room.lanes(250)))
    sizes = []
    while claims := await room.claim():
        sizes.append(len(claims))
    assert sizes == [200, 50]


async def test_what_one_mail_lanes_leave_over_goes_to_a_busy_one(room: Room) -> None:
    busy, *small = await room.lanes(40)
    await room.accept_many(busy, 500)
    await asyncio.gather(*(room.accept(each) for each in small))
    claims = await room.claim()
    assert (len(claims), len(of(claims, busy))) == (200, 161)


async def test_a_lane_is_given_no_more_than_the_worker_has_room_for(room: Room) -> None:
    full, some, unknown = await room.lanes(3)
    await asyncio.gather(*(room.accept_many(each, 50) for each in (full, some, unknown)))
    claims = await room.claim(per_lane=20, free={full.id: 0, some.id: 7})
    assert [len(of(claims, each)) for each in (full, some, unknown)] == [0, 7, 20]
    assert len(of(await room.claim(), full)) == 50


# --- rest


async def test_a_resting_lane_is_not_claimed_from_and_wakes_on_time(room: Room) -> None:
    lane, other = await room.lanes(2)
    await room.accept(lane)
    await room.rest(lane, 30)
    assert await room.claim() == []
    await room.accept(lane)
    await room.accept(other)
    assert [each.lane for each in await room.claim()] == [other.id]
    room.clock.now += 30 * SECOND - 1
    assert await room.claim() == []
    room.clock.now += 1
    assert len(await room.claim()) == 1  # the probe
    await room.is_well(lane)
    assert len(await room.claim()) == 1


async def test_what_is_put_back_into_a_resting_lane_waits_for_its_end(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept(lane)
    claims = await room.claim()
    async with room.one_commit():
        rest = asyncio.ensure_future(room.rest(lane, 30))
        back = asyncio.ensure_future(room.later(claims[0], 0, counts=False))
    await asyncio.gather(rest, back)
    room.clock.forward(29)
    assert await room.claim() == []
    room.clock.forward(1)
    assert ids(await room.claim()) == ids(claims)


async def test_a_rest_that_is_told_in_the_same_commit_comes_before_the_claim(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept(lane)
    async with room.one_commit():
        claim = asyncio.ensure_future(room.claim())
        rest = asyncio.ensure_future(room.rest(lane, 30))
    await rest
    assert await claim == []


async def test_saving_settings_ends_the_rest(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept(lane)
    await room.rest(lane, 1600)
    shown = await room.stored(lane)
    assert (shown.failures, shown.trouble, shown.rests_until) == (1, "The relay is away.", room.now + 1600 * SECOND)
    assert await room.save(lane, host="other.example") == 2
    shown = await room.stored(lane)
    assert (shown.failures, shown.trouble, shown.rests_until) == (0, None, None)
    assert len(await room.claim()) == 1


async def test_a_failure_of_settings_that_are_gone_does_not_rest_the_new_ones(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept(lane)
    await room.save(lane, host="other.example")
    await room.rest(lane, 1600, revision=1)
    assert (await room.stored(lane)).rests_until is None
    assert len(await room.claim()) == 1


async def test_a_lane_that_is_well_again_is_looked_at_at_once(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept(lane)
    await room.rest(lane, 1600)
    assert await room.claim() == []
    await room.is_well(lane)
    assert (await room.stored(lane)).trouble is None
    assert len(await room.claim()) == 1


async def test_the_last_report_about_a_lane_holds(room: Room) -> None:
    lane = await room.lane("acme")
    async with room.one_commit():
        for until in (10, 20, None):
            report = LaneReport(lane.id, 3 if until else 0, 1, until, "Away." if until else None)
            room.database.fold(report_lanes, report)
    assert (await room.stored(lane)).rests_until is None


# --- waking


async def test_a_lane_with_nothing_due_costs_nothing(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept(lane)
    await room.sent(*await room.claim())
    room.clock.now += LEASE
    assert await room.claim() == []
    asleep = select(lanes.c.ready, lanes.c.wake_at)
    assert await room.database.read(lambda connection: tuple(connection.execute(asleep).one())) == (False, None)
    assert await room.count(select(func.count()).select_from(wake)) == 0


async def test_an_earlier_retry_is_not_hidden_by_a_later_one(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept_many(lane, 3)
    for claim, seconds in zip(await room.claim(), (900, 30, 300), strict=True):
        await room.later(claim, seconds)
        assert await room.claim() == []
    started, found = room.now, []
    for _ in range(60):
        room.clock.forward(15)
        if claims := await room.claim():
            found.append((room.now - started) // SECOND)
            await room.sent(*claims)
    assert found == [30, 300, 900]


async def test_a_claim_that_crossed_an_accept_does_not_put_its_lane_to_sleep(two_rooms: tuple[Room, Room]) -> None:
    room, other = two_rooms
    lane = await room.lane("acme")
    await room.accept_many(lane, 3)
    assert len(await room.claim(3)) == 3  # all that there was: the lane still looks ready
    with other.database.writer.connect() as connection:
        other.take_in(connection, [Acceptance((other.message(lane),))])
        assert await room.claim() == []
        connection.commit()
    assert len(await room.claim()) == 1


async def test_a_claim_that_crossed_a_retry_does_not_sleep_past_it(two_rooms: tuple[Room, Room]) -> None:
    room, other = two_rooms
    lane = await room.lane("acme")
    await room.accept_many(lane, 2)
    first, second = await room.claim(2)
    await room.release(second)
    with other.database.writer.connect() as connection:
        put_back = Settlement(first, TryAgain(room.now + 5 * SECOND, True), "Busy.", room.now)
        assert settle(connection, [put_back]) == [True]
        assert ids(await room.claim()) == {second.id}
        assert await room.claim() == []
        connection.commit()
    room.clock.forward(5)
    assert ids(await room.claim()) == {first.id}


async def test_claiming_waits_for_nobody(two_rooms: tuple[Room, Room]) -> None:
    room, other = two_rooms
    lane, free = await room.lanes(2)
    await room.accept(lane)
    await room.accept(free)
    with other.database.writer.connect() as connection:
        connection.execute(update(lanes).where(lanes.c.id == lane.id).values(failures=1))
        async with asyncio.timeout(5):
            assert [each.lane for each in await room.claim()] == [free.id]
        connection.rollback()
    assert [each.lane for each in await room.claim()] == [lane.id]


async def test_nobody_waits_to_accept_into_a_lane_that_is_being_claimed_from(two_rooms: tuple[Room, Room]) -> None:
    room, other = two_rooms
    lane = await room.lane("acme")
    await room.accept(lane)
    with other.database.writer.connect() as connection:
        ((claim,),) = Claiming(other.clock)(connection, [Wanted(200, LEASE, 200)])
        async with asyncio.timeout(5):
            await room.accept(lane)
        assert await room.claim() == []  # the lane is the other machine's just now
        connection.commit()
    assert [each.id != claim.id for each in await room.claim()] == [True]


async def test_the_planner_finds_ready_lanes_by_their_index(room: Room) -> None:
    await room.lanes(3)
    ready = select(lanes.c.id, lanes.c.vt).where(lanes.c.ready).order_by(lanes.c.vt).limit(40)
    asked = str(ready.compile(room.database.writer, compile_kwargs={"literal_binds": True}))

    def plan(connection):  # type: ignore[no-untyped-def]
        if room.database.is_sqlite:
            return str(connection.execute(text(f"EXPLAIN QUERY PLAN {asked}")).all())
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        return str(connection.execute(text(f"EXPLAIN {asked}")).all())

    assert "ix_lane_ready_vt" in await room.database.read(plan)


async def test_what_waits_in_a_lane_is_counted(room: Room) -> None:
    one, other = await room.lanes(2)
    await room.accept_many(one, 3)
    await room.claim(2)
    counted = await room.database.read(lambda c: (waiting_in(c, one.id), waiting_in(c, other.id)))
    assert counted == (3, 0)


@pytest.mark.parametrize("count", [40, 41, 90])
async def test_every_lane_is_emptied_however_many_there_are(room: Room, count: int) -> None:
    all_lanes = await room.lanes(count)
    await asyncio.gather(*(room.accept_many(each, 3) for each in all_lanes))
    claimed = []
    while claims := await room.claim(37):
        claimed += claims
    assert len(ids(claimed)) == len(claimed) == 3 * count
