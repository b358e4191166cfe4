"""Keyfactor Command: the fields of its page (seed 001), both versions, its test mail, and its clients from PyPI."""

import base64
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from postroom.dialects.keyfactor import CODES, TEST_FAILED
from serving import ADMIN_KEY, House, Server, Sink
from vendors import client_environment, run_client

SMTP, TEST, ENDPOINTS = "/KeyfactorAPI/SMTP", "/KeyfactorAPI/SMTP/Test", "/KeyfactorAPI/Status/Endpoints"

# Seed 001: the input parameters with the page's own examples, and the fields of the answer in the page's order.
SAMPLE: dict[str, Any] = {
    "Host": "corpexch02.keyexample.com", "Id": 1, "Port": 25, "RelayAuthenticationType": 2,
    "RelayPassword": "canary-2f6c", "RelayUsername": "KEYEXAMPLE\\svc_mail", "SenderAccount": "jsmith@keyexample.com",
    "SenderName": "Keyfactor Command", "UseSSL": False,
}  # fmt: skip
SHOWN = {name: value for name, value in SAMPLE.items() if name != "RelayPassword"}
PLAIN = {"Host": "127.0.0.1", "SenderAccount": "kf@keyexample.com", "SenderName": "Keyfactor Command"}
OAUTH: dict[str, Any] = PLAIN | {
    "Host": "smtp.keyexample.com", "Port": 587, "UseSSL": True, "RelayAuthenticationType": 3,
    "RelayUsername": {"SecretValue": "kf@keyexample.com"}, "ClientId": {"SecretValue": "client-7"},
    "ClientSecret": {"SecretValue": "canary-2f6c"}, "TokenEndpoint": "https://login.keyexample.com/token",
    "Scope": "send", "Audience": "mail", "RequestHeaders": [{"Name": "X-Tenant", "Value": "seven"}],
}  # fmt: skip
NOTHING: dict[str, Any] = {
    "Host": None, "Id": 1, "Port": 25, "RelayAuthenticationType": 0, "RelayUsername": None, "SenderAccount": None,
    "SenderName": None, "UseSSL": False,
}  # fmt: skip


def basic(key: str, user: str = "KEYEXAMPLE\\jsmith") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()}


ADMIN = basic(ADMIN_KEY)
V2 = ADMIN | {"x-keyfactor-api-version": "2"}


def secret(value: str | None) -> dict[str, Any]:
    return {"SecretValue": value, "Parameters": {}, "Provider": None}


async def put(house: House, fields: dict[str, Any] = SAMPLE, headers: dict[str, str] = ADMIN, **changes: Any) -> Any:
    body = {name: value for name, value in (fields | changes).items() if value is not ...}
    return await house.client.put(SMTP, json=body, headers=headers)


async def try_it(house: House, headers: dict[str, str] = ADMIN, **changes: Any) -> Any:
    body = PLAIN | {"TestRecipient": "you@keyexample.com"} | changes
    return await house.client.post(TEST, json=body, headers=headers)


async def test_the_fields_of_the_page_are_answered_as_the_page_says(house: House):
    answer = await put(house)
    assert answer.status_code == 200
    assert list(answer.json().items()) == list(SHOWN.items())
    assert answer.headers["content-type"].startswith("application/json")
    shown = await house.client.get(SMTP, headers=ADMIN)
    assert list(shown.json().items()) == list(SHOWN.items())
    after = await house.profile()
    assert (after["auth"], after["security"], after["password_set"]) == ("password", "none", True)


@pytest.mark.parametrize("path", [SMTP, "/KeyfactorApi/smtp", "/keyfactorapi/Smtp/", "/KEYFACTORAPI/SMTP"])
async def test_a_path_is_taken_in_any_case(house: House, path: str):
    assert (await house.client.put(path, json=SAMPLE, headers=ADMIN)).json() == SHOWN
    assert (await house.client.get(path, headers=ADMIN)).json() == SHOWN


@pytest.mark.parametrize("spell", [str.lower, str.upper, lambda name: name[0].lower() + name[1:]])
async def test_members_are_taken_in_any_case(house: House, spell: Any):
    answer = await house.client.put(SMTP, json={spell(name): each for name, each in SAMPLE.items()}, headers=ADMIN)
    assert answer.json() == SHOWN
    oauth = {spell(name): each for name, each in OAUTH.items()}
    oauth[spell("RequestHeaders")] = [{spell("Name"): "X-Tenant", spell("Value"): "seven"}]
    answer = await house.client.put(SMTP, json=oauth, headers=V2)
    assert answer.json()["RequestHeaders"] == OAUTH["RequestHeaders"]


