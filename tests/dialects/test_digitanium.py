"""Digitanium SSMS and SHIFT: the words of its page (seed 002), its tenants in hosts and paths, and https only."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from postroom.dialects.dialect import Asked
from postroom.dialects.digitanium import Digitanium
from serving import ADMIN_KEY, House, a_house

# Seed 002, sample request and sample response; the page masks the addresses, the user and the password.
SAMPLE_REQUEST = """{
"replyToDisplayName": "Receiver",
"starttls": "true",
"port": "587",
"host": "smtp.gmail.com",
"replyTo": "help@company.com",
"from": "sender@company.com",
"fromDisplayName": "From KC Test team",
"envelopeFrom": "",
"ssl": "false",
"user": "sender@company.com",
"password": "canary-7d1f"
}"""
SAMPLE_RESPONSE = """{
"message": "Successfully updated SMTP Details",
"status": "OK",
"subSystem": 8
}"""
MANDATORY = {
    "message": "Host and From is mandatory to update Email Configuration.",
    "status": "BAD_REQUEST",
    "subSystem": 8,
}
UNAUTHORIZED = {
    "message": "HTTP 401 Unauthorized",
    "status": "Unauthorized",
    "subSystem": 8,
    "error": "HTTP 401 Unauthorized",
}
SAMPLE: dict[str, Any] = json.loads(SAMPLE_REQUEST)
BEARER = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}

SSMS = "http://default.postroom.test/digitanium/v4/mail/config"
SHIFT = "http://postroom.test/auth/realms/default/mail/setup"
ADDRESSES = [SSMS, SHIFT, "http://postroom.test/realms/default/mail/setup"]


def members(text: str) -> list[Any]:
    """JSON as nested lists of pairs, so that the order of members counts."""
    parsed: list[Any] = json.loads(text, object_pairs_hook=list)
    return parsed


async def post(house: House, address: str = SHIFT, **changes: Any) -> Any:
    fields = {name: value for name, value in (SAMPLE | changes).items() if value is not ...}
    return await house.client.post(address, json=fields, headers=BEARER)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_sample_request_gives_the_sample_response(house: House, address: str):
    answer = await house.client.post(address, content=SAMPLE_REQUEST, headers=BEARER)
    assert answer.status_code == 200
    assert members(answer.text) == members(SAMPLE_RESPONSE)
    after = await house.profile()
    said = {
        "host": "smtp.gmail.com", "port": 587, "security": "starttls", "auth": "password",
        "username": "sender@company.com", "password_set": True, "sender_address": "sender@company.com",
        "sender_name": "From KC Test team", "reply_to_address": "help@company.com", "reply_to_name": "Receiver",
        "envelope_sender": None,
    }  # fmt: skip
    assert {name: after[name] for name in said} == said


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "change", [{"host": ...}, {"from": ...}, {"host": ""}, {"from": " "}, {"host": None}, {"host": ..., "from": ...}]
)
async def test_host_and_from_are_mandatory_in_the_documented_words(house: House, address: str, change: dict[str, Any]):
    before = await house.profile()
    answer = await post(house, address, **change)
    assert answer.status_code == 400
    assert answer.json() == MANDATORY
    assert await house.profile() == before


@pytest.mark.parametrize("address", ADDRESSES)
async def test_without_a_good_token_the_answer_is_the_documented_one(house: House, address: str):
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"APIKEY {ADMIN_KEY}"}):
        answer = await house.client.post(address, content=SAMPLE_REQUEST, headers=headers)
        assert answer.status_code == 401
        assert answer.json() == UNAUTHORIZED


async def test_booleans_may_be_text_or_not_and_the_port_a_number(house: House):
    for tls in (True, "true", "True"):
        assert (await post(house, ssl=tls, starttls=False, port=465)).status_code == 200
        assert (await house.profile())["security"] == "tls"
    assert (await post(house, ssl=None, starttls="")).status_code == 200
    assert (await house.profile())["security"] == "none"


async def test_login_is_on_when_there_is_a_user(house: House):
    assert (await post(house, user="", password="")).status_code == 200
    after = await house.profile()
    assert (after["auth"], after["username"], after["password_set"]) == ("none", None, False)


async def test_a_save_replaces_everything_but_the_password(house: House):
    await post(house)
    kept = await post(house, password=..., replyTo=..., fromDisplayName=...)
    assert kept.status_code == 200
    after = await house.profile()
    assert (after["reply_to_address"], after["sender_name"], after["password_set"]) == (None, None, True)
    # Without starttls the password would go out in the clear: that is another destination.
    refused = await post(house, password=..., starttls=...)
    assert refused.status_code == 400
    assert refused.json()["message"].startswith("password: Give the password again: security changed")
    assert (await house.profile())["security"] == "starttls"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ssl": "true"}, "ssl"),
        ({"ssl": "yes"}, "ssl"),
        ({"starttls": 1}, "starttls"),
        ({"port": "0"}, "port"),
        ({"port": "smtp"}, "port"),
        ({"port": 25.5}, "port"),
        ({"host": "smtp://server"}, "host"),
        ({"host": ["a"]}, "host"),
        ({"from": "Name <a@b.example>"}, "from"),
        ({"from": "****@****.com"}, "from"),
        ({"from": "a@b.example\r\nBcc: c@d.example"}, "from"),
        ({"replyTo": "nobody"}, "replyTo"),
        ({"envelopeFrom": "nobody"}, "envelopeFrom"),
        ({"fromDisplayName": "a\nb"}, "fromDisplayName"),
        ({"replyToDisplayName": {}}, "replyToDisplayName"),
        ({"user": True}, "user"),
        ({"password": ["x"]}, "password"),
        ({"password": "*******"}, "password"),
        ({"password": ""}, "password"),
    ],
)
async def test_a_field_that_cannot_be_so_is_named_and_nothing_changes(house: House, change: dict[str, Any], field: str):
    before = await house.profile()
    answer = await post(house, **change)
    assert answer.status_code == 400
    body = answer.json()
    assert list(body) == ["message", "status", "subSystem"]
    assert (body["status"], body["subSystem"]) == ("BAD_REQUEST", 8)
    assert body["message"].startswith(f"{field}: ")
    assert "canary-7d1f" not in answer.text
    assert await house.profile() == before


@pytest.mark.parametrize("body", ["{", "[]", "null", "", '{"host": "a", "host": "b"}', "[" * 100_000])
async def test_malformed_json_is_refused_in_the_envelope(house: House, body: str):
    answer = await house.client.post(SHIFT, content=body, headers=BEARER)
    assert answer.status_code == 400
    assert list(answer.json()) == ["message", "status", "subSystem"]


async def test_host_and_path_name_the_tenant_of_an_installation_wide_key(house: House):
    for tenant in ("acme", "globex"):
        await house.tenant(tenant)
    await post(house, "http://acme.postroom.test/digitanium/v4/mail/config", host="smtp.acme.example")
    await post(house, "http://postroom.test/auth/realms/globex/mail/setup", host="smtp.globex.example")
    for tenant in ("acme", "globex"):
        named = house.admin | {"x-postroom-tenant": tenant}
        shown = (await house.client.get("/v1/profiles/default", headers=named)).json()
        assert shown["host"] == f"smtp.{tenant}.example"


async def test_a_wrong_tenant_is_answered_like_an_unknown_one_in_host_and_path_alike(house: House):
    await house.tenant("acme")
    ours = BEARER | {"authorization": f"Bearer {await house.key(tenant='acme')}"}
    before = await house.profile()
    answers = []
    for tenant in ("default", "nobody", "acme.default"):
        for address in (SSMS, SHIFT):
            where = address.replace("default", tenant)
            answers.append(await house.client.post(where, content=SAMPLE_REQUEST, headers=ours))
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.text for answer in answers} == {answers[0].text}
    assert answers[0].json()["status"] == "NOT_FOUND"
    assert await house.profile() == before
    for address in (SSMS, SHIFT):
        where = address.replace("default", "acme").replace("http://acme", "http://ACME")
        assert (await house.client.post(where, content=SAMPLE_REQUEST, headers=ours)).status_code == 200


@pytest.mark.parametrize(
    ("host", "home", "tenant"),
    [
        ("acme.mail.company.com", "mail.company.com", "acme"),
        ("ACME.mail.company.com", "Mail.company.com", "acme"),
        ("a.b.mail.company.com", "mail.company.com", "a.b"),
        ("mail.company.com", "mail.company.com", None),
        ("acme.elsewhere.com", "mail.company.com", None),
        ("10.0.0.7", "mail.company.com", None),
        ("acme.mail.company.com", None, "acme"),
        ("acme.mail", None, "acme"),
        ("localhost", None, None),
        ("10.0.0.7", None, None),
        ("[::1]", None, None),
        ("", None, None),
    ],
)
def test_the_tenant_is_the_label_before_our_host(host: str, home: str | None, tenant: str | None):
    assert Digitanium().tenant(Asked(host=host, home=home)) == tenant
    assert Digitanium().tenant(Asked(host=host, home=home, path={"tenant": "other"})) == "other"


@pytest.fixture
async def behind_a_proxy(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, public_url="https://postroom.test", trusted_proxies="10.1.0.0/16") as house:
        yield house


def calling_from(house: House, address: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=house.postroom.site, client=(address, 1))
    return httpx2.AsyncClient(transport=transport, base_url="http://postroom.test")


@pytest.mark.parametrize(
    ("peer", "scheme", "forwarded", "taken"),
    [
        ("203.0.113.9", "http", None, False),
        ("203.0.113.9", "http", "https", False),  # anyone can say so
        ("203.0.113.9", "https", None, True),
        ("10.1.2.3", "http", "https", True),
        ("10.1.2.3", "http", "http", False),
        ("127.0.0.1", "http", None, True),
        ("::1", "http", None, True),
    ],
)
async def test_plain_http_fails_unless_it_came_through_a_trusted_proxy_or_from_here(
    behind_a_proxy: House, peer: str, scheme: str, forwarded: str | None, taken: bool
):
    headers = BEARER | ({"x-forwarded-proto": forwarded} if forwarded else {})
    login = {"grant_type": "password", "username": "admin", "password": ADMIN_KEY}
    async with calling_from(behind_a_proxy, peer) as client:
        for address in ADDRESSES:
            where = address.replace("http:", f"{scheme}:")
            answer = await client.post(where, content=SAMPLE_REQUEST, headers=headers)
            assert answer.status_code == (200 if taken else 403)
            if not taken:
                assert answer.json() == {
                    "message": "Calls must be made over https.", "status": "FORBIDDEN", "subSystem": 8,
                    "error": "HTTP 403 Forbidden",
                }  # fmt: skip
        del headers["content-type"]
        answer = await client.post(f"{scheme}://postroom.test/digitanium/v4/login", data=login, headers=headers)
        assert answer.status_code == (200 if taken else 403)
    assert (await behind_a_proxy.profile())["host"] == ("smtp.gmail.com" if taken else "127.0.0.1")


async def test_the_operator_can_allow_plain_http(tmp_path: Path):
    async with a_house(tmp_path, https_only=False) as house, calling_from(house, "203.0.113.9") as client:
        assert (await client.post(SHIFT, content=SAMPLE_REQUEST, headers=BEARER)).status_code == 200


LOGINS = [
    *(f"http://default.postroom.test/digitanium/{version}/login" for version in ("v1", "v2", "v4")),
    "http://postroom.test/auth/realms/default/protocol/openid-connect/token",
    "http://postroom.test/realms/default/protocol/openid-connect/token",
]


@pytest.mark.parametrize("address", LOGINS)
async def test_each_login_gives_a_token_that_sets_the_configuration(house: House, address: str):
    key = await house.key()
    password = {"grant_type": "password", "username": "test", "password": key, "client_id": "a", "client_secret": "b"}
    secret = {"grant_type": "client_credentials", "client_id": "test", "client_secret": key}
    for form in (password, secret):
        granted = await house.client.post(address, data=form)
        assert granted.status_code == 200, granted.text
        assert granted.json()["token_type"] == "Bearer"
        headers = {"authorization": f"Bearer {granted.json()['access_token']}"}
        answer = await house.client.post(SSMS, content=SAMPLE_REQUEST, headers=headers)
        assert members(answer.text) == members(SAMPLE_RESPONSE)


@pytest.mark.parametrize("address", LOGINS)
async def test_no_token_for_a_wrong_password_or_another_tenant(house: House, address: str):
    form = {"grant_type": "password", "username": "test", "password": "wrong"}
    refused = await house.client.post(address, data=form)
    assert refused.status_code == 401
    assert refused.json() == {"error": "invalid_grant", "error_description": "Invalid user credentials"}
    await house.tenant("acme")
    form["password"] = await house.key(tenant="acme")
    answers = [await house.client.post(address.replace("default", other), data=form) for other in ("default", "nobody")]
    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].text == answers[1].text


async def test_what_this_language_has_no_words_for_survives(house: House):
    extra = {"recipient_filter": "*@company.com", "verify_certificate": False, "ehlo_name": "out.company.com"}
    await house.client.patch("/v1/profiles/default", json=extra, headers=house.admin)
    assert (await post(house)).status_code == 200
    after = await house.profile()
    assert {name: after[name] for name in extra} == extra
