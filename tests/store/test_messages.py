"""Reading mail back: pages, filters, and each tenant only its own; and what the sandbox caught."""

import asyncio

import pytest
from sqlalchemy import Connection

from postroom.domain.delivery import Finish, State
from postroom.domain.problems import NotFound
from postroom.store import caught, messages
from postroom.store.caught import NewCaught
from postroom.store.ids import new_id
from postroom.store.messages import MessageRead, Search

from .room import NOW, VAULT, Lane, Room


async def page(room: Room, lane: Lane, **wanted: object) -> list[MessageRead]:
    search = Search(**wanted)  # type: ignore[arg-type]
    return await room.database.read(lambda c: messages.page(c, lane.tenant_id, search, room.now))


async def found(room: Room, lane: Lane, **wanted: object) -> list[str]:
    return [each.id for each in await page(room, lane, **wanted)]


# --- pages


async def test_pages_go_from_the_newest_to_the_oldest_without_a_gap(room: Room) -> None:
    lane = await room.lane("acme")
    accepted = []
    for _ in range(7):
        room.clock.forward(1)
        accepted.append(await room.accept(lane, "one@good.example", "two@good.example"))
    seen: list[str] = []
    while some := await found(room, lane, limit=3, before=seen[-1] if seen else None):
        seen += some
    assert seen == accepted[::-1]


async def test_messages_are_found_by_state_recipient_and_profile(room: Room) -> None:
    lane = await room.lane("acme")
    second = await room.profile(lane.tenant_id)
    sent, waiting = await room.accept(lane, "a@good.example"), await room.accept(second, "b@good.example")
    filtered = room.message(lane, (), filtered=["eve@evil.example"])
    await room.take(filtered)
    claims = {each.message_id: each for each in await room.claim()}
    await room.sent(claims[sent])
    assert await found(room, lane, state=State.SENT) == [sent]
    assert await found(room, lane, state=State.WAITING) == [waiting]
    assert await found(room, lane, state=State.FILTERED) == [filtered.id]
    assert await found(room, lane, state=State.CLAIMED) == [waiting]
    assert await found(room, lane, state=State.IN_DOUBT) == []
    await room.mark(claims[waiting])
    assert await found(room, lane, state=State.IN_DOUBT) == [waiting]
    assert await found(room, lane, recipient="eve@evil.example") == [filtered.id]
    assert await found(room, lane, recipient="good.example") == []
    assert await found(room, lane, profile_id=second.profile_id) == [waiting]
    assert await found(room, lane, profile_id=second.profile_id, state=State.SENT) == []


async def test_one_tenant_never_sees_anothers_mail(room: Room) -> None:
    ours, theirs = await room.lanes(2)
    message_id = await room.accept(ours, "bob@good.example")
    assert await found(room, theirs) == []
    assert await found(room, theirs, recipient="bob@good.example") == []
    with pytest.raises(NotFound):
        await room.shown(theirs, message_id)
    with pytest.raises(NotFound):
        await room.shown(ours, "nothing")


async def test_recipients_stay_in_the_order_given(room: Room) -> None:
    lane = await room.lane("acme")
    everyone = [f"{n}@good.example" for n in range(12)]
    message_id = await room.accept(lane, *everyone)
    assert [each.recipient for each in (await room.shown(lane, message_id)).deliveries] == everyone


async def test_a_message_is_as_alive_as_the_most_alive_of_its_deliveries(room: Room) -> None:
    lane = await room.lane("acme")
    message_id = await room.accept(lane, "one@good.example", "two@good.example")
    one, two = await room.claim()
    await room.sent(one)
    assert (await room.shown(lane, message_id)).state is State.CLAIMED
    await room.settle(two, Finish(State.REFUSED), "refused")
    shown = await room.shown(lane, message_id)
    assert shown.state is State.REFUSED
    assert [each.tries[0].outcome for each in shown.deliveries] == ["sent", "refused"]
    assert [each.tries for each in (await page(room, lane))[0].deliveries] == [(), ()]


def test_ids_sort_by_time() -> None:
    ids = [new_id(NOW + n * 1000) for n in range(200)]
    assert ids == sorted(ids)
    assert len({new_id(NOW) for _ in range(1000)}) == 1000
    assert {len(each) for each in ids} == {26}


# --- caught


def mail(message_id: str | None = None, at: int = NOW, host: str = "company.example") -> NewCaught:
    head = f"Message-ID: <{message_id}@{host}>\r\n" if message_id else ""
    content = f"Subject: Hello\r\n{head}\r\nMessage-ID: <{'0' * 26}@body.example>\r\n".encode()
    return NewCaught(at, "post@company.example", ("one@good.example",), "Hello", content)


async def box(room: Room, tenant_id: int) -> list[str]:
    read = await room.database.read(lambda c: caught.page(c, tenant_id, None, 100))
    assert {each.content for each in read} <= {None}
    return [each.id for each in read]


async def test_a_caught_mail_goes_to_the_tenant_that_sent_it(room: Room) -> None:
    first, second = await room.lanes(2)
    keep = caught.Keeping(VAULT)
    sent = [await room.accept(each) for each in (first, second)]
    async with room.one_commit():
        kept = [room.database.fold(keep, mail(each)) for each in (*sent[::-1], None, new_id(NOW))]
    from_second, from_first, from_nobody, from_elsewhere = await asyncio.gather(*kept)
    assert await box(room, second.tenant_id) == [from_second]
    assert set(await box(room, first.tenant_id)) == {from_first, from_nobody, from_elsewhere}


