"""Mail handed over to the worker of the process that accepts it is kept as claimed already."""

from sqlalchemy import func, select, update

from postroom.domain.delivery import State
from postroom.store.queue.accept import Acceptance, Accepted, HandOver, IdempotencyKey
from postroom.store.schema import lane as lanes
from postroom.store.schema import queue

from .room import LEASE, Room


def handed_over(revision: int = 1, deliveries: int = 1) -> HandOver:
    return HandOver("the-worker", LEASE, revision, deliveries)


async def test_what_is_handed_over_is_kept_as_claimed_and_nobody_else_gets_it(room: Room) -> None:
    lane = await room.lane("acme")
    new = room.message(lane)
    assert await room.database.fold(room.take_in, Acceptance((new,), None, handed_over())) == Accepted(handed_over=True)
    assert await room.claim() == []
    assert (await room.shown(lane, new.id)).state is State.CLAIMED


async def test_what_was_handed_over_to_one_that_died_is_due_when_its_lease_is_over(room: Room) -> None:
    lane = await room.lane("acme")
    new = room.message(lane)
    await room.database.fold(room.take_in, Acceptance((new,), None, handed_over()))
    room.clock.forward(LEASE / 1e6 - 1)
    assert await room.claim() == []
    room.clock.forward(1)
    (claim,) = await room.claim()
    assert (claim.message_id, claim.attempt, claim.crashes) == (new.id, 2, 1)


async def test_settings_that_were_changed_elsewhere_send_the_mail_through_the_queue(room: Room) -> None:
    lane = await room.lane("acme")
    await room.save(lane, port=2525)
    new = room.message(lane)
    assert await room.database.fold(room.take_in, Acceptance((new,), None, handed_over(revision=1))) == Accepted()
    assert [claim.message_id for claim in await room.claim()] == [new.id]


async def test_a_lane_that_was_put_to_rest_elsewhere_keeps_the_mail(room: Room) -> None:
    lane = await room.lane("acme")
    resting = update(lanes).where(lanes.c.id == lane.id).values(rests_until=room.now + LEASE)
    await room.database.write(lambda connection: connection.execute(resting))
    assert await room.database.fold(room.take_in, Acceptance((room.message(lane),), None, handed_over())) == Accepted()
    assert await room.claim() == []


async def test_of_a_repeated_request_nothing_is_handed_over(room: Room) -> None:
    lane = await room.lane("acme")
    key = IdempotencyKey("digest", "request", "answer")
    first = await room.database.fold(room.take_in, Acceptance((room.message(lane),), key, handed_over()))
    again = await room.database.fold(room.take_in, Acceptance((room.message(lane),), key, handed_over()))
    assert (first, again) == (Accepted(handed_over=True), Accepted(replayed="answer"))
    assert await room.count(select(func.count()).select_from(queue)) == 1
