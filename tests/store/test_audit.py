"""The audit's chains: whatever is done to them by who has nothing but the database comes to light, and is named."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from postroom.domain.access import EVERYTHING, Caller
from postroom.store import audit
from postroom.store.audit import AuditSearch, Verified
from postroom.store.audit_chain import Entry, Head, Sealer
from postroom.store.schema import audit as table
from postroom.store.schema import fact

from .room import NOW, Room

ANN = Caller("key-id", "Ann", None, EVERYTHING, "192.0.2.7")
KEYS = {"00000001": b"a key of the vault", "00000002": b"a newer one"}


def sealer(in_force: str = "00000001", *, without: str | None = None) -> Sealer:
    return Sealer(lambda: in_force, lambda key_id: KEYS.get(key_id) if key_id != without else None)


@pytest.fixture
async def acme(room: Room) -> AsyncIterator[int]:
    """A tenant with a chain of six rows between which those of another stand."""
    audit.seal_with(room.database.writer, sealer())
    ours, theirs = await room.tenant("acme"), await room.tenant("other")
    for n in range(1, 7):
        await noted(room, ours.id, n)
        await noted(room, theirs.id, n)
    yield ours.id
    assert (await verified(room, theirs.id)).fault is None  # whatever was done to ours


async def noted(room: Room, tenant_id: int | None, n: int, **said: Any) -> None:
    values: dict[str, Any] = {"detail": {"changes": {"host": ["ä", n]}}, "dialect": "native"} | said
    await room.database.write(
        lambda c: audit.note(c, ANN, "profile.saved", str(n), tenant_id=tenant_id, now=NOW + n, **values)
    )


async def verified(room: Room, tenant_id: int | None, by: Sealer | None = None, kept: Head | None = None) -> Verified:
    return await room.database.read(lambda c: audit.verify(c, tenant_id, by or sealer(), kept))


async def rows(room: Room, tenant_id: int) -> list[Entry]:
    return (await room.database.read(lambda c: audit.page(c, tenant_id, AuditSearch(limit=200))))[::-1]


async def tamper(room: Room, *statements: str, **values: Any) -> None:
    def step(connection: Connection) -> None:
        for each in statements:
            names = {name: value for name, value in values.items() if f":{name}" in each}
            assert connection.execute(text(each), names).rowcount, each

    await room.database.write(step)


async def found(room: Room, tenant_id: int) -> tuple[str, int | None]:
    fault = (await verified(room, tenant_id)).fault
    assert fault is not None
    return fault.what.value, fault.number


async def test_a_chain_that_nobody_touched_is_well(room: Room, acme: int) -> None:
    whole = await verified(room, acme)
    assert (whole.rows, whole.fault) == (6, None)
    assert [each.number for each in await rows(room, acme)] == [1, 2, 3, 4, 5, 6]
    assert (await verified(room, acme, kept=whole.head)).fault is None


FIELDS = {
    "at": NOW, "key_id": "other", "actor": "Eve", "address": "198.51.100.1", "dialect": "keycloak",
    "action": "key.created", "subject": "7", "detail": "{}", "number": 9, "previous": "x", "hash": "1.x",
    "seal": "00000001.y",
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
async def test_an_edited_field_is_found(room: Room, acme: int, name: str) -> None:
    third = (await rows(room, acme))[2]
    change = f"UPDATE audit SET {name} = :value WHERE id = :id"  # noqa: S608  names of ours
    await tamper(room, change, value=FIELDS[name], id=third.id)
    fault = (await verified(room, acme)).fault
    assert fault is not None
    assert fault.id == third.id
    assert fault.what.value == ("edited" if name != "number" else "inserted")


async def test_a_row_that_was_edited_together_with_all_hashes_behind_it_is_found(room: Room, acme: int) -> None:
    """Whoever has the database alone can compute every hash, and no seal."""
    previous = None
    for row in (await rows(room, acme))[2:]:
        forged = replace(row, detail="{}") if previous is None else replace(row, previous=previous)
        previous = forged.digest()
        await tamper(
            room, "UPDATE audit SET detail = :detail, previous = :previous, hash = :hash WHERE id = :id",
            detail=forged.detail, previous=forged.previous, hash=previous, id=row.id,
        )  # fmt: skip
    assert await found(room, acme) == ("edited", 3)


@pytest.mark.parametrize("number", [1, 3, 5])
async def test_a_removed_row_is_found(room: Room, acme: int, number: int) -> None:
    await tamper(room, "DELETE FROM audit WHERE id = :id", id=(await rows(room, acme))[number - 1].id)
    assert await found(room, acme) == ("removed", number)


async def test_the_last_rows_are_missed_too(room: Room, acme: int) -> None:
    kept, all_rows = (await verified(room, acme)).head, await rows(room, acme)
    for row in all_rows[4:]:
        await tamper(room, "DELETE FROM audit WHERE id = :id", id=row.id)
    assert await found(room, acme) == ("removed", 5)
    # The head set back by hand has no seal; one that was written down earlier has, and only a kept head shows it.
    shorter = Head(4, all_rows[3].hash or "")
    await tamper(room, "UPDATE fact SET value = :v WHERE name = :n", v=shorter.written(), n=f"audit head {acme}")
    assert (await found(room, acme))[0] == "edited"
    earlier = replace(shorter, seal=sealer().seal_head(acme, shorter))
    await tamper(room, "UPDATE fact SET value = :v WHERE name = :n", v=earlier.written(), n=f"audit head {acme}")
    assert (await verified(room, acme)).fault is None
    fault = (await verified(room, acme, kept=kept)).fault
    assert fault is not None
    assert (fault.what.value, fault.number) == ("removed", 6)


async def test_a_chain_that_was_taken_away_whole_is_missed(room: Room, acme: int) -> None:
    await tamper(
        room, "DELETE FROM audit WHERE tenant_id = :t", "DELETE FROM fact WHERE name = :n", t=acme,
        n=f"audit head {acme}",
    )  # fmt: skip
    assert (await found(room, acme))[0] == "removed"


async def test_reordered_rows_are_found(room: Room, acme: int) -> None:
    second, fourth = (await rows(room, acme))[1::2][:2]
    swap = "UPDATE audit SET id = :to WHERE id = :was"
    for was, to in ((second.id, 10_000), (fourth.id, second.id), (10_000, fourth.id)):
        await tamper(room, swap, was=was, to=to)
    assert await found(room, acme) == ("reordered", 4)


@pytest.mark.parametrize("number", [3, 7, None])
async def test_an_inserted_row_is_found(room: Room, acme: int, number: int | None) -> None:
    """As good as one can be made without the vault's key."""
    last = (await rows(room, acme))[-1]
    forged = replace(last, id=20_000, number=number, previous=last.hash, action="key.created", actor="Eve")
    forged = replace(forged, hash=forged.digest())

    def step(connection: Connection) -> None:
        columns = {name: getattr(forged, name) for name in table.c.keys()}  # noqa: SIM118
        connection.execute(table.insert().values(columns))

    await room.database.write(step)
    fault = (await verified(room, acme)).fault
    assert fault is not None
    assert (fault.what.value, fault.id) == ("inserted", 20_000)


