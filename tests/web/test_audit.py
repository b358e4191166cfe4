"""/v1/audit"""

from typing import Any

from sqlalchemy import text

from serving import House

ALL = {"x-postroom-tenant": "*"}


async def audit(house: House, path: str = "", **headers: str) -> Any:
    return await house.client.get(f"/v1/audit{path}", headers=house.admin | headers)


async def test_every_change_is_listed_with_who_and_from_where(house: House):
    settings = {"host": "one.example", "auth": "password", "username": "u", "password": "canary-77"}
    await house.client.put("/v1/profiles/1", json=settings, headers=house.admin)
    answer = await audit(house)
    entry = answer.json()["entries"][0]
    assert (entry["action"], entry["subject"], entry["tenant"]) == ("profile.saved", "1", "default")
    assert (entry["key"], entry["dialect"]) == ("admin (POSTROOM_ADMIN_KEY)", "native")
    assert entry["detail"]["changes"]["host"] == ["127.0.0.1", "one.example"]
    assert entry["detail"]["changes"]["password"] == "changed"
    assert len(entry["at"]) == len("2026-01-31T00:00:00.000000Z")
    assert "canary" not in answer.text


async def test_it_is_paged_and_filtered(house: House):
    for n in range(3):
        await house.client.patch("/v1/profiles/1", json={"sender_name": str(n)}, headers=house.admin)
    first = (await audit(house, "?action=profile.saved&limit=2")).json()
    rest = (await audit(house, f"?action=profile.saved&limit=50&before={first['next']}")).json()
    assert [len(first["entries"]), len(rest["entries"]), rest["next"]] == [2, 2, None]
    since = first["entries"][0]["at"]
    assert [each["at"] for each in (await audit(house, f"?since={since}")).json()["entries"]] == [since]
    assert since not in [each["at"] for each in (await audit(house, f"?until={since}")).json()["entries"]]
    assert (await audit(house, "?since=yesterday")).status_code == 400


async def test_a_tenants_auditor_sees_and_verifies_its_own_chain_alone(house: House):
    await house.tenant("acme")
    auditor = {"authorization": f"Bearer {await house.key('audit:read', tenant='acme')}"}
    entries = (await house.client.get("/v1/audit", headers=auditor)).json()["entries"]
    assert {each["tenant"] for each in entries} == {"acme"}
    whole = (await house.client.get("/v1/audit/verification", headers=auditor)).json()
    assert (whole["ok"], [each["tenant"] for each in whole["chains"]]) == (True, ["acme"])
    head = whole["chains"][0]["head"]
    kept = await house.client.get("/v1/audit/verification", params={"head": head}, headers=auditor)
    assert kept.json()["ok"] is True
    other = await house.client.get("/v1/audit/verification", params={"head": f"{head}0"}, headers=auditor)
    assert other.json()["chains"][0]["fault"]["what"] == "edited"
    assert (await house.client.get("/v1/audit", headers=auditor | ALL)).status_code in (403, 404)
    blind = {"authorization": f"Bearer {await house.key('settings:read')}"}
    for path in ("/v1/audit", "/v1/audit/verification"):
        assert (await house.client.get(path, headers=blind)).status_code == 403


async def test_the_operator_verifies_every_chain(house: House):
    await house.tenant("acme")
    whole = (await audit(house, "/verification", **ALL)).json()
    assert (whole["ok"], [each["tenant"] for each in whole["chains"]]) == (True, [None, "default", "acme"])
    change = text("UPDATE audit SET actor = 'Eve' WHERE action = 'tenant.created' AND subject = 'acme'")
    await house.postroom.database.write(lambda connection: connection.execute(change))
    bad = (await audit(house, "/verification", **ALL)).json()
    assert (bad["ok"], [each["ok"] for each in bad["chains"]]) == (False, [True, True, False])
    fault = bad["chains"][2]["fault"]
    assert (fault["what"], fault["number"]) == ("edited", 1)


async def test_accepting_mail_notes_nothing(house: House):
    before = (await audit(house, "", **ALL)).json()
    mail = {"to": ["a@b.example"], "text": "x"}
    assert (await house.client.post("/v1/messages", json=mail, headers=house.admin)).status_code == 202
    assert (await audit(house, "", **ALL)).json() == before
