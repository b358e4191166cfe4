"""Requests that nobody sends by mistake: each gets an answer in its own words, none a 500."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from serving import ADMIN_KEY, House, a_house

MAIL = {"to": ["bob@good.example"], "text": "Hello"}
SETTINGS = {"host": "127.0.0.1", "port": 25, "sender_address": "a@b.example"}
LONE = json.loads('"\\ud800"')


async def sent(house: House, method: str, path: str, body: dict[str, Any]) -> int:
    content = json.dumps(body).encode()  # escapes what is no UTF-8
    return (await house.client.request(method, path, content=content, headers=house.admin)).status_code


@pytest.mark.parametrize("number", [2**31, 2**63, 10**30])
async def test_a_profile_number_beyond_all_profiles_is_refused(house: House, number: int):
    found = await house.client.get(f"/v1/messages?profile={number}", headers=house.admin)
    assert found.status_code == 400
    assert await sent(house, "POST", "/v1/messages", MAIL | {"profile": number}) == 400


@pytest.mark.parametrize("seconds", [253_402_300_799, 10**13, 2**63 - 1])
async def test_a_key_that_outlives_the_calendar_is_refused_and_spoils_no_list(house: House, seconds: int):
    assert await sent(house, "POST", "/v1/keys", {"name": "old", "expires_in": seconds}) == 400
    every = await house.client.get("/v1/keys", headers=house.admin | {"x-postroom-tenant": "*"})
    assert [each["name"] for each in every.json()["keys"]] == ["admin (POSTROOM_ADMIN_KEY)"]


@pytest.mark.parametrize("text", ["\x00", "a\x1b[2Jb", "a\nb", "\u2028", LONE])
async def test_names_are_one_line_that_commands_no_terminal(house: House, text: str):
    assert await sent(house, "POST", "/v1/keys", {"name": text}) == 400
    assert await sent(house, "POST", "/v1/tenants", {"slug": "acme", "name": text}) == 400
    assert await sent(house, "POST", "/v1/profiles", SETTINGS | {"name": text}) == 400
    assert await sent(house, "PATCH", "/v1/profiles/default", {"name": text}) == 400


@pytest.mark.parametrize(
    "settings",
    [
        {"ca_certificates": "CERTIFICATE \u2028"}, {"ca_certificates": "é"}, {"ca_certificates": "x" * 200_001},
        {"ehlo_name": "two words"}, {"ehlo_name": " "}, {"ehlo_name": ""}, {"ehlo_name": "[nowhere]"},
    ],
)  # fmt: skip
async def test_settings_that_no_connection_can_use_are_refused(house: House, settings: dict[str, str]):
    assert await sent(house, "PATCH", "/v1/profiles/default", settings) == 400


async def test_an_ehlo_name_may_be_an_address_literal(house: House):
    for name in ("[192.0.2.1]", "[IPv6:2001:db8::1]", "mail.b.example"):
        assert await sent(house, "PATCH", "/v1/profiles/default", {"ehlo_name": name}) == 200


async def test_a_number_of_thousands_of_digits_is_refused_in_a_products_words(house: House):
    answer = await house.client.put(
        "/rest/latest/systemsettings/email", content=b'{"port": ' + b"9" * 5000 + b"}",
        headers={"authorization": f"APIKEY {ADMIN_KEY}"},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["success"]) == (400, False)


@pytest.mark.parametrize("path", ["/v1", "/v1/messages/", "/sandbox/", "/rest/latest/systemsettings/email/"])
async def test_no_redirect_leads_where_the_host_header_says(house: House, path: str):
    answer = await house.client.get(path, headers=house.admin | {"host": "elsewhere.example"})
    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert answer.headers["content-type"] in ("application/json", "application/problem+json")


@pytest.mark.parametrize("path", ["/v1/messages/%00", "/v1/messages?before=%00", "/v1/tenants/%00",
                                  "/v1/sandbox/messages/%00", "/v1/sandbox/messages?before=%00"])  # fmt: skip
async def test_a_nul_in_a_path_is_no_matter_for_the_database(tmp_path: Path, database_url: str | None, path: str):
    async with a_house(tmp_path, **({"database_url": database_url} if database_url else {})) as house:
        assert (await house.client.get(path, headers=house.admin)).status_code in (400, 404)


async def test_a_mistake_of_ours_is_told_as_a_problem_and_logged(house: House):
    await house.postroom.database.close()
    with capture_logs() as logged:
        answer = await house.client.get("/v1/profiles", headers=house.admin)
    assert answer.status_code in (500, 503)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == 503 or any(each["event"] == "request_failed" for each in logged)


async def test_who_goes_away_in_mid_request_is_no_mistake_of_ours(house: House):
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_message: object) -> None:
        pass

    headers = [(b"authorization", f"Bearer {ADMIN_KEY}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": headers, "query_string": b""}
    with capture_logs() as logged:
        async with asyncio.timeout(5):
            await house.postroom.site(scope, receive, send)  # type: ignore[arg-type]
    assert not [each for each in logged if each["log_level"] == "error"]


async def test_another_site_can_sign_nobody_in(house: House):
    form = {"key": ADMIN_KEY}
    answer = await house.client.post("/sign-in", data=form, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