async def test_another_tenants_row_is_no_row_of_ours(room: Room, acme: int) -> None:
    fifth = (await rows(room, acme))[4]
    await tamper(room, "UPDATE audit SET tenant_id = NULL WHERE id = :id", id=fifth.id)
    assert await found(room, acme) == ("removed", 5)
    assert (await found(room, None))[0] in ("inserted", "edited")


async def test_rows_of_before_the_chains_are_chained_once(room: Room) -> None:
    tenant = await room.tenant("acme")
    for n in (1, 2):
        await room.database.write(
            lambda c, n=n: c.execute(
                table.insert().values(
                    at=n, tenant_id=tenant.id, key_id="k", actor="Ann", address="", action="a.b", subject="s",
                    detail="{}",
                )
            )
        )  # fmt: skip
    audit.seal_with(room.database.writer, sealer())
    await room.database.write(lambda c: audit.begin(c, NOW))
    await noted(room, tenant.id, 3)
    assert [(await verified(room, each)).rows for each in (tenant.id, None)] == [3, 1]
    assert [(await verified(room, each)).fault for each in (tenant.id, None)] == [None, None]
    await room.database.write(lambda c: audit.begin(c, NOW))
    assert (await verified(room, None)).rows == 1
    await room.database.write(lambda c: c.execute(table.insert().values(
        at=1, tenant_id=tenant.id, actor="Eve", address="", action="a.b", subject="s", detail="{}"
    )))  # fmt: skip
    await room.database.write(lambda c: audit.begin(c, NOW))
    assert (await found(room, tenant.id))[0] == "inserted"


