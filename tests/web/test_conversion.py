"""/v1/profiles/{profile}/as/{dialect} and …/from/{dialect}"""

import pytest

from postroom.dialects import ALL
from serving import House

RICH = {
    "host": "smtp.company.example", "port": 2465, "security": "tls", "auth": "password", "username": "mailer",
    "password": "canary-81", "sender_address": "a@company.example", "reply_to_address": "help@company.example",
}  # fmt: skip


@pytest.mark.parametrize("dialect", [each.name for each in ALL])
async def test_a_profile_is_shown_in_every_dialect_without_its_secret(house: House, dialect: str):
    await house.client.put("/v1/profiles/default", json=RICH, headers=house.admin)
    answer = await house.client.get(f"/v1/profiles/default/as/{dialect}", headers=house.admin)
    assert answer.status_code == 200
    assert "canary-81" not in answer.text
    assert "smtp.company.example" in str(answer.json()["settings"])


@pytest.mark.parametrize("dialect", [each.name for each in ALL])
async def test_what_a_dialect_shows_it_reads_back_without_changing_anything(house: House, dialect: str):
    before = (await house.client.put("/v1/profiles/default", json=RICH, headers=house.admin)).json()
    shown = (await house.client.get(f"/v1/profiles/default/as/{dialect}", headers=house.admin)).json()["settings"]
    after = await house.client.put(f"/v1/profiles/default/from/{dialect}", json=shown, headers=house.admin)
    assert after.status_code == 200, after.text
    assert after.json() == before


async def test_what_would_be_lost_is_said(house: House):
    await house.client.put("/v1/profiles/default", json=RICH, headers=house.admin)
    lost = (await house.client.get("/v1/profiles/default/as/threadfix", headers=house.admin)).json()["lost"]
    assert {each["field"]: (each["is"], each["becomes"]) for each in lost} == {
        "security": ("tls", "starttls"), "reply_to_address": ("help@company.example", None),
    }  # fmt: skip


async def test_settings_are_read_from_a_products_own_answer(house: House):
    answer = {"message": "", "success": True, "responseCode": -1, "object": {
        "filter": "*@email.com", "password": None, "smtpAuthorization": False, "port": "587",
        "sender": "sender@email.com", "host": "server.company.com", "tls": True, "user": ""}}  # fmt: skip
    await house.client.put("/v1/profiles/default/from/threadfix", json=answer, headers=house.admin)
    after = await house.profile()
    assert (after["host"], after["security"], after["dialect"]) == ("server.company.com", "starttls", "threadfix")


async def test_an_unknown_dialect_and_a_bad_field_are_told(house: House):
    assert (await house.client.get("/v1/profiles/default/as/cobol", headers=house.admin)).status_code == 404
    bad = await house.client.put("/v1/profiles/default/from/threadfix", json={"host": "a.example"}, headers=house.admin)
    assert (bad.status_code, bad.json()["field"]) == (400, "port")
