"""Refresh tokens at rest: sealed to their profile, replaced in place, the same for each revision that has them."""

import pytest
from sqlalchemy import Connection

from postroom.actions.sign_ins import SignIns, digest
from postroom.domain.problems import SecretLost
from postroom.domain.secret import Secret
from postroom.smtp.sign_in import SignIn
from postroom.store import profiles, sign_ins
from postroom.store.vault import Vault

from .room import AUTHOR, SETTINGS, Lane, Room

VAULT = Vault(bytes(range(32)))
FIRST, SECOND, THIRD = Secret("first"), Secret("second"), Secret("third")


async def signed_in(room: Room, lane: Lane, token: Secret = FIRST, *, place_of: Lane | None = None) -> SignIn:
    """A revision with a sign-in of its own; `place_of` is the profile that it was sealed for, if another."""
    home = place_of or lane

    def step(connection: Connection) -> None:
        sealed = VAULT.seal(token, sign_ins.place(home.tenant_id, home.profile_id))
        new = sign_ins.add(connection, sealed, digest(token), now=room.now)
        profiles.revise(
            connection, lane.tenant_id, lane.profile_id, SETTINGS, sealed_password=None, changes={}, author=AUTHOR,
            now=room.now, sign_in_id=new,
        )  # fmt: skip

    await room.database.write(step)
    return await the_sign_in(room, lane)


async def the_sign_in(room: Room, lane: Lane) -> SignIn:
    found = SignIns(room.database, VAULT).of(await room.stored(lane))
    assert found is not None
    return found


async def test_the_newest_is_what_everybody_sees(room: Room) -> None:
    lane = await room.lane("acme")
    ours, theirs = await signed_in(room, lane), await the_sign_in(room, lane)
    await ours.replace(FIRST, SECOND)
    assert await theirs.newest() == await ours.newest() == SECOND
    assert ours.name == theirs.name
    assert (await room.stored(lane)).revision == 2  # as before: no setting has changed


async def test_who_comes_late_with_a_replacement_changes_nothing(room: Room) -> None:
    sign_in = await signed_in(room, await room.lane("acme"))
    await sign_in.replace(FIRST, SECOND)
    await sign_in.replace(FIRST, THIRD)
    assert await sign_in.newest() == SECOND


async def test_a_replacement_that_is_under_way_while_settings_are_saved_is_not_lost(room: Room) -> None:
    lane = await room.lane("acme")
    before = await signed_in(room, lane)
    stored = await room.stored(lane)
    assert stored.sign_in is not None
    sign_in_id = stored.sign_in.id
    await room.database.write(
        lambda connection: profiles.revise(
            connection, lane.tenant_id, lane.profile_id, SETTINGS, sealed_password=None, changes={}, author=AUTHOR,
            now=room.now, sign_in_id=sign_in_id,
        )
    )  # fmt: skip
    await before.replace(FIRST, SECOND)
    assert await (await the_sign_in(room, lane)).newest() == SECOND


async def test_a_new_sign_in_leaves_the_old_one_alone(room: Room) -> None:
    lane = await room.lane("acme")
    old = await signed_in(room, lane)
    new = await signed_in(room, lane, SECOND)
    await old.replace(FIRST, THIRD)
    assert (await old.newest(), await new.newest()) == (THIRD, SECOND)
    assert old.name != new.name


async def test_a_profile_without_one_has_none(room: Room) -> None:
    lane = await room.lane("acme")
    assert SignIns(room.database, VAULT).of(await room.stored(lane)) is None


async def test_one_that_was_moved_to_another_profile_opens_nowhere(room: Room) -> None:
    lane, other = await room.lane("acme"), await room.lane("other")
    with pytest.raises(SecretLost):
        await signed_in(room, lane, place_of=other)
