"""What is no longer needed goes, and what waits stays however old it is."""

from typing import Any

from sqlalchemy import func, select

from postroom.domain.delivery import SECOND, Finish, Stage, State
from postroom.domain.trial import Verdict
from postroom.store import bodies, caught, retention, trials
from postroom.store.caught import NewCaught
from postroom.store.queue import manage
from postroom.store.schema import attempt, body, delivery, message, transcript, trial
from postroom.store.schema import caught as caught_table
from postroom.worker import chores
from postroom.worker.chores import Keep

from .room import DAY, VAULT, Lane, Room

WEEK = 7 * 24 * 3600


async def left(room: Room) -> dict[str, int]:
    tables = (message, body, delivery, attempt, transcript)
    return {each.name: await room.count(select(func.count()).select_from(each)) for each in tables}


async def ended(room: Room, lane: Lane, state: State = State.SENT, **said: Any) -> str:
    message_id = await room.accept(lane, **said)
    (claim,) = [each for each in await room.claim() if each.message_id == message_id]
    await room.settle(claim, Finish(state), state.value, transcript=f"of {message_id}")
    return message_id


async def test_content_goes_a_week_after_the_end_and_the_rest_after_ninety_days(room: Room) -> None:
    lane = await room.lane("acme")
    done = await ended(room, lane)
    room.clock.forward(WEEK)
    await chores.once(room.database, Keep())
    assert (await room.shown(lane, done)).has_content
    room.clock.forward(1)
    await chores.once(room.database, Keep())
    assert not (await room.shown(lane, done)).has_content
    assert await left(room) == {"message": 1, "body": 0, "delivery": 1, "attempt": 1, "transcript": 1}
    room.clock.forward(83 * 24 * 3600)
    await chores.once(room.database, Keep())
    assert await left(room) == {"message": 0, "body": 0, "delivery": 0, "attempt": 0, "transcript": 0}


async def test_content_can_go_at_once(room: Room) -> None:
    lane = await room.lane("acme")
    done = await ended(room, lane)
    room.clock.forward(1)
    await chores.once(room.database, Keep(contents=0))
    assert not (await room.shown(lane, done)).has_content


async def test_what_waits_is_held_or_is_under_way_stays(room: Room) -> None:
    lane = await room.lane("acme")
    held = await ended(room, lane, State.HELD)
    claimed = await room.accept(lane, life=400 * DAY)
    await room.claim(lease=400 * DAY)
    waiting = await room.accept(lane, life=400 * DAY)
    half = await room.accept(lane, "a@good.example", "b@good.example", life=400 * DAY)
    room.clock.forward(0.001)
    (claim, *_rest) = [each for each in await room.claim() if each.message_id == half]
    await room.sent(claim)
    room.clock.forward(300 * 24 * 3600)
    await chores.once(room.database, Keep(contents=0, messages=0))
    for each in (held, claimed, waiting, half):
        assert (await room.shown(lane, each)).has_content


async def test_the_age_counts_from_the_last_delivery_that_ended(room: Room) -> None:
    lane = await room.lane("acme")
    both = await room.accept(lane, "a@good.example", "b@good.example", life=400 * DAY)
    first, second = await room.claim(lease=400 * DAY)
    await room.sent(first)
    room.clock.forward(100 * 24 * 3600)
    await room.sent(second)
    await chores.once(room.database, Keep())
    assert (await room.shown(lane, both)).has_content


async def test_many_go_in_handfuls(room: Room) -> None:
    lane = await room.lane("acme")
    count = retention.LOOKED_AT + 5
    for at in range(0, count, 500):
        await room.take(*[room.message(lane, (), filtered=["x@else.example"]) for _ in range(min(500, count - at))])
    young = await room.accept(lane)
    room.clock.forward(1)
    before = room.database.commits
    await chores.once(room.database, Keep(contents=0, messages=0))
    assert (await left(room))["message"] == 1
    assert (await room.shown(lane, young)).has_content
    assert room.database.commits - before >= 2 * (count // retention.AT_ONCE)


async def test_a_shared_transcript_stays_as_long_as_somebody_needs_it(room: Room) -> None:
    lane = await room.lane("acme")
    both = [await room.accept(lane), await room.accept(lane)]
    claims = await room.claim(lease=400 * DAY)
    async with room.one_commit():
        import asyncio

        tasks = [
            asyncio.ensure_future(room.settle(each, Finish(State.REFUSED), "refused", transcript="the same"))
            for each in claims
        ]
    await asyncio.gather(*tasks)
    assert (await left(room))["transcript"] == 1
    room.clock.forward(1)
    await room.database.write(lambda c: retention.forget_messages(c, [both[0]], room.now))
    assert await left(room) == {"message": 1, "body": 1, "delivery": 1, "attempt": 1, "transcript": 1}
    await room.database.write(lambda c: retention.forget_messages(c, [both[1]], room.now))
    assert (await left(room))["transcript"] == 0


async def test_what_was_put_back_meanwhile_stays(room: Room) -> None:
    """Between the look and the taking away somebody may have it tried again."""
    lane = await room.lane("acme")
    refused = await ended(room, lane, State.REFUSED)
    room.clock.forward(WEEK + 1)
    before = room.now - WEEK * SECOND
    found, _ = await room.database.read(lambda c: retention.contents(c, "", before))
    assert found == [refused]
    await room.database.write(lambda c: manage.requeue(c, refused, lane.id, room.now, DAY))
    assert await room.database.write(lambda c: retention.forget_contents(c, found, before)) == 0
    assert (await room.shown(lane, refused)).has_content


async def test_without_content_nothing_is_put_back(room: Room) -> None:
    lane = await room.lane("acme")
    refused = await ended(room, lane, State.REFUSED)
    room.clock.forward(1)
    await chores.once(room.database, Keep(contents=0))
    assert await room.database.write(lambda c: manage.requeue(c, refused, lane.id, room.now, DAY)) == 0
    assert await room.waiting() == 0


async def test_the_sandbox_and_old_tests_of_settings_are_forgotten_too(room: Room) -> None:
    tenant = await room.tenant("acme")
    mail = NewCaught(room.now, "a@good.example", ("b@good.example",), "Hello", b"Subject: Hello\r\n\r\n")
    await room.database.fold(caught.Keeping(VAULT), mail)
    job = await room.database.write(lambda c: trials.start(c, tenant.id, room.now))
    await room.database.write(lambda c: trials.end(c, job.id, Verdict(Stage.DOT, "", "")))
    in_sandbox, in_trials = (select(func.count()).select_from(each) for each in (caught_table, trial))
    await chores.once(room.database, Keep(contents=0))
    assert (await room.count(in_sandbox), await room.count(in_trials)) == (1, 1)
    room.clock.forward(24 * 3600 + 1)
    await chores.once(room.database, Keep(contents=0))
    assert (await room.count(in_sandbox), await room.count(in_trials)) == (0, 0)


async def test_two_machines_forget_together(two_rooms: tuple[Room, Room]) -> None:
    import asyncio

    room = two_rooms[0]
    lane = await room.lane("acme")
    await room.take(*[room.message(lane, (), filtered=["x@else.example"]) for _ in range(450)])
    room.clock.forward(1)
    await asyncio.gather(*(chores.once(each.database, Keep(contents=0, messages=0)) for each in two_rooms))
    assert set((await left(room)).values()) == {0}
    assert await room.database.read(lambda c: bodies.read(c, VAULT, "x")) is None