async def test_a_caught_mail_is_shown_to_its_tenant_alone(room: Room) -> None:
    first, second = await room.lanes(2)
    kept = await room.database.fold(caught.Keeping(VAULT), mail(await room.accept(first)))
    shown = await room.database.read(lambda c: caught.get(c, VAULT, first.tenant_id, kept))
    assert (shown.recipients, shown.subject) == (("one@good.example",), "Hello")
    assert shown.content is not None
    with pytest.raises(NotFound):
        await room.database.read(lambda c: caught.get(c, VAULT, second.tenant_id, kept))
    assert await room.database.write(lambda c: caught.empty(c, second.tenant_id)) == 0
    assert await room.database.write(lambda c: caught.empty(c, first.tenant_id)) == 1


async def test_the_sandbox_keeps_the_newest_of_each_tenant(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caught, "MOST_KEPT", 3)
    first, second = await room.lanes(2)
    ours = await room.accept(second)
    kept = [await room.database.fold(caught.Keeping(VAULT), mail(None, NOW + n * 1_000_000)) for n in range(5)]
    theirs = await room.database.fold(caught.Keeping(VAULT), mail(ours))

    def prune(connection: Connection) -> int:
        return caught.prune(connection)

    assert await room.database.write(prune) == 2
    assert await room.database.write(prune) == 0
    assert await box(room, first.tenant_id) == kept[:1:-1]
    assert await box(room, second.tenant_id) == [theirs]
    older = await room.database.read(lambda c: caught.page(c, first.tenant_id, kept[4], 1))
    assert [each.id for each in older] == [kept[3]]


# --- looking, for a page


async def look(room: Room, lane: Lane, most: int = messages.LOOKED_AT, **wanted: object) -> messages.Looked:
    search = Search(**wanted)  # type: ignore[arg-type]
    return await room.database.read(lambda c: messages.look(c, lane.tenant_id, search, room.now, most))


def ids(looked: messages.Looked) -> list[str]:
    return [each.id for each in looked.messages]


async def test_messages_are_found_by_parts_of_subject_and_recipient_and_by_id(room: Room) -> None:
    lane = await room.lane("acme")
    one = await room.accept(lane, "Anna@good.example")
    room.clock.forward(1)
    other = await room.accept(lane, "bernd@fine.example", "carl@fine.example")
    subject = (await look(room, lane, id=one)).messages[0].subject
    assert ids(await look(room, lane, subject=subject[1:-1].upper())) == [other, one]
    assert ids(await look(room, lane, subject=f"{subject}%")) == []  # no pattern, but what was typed
    assert ids(await look(room, lane, subject="_")) == []
    assert ids(await look(room, lane, to="ANNA@")) == [one]
    assert ids(await look(room, lane, to="fine")) == [other]
    assert ids(await look(room, lane, to="fine", state=State.SENT)) == []
    assert ids(await look(room, lane, id=one, to="fine")) == []
    assert ids(await look(room, await room.lane("other"), id=one)) == []


async def test_state_and_recipient_are_of_the_same_delivery(room: Room) -> None:
    lane = await room.lane("acme")
    mixed = room.message(lane, ("in@good.example",), filtered=["out@evil.example"])
    await room.take(mixed)
    assert ids(await look(room, lane, to="out@", state=State.FILTERED)) == [mixed.id]
    assert ids(await look(room, lane, to="in@", state=State.FILTERED)) == []
    assert await found(room, lane, recipient="in@good.example", state=State.WAITING) == [mixed.id]
    assert await found(room, lane, recipient="in@good.example", state=State.FILTERED) == []


async def test_messages_are_found_by_when_they_came(room: Room) -> None:
    lane = await room.lane("acme")
    times, accepted = [], []
    for _ in range(3):
        room.clock.forward(60)
        times.append(room.now)
        accepted.append(await room.accept(lane, "a@good.example"))
    assert ids(await look(room, lane, since=times[1])) == accepted[:0:-1]
    assert ids(await look(room, lane, until=times[1])) == accepted[:1]
    assert ids(await look(room, lane, since=times[1], until=times[2])) == [accepted[1]]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 8, 100])
async def test_looking_stops_and_goes_on_where_it_stopped_without_a_gap(room: Room, most: int) -> None:
    lane = await room.lane("acme")
    accepted = []
    for n in range(7):
        room.clock.forward(1)
        accepted.append(await room.accept(lane, "wanted@good.example" if n % 3 == 0 else "other@good.example"))
    await room.accept(await room.lane("other"), "wanted@good.example")
    found: list[str] = []
    before, looks = None, 0
    while looks == 0 or before is not None:
        looked = await look(room, lane, most, to="wanted", before=before, limit=2)
        found += ids(looked)
        assert looked.back_to is None or looked.next is not None
        before, looks = looked.next, looks + 1
        assert looks < 20
    assert found == accepted[::-3]
    assert looks >= -(-7 // most)


async def test_who_filters_nothing_need_not_look(room: Room) -> None:
    lane = await room.lane("acme")
    accepted = [await room.accept(lane, "a@good.example") for _ in range(3)]
    looked = await look(room, lane, 1)
    assert (sorted(ids(looked)), looked.next, looked.back_to) == (sorted(accepted), None, None)