async def test_one_member_in_two_spellings_is_refused(house: House):
    answer = await put(house, host="other.keyexample.com")
    assert answer.status_code == 400
    assert answer.json()["Message"] == "body: The request body names a field twice."


async def test_a_form_says_the_same_as_json(house: House):
    form = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in SAMPLE.items()}
    assert (await house.client.put(SMTP, data=form, headers=ADMIN)).json() == SHOWN
    assert (await house.profile())["username"] == "KEYEXAMPLE\\svc_mail"


async def test_values_may_come_as_text_and_null_is_as_good_as_nothing(house: House):
    assert (await put(house, Id="1", Port="25", RelayAuthenticationType="2", UseSSL="False")).json() == SHOWN
    nulls = dict.fromkeys(("Id", "Port", "UseSSL", "RelayUsername", "RelayPassword", "RelayAuthenticationType"))
    answer = await put(house, PLAIN | nulls)
    assert answer.json() == NOTHING | PLAIN


@pytest.mark.parametrize(("port", "security"), [(25, "starttls"), (587, "starttls"), (465, "tls"), (2525, "starttls")])
async def test_ssl_is_implicit_on_465_and_starttls_elsewhere(house: House, port: int, security: str):
    assert (await put(house, Port=port, UseSSL=True)).json()["UseSSL"] is True
    assert (await house.profile())["security"] == security


@pytest.mark.parametrize("user", ["KEYEXAMPLE\\jsmith", "jsmith@keyexample.com", "jsmith", ""])
async def test_basic_carries_the_key_as_the_password_of_any_user(house: House, user: str):
    answer = await house.client.get(ENDPOINTS, headers=basic(ADMIN_KEY, user))
    assert answer.status_code == 200


async def test_a_bearer_key_does_as_well(house: House):
    assert (await house.client.get(SMTP, headers=house.admin)).status_code == 200


async def test_the_endpoints_are_listed_to_who_has_a_key_with_the_products_version(house: House):
    answer = await house.client.get(ENDPOINTS, headers=ADMIN)
    assert answer.json() == [SMTP, TEST, ENDPOINTS]
    refused = await house.client.get(ENDPOINTS, headers=basic("wrong"))
    assert refused.status_code == 401
    others = [
        await house.client.get(SMTP, headers=ADMIN),
        await put(house, V2),
        await put(house, Port="x"),
        await house.client.get("/KeyfactorAPI/no/such"),
    ]
    assert {each.headers["x-keyfactor-product-version"] for each in (answer, refused, *others)} == {"25.1.1"}


async def test_before_there_are_settings_the_products_defaults_are_shown_and_id_1_makes_the_first(house: House):
    await house.tenant("empty")
    key = basic(await house.key(tenant="empty"))
    assert (await house.client.get(SMTP, headers=key)).json() == NOTHING
    wrapped = NOTHING | dict.fromkeys(("RelayUsername", "RelayPassword", "ClientId", "ClientSecret"), secret(None))
    wrapped |= {"TokenEndpoint": None, "Scope": None, "Audience": None, "RequestHeaders": []}
    assert (await house.client.get(SMTP, headers=key | {"x-keyfactor-api-version": "2"})).json() == wrapped
    assert (await put(house, headers=key, Id=2)).status_code == 404
    assert (await put(house, headers=key)).json() == SHOWN


@pytest.mark.parametrize("version", ["1", "1.0", "", None])
async def test_version_1_is_flat_and_knows_no_password(house: House, version: str | None):
    headers = ADMIN if version is None else ADMIN | {"x-keyfactor-api-version": version}
    assert list((await put(house, headers=headers)).json()) == list(SHOWN)
    assert list((await house.client.get(SMTP, headers=headers)).json()) == list(SHOWN)


@pytest.mark.parametrize("version", ["2", "2.0"])
async def test_version_2_wraps_secrets_and_never_tells_their_value(house: House, version: str):
    headers = ADMIN | {"x-keyfactor-api-version": version}
    wrapped = {
        "RelayUsername": {"SecretValue": "KEYEXAMPLE\\svc_mail"},
        "RelayPassword": {"SecretValue": "canary-2f6c"},
    }
    answer = await put(house, headers=headers, **wrapped)
    assert answer.json() == SHOWN | {
        "RelayUsername": secret("KEYEXAMPLE\\svc_mail"), "RelayPassword": secret(None), "ClientId": secret(None),
        "ClientSecret": secret(None), "TokenEndpoint": None, "Scope": None, "Audience": None, "RequestHeaders": [],
    }  # fmt: skip
    assert (await house.client.get(SMTP, headers=headers)).json() == answer.json()
    assert "canary-2f6c" not in answer.text


