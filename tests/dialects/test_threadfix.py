"""ThreadFix: the words of its pages (seeds 000 and 003), its client from PyPI, and its way to say what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from ThreadFixProApi import ThreadFixProAPI

from serving import ADMIN_KEY, House, Server

# Seed 000, sample call and sample output.
SAMPLE_BODY = (
    '{"host": "server.company.com", "port": "587", "sender": "sender@email.com", "user": "emailaccount", '
    '"password": "password", "tls": false, "smtpAuthorization": false, "filter": "*@email.com"}'
)
SAMPLE_OUTPUT = (
    '{ "message": "", "success": true, "responseCode": -1, "object": { "filter": "*@email.com", "password": null, '
    '"smtpAuthorization": false, "port": "587", "sender": "sender@email.com", "host": "server.company.com", '
    '"tls": false, "user": "emailaccount" } }'
)
APIKEY = {"authorization": f"APIKEY {ADMIN_KEY}"}
EMAIL = "/threadfix/rest/latest/systemsettings/email"
SAMPLE: dict[str, Any] = json.loads(SAMPLE_BODY)

REFUSED = {
    "message": "Authentication failed, check your API Key.",
    "success": False,
    "responseCode": -1,
    "object": None,
}

PATHS = [
    EMAIL,
    "/threadfix/rest/v2.5.0.7/systemsettings/email",
    "/threadfix/rest/v2.8.3/systemsettings/email",
    "/threadfix/rest/legacy/systemsettings/email",
    "/threadfix/rest/systemsettings/email",
    "/rest/latest/systemsettings/email",
    "/rest/v3.1/systemsettings/email",
    "/rest/systemsettings/email",
]


def members(text: str) -> list[Any]:
    """JSON as nested lists of pairs, so that the order of members counts."""
    parsed: list[Any] = json.loads(text, object_pairs_hook=list)
    return parsed


async def put(house: House, **changes: Any) -> Any:
    fields = {name: value for name, value in (SAMPLE | changes).items() if value is not ...}
    return await house.client.put(EMAIL, json=fields, headers=APIKEY)


@pytest.mark.parametrize("path", PATHS)
async def test_the_sample_call_gives_the_sample_output(house: House, path: str):
    headers = APIKEY | {"content-type": "application/json"}
    answer = await house.client.put(path, content=SAMPLE_BODY, headers=headers)
    assert answer.status_code == 200
    assert members(answer.text) == members(SAMPLE_OUTPUT)
    shown = await house.client.get(path, headers=APIKEY)
    assert members(shown.text) == members(SAMPLE_OUTPUT)


@pytest.mark.parametrize("path", PATHS)
async def test_every_field_may_come_in_the_query(house: House, path: str):
    query = {name: str(value) for name, value in SAMPLE.items()}  # False, as Python clients spell it
    answer = await house.client.put(path, params=query, headers=APIKEY)
    assert members(answer.text) == members(SAMPLE_OUTPUT)


async def test_json_is_understood_although_curl_calls_it_a_form(house: House):
    headers = APIKEY | {"content-type": "application/x-www-form-urlencoded"}
    answer = await house.client.put(EMAIL, content=SAMPLE_BODY, headers=headers)
    assert members(answer.text) == members(SAMPLE_OUTPUT)


@pytest.mark.parametrize("version", ["v", "3.1", "v2.x", "newest", "LATEST", "v2..3", "%20"])
async def test_an_unknown_version_is_an_unrecognized_path(house: House, version: str):
    answer = await house.client.put(f"/threadfix/rest/{version}/systemsettings/email", json=SAMPLE, headers=APIKEY)
    assert answer.status_code == 404
    assert answer.json()["message"] == "Bad rest request due to unrecognized path."


async def test_a_key_is_exchanged_for_a_token_that_reads_the_settings_back(house: House):
    await put(house)
    headers = {"apikey": ADMIN_KEY, "api-version": "latest", "content-type": "application/json"}
    answer = await house.client.post("/auth/apikey", headers=headers)
    assert list(answer.json()) == ["token"]
    bearer = {"authorization": f"Bearer {answer.json()['token']}"}
    assert members((await house.client.get(EMAIL, headers=bearer)).text) == members(SAMPLE_OUTPUT)


async def test_the_token_also_comes_as_a_cookie_and_a_whole_cookie_is_taken_for_a_token(house: House):
    answer = await house.client.get("/auth/apikey", headers={"apikey": ADMIN_KEY})
    cookie = answer.headers["set-cookie"]
    house.client.cookies.clear()
    await put(house)
    shown = await house.client.get(EMAIL, headers={"authorization": f"Bearer {cookie}", "api-version": "1.0"})
    assert shown.status_code == 200
    assert shown.json()["object"]["host"] == "server.company.com"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_token_for_a_wrong_key(house: House, method: str):
    for headers in ({}, {"apikey": ""}, {"apikey": "wrong"}, {"apikey": "x" * 10_000}):
        answer = await house.client.request(method, "/auth/apikey", headers=headers)
        assert answer.status_code == 401
        assert answer.json() == REFUSED


def test_the_client_from_pypi_sets_and_reads_the_settings_unchanged(tmp_path: Path):
    with Server(tmp_path) as server:
        client = ThreadFixProAPI(f"{server.url}/threadfix/", ADMIN_KEY).MiscellaneousAPI
        said = client.configure_email_settings(
            host="smtp.company.com", port=465, sender="tf@company.com", user="tf", password="canary-7d1f", tls=True,
            smtp_authorization=True, filters="*@company.com,*@partner.example",
        )  # fmt: skip
        assert said.success is True, said.message
        read = client.get_email_confirmation_details()
        assert read.success is True
        assert read.data == said.data == {
            "filter": "*@company.com,*@partner.example", "password": None, "smtpAuthorization": True, "port": "465",
            "sender": "tf@company.com", "host": "smtp.company.com", "tls": True, "user": "tf",
        }  # fmt: skip
        native = server.client.get("/v1/profiles/default").json()
        assert (native["security"], native["auth"], native["password_set"]) == ("tls", "password", True)
        # The client puts the password into the URL: it must not be in the log, which is at its most talkative here.
        assert "canary-7d1f" not in server.logged()

        refused = ThreadFixProAPI(f"{server.url}/threadfix/", "wrong").MiscellaneousAPI.get_email_confirmation_details()
        assert refused.success is False
        assert refused.message == "Authentication failed, check your API Key."


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"host": ...}, "host"),
        ({"host": ""}, "host"),
        ({"host": None}, "host"),
        ({"host": 5}, "host"),
        ({"host": ["a.example"]}, "host"),
        ({"host": "smtp://server.company.com"}, "host"),
        ({"host": "server.company.com:587"}, "host"),
        ({"host": "a.example\r\nb"}, "host"),
        ({"port": ...}, "port"),
        ({"port": "0"}, "port"),
        ({"port": "65536"}, "port"),
        ({"port": "smtp"}, "port"),
        ({"port": -25}, "port"),
        ({"port": 25.5}, "port"),
        ({"port": True}, "port"),
        ({"port": "9" * 400}, "port"),
        ({"port": "５８７"}, "port"),
        ({"sender": ...}, "sender"),
        ({"sender": "nobody"}, "sender"),
        ({"sender": "a@b.example, c@d.example"}, "sender"),
        ({"sender": "Name <a@b.example>"}, "sender"),
        ({"user": ...}, "user"),
        ({"user": "", "smtpAuthorization": True}, "user"),
        ({"user": "a\nb"}, "user"),
        ({"password": ["x"]}, "password"),
        ({"password": "**********"}, "password"),
        ({"password": None, "smtpAuthorization": True}, "password"),
        ({"tls": ...}, "tls"),
        ({"tls": "yes"}, "tls"),
        ({"tls": 1}, "tls"),
        ({"tls": "falsch"}, "tls"),
        ({"smtpAuthorization": ...}, "smtpAuthorization"),
        ({"smtpAuthorization": None}, "smtpAuthorization"),
        ({"filter": " , "}, "filter"),
        ({"filter": "   "}, "filter"),
        ({"filter": "*@a.example,,b@c.example"}, "filter"),
        ({"filter": "company.com"}, "filter"),
        ({"filter": ["*"]}, "filter"),
    ],
)
async def test_a_field_that_cannot_be_so_is_named_and_nothing_changes(house: House, change: dict[str, Any], field: str):
    before = await house.profile()
    answer = await put(house, **change)
    assert answer.status_code == 400
    body = answer.json()
    assert list(body) == ["message", "success", "responseCode", "object"]
    assert (body["success"], body["responseCode"], body["object"]) == (False, -1, None)
    assert body["message"].startswith(f'"{field}": ')
    assert body["message"].endswith(".")
    assert await house.profile() == before


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '"text"',
        "null",
        "",
        "{'host': 1}",
        '{"host": NaN}',
        '{"host": "a", "host": "b"}',
        "[" * 100_000,
        "\xff",
    ],
)
async def test_malformed_json_is_said_to_be_so_without_echoing_it(house: House, body: str):
    before = await house.profile()
    headers = APIKEY | {"content-type": "application/json"}
    answer = await house.client.put(EMAIL, content=body.encode("latin-1"), headers=headers)
    assert answer.status_code == 400
    assert answer.json()["success"] is False
    assert answer.json()["message"].startswith('"body": ')
    assert await house.profile() == before


async def test_a_password_is_never_echoed_by_an_error(house: House):
    for change in ({"port": "x"}, {"host": "a b"}, {"tls": "canary-91"}, {"filter": ","}):
        answer = await put(house, password="canary-91", **change)
        assert answer.status_code == 400
        assert "canary-91" not in answer.text


async def test_a_host_change_without_the_password_is_refused_when_login_is_on(house: House):
    await put(house, smtpAuthorization=True)
    answer = await put(house, smtpAuthorization=True, host="evil.example", password=None)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith('"password": Give the password again: host changed')
    assert (await house.profile())["host"] == "server.company.com"
    kept = await put(house, smtpAuthorization=True, sender="other@email.com", password=None)
    assert kept.status_code == 200
    assert (await house.profile())["password_set"] is True


async def test_leaving_the_filter_out_keeps_it_and_an_empty_one_clears_it(house: House):
    await put(house)
    assert (await put(house, filter=...)).json()["object"]["filter"] == "*@email.com"
    assert (await put(house, filter="")).json()["object"]["filter"] == ""


async def test_what_this_language_has_no_words_for_survives(house: House):
    extra = {"reply_to_address": "help@email.com", "envelope_sender": "bounce@email.com", "sender_name": "Ops"}
    await house.client.patch("/v1/profiles/default", json=extra, headers=house.admin)
    await put(house)
    after = await house.profile()
    assert {name: after[name] for name in extra} == extra


async def test_tls_that_it_cannot_say_is_not_flattened_by_reading_and_writing_back(house: House):
    change = {"host": "smtp.company.com", "port": 2465, "security": "tls", "sender_address": "a@company.com"}
    await house.client.patch("/v1/profiles/default", json=change, headers=house.admin)
    shown = (await house.client.get(EMAIL, headers=APIKEY)).json()["object"]
    await house.client.put(EMAIL, json=shown | {"sender": "b@company.com"}, headers=APIKEY)
    after = await house.profile()
    assert (after["security"], after["sender_address"]) == ("tls", "b@company.com")


async def test_before_there_are_settings_reading_them_is_a_404_in_the_envelope(house: House):
    await house.tenant("empty")
    key = await house.key(tenant="empty")
    answer = await house.client.get(EMAIL, headers={"authorization": f"APIKEY {key}"})
    assert answer.status_code == 404
    assert answer.json()["message"] == "There are no SMTP settings yet."
    made = await house.client.put(EMAIL, json=SAMPLE, headers={"authorization": f"APIKEY {key}"})
    assert members(made.text) == members(SAMPLE_OUTPUT)


async def test_an_installation_wide_key_names_the_tenant_in_a_header(house: House):
    await house.tenant("acme")
    answer = await house.client.put(EMAIL, json=SAMPLE, headers=APIKEY | {"x-postroom-tenant": "acme"})
    assert answer.status_code == 200
    assert (await house.profile())["host"] != "server.company.com"


async def test_a_body_that_is_too_large_is_refused_in_the_envelope(house: House):
    answer = await house.client.put(EMAIL, content=b" " * 300_000, headers=APIKEY)
    assert answer.status_code == 413
    assert answer.json()["success"] is False
