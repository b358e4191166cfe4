"""/v1/profiles/{profile}/revisions, and the ETag that every write may be bound to"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from postroom.store.schema import revision
from serving import House, a_house

RELAY = {
    "host": "one.example", "port": 587, "security": "starttls", "auth": "password", "username": "mailer",
    "password": "canary-first", "sender_address": "noreply@company.example",
}  # fmt: skip
OTHER = RELAY | {"host": "two.example", "password": "canary-second"}


@pytest.fixture
async def house(tmp_path: Path, database_url: str | None) -> AsyncIterator[House]:
    async with a_house(tmp_path, database_url=database_url) as house:
        yield house


async def put(house: House, body: Any, **headers: str) -> Any:
    return await house.client.put("/v1/profiles/default", json=body, headers=house.admin | headers)


async def get(house: House, path: str) -> Any:
    return await house.client.get(f"/v1/profiles/default/{path}", headers=house.admin)


async def restore(house: House, number: int, **headers: str) -> Any:
    path = f"/v1/profiles/default/revisions/{number}/restore"
    return await house.client.post(path, headers=house.admin | headers)


async def sealed(house: House, number: int) -> str | None:
    wanted = select(revision.c.sealed_password).where(revision.c.number == number)
    return await house.postroom.database.read(lambda c: c.execute(wanted).scalar_one())


async def test_revisions_tell_who_changed_what_and_no_secret(house: House):
    await put(house, RELAY)
    await put(house, OTHER)
    answer = await get(house, "revisions")
    newest = answer.json()["revisions"][0]
    assert [each["revision"] for each in answer.json()["revisions"]] == [3, 2, 1]
    assert newest["changes"] == {"host": ["one.example", "two.example"], "password": "changed"}
    assert (newest["changed_by"], newest["dialect"]) == ("admin (POSTROOM_ADMIN_KEY)", "native")
    page = await house.client.get("/v1/profiles/1/revisions?limit=1&before=3", headers=house.admin)
    assert ([each["revision"] for each in page.json()["revisions"]], page.json()["next"]) == ([2], 2)
    old = await get(house, "revisions/2")
    assert (old.json()["settings"]["host"], old.json()["password_set"]) == ("one.example", True)
    assert "canary" not in answer.text + old.text
    assert (await get(house, "revisions/77")).status_code == 404
    assert (await get(house, "revisions/x")).status_code == 400


async def test_a_restored_revision_has_its_own_secret_again(house: House):
    await put(house, RELAY)
    await put(house, OTHER)
    done = await restore(house, 2)
    assert (done.status_code, done.json()["revision"], done.headers["etag"]) == (200, 4, '"4"')
    assert (done.json()["host"], done.json()["password_set"]) == ("one.example", True)
    vault_place = ("profile", 1, 1, "password")
    opened = house.postroom.room.revisions._vault.open(await sealed(house, 4) or "", vault_place)
    assert opened.reveal() == "canary-first"
    told = (await get(house, "revisions")).json()["revisions"][0]
    assert told["changes"] == {"host": ["two.example", "one.example"], "password": "changed"}
    noted = await house.client.get("/v1/audit?action=profile.restored", headers=house.admin)
    (entry,) = noted.json()["entries"]
    assert entry["detail"] == {"revision": 4, "restored": 2, "changes": told["changes"]}


async def test_without_login_no_password_comes_along(house: House):
    await put(house, RELAY)
    done = (await restore(house, 1)).json()
    assert (done["revision"], done["auth"], done["password_set"]) == (3, "none", False)
    assert await sealed(house, 3) is None


async def test_what_is_in_force_makes_no_revision(house: House):
    await put(house, RELAY)
    assert (await restore(house, 2)).json()["revision"] == 2


async def test_the_destination_rule_holds_behind_a_restore(house: House):
    await put(house, RELAY)
    await put(house, OTHER)
    await restore(house, 2)
    moved = await house.client.patch("/v1/profiles/1", json={"host": "evil.example"}, headers=house.admin)
    assert (moved.status_code, moved.json()["code"]) == (400, "secret_needed")


async def test_the_sign_in_of_an_old_revision_comes_back_with_its_newest_token(house: House):
    by_token = RELAY | {
        "auth": "oauth2", "token_url": "https://login.example/token", "client_id": "client",
        "token_grant": "refresh_token", "refresh_token": "canary-token", "password": None,
    }  # fmt: skip
    assert (await put(house, by_token)).status_code == 200
    assert (await put(house, OTHER)).json()["refresh_token_set"] is False
    done = (await restore(house, 2)).json()
    assert (done["revision"], done["refresh_token_set"], done["password_set"]) == (4, True, False)
    wanted = select(revision.c.number, revision.c.sign_in_id)
    rows = await house.postroom.database.read(lambda c: {row.number: row.sign_in_id for row in c.execute(wanted)})
    assert rows[4] == rows[2] is not None


async def test_a_secret_that_cannot_be_opened_is_told_and_nothing_changes(house: House):
    await put(house, RELAY)
    await put(house, OTHER)
    broken = text("UPDATE revision SET sealed_password = 'ffffffff.AAAA' WHERE number = 2")
    await house.postroom.database.write(lambda c: c.execute(broken))
    refused = await restore(house, 2)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "Revision 2 can't be restored" in refused.json()["detail"]
    assert (await house.profile())["revision"] == 3


async def test_a_way_back_from_a_secret_that_cannot_be_opened(house: House):
    await put(house, RELAY)
    await put(house, OTHER)
    broken = text("UPDATE revision SET sealed_password = 'ffffffff.AAAA' WHERE number = 3")
    await house.postroom.database.write(lambda c: c.execute(broken))
    assert (await restore(house, 2)).json()["host"] == "one.example"


async def test_restoring_needs_the_permission_to_write(house: House):
    await put(house, RELAY)
    for permission, status in (("settings:read", 403), ("settings:write", 200)):
        key = {"authorization": f"Bearer {await house.key(permission)}"}
        answer = await house.client.post("/v1/profiles/1/revisions/1/restore", headers=key)
        assert answer.status_code == status


async def test_a_revision_that_fails_over_to_what_is_gone_is_refused(house: House):
    made = await house.client.post("/v1/profiles", json={"name": "b", "host": "b.example"}, headers=house.admin)
    await house.client.patch("/v1/profiles/1", json={"failover": made.json()["id"]}, headers=house.admin)
    await house.client.patch("/v1/profiles/1", json={"failover": None}, headers=house.admin)
    await house.client.delete("/v1/profiles/2", headers=house.admin)
    refused = await house.client.post("/v1/profiles/1/revisions/2/restore", headers=house.admin)
    assert (refused.status_code, refused.json()["field"]) == (400, "failover")


WRITES = [
    ("PUT", "", RELAY), ("PATCH", "", {"sender_name": "A"}), ("PATCH", "", {"name": "b"}), ("DELETE", "", None),
    ("POST", "/revisions/1/restore", None),
    ("PUT", "/from/keycloak", {"host": "x.example", "from": "a@b.example"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=lambda each: str(each)[:24])
async def test_every_write_of_what_was_changed_meanwhile_says_by_whom(
    house: House, method: str, path: str, body: dict[str, Any] | None
):
    ann = {"authorization": f"Bearer {await house.key(name='Ann')}"}
    await house.client.patch("/v1/profiles/1", json={"sender_name": "Ann's"}, headers=ann)
    before = await house.profile()
    url = f"/v1/profiles/1{path}"
    late = await house.client.request(method, url, json=body, headers=house.admin | {"if-match": '"1"'})
    assert (late.status_code, late.json()["code"], late.headers["etag"]) == (412, "stale", '"2"')
    assert "Revision 2 is in force, not 1: Ann changed" in late.json()["detail"]
    assert before["changed_at"][:10] in late.json()["detail"]
    assert await house.profile() == before
    again = await house.client.request(method, url, json=body, headers=house.admin | {"if-match": '"2"'})
    assert again.status_code in (200, 204, 400), again.text
    assert method == "DELETE" or again.status_code == 400 or again.headers["etag"]


async def test_two_writers_without_etag_leave_two_revisions(house: House):
    import asyncio

    await put(house, RELAY)
    wanted = [{"sender_name": str(n)} for n in range(8)]
    await asyncio.gather(
        *(house.client.patch("/v1/profiles/1", json=each, headers=house.admin) for each in wanted)
    )  # fmt: skip
    told = (await get(house, "revisions")).json()["revisions"][:8]
    assert {each["changes"]["sender_name"][1] for each in told} == {str(n) for n in range(8)}
    assert (await house.profile())["sender_name"] == told[0]["changes"]["sender_name"][1]
