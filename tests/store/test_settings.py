"""Tenants, keys, profiles, facts, the audit: what is kept of settings and of who may change them."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select

from postroom.domain.access import EVERYTHING, Caller, Permission
from postroom.domain.delivery import SECOND
from postroom.domain.problems import Conflict, NotFound
from postroom.domain.profile import Auth, Profile, Security
from postroom.domain.secret import Secret
from postroom.store import audit, facts, keys, profiles, tenants
from postroom.store.keys import Key
from postroom.store.schema import api_key, revision
from postroom.store.schema import audit as audit_table
from postroom.store.schema import profile as profile_table

from .room import AUTHOR, NOW, Room

SEND = frozenset({Permission.MAIL_SEND})


# --- tenants


async def test_a_tenant_is_found_by_its_slug_and_by_its_id(room: Room) -> None:
    acme = await room.tenant("acme")
    found = await room.database.read(lambda c: (tenants.find(c, "acme"), tenants.by_id(c, acme.id)))
    assert found == (acme, acme)
    assert await room.database.read(lambda c: tenants.find(c, "ACME")) is None


async def test_a_slug_is_given_once(room: Room) -> None:
    await room.tenant("acme")
    with pytest.raises(Conflict, match="acme"):
        await room.tenant("acme")
    assert len(await room.database.read(tenants.every)) == 1


async def test_two_machines_give_a_slug_once(two_rooms: tuple[Room, Room]) -> None:
    for n in range(10):
        results = await asyncio.gather(*(each.tenant(f"t{n}") for each in two_rooms), return_exceptions=True)
        assert sorted(type(each).__name__ for each in results) == ["Conflict", "Tenant"]


async def test_tenants_are_listed_by_slug(room: Room) -> None:
    for slug in ("b", "a", "c"):
        await room.tenant(slug)
    assert [each.slug for each in await room.database.read(tenants.every)] == ["a", "b", "c"]


# --- keys


async def add_key(room: Room, key: Secret, tenant_id: int | None = None, **said: Any) -> Key:
    values: dict[str, Any] = {"name": "ci", "permissions": SEND, "now": room.now} | said
    return await room.database.write(lambda c: keys.add(c, key, tenant_id=tenant_id, **values))


async def test_only_the_digest_of_a_key_is_stored(room: Room) -> None:
    shown = keys.fresh()
    added = await add_key(room, shown, (await room.tenant("acme")).id)
    rows = await room.database.read(lambda c: [tuple(row) for row in c.execute(select(api_key))])
    assert keys.digest(shown) in rows[0]
    assert shown.reveal() not in repr(rows)
    assert await room.database.read(lambda c: keys.by_digest(c, keys.digest(shown))) == added
    assert await room.database.read(lambda c: keys.by_digest(c, shown.reveal())) is None


async def test_a_key_is_valid_until_it_expires_or_is_revoked(room: Room) -> None:
    added = await add_key(room, keys.fresh(), expires_at=NOW + 10)
    assert added.is_valid(NOW + 9)
    assert not added.is_valid(NOW + 10)
    await room.database.write(lambda c: keys.revoke(c, added.id, None, NOW + 5))
    found = await room.database.read(lambda c: keys.by_id(c, added.id))
    assert found is not None
    assert not found.is_valid(NOW)
    await room.database.write(lambda c: keys.revoke(c, added.id, None, NOW + 7))
    again = await room.database.read(lambda c: keys.by_id(c, added.id))
    assert again == found  # revoked once, at that time


async def test_a_tenant_sees_and_revokes_only_its_own_keys(room: Room) -> None:
    acme, other = await room.tenant("acme"), await room.tenant("other")
    ours, theirs = await add_key(room, keys.fresh(), acme.id), await add_key(room, keys.fresh(), other.id)
    admin = await add_key(room, keys.fresh())
    assert await room.database.read(lambda c: keys.every(c, acme.id)) == [ours]
    assert set(await room.database.read(lambda c: keys.every(c, None))) == {ours, theirs, admin}
    for foreign in (theirs, admin):
        with pytest.raises(NotFound):
            await room.database.write(lambda c, it=foreign: keys.revoke(c, it.id, acme.id, NOW))
    with pytest.raises(NotFound):
        await room.database.write(lambda c: keys.revoke(c, "nothing", None, NOW))


async def test_all_permissions_stay_all_and_few_stay_few(room: Room) -> None:
    few = frozenset({Permission.MAIL_SEND, Permission.AUDIT_READ})
    added = [await add_key(room, keys.fresh(), permissions=each) for each in (EVERYTHING, few, frozenset())]
    read = [await room.database.read(lambda c, it=each: keys.by_id(c, it.id)) for each in added]
    assert [each and each.permissions for each in read] == [EVERYTHING, few, frozenset()]


async def test_uses_of_keys_are_noted(room: Room) -> None:
    assert not await room.database.read(keys.any_at_all)
    used, unused = await add_key(room, keys.fresh()), await add_key(room, keys.fresh())
    async with room.one_commit():
        noted = [room.database.fold(keys.note_uses, keys.Use(used.id, by_previous=False)) for _ in range(3)]
    await asyncio.gather(*noted)
    found = await room.database.read(lambda c: (keys.by_id(c, used.id), keys.by_id(c, unused.id)))
    assert [each is not None and each.last_used_at is not None for each in found] == [True, False]


# --- profiles


async def test_profiles_are_counted_per_tenant_and_the_first_is_the_default(room: Room) -> None:
    acme, other = await room.tenant("acme"), await room.tenant("other")
    added = [await room.profile(each.id) for each in (acme, acme, other)]
    assert [each.profile_id for each in added] == [1, 2, 1]
    assert len({each.id for each in added}) == 3
    stored = [await room.stored(each) for each in added]
    assert [each.is_default for each in stored] == [True, False, True]
    default = await room.database.read(lambda c: profiles.get(c, acme.id, None))
    assert default.id == 1


async def test_another_tenants_profile_is_not_there(room: Room) -> None:
    acme, other = await room.tenant("acme"), await room.tenant("other")
    await room.profile(acme.id)
    assert await room.database.read(lambda c: profiles.find(c, other.id, 1)) is None
    for which in (1, None):
        with pytest.raises(NotFound):
            await room.database.read(lambda c, it=which: profiles.get(c, other.id, it))
    assert await room.database.read(lambda c: profiles.every(c, other.id)) == []


async def test_settings_come_back_as_they_were_saved(room: Room) -> None:
    settings = Profile(
        host="relay.example", port=465, security=Security.TLS, verify_certificate=False, ca_certificates="PEM",
        server_name="mail.example", auth=Auth.PASSWORD, username="Jürgen", envelope_sender="bounce@company.example",
        sender_address="post@company.example", sender_name="Ünïcödé ✉", recipient_filter="*@good.example",
        extras={"keyfactor": {"RelayHost": None, "n": 7, "deep": {"a": [1, "x"]}}},
    )  # fmt: skip
    tenant = await room.tenant("acme")

    def step(connection: Connection) -> None:
        profile_id, _ = profiles.add(connection, tenant.id, "main", now=NOW)
        profiles.revise(
            connection, tenant.id, profile_id, settings, sealed_password="sealed", changes={"host": ("a", "b")},
            author=AUTHOR, now=NOW,
        )  # fmt: skip

    await room.database.write(step)
    stored = await room.database.read(lambda c: profiles.get(c, tenant.id, 1))
    assert stored.settings == settings
    assert stored.settings.extras == settings.extras
    assert (stored.name, stored.sealed_password, stored.author, stored.dialect) == ("main", "sealed", "Ann", "native")


async def test_a_revision_is_never_changed(room: Room) -> None:
    lane = await room.lane("acme", host="one.example")
    rows = select(revision.c.number, revision.c.settings).order_by(revision.c.number)
    before = await room.database.read(lambda c: c.execute(rows).all())
    assert await room.save(lane, host="two.example") == 2
    assert await room.save(lane, host="three.example") == 3
    after = await room.database.read(lambda c: c.execute(rows).all())
    assert after[:1] == before
    assert [each.number for each in after] == [1, 2, 3]
    stored = await room.stored(lane)
    assert (stored.revision, stored.settings.host) == (3, "three.example")


async def test_when_the_default_is_deleted_the_oldest_that_is_left_becomes_it(room: Room) -> None:
    tenant = await room.tenant("acme")
    added = [await room.profile(tenant.id) for _ in range(3)]
    await room.database.write(lambda c: profiles.make_default(c, tenant.id, 2))
    assert [(await room.stored(each)).is_default for each in added] == [False, True, False]
    second = await room.stored(added[1])
    await room.database.write(lambda c: profiles.delete(c, second, NOW))
    left = await room.database.read(lambda c: profiles.every(c, tenant.id))
    assert [(each.id, each.is_default) for each in left] == [(1, True), (3, False)]
    assert await room.database.read(lambda c: profiles.find(c, tenant.id, 2)) is None


async def test_a_deleted_profile_leaves_its_revisions_and_its_number(room: Room) -> None:
    tenant = await room.tenant("acme")
    lane = await room.profile(tenant.id)
    stored = await room.stored(lane)
    await room.database.write(lambda c: profiles.delete(c, stored, NOW))
    assert await room.database.read(lambda c: profiles.find(c, tenant.id, None)) is None
    assert len(await room.database.read(lambda c: c.execute(select(revision)).all())) == 1
    again = await room.profile(tenant.id)
    assert again.profile_id == 2
    assert (await room.stored(again)).is_default


async def test_deleting_another_profile_leaves_the_default_alone(room: Room) -> None:
    tenant = await room.tenant("acme")
    first, second = await room.profile(tenant.id), await room.profile(tenant.id)
    stored = await room.stored(second)
    await room.database.write(lambda c: profiles.delete(c, stored, NOW))
    assert (await room.stored(first)).is_default


async def test_a_profile_can_be_renamed(room: Room) -> None:
    lane = await room.lane("acme")
    await room.database.write(lambda c: profiles.name_it(c, lane.tenant_id, lane.profile_id, "invoices"))
    assert (await room.stored(lane)).name == "invoices"


async def test_the_profiles_of_lanes_are_found_without_the_deleted_ones(room: Room) -> None:
    lanes = await room.lanes(3)
    stored = await room.stored(lanes[1])
    await room.database.write(lambda c: profiles.delete(c, stored, NOW))
    found = await room.database.read(lambda c: profiles.by_lanes(c, [each.id for each in lanes]))
    assert set(found) == {lanes[0].id, lanes[2].id}
    assert found[lanes[0].id].tenant_id == lanes[0].tenant_id


async def test_two_machines_count_the_profiles_of_a_tenant_together(two_rooms: tuple[Room, Room]) -> None:
    tenant = await two_rooms[0].tenant("acme")
    added = await asyncio.gather(*(each.profile(tenant.id) for each in two_rooms * 10))
    assert sorted(each.profile_id for each in added) == list(range(1, 21))
    defaults = select(profile_table.c.id).where(profile_table.c.is_default)
    assert len(await two_rooms[0].database.read(lambda c: c.execute(defaults).all())) == 1


# --- facts and the audit


async def test_a_fact_is_written_down_once(room: Room) -> None:
    assert await room.database.read(lambda c: facts.recall(c, "colour")) is None
    said = [await room.database.write(lambda c, it=value: facts.remember(c, "colour", it)) for value in ("red", "blue")]
    assert said == ["red", "red"]
    assert await room.database.read(lambda c: facts.recall(c, "colour")) == "red"


async def test_the_audit_says_who_did_what(room: Room) -> None:
    tenant = await room.tenant("acme")
    caller = Caller("key-id", "Ann", None, EVERYTHING, "192.0.2.7")
    detail = {"host": ("a", "ü"), "at": replace(tenant)}
    await room.database.write(
        lambda c: audit.note(c, caller, "profile.saved", "1", tenant_id=tenant.id, now=NOW + SECOND, detail=detail)
    )
    (row,) = await room.database.read(lambda c: c.execute(select(audit_table)).all())
    assert (row.at, row.actor, row.key_id, row.address) == (NOW + SECOND, "Ann", "key-id", "192.0.2.7")
    assert (row.action, row.subject, row.tenant_id) == ("profile.saved", "1", tenant.id)
    assert "ü" in row.detail