@pytest.mark.parametrize("version", ["3", "0", "1.1", "v1", "latest"])
async def test_any_other_version_is_refused(house: House, version: str):
    before = await house.profile()
    headers = ADMIN | {"x-keyfactor-api-version": version}
    for answer in (
        await house.client.get(SMTP, headers=headers),
        await put(house, headers=headers),
        await try_it(house, headers),
        await house.client.get(ENDPOINTS, headers=headers),
    ):
        assert answer.status_code == 400
        assert answer.json()["Message"] == "x-keyfactor-api-version: There are versions 1 and 2."
    assert await house.profile() == before


async def test_oauth_is_said_in_version_2_and_survives_version_1(house: House):
    answer = await put(house, OAUTH, V2)
    assert answer.status_code == 200, answer.text
    wanted = {name: value for name, value in OAUTH.items() if name != "ClientSecret"}
    wanted |= {name: secret(OAUTH[name]["SecretValue"]) for name in ("RelayUsername", "ClientId")}
    assert wanted.items() <= answer.json().items()
    assert answer.json()["ClientSecret"] == secret(None)
    after = await house.profile()
    named = ("auth", "client_id", "token_url", "token_scope", "token_audience", "password_set")
    assert [after[name] for name in named] == ["oauth2", "client-7", OAUTH["TokenEndpoint"], "send", "mail", True]

    flat = (await house.client.get(SMTP, headers=ADMIN)).json()
    assert (flat["RelayAuthenticationType"], flat["RelayUsername"]) == (3, "kf@keyexample.com")
    assert (await put(house, flat, SenderName="Other")).status_code == 200
    assert (await house.client.get(SMTP, headers=V2)).json() == answer.json() | {"SenderName": "Other"}


@pytest.mark.parametrize("missing", ["TokenEndpoint", "ClientId"])
async def test_version_2_replaces_the_fields_of_oauth_too(house: House, missing: str):
    await put(house, OAUTH, V2)
    answer = await put(house, OAUTH, V2, **{missing: ...})
    assert answer.status_code == 400
    assert answer.json()["Message"].startswith(f"{missing}: ")
    cleared = await put(house, OAUTH, V2, Scope=..., RequestHeaders=...)
    assert (cleared.json()["Scope"], cleared.json()["RequestHeaders"]) == (None, [])


async def test_ntlm_is_type_1(house: House):
    assert (await put(house, RelayAuthenticationType=1)).json()["RelayAuthenticationType"] == 1
    assert (await house.profile())["auth"] == "ntlm"


async def test_what_is_not_sent_goes_back_to_the_default(house: House):
    await put(house, Port=465, UseSSL=True)
    assert (await put(house, PLAIN)).json() == NOTHING | PLAIN
    after = await house.profile()
    assert (after["port"], after["security"], after["auth"], after["username"]) == (25, "none", "none", None)


async def test_what_this_language_has_no_words_for_survives(house: House):
    extra = {"reply_to_address": "help@email.com", "envelope_sender": "bounce@email.com", "verify_certificate": False}
    await house.client.patch("/v1/profiles/default", json=extra, headers=house.admin)
    await put(house)
    after = await house.profile()
    assert {name: after[name] for name in extra} == extra


async def test_a_password_left_out_is_kept_for_the_same_destination_only(house: House):
    await put(house)
    for silent in (..., None, ""):
        assert (await put(house, RelayPassword=silent, SenderName="Other")).status_code == 200
        assert (await house.profile())["password_set"] is True
    moved = await put(house, RelayPassword=..., Host="evil.example")
    assert moved.status_code == 400
    assert moved.json()["ErrorCode"] == CODES["secret_needed"]
    assert moved.json()["Message"].startswith("RelayPassword: Give the password again: host changed")
    assert (await house.profile())["host"] == SAMPLE["Host"]


