"""/v1/vault, and what is seen of secrets whose key is not there."""

import base64
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from postroom.domain.problems import Invalid
from serving import ADMIN_KEY, House, a_house

ONE, TWO = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
LOGIN = {
    "host": "127.0.0.1", "port": 9, "auth": "password", "username": "u", "password": "canary-1",
    "sender_address": "a@b.example",
}  # fmt: skip
MAIL = {"to": ["c@d.example"], "subject": "Hello", "text": "It works."}


async def ask(house: House, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = await house.client.request(method, f"/v1/{path}", json=body, headers=house.admin)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def resealed(house: House) -> int:
    count, after = 0, None
    while True:
        lot = await ask(house, "POST", "vault/reseal", {"after": after})
        count, after = count + lot["sealed"], lot["after"]
        if after is None:
            return count


async def test_a_key_is_replaced_and_then_retired(tmp_path: Path):
    async with a_house(tmp_path) as house:
        await ask(house, "PUT", "profiles/default", LOGIN)
        message = (await ask(house, "POST", "messages", MAIL, 202))["id"]
        (old,) = (await ask(house, "GET", "vault"))["keys"]
        token = (await house.client.post("/auth/apikey", headers={"authorization": f"APIKEY {ADMIN_KEY}"})).json()
        made = (await ask(house, "POST", "vault/rotate"))["made"]
        assert stat.S_IMODE((tmp_path / "vault.key").stat().st_mode) == 0o600
        refused = await ask(house, "DELETE", f"vault/keys/{old['id']}", status=409)
        assert "1 passwords, 1 messages" in refused["detail"]
        assert (await ask(house, "DELETE", f"vault/keys/{made}", status=409))["code"] == "conflict"
        assert await resealed(house) == 2
        await ask(house, "DELETE", f"vault/keys/{old['id']}", status=204)
        await ask(house, "DELETE", f"vault/keys/{old['id']}", status=404)
        assert await ask(house, "GET", "vault") == {"keys": [{"id": made, "seals": True, "is_here": True}]}
        assert b"It works." in (await house.content(message) or b"")
        assert token
    async with a_house(tmp_path) as house:
        assert b"It works." in (await house.content(message) or b"")
        assert (await house.profile())["trouble"] is None


async def test_a_token_outlives_a_rotation(house: House):
    caller = await house.postroom.room.keys.authenticate(_secret(ADMIN_KEY), "")
    before = house.postroom.room.keys.token(caller)
    await ask(house, "POST", "vault/rotate")
    after = house.postroom.room.keys.token(caller)
    for token in (before, after):
        answer = await house.client.get("/v1/tenants", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200
    (old,) = [each["id"] for each in (await ask(house, "GET", "vault"))["keys"] if not each["seals"]]
    await resealed(house)
    await ask(house, "DELETE", f"vault/keys/{old}", status=204)
    codes = [
        (await house.client.get("/v1/tenants", headers={"authorization": f"Bearer {token}"})).status_code
        for token in (before, after)
    ]
    assert codes == [401, 200]


def _secret(text: str) -> Any:
    from postroom.domain.secret import Secret

    return Secret(text)


async def test_only_the_operator_sees_to_the_keys(house: House):
    for key in (await house.key(), await house.key("mail:send")):
        bearer = {"authorization": f"Bearer {key}"}
        for method, path in (("GET", ""), ("POST", "/rotate"), ("POST", "/reseal"), ("DELETE", "/keys/abc")):
            answer = await house.client.request(method, f"/v1/vault{path}", json={}, headers=bearer)
            assert answer.status_code == 403, path


async def test_on_configured_keys_and_on_several_machines_the_operator_puts_the_new_one_in_place(
    tmp_path: Path, database_url: str | None
):
    async with a_house(tmp_path, vault_key=ONE, database_url=database_url) as house:
        await ask(house, "PUT", "profiles/default", LOGIN)
        assert "openssl rand" in (await ask(house, "POST", "vault/rotate", status=409))["detail"]
    async with a_house(tmp_path, vault_key=f"{ONE} {TWO}", database_url=database_url) as house:
        assert len((await ask(house, "GET", "vault"))["keys"]) == 2
    async with a_house(tmp_path, vault_key=f"{TWO},{ONE}", database_url=database_url) as house:
        assert await ask(house, "POST", "vault/rotate") == {"made": None}
        assert await resealed(house) == 1
        (old,) = [each["id"] for each in (await ask(house, "GET", "vault"))["keys"] if not each["seals"]]
        await ask(house, "DELETE", f"vault/keys/{old}", status=204)
    async with a_house(tmp_path, vault_key=TWO, database_url=database_url) as house:
        assert (await house.profile())["trouble"] is None
    with pytest.raises(Invalid, match="not the one"):
        async with a_house(tmp_path, vault_key=ONE, database_url=database_url):
            pass


async def test_a_key_file_on_postgresql_is_not_changed(tmp_path: Path, postgresql_url: str):
    async with a_house(tmp_path, database_url=postgresql_url) as house:
        before = (tmp_path / "vault.key").read_text()
        assert "Other machines" in (await ask(house, "POST", "vault/rotate", status=409))["detail"]
        assert (tmp_path / "vault.key").read_text() == before


# --- a lost key


async def test_a_lost_key_is_told_everywhere_and_a_new_secret_mends_it(tmp_path: Path):
    async with a_house(tmp_path, vault_key=ONE) as house:
        await ask(house, "PUT", "profiles/default", LOGIN)
    async with a_house(tmp_path, vault_key=f"{TWO} {ONE}") as house:
        assert (await house.profile())["trouble"] is None
    async with a_house(tmp_path, vault_key=TWO) as house:
        (lost,) = [each["id"] for each in (await ask(house, "GET", "vault"))["keys"] if not each["is_here"]]
        assert f"sealed with vault key {lost}" in (await house.profile())["trouble"]
        (listed,) = (await ask(house, "GET", "status"))["trouble"]
        assert listed["trouble"] == (await house.profile())["trouble"]
        (step,) = (await ask(house, "POST", "profiles/default/check", {}))["steps"]
        assert (step["status"], step["code"]) == ("failed", "settings.secret_lost")
        kept = {name: value for name, value in LOGIN.items() if name != "password"}
        for change in ({"sender_name": "X"}, {"auth": "none"}):
            assert (await ask(house, "PATCH", "profiles/default", change, 503))["code"] == "secret_lost"
        await ask(house, "PUT", "profiles/default", kept, 503)
        assert (await ask(house, "DELETE", f"vault/keys/{lost}", status=409))["code"] == "conflict"
        mended = await ask(house, "PUT", "profiles/default", LOGIN)
        assert (mended["trouble"], mended["password_set"]) == (None, True)
        assert (await ask(house, "GET", "status"))["trouble"] == []


async def test_when_every_key_is_lost_the_operator_can_say_so(tmp_path: Path):
    async with a_house(tmp_path, vault_key=ONE) as house:
        await ask(house, "PUT", "profiles/default", LOGIN)
    with pytest.raises(Invalid, match="lost:") as refused:
        async with a_house(tmp_path, vault_key=TWO):
            pass
    word = next(each for each in refused.value.message.split() if each.startswith("lost:"))
    async with a_house(tmp_path, vault_key=f"{TWO} {word}") as house:
        assert "can't be opened" in (await house.profile())["trouble"]
        assert (await ask(house, "PUT", "profiles/default", LOGIN))["trouble"] is None


# --- references


async def test_a_reference_is_kept_as_such_and_only_the_operator_may_give_one(tmp_path: Path):
    (tmp_path / "relay").write_text("canary-from-a-file")
    given = LOGIN | {"password": f"file:{tmp_path}/relay"}
    async with a_house(tmp_path, secret_references=f"file:{tmp_path}/*") as house:
        saved = await ask(house, "PUT", "profiles/default", given)
        assert (saved["password_set"], "password" in saved) == (True, False)
        theirs = {"authorization": f"Bearer {await house.key()}"}
        for verb, path, name in (("PUT", "profiles/default", {}), ("POST", "profiles", {"name": "two"})):
            answer = await house.client.request(verb, f"/v1/{path}", json=given | name, headers=theirs)
            assert (answer.status_code, answer.json()["field"]) == (400, "password"), answer.text
        other = await ask(house, "PUT", "profiles/default", LOGIN | {"password": "env:HOME"}, 400)
        assert "POSTROOM_SECRET_REFERENCES" in other["detail"]
        for database in ("postroom.db", "postroom.db-wal"):
            assert b"canary-from-a-file" not in (tmp_path / database).read_bytes()
    async with a_house(tmp_path) as house:  # no longer allowed
        steps = (await ask(house, "POST", "profiles/default/check", {}))["steps"]
        assert (steps[-1]["status"], steps[-1]["code"]) == ("failed", "settings.reference")
