"""Accepting, claiming and settling: what a message goes through."""

import asyncio

import pytest
from sqlalchemy import func, select

from postroom.domain.delivery import CRASH_IN_DOUBT, SECOND, Finish, State, TryAgain
from postroom.domain.message import Notify, OnDoubt, Reports, Returned
from postroom.domain.problems import Conflict
from postroom.store.queue import manage
from postroom.store.queue.accept import Acceptance, Accepted, IdempotencyKey, forget_old_keys
from postroom.store.queue.claim import SPARE_LEASE, contents, recover
from postroom.store.queue.settle import Settlement, settle
from postroom.store.schema import body, delivery, idempotency, message, transcript

from .room import DAY, LEASE, VAULT, Room, ids, record

LIFE = 5 * DAY


def key(digest: str = "k", request: str = "r", answer: str = "first") -> IdempotencyKey:
    return IdempotencyKey(digest, request, answer)


REPORTS = Reports((Notify.FAILURE, Notify.DELAY), Returned.HEADERS)

# --- accept


async def test_accepted_mail_is_there_to_be_read_and_claimed(room: Room) -> None:
    lane = await room.lane("acme")
    new = room.message(lane, ("one@good.example", "two@good.example"), filtered=["eve@evil.example"], reports=REPORTS)
    await room.take(new)
    message_id = new.id
    assert await room.states(lane, message_id) == [State.WAITING, State.WAITING, State.FILTERED]
    claims = await room.claim()
    assert [each.recipient for each in claims] == ["one@good.example", "two@good.example"]
    found = await room.database.read(lambda connection: contents(connection, VAULT, [message_id]))
    assert found == {message_id: ("post@company.example", b"Subject: Hello\r\n\r\nHello.\r\n", REPORTS)}


async def test_mail_that_the_filter_holds_back_wakes_nobody(room: Room) -> None:
    lane = await room.lane("acme")
    filtered = room.message(lane, (), filtered=["eve@evil.example"])
    await room.take(filtered)
    assert await room.claim() == []
    assert (await room.shown(lane, filtered.id)).state is State.FILTERED


async def test_all_messages_of_a_request_are_kept_or_none(room: Room) -> None:
    lane = await room.lane("acme")
    good = room.message(lane)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await room.take(good, room.message(lane, id=good.id))
    assert await room.count(select(func.count()).select_from(message)) == 0
    assert await room.count(select(func.count()).select_from(body)) == 0
    assert await room.claim() == []


async def test_a_request_that_cannot_be_kept_does_not_stop_its_neighbours(room: Room) -> None:
    lane = await room.lane("acme")
    twice = room.message(lane)
    async with room.one_commit():
        asked = [asyncio.ensure_future(room.take(each)) for each in (room.message(lane), room.message(lane))]
        asked.insert(1, asyncio.ensure_future(room.take(twice, twice)))
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(results[1], Exception)
    assert results[::2] == [Accepted(), Accepted()]
    assert len(await room.claim()) == 2


async def test_the_same_request_with_the_same_key_gets_the_first_answer(room: Room) -> None:
    lane = await room.lane("acme")
    assert await room.take(room.message(lane), key=key()) == Accepted()
    assert await room.take(room.message(lane), key=key(answer="second")) == Accepted(replayed="first")
    assert len(await room.claim()) == 1


async def test_another_request_with_the_same_key_is_a_conflict(room: Room) -> None:
    lane = await room.lane("acme")
    await room.take(room.message(lane), key=key())
    with pytest.raises(Conflict):
        await room.take(room.message(lane), key=key(request="other"))
    assert len(await room.claim()) == 1


async def test_the_same_key_many_times_in_one_commit_is_one_message(room: Room) -> None:
    lane = await room.lane("acme")
    async with room.one_commit():
        asked = [asyncio.ensure_future(room.take(room.message(lane), key=key(answer=str(n)))) for n in range(20)]
        other = asyncio.ensure_future(room.take(room.message(lane), key=key(request="other")))
    results = await asyncio.gather(*asked)
    assert results == [Accepted()] + [Accepted(replayed="0")] * 19
    with pytest.raises(Conflict):
        await other
    assert len(await room.claim()) == 1