async def test_an_unknown_id_and_one_of_another_tenant_look_alike(house: House):
    await house.tenant("acme")
    body = {"name": "second", "host": "second.example", "sender_address": "a@second.example"}
    made = await house.client.post("/v1/profiles", json=body, headers=house.admin)
    ours, theirs = basic(await house.key()), basic(await house.key(tenant="acme"))
    assert (await put(house, headers=theirs)).status_code == 200
    second = made.json()["id"]
    answers = [await put(house, headers=theirs, Id=each) for each in (second, 999, 0, -1, 10**30)]
    answers += [await try_it(house, theirs, Id=each) for each in (second, 999)]
    assert {each.status_code for each in answers} == {404}
    assert len({each.text for each in answers}) == 1
    assert (await put(house, headers=ours, Id=second)).json() == SHOWN | {"Id": second}
    assert (await house.profile())["host"] != SAMPLE["Host"]  # the default one is another


async def test_without_the_permission_the_documented_answer_names_the_missing_one(house: House):
    key = basic(await house.key("settings:read", name="reader"))
    answer = await put(house, headers=key)
    assert answer.status_code == 403
    assert answer.text.startswith(
        r'{"ErrorCode":"0xA0140002","Message":"User reader doesn\u0027t have the required permission'
    )
    assert answer.json()["Message"].endswith('The key "reader" lacks the permission settings:write.')
    assert (
        (await try_it(house, key)).json()["Message"].endswith('The key "reader" lacks the permission settings:check.')
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"Host": ...}, "Host"),
        ({"Host": None}, "Host"),
        ({"Host": ""}, "Host"),
        ({"Host": 5}, "Host"),
        ({"Host": "smtp://keyexample.com"}, "Host"),
        ({"Host": "a.example\r\nb"}, "Host"),
        ({"Id": "one"}, "Id"),
        ({"Id": True}, "Id"),
        ({"Id": 1.5}, "Id"),
        ({"Id": []}, "Id"),
        ({"Port": 0}, "Port"),
        ({"Port": "65536"}, "Port"),
        ({"Port": ""}, "Port"),
        ({"Port": True}, "Port"),
        ({"Port": 25.5}, "Port"),
        ({"Port": "9" * 400}, "Port"),
        ({"RelayAuthenticationType": 4}, "RelayAuthenticationType"),
        ({"RelayAuthenticationType": -1}, "RelayAuthenticationType"),
        ({"RelayAuthenticationType": "Basic"}, "RelayAuthenticationType"),
        ({"RelayAuthenticationType": True}, "RelayAuthenticationType"),
        ({"RelayAuthenticationType": 3}, "TokenEndpoint"),
        ({"RelayUsername": ...}, "RelayUsername"),
        ({"RelayUsername": " "}, "RelayUsername"),
        ({"RelayUsername": 5}, "RelayUsername"),
        ({"RelayUsername": "a\nb"}, "RelayUsername"),
        ({"RelayUsername": {"Provider": "1", "Parameters": {"Folder": "a"}}}, "RelayUsername"),
        ({"RelayAuthenticationType": 1, "RelayUsername": None}, "RelayUsername"),
        ({"RelayPassword": ...}, "RelayPassword"),
        ({"RelayPassword": ["x"]}, "RelayPassword"),
        ({"RelayPassword": {"SecretValue": 7}}, "RelayPassword"),
        ({"RelayPassword": {"provider": 1}}, "RelayPassword"),
        ({"RelayPassword": {"SecretValue": None, "Parameters": {"Object": "x"}}}, "RelayPassword"),
        ({"RelayPassword": "**********"}, "RelayPassword"),
        ({"SenderAccount": ...}, "SenderAccount"),
        ({"SenderAccount": None}, "SenderAccount"),
        ({"SenderAccount": ""}, "SenderAccount"),
        ({"SenderAccount": "nobody"}, "SenderAccount"),
        ({"SenderAccount": "Name <a@b.example>"}, "SenderAccount"),
        ({"SenderName": ...}, "SenderName"),
        ({"SenderName": None}, "SenderName"),
        ({"SenderName": "a\r\nBcc: x@y.example"}, "SenderName"),
        ({"UseSSL": "yes"}, "UseSSL"),
        ({"UseSSL": 1}, "UseSSL"),
        ({"TokenEndpoint": "http://login.example/token"}, "TokenEndpoint"),
        ({"TokenEndpoint": 5}, "TokenEndpoint"),
        ({"ClientSecret": {"Provider": 3}}, "ClientSecret"),
        ({"Scope": ["a"]}, "Scope"),
        ({"Audience": "a\nb"}, "Audience"),
        ({"RequestHeaders": "x"}, "RequestHeaders"),
        ({"RequestHeaders": [{"Name": "a b", "Value": "c"}]}, "RequestHeaders.0.Name"),
        ({"RequestHeaders": [{"Name": "a", "Value": "c\r\nd: e"}]}, "RequestHeaders.0.Value"),
        ({"RequestHeaders": [{"Name": "a", "Value": "c"}] * 21}, "RequestHeaders"),
    ],
)
async def test_a_field_that_cannot_be_so_is_named_and_nothing_changes(house: House, change: dict[str, Any], field: str):
    before = await house.profile()
    for answer in (await put(house, **change), await put(house, headers=V2, **change)):
        assert answer.status_code == 400, answer.text
        assert list(answer.json()) == ["ErrorCode", "Message"]
        assert answer.json()["ErrorCode"] == CODES["invalid"]
        assert answer.json()["Message"].startswith(f"{field}: ")
        assert answer.json()["Message"].endswith(".")
        assert "canary-2f6c" not in answer.text
    assert await house.profile() == before


