"""ONLYOFFICE DocSpace: seed 004 and what its server checks, its test as a job, its keys, and its SDK from PyPI."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from postroom.dialects import ALL
from postroom.dialects.dialect import Asked, Token, Verb
from postroom.domain.delivery import Stage
from postroom.domain.problems import Unavailable
from postroom.domain.trial import Job, Verdict
from serving import ADMIN_KEY, House, Server, Sink, a_house, eventually, free_port
from vendors import client_environment, run_client

# Seed 004, the example.
SAMPLE_BODY = """{
"host": "mail.example.com",
"port": 25,
"senderAddress": "notify@example.com",
"senderDisplayName": "Postman",
"credentialsUserName": "notify@example.com",
"credentialsUserPassword": "{password}",
"enableAuth": true
}"""
SAMPLE: dict[str, Any] = json.loads(SAMPLE_BODY)
SAMPLE_ANSWER = [
    ("host", "mail.example.com"),
    ("port", 25),
    ("senderAddress", "notify@example.com"),
    ("senderDisplayName", "Postman"),
    ("credentialsUserName", "notify@example.com"),
    ("credentialsUserPassword", ""),
    ("enableSSL", False),
    ("enableAuth", True),
    ("useNtlm", False),
    ("isDefaultSettings", False),
]
SMTP = "/api/2.0/smtpsettings/smtp"
LOGIN = "/api/2.0/authentication"
BEARER = {"authorization": f"Bearer {ADMIN_KEY}"}
COOKIE = {"cookie": f"asc_auth_key={ADMIN_KEY}"}
JSON = {"content-type": "application/json"}
DIALECT = next(each for each in ALL if each.name == "onlyoffice")
ARGUMENT = ("System.ArgumentException", -2147024809)
ARGUMENT_NULL = ("System.ArgumentNullException", -2147467261)


def pairs(text: str) -> Any:
    """JSON as lists of pairs, so that the order of members counts."""
    return json.loads(text, object_pairs_hook=lambda members: [tuple(member) for member in members])


def thrown(message: str, status: int, kind: str | None = None, hresult: int = 0) -> list[Any]:
    error = [("message", message), ("type", kind), ("stack", None), ("hresult", hresult)]
    return [("error", error), ("status", 1), ("statusCode", status)]


def enveloped(response: Any, method: str = "GET", path: str = SMTP) -> list[Any]:
    links = [[("href", f"http://postroom.test{path}"), ("action", method)]]
    return [("response", response), ("count", 1), ("links", links), ("status", 0), ("statusCode", 200)]


async def post(house: House, headers: dict[str, str] = BEARER, **changes: Any) -> httpx2.Response:
    fields = {name: value for name, value in (SAMPLE | changes).items() if value is not ...}
    return await house.client.post(SMTP, json=fields, headers=headers)


async def test_the_documented_request_gives_the_documented_answer_in_the_envelope(house: House):
    answer = await house.client.post(SMTP, content=SAMPLE_BODY, headers=COOKIE | JSON | {"accept": "application/json"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert pairs(answer.text) == enveloped(SAMPLE_ANSWER, "POST")
    shown = await house.client.get(f"{SMTP}?a=b", headers=BEARER)
    assert pairs(shown.text) == enveloped(SAMPLE_ANSWER, path=f"{SMTP}?a=b")


@pytest.mark.parametrize("kind", ["application/json", "text/json", "application/vnd.x+json; charset=utf-8", "text/x"])
async def test_json_is_read_whatever_it_is_called_and_names_are_taken_in_any_case(house: House, kind: str):
    fields = {name.upper(): value for name, value in SAMPLE.items()} | {"PORT": "25", "unknown": {"a": 1}}
    answer = await house.client.post(SMTP, content=json.dumps(fields), headers=BEARER | {"content-type": kind})
    assert pairs(answer.text) == enveloped(SAMPLE_ANSWER, "POST")


async def test_what_is_left_out_is_the_products_default(house: House):
    kept = {"host": "mail.example.com", "senderAddress": "a@example.com", "senderDisplayName": ""}
    answer = await house.client.post(SMTP, json=kept | {"port": None, "credentialsUserName": None}, headers=BEARER)
    assert answer.json()["response"] == kept | {
        "port": 25, "credentialsUserPassword": "", "enableSSL": False, "enableAuth": False, "useNtlm": False,
        "isDefaultSettings": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("port", "flags", "security", "auth"),
    [
        (465, {"enableSSL": True}, "tls", "password"),
        ("587", {"enableSSL": True, "useNtlm": True}, "starttls", "ntlm"),
        (25, {"enableSSL": False, "useNtlm": True, "enableAuth": False}, "none", "none"),
    ],
)
async def test_the_flags_mean_what_they_say(house: House, port: Any, flags: Any, security: str, auth: str):
    answer = await post(house, port=port, **flags)
    assert answer.status_code == 200
    assert answer.json()["response"]["useNtlm"] is (auth == "ntlm")
    stored = await house.profile()
    assert (stored["security"], stored["auth"]) == (security, auth)


CONSTRUCTOR = [
    ("host", "", "Empty smtp host. (Parameter 'host')", ARGUMENT),
    ("senderAddress", "", "Empty sender address. (Parameter 'senderAddress')", ARGUMENT),
    ("senderDisplayName", None, "Value cannot be null. (Parameter 'senderDisplayName')", ARGUMENT_NULL),
    ("credentialsUserName", "", "Empty user name. (Parameter 'userName')", ARGUMENT),
    ("credentialsUserPassword", "", "Empty password. (Parameter 'password')", ARGUMENT),
]


@pytest.mark.parametrize("first", range(len(CONSTRUCTOR)), ids=[each[0] for each in CONSTRUCTOR])
@pytest.mark.parametrize("how", ["empty", "null", "left out"])
async def test_what_must_not_be_empty_is_said_in_the_products_order_and_words(house: House, first: int, how: str):
    before = await house.profile()
    wrong = {name: {"empty": empty, "null": None, "left out": ...}[how] for name, empty, *_ in CONSTRUCTOR[first:]}
    answer = await post(house, **wrong)
    _, _, message, exception = CONSTRUCTOR[first]
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert pairs(answer.text) == thrown(message, 400, *exception)
    assert await house.profile() == before


async def test_wrong_types_are_found_before_the_permission_and_that_before_what_is_empty(house: House):
    reader = {"authorization": f"Bearer {await house.key('settings:read')}"}
    malformed = await post(house, reader, port="x", host="")
    assert (malformed.status_code, "response" in malformed.json()) == (400, True)
    denied = await post(house, reader, host="")
    assert denied.status_code == 403
    assert pairs(denied.text) == thrown("Access denied", 403, "System.Security.SecurityException", -2146233078)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"host": 5}, "Host"),
        ({"host": "a" * 256}, "Host"),
        ({"port": 0}, "Port"),
        ({"port": 65536}, "Port"),
        ({"port": "smtp"}, "Port"),
        ({"port": 25.5}, "Port"),
        ({"port": True}, "Port"),
        ({"senderAddress": ["a@example.com"]}, "SenderAddress"),
        ({"senderDisplayName": "a" * 256}, "SenderDisplayName"),
        ({"credentialsUserName": "a" * 256}, "CredentialsUserName"),
        ({"credentialsUserPassword": 5}, "CredentialsUserPassword"),
        ({"enableSSL": "true"}, "EnableSSL"),
        ({"enableSSL": None}, "EnableSSL"),
        ({"enableAuth": 1}, "EnableAuth"),
        ({"useNtlm": "false"}, "UseNtlm"),
        ({"isDefaultSettings": 0}, "IsDefaultSettings"),
        ({"HOST": "twice.example.com"}, "$"),
    ],
)
async def test_a_wrong_type_is_told_in_the_validation_wrapper(house: House, change: dict[str, Any], field: str):
    before = await house.profile()
    answer = await house.client.post(f"{SMTP}?fields=host", json=SAMPLE | change, headers=BEARER)
    assert answer.status_code == 400
    said = answer.json()
    assert list(said) == ["response", "count", "links", "status", "statusCode"]
    assert (said["count"], said["status"], said["statusCode"]) == (1, 1, 400)
    assert said["links"] == [{"href": f"http://postroom.test{SMTP}?fields=host", "action": "POST"}]
    assert list(said["response"]) == ["type", "title", "status", "errors"]
    assert list(said["response"]["errors"]) == [field]
    assert "{password}" not in answer.text
    assert await house.profile() == before


@pytest.mark.parametrize("body", ["{", "[]", '"text"', "null", "", '{"host": "a", "host": "b"}', "[" * 100_000])
async def test_a_body_that_is_no_json_object_is_told_in_the_validation_wrapper(house: House, body: str):
    answer = await house.client.post(SMTP, content=body, headers=BEARER | JSON)
    assert answer.status_code == 400
    assert list(answer.json()["response"]["errors"]) == ["$"]


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"host": "smtp://mail.example.com"}, "host"),
        ({"senderAddress": "nobody"}, "senderAddress"),
        ({"senderDisplayName": "a\nb"}, "senderDisplayName"),
        ({"credentialsUserName": "a\nb"}, "userName"),
        ({"credentialsUserPassword": "********"}, "password"),
    ],
)
async def test_what_postroom_refuses_beyond_the_product_is_told_as_an_exception(
    house: House, change: dict[str, Any], parameter: str
):
    answer = await post(house, **change)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith(f". (Parameter '{parameter}')")
    assert answer.json()["error"]["type"] == "System.ArgumentException"


async def test_an_empty_password_keeps_the_stored_one_only_where_it_was_meant_to_go(house: House):
    await post(house)
    for silence in ("", None, ...):
        kept = await post(house, senderDisplayName=f"Ops {silence}", credentialsUserPassword=silence)
        assert kept.status_code == 200
        assert (await house.profile())["password_set"] is True
    for change in ({"host": "evil.example.com"}, {"port": 26}, {"enableSSL": True}, {"credentialsUserName": "other"}):
        moved = await post(house, credentialsUserPassword="", **change)
        assert moved.status_code == 400
        assert moved.json()["error"]["message"].startswith("Give the password again: ")
        assert moved.json()["error"]["message"].endswith(" (Parameter 'password')")
    assert (await house.profile())["host"] == "mail.example.com"


async def test_without_login_credentials_are_dropped_the_stored_ones_too(house: House):
    await post(house)
    off = await post(house, enableAuth=False)
    assert "credentialsUserName" not in off.json()["response"]
    stored = await house.profile()
    assert (stored["auth"], stored["username"], stored["password_set"]) == ("none", None, False)
    on = await post(house, credentialsUserPassword="")
    assert on.json()["error"]["message"] == "Empty password. (Parameter 'password')"


async def test_reset_goes_back_to_the_installations_own_settings_as_often_as_it_is_asked(house: House):
    before = (await house.client.get(SMTP, headers=BEARER)).json()["response"]
    assert before["isDefaultSettings"] is True
    await post(house)
    for _ in range(2):
        answer = await house.client.delete(SMTP, headers=BEARER)
        assert answer.status_code == 200
        assert answer.json()["response"] == before
        assert answer.json()["links"][0]["action"] == "DELETE"


async def test_where_nothing_is_configured_the_answer_is_empty_and_names_no_port(tmp_path: Path):
    empty = [
        ("credentialsUserPassword", ""),
        ("enableSSL", False),
        ("enableAuth", False),
        ("useNtlm", False),
        ("isDefaultSettings", True),
    ]
    async with a_house(tmp_path, sandbox="off") as house:
        await house.tenant("acme")
        headers = {"authorization": f"Bearer {await house.key(tenant='acme')}"}
        for _ in range(2):
            assert pairs((await house.client.get(SMTP, headers=headers)).text) == enveloped(empty)
            assert (await post(house, headers)).status_code == 200
            assert pairs((await house.client.delete(SMTP, headers=headers)).text) == enveloped(empty, "DELETE")


async def test_fields_names_the_members_that_are_wanted(house: House):
    await post(house)
    answer = await house.client.get(f"{SMTP}?fields=port,%20HOST,nothing", headers=BEARER)
    assert pairs(answer.text)[0] == ("response", [("host", "mail.example.com"), ("port", 25)])
    assert list(answer.json()) == ["response", "count", "links", "status", "statusCode"]
    everything = await house.client.get(f"{SMTP}?fields=", headers=BEARER)
    assert len(everything.json()["response"]) == len(SAMPLE_ANSWER)


async def test_a_key_is_exchanged_for_a_token_which_every_header_and_the_cookie_carry(house: House):
    login = {"userName": "admin@example.com", "PASSWORD": ADMIN_KEY}
    answer = await house.client.post(LOGIN, json=login)
    house.client.cookies.clear()
    assert answer.status_code == 200
    assert list(answer.json()["response"]) == ["token", "expires", "sms", "tfa"]
    token = answer.json()["response"]["token"]
    cookie = answer.headers["set-cookie"]
    assert cookie == f"asc_auth_key={token}; Path=/; Max-Age=900; HttpOnly; SameSite=Strict"
    for headers in (
        {"authorization": token},
        {"authorization": f"Bearer {token}"},
        {"ApiKeyBearer": token},
        {"cookie": f"a=b; asc_auth_key={token}; c=d"},
        {"cookie": token},
        {"cookie": f"asc_auth_key={token}", "authorization": "Digest username=x"},
    ):
        assert (await house.client.get(SMTP, headers=headers)).status_code == 200
        assert (await house.client.get(LOGIN, headers=headers)).json()["response"] is True
    basic = await house.client.get(SMTP, headers=httpx2.Headers(), auth=("admin@example.com", ADMIN_KEY))
    assert basic.status_code == 200


async def test_a_wrong_login_is_refused_and_whether_one_is_known_may_be_asked_by_anyone(house: House):
    for login in ({}, {"userName": "a"}, {"password": ""}, {"password": "wrong"}, {"password": "x" * 9999}):
        answer = await house.client.post(LOGIN, json=login)
        assert answer.status_code == 401
        assert pairs(answer.text) == thrown("User authentication failed", 401)
        assert "set-cookie" not in answer.headers
    for headers in ({}, {"authorization": "wrong"}, {"cookie": "asc_auth_key=wrong"}, {"cookie": "asc_auth_key="}):
        answer = await house.client.get(LOGIN, headers=headers)
        assert pairs(answer.text) == enveloped(False, path=LOGIN)
        refused = await house.client.get(SMTP, headers=headers)
        assert pairs(refused.text) == thrown("User authentication failed", 401)


@pytest.mark.parametrize("login", ['{"password": "\\ud800"}', "{", "[]", '{"password": 5}', '{"password": {}}'])
async def test_a_login_that_makes_no_sense_is_refused_in_an_envelope(house: House, login: str):
    answer = await house.client.post(LOGIN, content=login, headers=JSON)
    assert answer.status_code in (400, 401)
    assert answer.json()["status"] == 1


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; b=c"])
async def test_who_writes_by_cookie_must_say_that_it_is_json(house: House, kind: str | None):
    before = await house.profile()
    headers = COOKIE | ({"content-type": kind} if kind else {})
    for body in (SAMPLE_BODY, "{"):
        answer = await house.client.post(SMTP, content=body, headers=headers)
        assert answer.status_code == 415
        assert [name for name, _ in pairs(answer.text)] == ["error", "status", "statusCode"]
    assert await house.profile() == before


@pytest.mark.parametrize(
    "foreign",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
        {"origin": "http://postroom.test.evil.example.com"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://postroom.test", "sec-fetch-site": "cross-site"},
    ],
)
async def test_a_cookie_counts_only_in_requests_of_this_site(house: House, foreign: dict[str, str]):
    before = await house.profile()
    for method, path in (("POST", SMTP), ("DELETE", SMTP), ("GET", f"{SMTP}/test")):
        answer = await house.client.request(method, path, json=SAMPLE, headers=COOKIE | foreign)
        assert answer.status_code == 403
        assert answer.json()["error"]["message"] == "Access denied"
    assert await house.profile() == before
    assert (await post(house, BEARER | foreign)).status_code == 200


async def test_requests_of_this_site_by_cookie_write_and_delete(house: House):
    ours = COOKIE | {"origin": "http://postroom.test", "sec-fetch-site": "same-origin"}
    assert (await post(house, ours)).status_code == 200
    assert (await house.client.delete(SMTP, headers=ours)).status_code == 200


async def test_forms_and_what_is_too_large_are_refused_in_the_envelope_for_exceptions(house: House):
    form = await house.client.post(SMTP, data={"host": "mail.example.com"}, headers=BEARER)
    assert form.status_code == 415
    large = await house.client.post(SMTP, content=b" " * 300_000, headers=BEARER | JSON)
    assert large.status_code == 413
    unknown = await house.client.put(SMTP, json=SAMPLE, headers=BEARER)
    assert unknown.status_code == 404
    for answer in (form, large, unknown):
        assert pairs(answer.text) == thrown(answer.json()["error"]["message"], answer.status_code)


def test_what_a_real_docspace_refuses_is_unavailable_in_its_words():
    with pytest.raises(Unavailable, match="402: Your pricing plan does not support this option"):
        DIALECT.unwrap(402, {"error": {"message": "Your pricing plan does not support this option"}, "status": 1})
    for body in (None, "", [], {}, {"error": "x"}, {"status": 1, "response": {"errors": {}}}):
        with pytest.raises(Unavailable):
            DIALECT.unwrap(400, body)
    assert DIALECT.unwrap(200, {"count": 0, "status": 0, "statusCode": 200}) == {}


def test_the_cookie_of_a_login_over_https_is_for_https_only():
    grant = next(each for each in DIALECT.endpoints if each.verb is Verb.TOKEN)
    for url, ending in (("https://post.example.com/", "; Secure"), ("http://post.example.com/", "SameSite=Strict")):
        granted = DIALECT.grant(grant, Asked(method="POST", url=url), Token("t", 900, made_at=1_700_000_000))
        assert granted.headers["set-cookie"].endswith(ending)
        assert granted.body["response"]["expires"] == "2023-11-14T22:28:20.0000000Z"


def test_every_stage_that_a_test_can_fail_at_is_a_step_of_the_products():
    start = next(each for each in DIALECT.endpoints if each.verb is Verb.TRY_START)
    steps = []
    for stage in Stage:
        failed = DIALECT.progress(start, Asked(), Job("1", stage, Verdict(stage, "code", "So it is."))).body["response"]
        assert (failed["completed"], failed["error"]) == (True, "So it is.")
        steps.append((failed["percents"], failed["status"]))
    assert steps == sorted(steps)
    assert set(steps) == {
        (15, "Find user data"), (20, "Create mime message"), (40, "Connect to host"), (60, "Authenticate"),
        (80, "Send test message"),
    }  # fmt: skip


class Portal:
    """Postroom in a process of its own, as a client of DocSpace's sees it."""

    def __init__(self, server: Server, **key: str) -> None:
        self.server = server
        made = server.client.post("/v1/keys", json={"name": "portal"} | key)
        self.key = made.json()["key"]

    def call(self, method: str, path: str, **more: Any) -> Any:
        headers = {"authorization": f"Bearer {self.key}", "connection": "close"}
        answer = httpx2.request(method, f"{self.server.url}{path}", headers=headers, timeout=60, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def save(self, port: int) -> None:
        relay = {
            "host": "127.0.0.1",
            "port": port,
            "senderAddress": "portal@example.com",
            "senderDisplayName": "Portal",
        }
        self.call("POST", SMTP, json=relay)

    def test(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """How a test begins and how it ends; whose end is told once."""
        first = self.call("GET", f"{SMTP}/test")["response"]

        def over() -> Any:
            said = self.call("GET", f"{SMTP}/test/status")["response"]
            assert said["id"] == first["id"]
            return said if said["completed"] else None

        last = eventually(over, what="the end of the test")
        after = self.call("GET", f"{SMTP}/test/status")
        assert "response" not in after
        assert list(after) == ["count", "links", "status", "statusCode"]
        assert after["count"] == 0
        return first, dict(last)


def test_a_test_is_a_job_that_sends_a_mail_to_the_keys_owner_and_tells_its_end_once(tmp_path: Path):
    with Server(tmp_path) as server, Sink() as sink:
        portal = Portal(server, email="ada@example.com")
        portal.save(sink.port)
        first, last = portal.test()
        assert list(first) == ["completed", "id", "error", "status", "percents"]
        assert (first["completed"], first["error"]) == (False, "")
        assert first["percents"] in (5, 40)
        assert last == {
            "completed": True, "id": first["id"], "error": "", "status": "Send test message", "percents": 100,
        }  # fmt: skip
        (mail,) = sink.mails
        assert b"Subject: SMTP test message" in mail.content
        assert b"Auto-Submitted: auto-generated" in mail.content
        assert b"From: Portal <portal@example.com>" in mail.content
        assert b"To: ada@example.com" in mail.content
        again, _ = portal.test()
        assert again["id"] != first["id"]
        assert len(sink.mails) == 2


def test_a_test_that_fails_stays_at_the_step_that_failed_and_says_why(tmp_path: Path):
    with Server(tmp_path) as server:
        portal = Portal(server, email="ada@example.com")
        portal.save(free_port())
        _, last = portal.test()
        assert (last["completed"], last["status"], last["percents"]) == (True, "Connect to host", 40)
        assert last["error"].endswith(".")

        nobodys = Portal(server)
        _, last = nobodys.test()
        assert (last["completed"], last["status"], last["percents"]) == (True, "Find user data", 15)
        assert "no e-mail address" in last["error"]


def test_while_a_test_runs_every_start_means_that_one_and_the_server_can_still_stop(tmp_path: Path):
    with socket.socket() as silent, Server(tmp_path) as server, ThreadPoolExecutor(8) as together:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        portal = Portal(server, email="ada@example.com")
        portal.save(silent.getsockname()[1])
        begun = list(together.map(lambda _: portal.call("GET", f"{SMTP}/test")["response"], range(8)))
        assert len({each["id"] for each in begun}) == 1
        assert not any(each["completed"] for each in begun)

        def connecting() -> Any:
            said = portal.call("GET", f"{SMTP}/test/status")["response"]
            return (said["completed"], said["status"], said["percents"]) == (False, "Connect to host", 40)

        eventually(connecting, what="connecting")
        server.stop()
        server.start()
        said = portal.call("GET", f"{SMTP}/test/status")["response"]
        assert (said["completed"], said["error"]) == (
            True,
            "The server was stopped during the test: start it again.",
        )


def test_without_settings_a_test_ends_with_that_reason(tmp_path: Path):
    with Server(tmp_path, sandbox="off") as server:
        portal = Portal(server, email="ada@example.com")
        portal.call("DELETE", SMTP)
        _, last = portal.test()
        assert "no SMTP settings" in last["error"]


SDK = """
import json, sys, time
import docspace_api_sdk as sdk

host, key, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
said = {}

def of(answer):
    return None if answer.response is None else answer.response.to_dict()

login = sdk.AuthenticationApi(sdk.ApiClient(sdk.Configuration(host=host))).authenticate_me(
    auth_requests_dto=sdk.AuthRequestsDto(user_name="ada@example.com", password=key))
token = login.response.token
said["expires"] = login.response.expires.isoformat()
configurations = {
    "token": sdk.Configuration(host=host, access_token=token),
    "key": sdk.Configuration(host=host, access_token=key),
    "basic": sdk.Configuration(host=host, username="ada@example.com", password=key),
    "header": sdk.Configuration(host=host, api_key={"ApiKeyBearer": key}),
    "cookie": sdk.Configuration(host=host, api_key={"asc_auth_key": f"asc_auth_key={token}"}),
    "nameless cookie": sdk.Configuration(host=host, api_key={"asc_auth_key": token}),
}
settings = sdk.SmtpSettingsDto(host="127.0.0.1", port=port, sender_address="portal@example.com",
                               sender_display_name="Portal", enable_auth=False)
for name, configuration in configurations.items():
    api = sdk.SMTPSettingsApi(sdk.ApiClient(configuration))
    did = said[name] = {"saved": of(api.save_smtp_settings(smtp_settings_dto=settings)),
                        "shown": of(api.get_smtp_settings())}
    did["started"] = of(api.test_smtp_settings())
    for _ in range(600):
        did["ended"] = of(api.get_smtp_operation_status())
        if did["ended"]["completed"]:
            break
        time.sleep(0.05)
    did["forgotten"] = of(api.get_smtp_operation_status())
    did["reset"] = of(api.reset_smtp_settings())

for name, configuration, wrong in (("400", configurations["key"], {"sender_address": ""}),
                                   ("401", sdk.Configuration(host=host, access_token="wrong"), {})):
    try:
        sdk.SMTPSettingsApi(sdk.ApiClient(configuration)).save_smtp_settings(
            smtp_settings_dto=settings.model_copy(update=wrong))
    except sdk.ApiException as error:
        said[name] = [type(error).__name__, json.loads(error.body)["error"]["message"]]
print(json.dumps(said))
"""


def test_the_sdk_from_pypi_works_unchanged(tmp_path: Path):
    python = client_environment("docspace", "docspace-api-sdk==3.7.0")
    with Server(tmp_path) as server, Sink() as sink:
        key = Portal(server, email="ada@example.com").key
        said = run_client(python, SDK, server.url, key, str(sink.port))
        assert said.pop("400") == ["BadRequestException", "Empty sender address. (Parameter 'senderAddress')"]
        assert said.pop("401") == ["UnauthorizedException", "User authentication failed"]
        assert said.pop("expires").endswith("+00:00")
        assert len(said) == 6
        assert len(sink.mails) == 6
        for did in said.values():
            assert did["saved"] == did["shown"]
            assert (did["saved"]["host"], did["saved"]["port"]) == ("127.0.0.1", sink.port)
            assert did["started"]["completed"] is False
            assert (did["ended"]["error"], did["ended"]["percents"]) == ("", 100)
            assert did["forgotten"] is None
            assert did["reset"]["isDefaultSettings"] is True