async def test_one_and_the_same_acceptance_handed_in_twice_is_kept_once(room: Room) -> None:
    lane = await room.lane("acme")
    acceptance = Acceptance((room.message(lane),), key())
    async with room.one_commit():
        asked = [room.database.fold(room.take_in, acceptance) for _ in range(2)]
    assert await asyncio.gather(*asked) == [Accepted(), Accepted(replayed="first")]
    assert len(await room.claim()) == 1


async def test_the_same_key_on_two_machines_at_once_is_one_message(two_rooms: tuple[Room, Room]) -> None:
    lane = await two_rooms[0].lane("acme")
    results: list[Accepted] = []
    for n in range(30):
        results += await asyncio.gather(
            *(
                room.take(room.message(lane), key=key(f"k{n}", answer=name))
                for name, room in zip("ab", two_rooms, strict=True)
            )
        )
    assert results.count(Accepted()) == 30
    assert len(await two_rooms[0].claim()) == 30


async def test_keys_that_two_machines_take_crosswise_end_in_no_standoff(two_rooms: tuple[Room, Room]) -> None:
    lane = await two_rooms[0].lane("acme")
    for n in range(10):
        asked = []
        for room, order in zip(two_rooms, (1, -1), strict=True):
            async with room.one_commit():
                asked += [
                    asyncio.ensure_future(room.take(room.message(lane), key=key(f"{n}-{k}")))
                    for k in range(20)[::order]
                ]
        assert (await asyncio.gather(*asked)).count(Accepted()) == 20
    assert len(await two_rooms[0].claim(1000)) == 200


async def test_a_key_of_yesterday_is_still_known(room: Room) -> None:
    lane = await room.lane("acme")
    room.clock.now -= room.clock.now % DAY - DAY // 2
    await room.take(room.message(lane), key=key())
    room.clock.now += DAY
    assert await room.take(room.message(lane), key=key()) == Accepted(replayed="first")


async def test_old_keys_are_forgotten_and_younger_ones_are_not(room: Room) -> None:
    lane = await room.lane("acme")
    await room.take(room.message(lane), key=key("old"))
    room.clock.now += DAY
    await room.take(room.message(lane), key=key("young"))
    forget = lambda connection: forget_old_keys(connection, room.now)  # noqa: E731
    assert await room.database.write(forget) == 0
    room.clock.now += DAY
    assert await room.database.write(forget) == 1
    assert await room.count(select(func.count()).select_from(idempotency)) == 1
    assert await room.take(room.message(lane), key=key("old")) == Accepted()


# --- claim


async def test_what_is_claimed_is_nobody_elses_until_its_lease_ends(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane)
    first = await room.claim()
    assert [(each.attempt, each.crashes, each.in_doubt) for each in first] == [(1, 0, False)]
    assert await room.states(lane, message_id) == [State.CLAIMED]
    room.clock.now += LEASE - 1
    assert await room.claim() == []
    room.clock.now += 1
    second = await room.claim()
    assert [(each.id, each.attempt, each.crashes) for each in second] == [(first[0].id, 2, 1)]
    assert second[0].lease != first[0].lease


async def test_never_more_is_claimed_than_asked_for(room: Room) -> None:
    lanes = await room.lanes(50)
    await asyncio.gather(*(room.accept(each) for lane in lanes for each in [lane] * 5))
    sizes = []
    while claims := await room.claim(70):
        sizes.append(len(claims))
    assert sizes == [70, 70, 70, 40]


async def test_a_claim_takes_the_earliest_of_a_lane_first(room: Room) -> None:
    lane = await room.lane("acme")
    earlier = await room.accept(lane)
    room.clock.forward(1)
    later = await room.accept(lane)
    assert [each.message_id for each in await room.claim(1)] == [earlier]
    assert [each.message_id for each in await room.claim(1)] == [later]