async def test_a_chain_stays_provable_when_the_vaults_key_has_changed(room: Room, acme: int) -> None:
    audit.seal_with(room.database.writer, sealer("00000002"))
    await room.database.write(lambda c: audit.begin(c, NOW))
    head = await room.database.read(lambda c: c.execute(
        select(fact.c.value).where(fact.c.name == f"audit head {acme}")
    ).scalar_one())  # fmt: skip
    assert " 00000002." in head
    newer = sealer("00000002", without="00000001")
    assert (await verified(room, acme, newer)).fault is None
    await tamper(room, "UPDATE audit SET actor = 'Eve' WHERE id = :id", id=(await rows(room, acme))[2].id)
    fault = (await verified(room, acme, newer)).fault
    assert fault is not None
    assert (fault.what.value, fault.number) == ("edited", 3)


async def test_without_the_key_nothing_is_called_proved(room: Room, acme: int) -> None:
    fault = (await verified(room, acme, sealer("00000002", without="00000001"))).fault
    assert fault is not None
    assert fault.what.value == "unproved"


async def test_what_is_undone_leaves_neither_a_row_nor_a_gap(room: Room, acme: int) -> None:
    def fails(connection: Connection) -> None:
        audit.note(connection, ANN, "profile.saved", "1", tenant_id=acme, now=NOW)
        raise KeyError("the change itself")

    with pytest.raises(KeyError):
        await room.database.write(fails)
    await noted(room, acme, 7)
    assert (await verified(room, acme)).rows == 7


async def test_several_machines_write_one_chain(two_rooms: tuple[Room, Room]) -> None:
    tenant = await two_rooms[0].tenant("acme")
    for each in two_rooms:
        audit.seal_with(each.database.writer, sealer())
    notes = [noted(room, where, n) for n in range(25) for room in two_rooms for where in (tenant.id, None)]
    checks = [verified(two_rooms[0], tenant.id) for _ in range(10)]
    await asyncio.gather(*notes, *checks)
    for where in (tenant.id, None):
        assert [(await verified(room, where)).fault for room in two_rooms] == [None, None]
        assert (await verified(two_rooms[0], where)).rows == 50


async def test_verifying_while_it_is_written_finds_nothing_wrong(room: Room, acme: int) -> None:
    async def write() -> None:
        for n in range(7, 60):
            await noted(room, acme, n)

    writing = asyncio.create_task(write())
    while not writing.done():
        assert (await verified(room, acme)).fault is None
    assert (await verified(room, acme)).rows == 59


SEARCHES: list[tuple[AuditSearch, Callable[[Entry], bool]]] = [
    (AuditSearch(action="profile"), lambda _: True),
    (AuditSearch(action="profile.saved"), lambda _: True),
    (AuditSearch(action="profil"), lambda _: False),
    (AuditSearch(action="profile.s"), lambda _: False),
    (AuditSearch(subject="3"), lambda each: each.subject == "3"),
    (AuditSearch(since=NOW + 2, until=NOW + 4), lambda each: NOW + 2 <= each.at < NOW + 4),
]


@pytest.mark.parametrize("case", range(len(SEARCHES)))
async def test_entries_are_found(room: Room, acme: int, case: int) -> None:
    search, matches = SEARCHES[case]
    got = await room.database.read(lambda c: audit.page(c, acme, search))
    assert got == [each for each in reversed(await rows(room, acme)) if matches(each)]
    paged = await room.database.read(lambda c: audit.page(c, acme, replace(search, before=got[0].id))) if got else []
    assert paged == got[1:]


def test_the_canonical_form_is_as_it_is_told() -> None:
    """Anyone can compute it anew; another form would be another version."""
    entry = Entry(1, None, 1, 5, "k", "Änn", "::1", None, "a.b", "s", '{"x": 1}', "")
    said = '[1,null,1,5,"k","\\u00c4nn","::1",null,"a.b","s","{\\"x\\": 1}",""]'
    assert json.loads(said)[5] == "Änn"
    import hashlib

    assert entry.digest() == "1." + hashlib.sha256(said.encode()).hexdigest()
