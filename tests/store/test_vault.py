"""Secrets at rest open only where they were sealed for, with the key they were sealed with."""

import asyncio
import base64
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.actions.first_start import settle_in
from postroom.domain.problems import Invalid, Unavailable
from postroom.domain.secret import Secret
from postroom.store import facts, keys, profiles, tenants
from postroom.store.key_ring import vault_from
from postroom.store.vault import KEY_OCTETS, Vault

from .room import Room

PLACE = profiles.place(1, 2)
OURS, THEIRS = Vault(bytes(range(32))), Vault(bytes(range(1, 33)))


@given(st.text(st.characters(codec="utf-8")))
def test_what_was_sealed_opens_again(text: str) -> None:
    sealed = OURS.seal(Secret(text), PLACE)
    assert OURS.open(sealed, PLACE) == Secret(text)
    assert len(text) < 4 or text not in sealed


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    assert len({OURS.seal(Secret("hunter2"), PLACE) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "elsewhere",
    [
        profiles.place(3, 2),
        profiles.place(1, 3),
        profiles.place(12, ""),  # type: ignore[arg-type]
        ("profile", 1, 2, "oauth_secret"),
        ("product", 1, 2, "password"),
        (),
    ],
)
def test_a_secret_that_was_moved_does_not_open(elsewhere: tuple[object, ...]) -> None:
    with pytest.raises(Unavailable):
        OURS.open(OURS.seal(Secret("hunter2"), PLACE), elsewhere)


def test_another_key_does_not_open_it_and_both_are_named() -> None:
    with pytest.raises(Unavailable, match=f"{OURS.key_id}.*{THEIRS.key_id}"):
        THEIRS.open(OURS.seal(Secret("hunter2"), PLACE), PLACE)


@pytest.mark.parametrize("broken", ["", ".", "x", "abc.!!!", "abc.AAAA", "abc." + "A" * 200, "ключ.AAAA"])
def test_what_is_no_sealed_secret_does_not_open(broken: str) -> None:
    with pytest.raises(Unavailable):
        OURS.open(broken, PLACE)


def test_a_changed_octet_does_not_open() -> None:
    key_id, _, text = OURS.seal(Secret("hunter2"), PLACE).partition(".")
    raw = bytearray(base64.urlsafe_b64decode(text))
    for at in range(len(raw)):
        changed = bytes(raw[:at]) + bytes([raw[at] ^ 1]) + bytes(raw[at + 1 :])
        with pytest.raises(Unavailable):
            OURS.open(f"{key_id}.{base64.urlsafe_b64encode(changed).decode()}", PLACE)


def test_keys_for_other_purposes_have_nothing_in_common() -> None:
    assert len({OURS.derive("secrets"), OURS.derive("tokens"), OURS.derive("key id"), THEIRS.derive("tokens")}) == 4


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    made, _ = vault_from(None, tmp_path / "new")
    path = tmp_path / "new" / "vault.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(base64.b64decode(path.read_text())) == KEY_OCTETS
    assert vault_from(None, tmp_path / "new")[0].key_id == made.key_id
    assert vault_from(None, tmp_path / "other")[0].key_id != made.key_id


def test_a_configured_key_comes_before_the_file(tmp_path: Path) -> None:
    text = base64.b64encode(bytes(range(32))).decode()
    assert vault_from(Secret(f" {text}\n"), tmp_path)[0].key_id == OURS.key_id
    assert not (tmp_path / "vault.key").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "changeme",
        "not base64 at all!",
        base64.b64encode(b"x" * 32).decode(),
        base64.b64encode(b"abcd" * 8).decode(),
        base64.b64encode(bytes(range(31))).decode(),
        base64.b64encode(bytes(range(33))).decode(),
    ],
)
def test_a_placeholder_is_no_key(text: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        vault_from(Secret(text), tmp_path)
    assert refused.value.field == "vault_key"


# --- the first start


async def test_the_first_start_settles_in_once(room: Room) -> None:
    drawn = await settle_in(room.database, OURS, sandbox=("127.0.0.1", 2525), admin_key=None)
    assert drawn is not None
    assert await settle_in(room.database, OURS, sandbox=("127.0.0.1", 2525), admin_key=None) is None
    found = await room.database.read(lambda connection: keys.by_digest(connection, keys.digest(drawn)))
    assert found is not None
    assert found.tenant_id is None
    tenant = await room.database.read(lambda connection: tenants.find(connection, "default"))
    assert tenant is not None
    stored = await room.database.read(lambda connection: profiles.get(connection, tenant.id, None))
    assert (stored.settings.host, stored.settings.port) == ("127.0.0.1", 2525)


async def test_a_start_with_another_vault_key_is_refused(room: Room) -> None:
    await settle_in(room.database, OURS, sandbox=None, admin_key=None)
    with pytest.raises(Invalid, match=f"{THEIRS.key_id}.*{OURS.key_id}"):
        await settle_in(room.database, THEIRS, sandbox=None, admin_key=None)
    assert await room.database.read(lambda connection: facts.recall(connection, "vault key")) == OURS.key_id


async def test_a_weak_admin_key_is_refused(room: Room) -> None:
    with pytest.raises(Invalid, match="16 characters"):
        await settle_in(room.database, OURS, sandbox=None, admin_key=Secret("short"))


async def test_two_machines_may_start_for_the_first_time_at_once(two_rooms: tuple[Room, Room]) -> None:
    drawn = await asyncio.gather(
        *(settle_in(each.database, OURS, sandbox=("127.0.0.1", 2525), admin_key=None) for each in two_rooms)
    )
    assert [each is None for each in drawn].count(True) == 1
    every = await two_rooms[0].database.read(lambda connection: keys.every(connection, None))
    assert len(every) == 1
