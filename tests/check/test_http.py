"""The check over HTTP: one document or a stream, stored settings or typed ones, and a test mail to its end."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli.conftest import a_relay
from postroom.process import REQUEST_GRACE
from postroom.web import events
from serving import House, Server, a_house, eventually, free_port
from smtp.moods import HangUp, Mood, Visit, after, knows, open_relay

EVENTS = {"accept": "text/event-stream"}
SENDER = "us@company.example"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, sandbox=f"127.0.0.1:{free_port()}") as house:
        yield house


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


async def ask(house: House, path: str, body: Any = None, key: str | None = None, **headers: str) -> httpx2.Response:
    bearer = {"authorization": f"Bearer {key}"} if key else house.admin
    return await house.client.post(f"/v1/{path}", json=body or {}, headers=bearer | headers)


async def put(house: House, **settings: Any) -> None:
    answer = await house.client.put("/v1/profiles/1", json=settings, headers=house.admin)
    assert answer.status_code == 200, answer.text


def events_in(text: str) -> list[tuple[str, Any]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n") if not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


async def test_the_document_and_the_stream_say_the_same(house: House):
    await put(house, host="127.0.0.1", port=free_port(), sender_address=SENDER)
    document = (await ask(house, "profiles/1/check")).json()
    assert (document["ok"], document["failed_at"]) == (False, "connect")
    streamed = await ask(house, "profiles/1/check", **EVENTS)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *steps, (name, done) = events_in(streamed.text)
    assert (name, done) == ("done", {"ok": False, "failed_at": "connect"})
    assert {each for each, _ in steps} == {"step"}
    assert [{**step, "seconds": 0} for _, step in steps] == [{**step, "seconds": 0} for step in document["steps"]]


async def test_a_proposal_comes_as_a_patch_that_mends_it(house: House):
    offers = ("STARTTLS",)
    async with open_relay(Mood({"AUTH": knows("us", "canary-1")}, offers=("AUTH PLAIN",))) as relay:
        settings = {
            "host": "127.0.0.1",
            "port": relay.port,
            "sender_address": SENDER,
            "recipient_filter": "*@x.example",
        }
        await put(house, **settings, envelope_sender="bounces@elsewhere.example")
        relay.mood = Mood({"MAIL": _unless_from(SENDER)}, offers=offers)
        found = (await ask(house, "profiles/1/check")).json()
        proposal = found["steps"][-1]["proposal"]
        assert (found["failed_at"], proposal["changes"], proposal["needs"]) == ("sender", {"envelope_sender": None}, [])
        patched = await house.client.patch("/v1/profiles/1", json=proposal["changes"], headers=house.admin)
        assert patched.status_code == 200
        assert (await ask(house, "profiles/1/check")).json()["ok"] is True


def _unless_from(address: str) -> Any:
    async def act(visit: Any) -> bytes:
        said = b"250 ok\r\n" if f"<{address}>" in visit.relay.heard[-1] else b"550 5.7.1 not you\r\n"
        await visit.say(said)
        return said

    return act


async def test_typed_settings_are_tried_and_not_saved(house: House):
    before = await house.profile()
    async with open_relay(Mood()) as relay:
        typed = {"host": "127.0.0.1", "port": relay.port, "sender_address": SENDER}
        found = (await ask(house, "profiles/1/check", {"settings": typed, "recipient": "one@x.example"})).json()
    assert found["ok"] is True
    assert relay.heard[1:3] == [f"MAIL FROM:<{SENDER}>", "RCPT TO:<one@x.example>"]
    assert await house.profile() == before


async def test_settings_of_no_profile_yet_are_tried(house: House):
    async with open_relay(Mood()) as relay:
        typed = {"host": "127.0.0.1", "port": relay.port, "sender_address": SENDER}
        found = await ask(house, "check", {"settings": typed})
    assert found.json()["ok"] is True
    assert len((await house.client.get("/v1/profiles", headers=house.admin)).json()["profiles"]) == 1
    assert (await ask(house, "check", {"settings": {"port": 25}})).json()["field"] == "host"
    assert (await ask(house, "check", {})).json()["field"] == "settings"


async def test_a_stored_password_is_not_tried_at_another_destination(house: House):
    await put(house, host="127.0.0.1", port=2525, auth="password", username="us", password="canary-2",
              security="starttls", sender_address=SENDER)  # fmt: skip
    async with open_relay(Mood(offers=("AUTH PLAIN",))) as relay:
        for headers in ({}, EVENTS):
            refused = await ask(house, "profiles/1/check", {"settings": {"port": relay.port}}, **headers)
            assert (refused.status_code, refused.json()["code"]) == (400, "secret_needed")
        as_new = await ask(house, "check", {"settings": {"host": "127.0.0.1", "auth": "password", "username": "us"}})
    assert (as_new.status_code, as_new.json()["field"]) == (400, "password")
    assert relay.visits == 0


async def test_a_stream_is_never_silent_for_long(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "STILL_HERE", 0.02)
    async with open_relay(Mood({"EHLO": after(0.2, b"250 relay.test\r\n")})) as relay:
        typed = {"host": "127.0.0.1", "port": relay.port, "sender_address": SENDER}
        answer = await ask(house, "check", {"settings": typed}, **EVENTS)
    assert ": still here\n\n" in answer.text
    assert events_in(answer.text)[-1] == ("done", {"ok": True, "failed_at": None})


async def test_who_may_not_check_is_refused_before_anything_is_dialled(house: House):
    key = await house.key("settings:read")
    async with open_relay(Mood()) as relay:
        body = {"settings": {"host": "127.0.0.1", "port": relay.port}}
        assert [(await ask(house, path, body, key)).status_code for path in ("profiles/1/check", "check")] == [403, 403]
    assert relay.visits == 0


async def waits_for_the_other_to_go(visit: Visit) -> None:
    await visit.reader.read()
    raise HangUp


def mailed(server: Server, **body: Any) -> tuple[int, Any]:
    answer = server.client.post("/v1/profiles/default/check", json={"send": True, **body})
    return answer.status_code, answer.json()


@contextmanager
def _filter(server: Server, text: str | None) -> Iterator[None]:
    server.client.patch("/v1/profiles/default", json={"recipient_filter": text}).raise_for_status()
    yield
    server.client.patch("/v1/profiles/default", json={"recipient_filter": None}).raise_for_status()


def test_a_test_mail_goes_through_the_queue_and_is_followed_to_its_end(server: Server):
    server.client.patch("/v1/profiles/default", json={"sender_address": SENDER}).raise_for_status()
    _, found = mailed(server, recipient="one@x.example")
    accepted, sent = found["steps"][-2:]
    assert (found["ok"], accepted["code"], sent["code"], sent["stage"]) == (True, "mail.accepted", "mail.sent", "dot")
    message = server.client.get(f"/v1/messages/{sent['detail']['message']}").json()
    assert (message["state"], message["deliveries"][0]["recipient"]) == ("sent", "one@x.example")
    tried = server.client.get("/v1/audit", params={"limit": 5}).json()
    assert any(each["action"] == "settings.tried" for each in tried["entries"])


def test_a_test_mail_goes_only_to_whom_the_filter_allows(server: Server):
    with _filter(server, "*@company.example"):
        _, found = mailed(server, recipient="one@x.example")
    assert (found["failed_at"], found["steps"][-1]["code"]) == ("policy", "policy.filtered")


def test_a_test_mail_is_counted_as_any_other(tmp_path: Path):
    with Server(tmp_path) as server:
        codes = [mailed(server, recipient=f"n{n}@x.example", settings=None)[0] for n in range(31)]
    assert codes == [200] * 30 + [429]


async def test_a_test_mail_is_not_sent_by_settings_that_are_not_stored(house: House):
    body = {"send": True, "recipient": "one@x.example", "settings": {"host": "127.0.0.1", "sender_address": SENDER}}
    refused = await ask(house, "profiles/1/check", body)
    assert (refused.status_code, refused.json()["field"]) == (400, "send")
    alone = await house.key("settings:check")
    assert (await ask(house, "profiles/1/check", {"send": True}, alone)).status_code == 403


def test_steps_come_as_they_happen_and_a_client_that_goes_ends_the_check(server: Server):
    with a_relay(Mood({"EHLO": waits_for_the_other_to_go})) as relay:
        typed = {"settings": {"host": "127.0.0.1", "port": relay.port, "sender_address": SENDER}}
        with server.client.stream("POST", "/v1/check", json=typed, headers=EVENTS) as answer:
            told = (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))
            stages = [next(told)["stage"] for _ in range(5)]
            assert stages == ["settings", "resolve", "policy", "connect", "greeting"]
            assert relay.here == 1  # and now it is waited for
        eventually(lambda: relay.here == 0, what="the connection to the relay closing", within=5)


def test_a_server_that_is_stopped_ends_its_streams_at_once(tmp_path: Path):
    with Server(tmp_path) as server, a_relay(Mood({"EHLO": waits_for_the_other_to_go})) as relay:
        typed = {"settings": {"host": "127.0.0.1", "port": relay.port, "sender_address": SENDER}}
        with server.client.stream("POST", "/v1/check", json=typed, headers=EVENTS) as answer:
            lines = answer.iter_lines()
            for line in lines:
                if "greeting" in line:
                    break
            began = time.monotonic()
            server.stop()
            took, rest = time.monotonic() - began, list(lines)
        assert not any("done" in line for line in rest)
        assert took < REQUEST_GRACE  # as long as it would be waited for if it did not end
        eventually(lambda: relay.here == 0, what="the connection to the relay closing", within=5)