@pytest.mark.parametrize("body", ["{", "[]", '"text"', "null", "", '{"Port": NaN}', '{"Port": ' + "9" * 5000 + "}"])
async def test_malformed_json_is_said_to_be_so(house: House, body: str):
    answer = await house.client.put(SMTP, content=body.encode(), headers=ADMIN)
    assert answer.status_code == 400
    assert answer.json()["Message"].startswith("body: ")


async def test_a_trial_goes_through_the_settings_of_the_body_and_through_nothing_else(house: House):
    with Sink() as stored, Sink() as tried:
        await put(house, PLAIN | {"Port": stored.port})
        before = await house.profile()
        answer = await try_it(house, Port=str(tried.port), SenderAccount="new@keyexample.com", UseSSL="false")
        assert answer.status_code == 200, answer.text
        assert answer.json() == NOTHING | PLAIN | {
            "Port": tried.port, "SenderAccount": "new@keyexample.com", "TestRecipient": "you@keyexample.com"
        }  # fmt: skip
        second = await try_it(house, V2, Port=tried.port)
        assert (second.status_code, second.content) == (204, b"")
        assert [(each.envelope_sender, each.recipients) for each in tried.mails] == [
            ("new@keyexample.com", ("you@keyexample.com",)), ("kf@keyexample.com", ("you@keyexample.com",)),
        ]  # fmt: skip
        assert b"From: Keyfactor Command <new@keyexample.com>" in tried.mails[0].content
        assert stored.mails == []
        assert await house.profile() == before


async def test_a_trial_needs_no_stored_settings(house: House):
    await house.tenant("empty")
    key = basic(await house.key(tenant="empty"))
    with Sink() as sink:
        answer = await try_it(house, key, Id=1, Port=sink.port)
        assert (answer.status_code, len(sink.mails)) == (200, 1)
    assert (await house.client.get(SMTP, headers=key)).json() == NOTHING


async def test_a_trial_that_fails_says_where_and_why_and_tells_no_secret(house: House):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = await try_it(house, Port=port, RelayAuthenticationType=2, RelayUsername="u", RelayPassword="canary-2f6c")
    assert answer.status_code == 400
    assert answer.json()["ErrorCode"] == TEST_FAILED
    assert answer.json()["Message"].startswith("The test mail was not sent (connect, connect.")
    assert "canary-2f6c" not in answer.text


@pytest.mark.parametrize("recipient", [..., None, "", "nobody", 5, "a@b.example\r\nc"])
async def test_a_trial_names_its_recipient(house: House, recipient: Any):
    body = PLAIN | ({} if recipient is ... else {"TestRecipient": recipient})
    answer = await house.client.post(TEST, json=body, headers=ADMIN)
    assert answer.status_code == 400
    assert answer.json()["Message"].startswith("TestRecipient: ")


async def test_a_trial_does_not_take_the_stored_password_elsewhere(house: House):
    await put(house)
    with Sink() as sink:
        moved = SAMPLE | {"Host": "127.0.0.1", "Port": sink.port, "TestRecipient": "you@keyexample.com"}
        del moved["RelayPassword"]
        answer = await house.client.post(TEST, json=moved, headers=ADMIN)
        assert answer.json()["Message"].startswith("RelayPassword: Give the password again")
        assert sink.mails == []