async def test_a_claim_says_what_to_do_when_in_doubt_and_when_to_give_up(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept(lane, on_doubt=OnDoubt.HOLD, life=77 * SECOND)
    (claim,) = await room.claim()
    assert (claim.on_doubt, claim.expires_at) == (OnDoubt.HOLD, room.now + 77 * SECOND)


# --- settle


async def test_what_was_sent_is_over(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane)
    assert await room.sent(*await room.claim()) == [True]
    (shown,) = (await room.shown(lane, message_id)).deliveries
    assert (shown.state, shown.attempts, shown.next_attempt_at) == (State.SENT, 1, None)
    assert await room.waiting() == 0
    room.clock.forward(DAY)
    assert await room.claim() == []


async def test_a_retry_is_due_exactly_when_it_was_put_off_to(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane)
    assert await room.later((await room.claim())[0], 90)
    (shown,) = (await room.shown(lane, message_id)).deliveries
    assert (shown.state, shown.next_attempt_at, shown.note) == (State.WAITING, room.now + 90 * SECOND, "Because.")
    room.clock.now += 90 * SECOND - 1
    assert await room.claim() == []
    room.clock.now += 1
    (again,) = await room.claim()
    assert (again.attempt, again.crashes) == (2, 0)


async def test_an_attempt_that_is_not_held_against_the_message_is_not_counted(room: Room) -> None:
    await room.accept(await room.lane("acme"))
    assert await room.later((await room.claim())[0], 5, counts=False)
    room.clock.forward(5)
    assert [each.attempt for each in await room.claim()] == [1]


async def test_what_was_not_tried_counts_no_attempt(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane)
    (claim,) = await room.claim()
    untried = Settlement(claim, Finish(State.FILTERED), "Held back.", room.now)
    assert await room.database.fold(settle, untried)
    (shown,) = (await room.shown(lane, message_id)).deliveries
    assert (shown.state, shown.attempts, shown.tries) == (State.FILTERED, 0, ())


async def test_a_worker_that_overslept_cannot_settle_someone_elses_claim(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane)
    (stale,) = await room.claim()
    room.clock.now += LEASE
    (fresh,) = await room.claim()
    assert not await room.settle(stale, Finish(State.SENT), "sent")
    assert not await room.later(stale, 5)
    (shown,) = (await room.shown(lane, message_id)).deliveries
    assert (shown.state, shown.tries) == (State.CLAIMED, ())
    assert await room.settle(fresh, Finish(State.REFUSED), "refused")
    assert not await room.settle(stale, Finish(State.SENT), "sent")
    assert await room.states(lane, message_id) == [State.REFUSED]


async def test_a_late_worker_may_still_settle_what_nobody_took_over(room: Room) -> None:
    await room.accept(await room.lane("acme"))
    (claim,) = await room.claim()
    room.clock.now += 2 * LEASE
    assert await room.sent(claim) == [True]
    assert await room.claim() == []


async def test_the_stale_and_the_fresh_are_told_apart_in_one_commit(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept_many(lane, 3)
    stale = await room.claim()
    room.clock.now += LEASE
    fresh = await room.claim()
    await room.accept_many(lane, 3)
    kept = await room.claim()
    assert ids(stale) == ids(fresh)
    async with room.one_commit():
        asked = [asyncio.ensure_future(room.settle(each, Finish(State.SENT))) for each in stale]
        asked += [asyncio.ensure_future(room.later(each, 5)) for each in fresh]
        asked += [asyncio.ensure_future(room.settle(each, Finish(State.SENT))) for each in kept]
    assert await asyncio.gather(*asked) == [False] * 3 + [True] * 6
    assert await room.waiting() == 3


async def test_each_recipient_has_attempts_of_its_own_and_shares_the_transcript(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane, "one@good.example", "two@good.example", "three@good.example")
    one, two, three = await room.claim()
    async with room.one_commit():
        same = Settlement(one, TryAgain(room.now, True), "Busy.", room.now, record("deferred", transcript="C: QUIT"))
        other = Settlement(two, Finish(State.REFUSED), "No.", room.now, record("refused", transcript="C: QUIT"))
        asked = [room.database.fold(settle, same), room.database.fold(settle, other)]
        sent = asyncio.ensure_future(room.sent(three))
    assert await asyncio.gather(*asked) == [True, True]
    assert await sent == [True]
    shown = (await room.shown(lane, message_id)).deliveries
    tries = [(each.recipient, [(t.number, t.outcome, t.transcript) for t in each.tries]) for each in shown]
    assert tries == [
        ("one@good.example", [(1, "deferred", "C: QUIT")]),
        ("two@good.example", [(1, "refused", "C: QUIT")]),
        ("three@good.example", [(1, "sent", None)]),
    ]
    assert await room.count(select(func.count()).select_from(transcript)) == 1


async def test_attempts_are_told_in_their_order(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane)
    for _ in range(3):
        await room.later((await room.claim())[0], 60)
        room.clock.forward(60)
    await room.sent(*await room.claim())
    (shown,) = (await room.shown(lane, message_id)).deliveries
    assert [each.number for each in shown.tries] == [1, 2, 3, 4]
    assert [each.outcome for each in shown.tries] == ["deferred"] * 3 + ["sent"]
    assert shown.attempts == 4


# --- in doubt


async def test_marked_mail_is_in_doubt_until_it_is_settled(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane)
    claims = await room.claim()
    assert await room.mark(*claims)
    assert await room.states(lane, message_id) == [State.IN_DOUBT]
    assert await room.later(claims[0], 5)  # the relay said 451 after the dot: not taken, for certain
    assert await room.states(lane, message_id) == [State.WAITING]


async def test_mail_whose_worker_died_in_doubt_says_so_when_it_is_claimed_again(room: Room) -> None:
    await room.accept(await room.lane("acme"))
    await room.mark(*await room.claim())
    room.clock.now += LEASE
    (again,) = await room.claim()
    assert (again.in_doubt, again.crashes) == (True, CRASH_IN_DOUBT)


async def test_doubt_about_an_earlier_attempt_is_not_cleared_by_a_later_failure(room: Room) -> None:
    await room.accept(await room.lane("acme"))
    (claim,) = await room.claim()
    await room.mark(claim)
    assert await room.later(claim, 5, "in_doubt")
    for _ in range(2):
        room.clock.forward(5)
        (claim,) = await room.claim()
        assert claim.in_doubt
        assert await room.later(claim, 5)


async def test_the_dot_is_not_to_be_sent_under_a_lost_lease(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane, "one@good.example", "two@good.example")
    stale = await room.claim()
    room.clock.now += LEASE
    fresh = await room.claim(1)
    assert not await room.mark(*stale)
    assert not (await room.claim())[0].in_doubt
    assert await room.states(lane, message_id) == [State.CLAIMED, State.CLAIMED]
    assert await room.mark(*fresh)


async def test_the_dot_is_not_to_be_sent_with_too_little_of_the_lease_left(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane)
    claims = await room.claim()
    room.clock.now += LEASE - SPARE_LEASE
    assert not await room.mark(*claims)
    assert await room.states(lane, message_id) == [State.CLAIMED]
    await room.renew(*claims)
    assert await room.mark(*claims)


async def test_marks_of_several_messages_are_answered_each_for_itself(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept_many(lane, 2)
    good, lost = await room.claim()
    await room.settle(lost, Finish(State.REFUSED))
    async with room.one_commit():
        asked = [asyncio.ensure_future(room.mark(each)) for each in (lost, good)]
        asked.append(asyncio.ensure_future(room.mark(good, lost)))
    assert await asyncio.gather(*asked) == [False, True, False]


async def test_a_stale_mark_is_refused_even_in_the_commit_that_grants_the_fresh_one(room: Room) -> None:
    await room.accept(await room.lane("acme"))
    (stale,) = await room.claim()
    room.clock.now += LEASE
    (fresh,) = await room.claim()
    async with room.one_commit():
        asked = [asyncio.ensure_future(room.mark(each)) for each in (stale, fresh)]
    assert await asyncio.gather(*asked) == [False, True]


# --- renew, release, recover


async def test_a_renewed_claim_is_kept_for_another_lease(room: Room) -> None:
    await room.accept(await room.lane("acme"))
    claims = await room.claim()
    room.clock.now += LEASE - 1
    await room.renew(*claims)
    room.clock.now += LEASE - 1
    assert await room.claim() == []
    room.clock.now += 1
    assert ids(await room.claim()) == ids(claims)


async def test_a_stale_worker_renews_and_releases_nothing(room: Room) -> None:
    await room.accept(await room.lane("acme"))
    stale = await room.claim()
    room.clock.now += LEASE
    fresh = await room.claim()
    await room.release(*stale)
    assert await room.claim() == []
    room.clock.now += LEASE - 1
    await room.renew(*stale)
    room.clock.now += 1
    assert ids(await room.claim()) == ids(fresh)


async def test_what_is_released_is_due_at_once_and_has_lost_nothing(room: Room) -> None:
    await room.accept(await room.lane("acme"), "one@good.example", "two@good.example")
    claims = await room.claim()
    await room.release(*claims)
    again = await room.claim()
    assert [(each.attempt, each.crashes) for each in again] == [(1, 0), (1, 0)]
    assert ids(again) == ids(claims)


async def test_after_a_start_what_was_leased_is_due_at_once(room: Room) -> None:
    lanes = await room.lanes(3)
    for lane in lanes:
        await room.accept_many(lane, 2)
    dead = await room.claim()
    await room.mark(dead[0])
    assert await room.claim() == []
    assert await room.database.write(lambda connection: recover(connection, room.now)) == 6
    again = await room.claim()
    assert ids(again) == ids(dead)
    assert sorted(each.crashes for each in again) == [1] * 5 + [CRASH_IN_DOUBT]
    assert [each.in_doubt for each in again].count(True) == 1


# --- cancel, requeue, hasten


async def test_what_nobody_holds_can_be_cancelled(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane, "one@good.example", "two@good.example")
    (held,) = await room.claim(1)
    cancel = lambda connection: manage.cancel(connection, message_id, room.now)  # noqa: E731
    assert await room.database.write(cancel) == 1
    assert sorted(await room.states(lane, message_id)) == [State.CANCELLED, State.CLAIMED]
    assert await room.later(held, 5)
    assert await room.database.write(cancel) == 1
    assert await room.states(lane, message_id) == [State.CANCELLED, State.CANCELLED]
    assert await room.database.write(cancel) == 0
    room.clock.forward(3600)
    assert await room.claim() == []


async def test_what_was_cancelled_after_its_lease_cannot_be_settled(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane)
    (stale,) = await room.claim()
    room.clock.now += LEASE
    assert await room.database.write(lambda connection: manage.cancel(connection, message_id, room.now)) == 1
    assert not await room.settle(stale, Finish(State.SENT), "sent")
    assert await room.states(lane, message_id) == [State.CANCELLED]


async def test_held_mail_can_be_cancelled(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane)
    await room.settle((await room.claim())[0], Finish(State.HELD))
    assert await room.database.write(lambda connection: manage.cancel(connection, message_id, room.now)) == 1
    assert await room.states(lane, message_id) == [State.CANCELLED]


@pytest.mark.parametrize("end", [State.REFUSED, State.EXPIRED, State.HELD, State.CANCELLED])
async def test_what_ended_badly_can_be_put_back_for_a_new_life(room: Room, end: State) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane, life=DAY)
    (stale,) = await room.claim()
    await room.settle(stale, Finish(end))
    room.clock.now += 2 * DAY
    requeue = lambda connection: manage.requeue(connection, message_id, lane.id, room.now, LIFE)  # noqa: E731
    assert await room.database.write(requeue) == 1
    assert await room.database.write(requeue) == 0
    assert await room.states(lane, message_id) == [State.WAITING]
    assert not await room.settle(stale, Finish(State.SENT), "sent")
    (claim,) = await room.claim()
    assert (claim.attempt, claim.crashes, claim.expires_at) == (2, 0, room.now + LIFE)
    assert (await room.shown(lane, message_id)).expires_at == room.now + LIFE


async def test_what_was_sent_or_filtered_is_not_put_back(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane, filtered=["eve@evil.example"])
    await room.sent(*await room.claim())
    assert await room.database.write(lambda c: manage.requeue(c, message_id, lane.id, room.now, LIFE)) == 0
    assert await room.waiting() == 0


async def test_two_machines_put_the_same_message_back_once(two_rooms: tuple[Room, Room]) -> None:
    room, other = two_rooms
    lane = await room.lane("acme")
    for _ in range(10):
        message_id = await room.accept(lane)
        await room.settle((await room.claim())[0], Finish(State.HELD))
        requeue = lambda c, it=message_id: manage.requeue(c, it, lane.id, room.now, LIFE)  # noqa: E731
        counts = await asyncio.gather(room.database.write(requeue), other.database.write(requeue))
        assert sorted(counts) == [0, 1]
        await room.sent(*await room.claim())


async def test_what_waits_for_later_can_be_hastened(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane, "one@good.example", "two@good.example")
    one, _two = await room.claim()
    await room.later(one, 3600)
    assert await room.claim() == []
    assert await room.database.write(lambda c: manage.hasten(c, message_id, lane.id, room.now)) == 1
    assert [each.id for each in await room.claim()] == [one.id]


async def test_deliveries_keep_their_number_of_attempts_in_the_log(room: Room) -> None:
    lane = await room.lane("acme")
    await room.accept_many(lane, 2)
    for each in await room.claim():
        await room.later(each, 1)
    assert await room.count(select(func.sum(delivery.c.attempts))) == 2
