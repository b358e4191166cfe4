"""/v1/profiles"""

from typing import Any

import pytest

from serving import House, without_id

STARTTLS = {
    "host": "smtp.company.example", "port": 587, "security": "starttls", "auth": "password", "username": "mailer",
    "password": "canary-31", "sender_address": "noreply@company.example",
}  # fmt: skip


async def put(house: House, body: Any, **headers: str) -> Any:
    return await house.client.put("/v1/profiles/default", json=body, headers=house.admin | headers)


async def patch(house: House, body: Any, **headers: str) -> Any:
    return await house.client.patch("/v1/profiles/default", json=body, headers=house.admin | headers)


async def test_the_first_profile_points_to_the_sandbox(house: House):
    profile = await house.profile()
    assert (profile["host"], profile["port"], profile["security"]) == ("127.0.0.1", 2525, "none")
    assert (profile["id"], profile["default"], profile["revision"]) == (1, True, 1)


async def test_put_replaces_everything_and_never_shows_the_password(house: House):
    await patch(house, {"reply_to_address": "help@company.example"})
    answer = await put(house, STARTTLS)
    assert answer.status_code == 200
    body = answer.json()
    assert "password" not in body
    assert body["password_set"] is True
    assert body["reply_to_address"] is None
    assert answer.headers["etag"] == f'"{body["revision"]}"'
    assert "canary-31" not in answer.text


async def test_patch_changes_only_what_is_named_and_null_clears(house: House):
    await put(house, STARTTLS | {"sender_name": "Company"})
    after = (await patch(house, {"sender_name": None, "recipient_filter": "*@company.example"})).json()
    assert (after["sender_name"], after["recipient_filter"]) == (None, "*@company.example")
    assert (after["host"], after["password_set"]) == ("smtp.company.example", True)


async def test_a_change_of_destination_needs_the_password_again(house: House):
    await put(house, STARTTLS)
    changes = [
        {"host": "evil.example"}, {"port": 25}, {"security": "none"}, {"verify_certificate": False},
        {"server_name": "evil.example"}, {"username": "other"}, {"envelope_sender": "x@evil.example"},
        {"ca_certificates": "-----BEGIN CERTIFICATE-----"},
    ]  # fmt: skip
    before = await house.profile()
    for change in changes:
        refused = await patch(house, change)
        assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (
            400,
            "secret_needed",
            "password",
        )
    assert await house.profile() == before
    assert (await patch(house, {"port": 25, "password": "canary-32"})).status_code == 200


async def test_a_save_that_changes_nothing_makes_no_revision(house: House):
    first = (await put(house, STARTTLS)).json()
    again = (await put(house, STARTTLS)).json()
    silent = (await put(house, {name: value for name, value in STARTTLS.items() if name != "password"})).json()
    assert first["revision"] == again["revision"] == silent["revision"] == 2


async def test_if_match_lets_only_one_of_two_editors_win(house: House):
    tag = (await house.client.get("/v1/profiles/1", headers=house.admin)).headers["etag"]
    assert (await patch(house, {"sender_name": "A"}, **{"if-match": tag})).status_code == 200
    late = await patch(house, {"sender_name": "B"}, **{"if-match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "stale")
    assert (await house.profile())["sender_name"] == "A"
    assert (await patch(house, {"sender_name": "B"}, **{"if-match": "*"})).status_code == 200
    assert (await patch(house, {"sender_name": "C"}, **{"if-match": "banana"})).status_code == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "host"),
        ({"host": ""}, "host"),
        ({"host": "a.example", "prot": 25}, "prot"),
        ({"host": "a.example", "port": "25"}, "port"),
        ({"host": "a.example", "port": 0}, "port"),
        ({"host": "a.example", "security": "ssl"}, "security"),
        ({"host": "a.example", "auth": "password"}, "username"),
        ({"host": "a.example", "auth": "password", "username": "u"}, "password"),
        ({"host": "a.example", "sender_address": "x"}, "sender_address"),
        ({"host": "a.example", "recipient_filter": "nobody"}, "recipient_filter"),
        ({"host": "a.example", "recipient_filter": ""}, "recipient_filter"),
        ({"host": "a.example", "password": "••••••"}, "password"),
        ([], "body"),
    ],
)
async def test_bad_settings_name_their_field(house: House, body: Any, field: str):
    before = await house.profile()
    answer = await put(house, body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == field
    assert answer.json()["detail"].endswith((".", ")"))
    assert await house.profile() == before


async def test_a_tenant_may_have_several_profiles_and_choose_the_default(house: House):
    made = await house.client.post("/v1/profiles", json={"name": "bulk", "host": "bulk.example"}, headers=house.admin)
    assert (made.status_code, made.json()["id"], made.json()["default"]) == (201, 2, False)
    assert made.headers["location"] == "/v1/profiles/2"
    await house.client.patch("/v1/profiles/2", json={"default": True, "name": "newsletters"}, headers=house.admin)
    profiles = (await house.client.get("/v1/profiles", headers=house.admin)).json()["profiles"]
    assert [(each["name"], each["default"]) for each in profiles] == [("default", False), ("newsletters", True)]


async def test_deleting_the_default_leaves_the_oldest_as_default(house: House):
    await house.client.post("/v1/profiles", json={"name": "bulk", "host": "bulk.example"}, headers=house.admin)
    assert (await house.client.delete("/v1/profiles/1", headers=house.admin)).status_code == 204
    assert (await house.profile())["id"] == 2
    assert (await house.client.get("/v1/profiles/1", headers=house.admin)).status_code == 404
    assert (await house.client.delete("/v1/profiles/2", headers=house.admin)).status_code == 204
    assert (await house.client.get("/v1/profiles/default", headers=house.admin)).status_code == 404
    assert (await put(house, STARTTLS)).json()["id"] == 3


async def test_a_profile_that_mail_waits_for_is_not_deleted(house: House):
    await house.client.post("/v1/messages", json={"to": ["a@b.example"], "text": "x"}, headers=house.admin)
    refused = await house.client.delete("/v1/profiles/1", headers=house.admin)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "(1)" in refused.json()["detail"]


async def test_the_check_tells_step_by_step_where_it_failed(house: House):
    await put(house, {"host": "127.0.0.1", "port": 1, "sender_address": "a@b.example"})
    answer = (await house.client.post("/v1/profiles/default/check", headers=house.admin)).json()
    assert answer["ok"] is False
    assert [step["stage"] for step in answer["steps"]][-1] == "connect"
    assert answer["steps"][-1]["code"] == "connect.refused"
    assert answer["steps"][-1]["advice"]


async def test_another_tenants_profiles_look_like_none(house: House):
    await house.tenant("acme")
    theirs = {"authorization": f"Bearer {await house.key(tenant='acme')}"}
    unknown = await house.client.get("/v1/profiles/77", headers=theirs)
    others = await house.client.get("/v1/profiles/1", headers=theirs)
    assert unknown.status_code == others.status_code == 404
    assert without_id(unknown) == without_id(others)
    assert (await house.client.get("/v1/profiles", headers=theirs)).json() == {"profiles": []}