async def test_a_key_that_may_not_read_settings_sends_no_trial(house: House):
    key = basic(await house.key("settings:check"))
    with Sink() as sink:
        assert (await try_it(house, key, Port=sink.port)).status_code == 403
        assert sink.mails == []


async def test_a_relay_that_never_answers_is_given_up_in_time_for_a_client_that_waits_five_seconds(house: House):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        answer = await try_it(house, Port=silent.getsockname()[1])
        took = time.monotonic() - started
    assert answer.status_code == 400
    assert answer.json()["Message"].startswith("The test mail was not sent (greeting, ")
    assert took < 4


V11 = """
import json
from command_v11_client import keyfactor
first = keyfactor.get_smtp_().to_dict()
settings = json.loads(__import__("sys").argv[1])
print(json.dumps([first, keyfactor.put_smtp(settings), keyfactor.get_smtp_().to_dict(),
                  keyfactor.smtp_test(settings | {"testRecipient": "you@keyexample.com"})]))
"""


def test_the_vendors_client_for_version_11_gets_puts_and_tests_unchanged(tmp_path: Path):
    python = client_environment("keyfactor-command", "keyfactor-command-sdk==11.0.0a1")
    with Server(tmp_path) as server, Sink() as sink:
        settings = {"host": "127.0.0.1", "id": 1, "port": sink.port, "relayAuthenticationType": 0, "useSSL": False,
                    "senderAccount": "kf@keyexample.com", "senderName": "Keyfactor"}  # fmt: skip
        first, saved, got, tested = run_client(
            python, V11, json.dumps(settings), KEYFACTOR_HOSTNAME=f"127.0.0.1:{server.port}", KEYFACTOR_SCHEME="http",
            KEYFACTOR_URLBASE="KeyfactorAPI", KEYFACTOR_USERNAME="KEYEXAMPLE\\jsmith", KEYFACTOR_PASSWORD=ADMIN_KEY,
        )  # fmt: skip
        assert (first["id"], first["relayAuthenticationType"]) == (1, 0)
        assert saved == got == settings | {"relayUsername": None}
        assert tested == saved | {"testRecipient": "you@keyexample.com"}
        assert server.client.get("/v1/profiles/default").json()["sender_name"] == "Keyfactor"
        assert [each.recipients for each in sink.mails] == [("you@keyexample.com",)]
        assert ADMIN_KEY not in server.logged()


V10 = """
import json, sys
from keyfactor_v_1_client import AuthenticatedClient
from keyfactor_v_1_client.api.smtp import smtp_smtp, smtp_test_smtp, smtp_update_smtp
from keyfactor_v_1_client.models.keyfactor_api_models_smtpsmtp_request import KeyfactorAPIModelsSMTPSMTPRequest
from keyfactor_v_1_client.models.keyfactor_api_models_smtpsmtp_test_request import KeyfactorAPIModelsSMTPSMTPTestRequest
url, token, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
client = AuthenticatedClient(base_url=url, token=token, prefix="Basic")
body = KeyfactorAPIModelsSMTPSMTPRequest.from_dict(settings)
trial = KeyfactorAPIModelsSMTPSMTPTestRequest.from_dict(settings | {"TestRecipient": "you@keyexample.com"})
print(json.dumps([each and each.to_dict() for each in (
    smtp_smtp.sync(client=client), smtp_update_smtp.sync(client=client, form_data=body, json_body=body),
    smtp_smtp.sync(client=client), smtp_test_smtp.sync(client=client, json_body=trial))]))
"""


def test_the_vendors_client_for_version_10_gets_puts_a_form_and_tests_unchanged(tmp_path: Path):
    python = client_environment("keyfactor-v1", "keyfactor-v-1-client==1.0.3", "httpx<0.24")
    with Server(tmp_path) as server, Sink() as sink:
        settings = PLAIN | {"Id": 1, "Port": sink.port, "RelayAuthenticationType": 0, "UseSSL": False}
        token = base64.b64encode(f"KEYEXAMPLE\\jsmith:{ADMIN_KEY}".encode()).decode()
        first, saved, got, tested = run_client(python, V10, f"{server.url}/KeyfactorAPI", token, json.dumps(settings))
        assert first["Id"] == 1
        assert saved == got == settings | {"RelayUsername": None}
        assert tested == saved | {"TestRecipient": "you@keyexample.com"}
        assert [each.recipients for each in sink.mails] == [("you@keyexample.com",)]
