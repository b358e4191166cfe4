"""/profiles/…/check: the form tried as it stands, live and as a page"""

import json
from typing import Any

from serving import House
from smtp.moods import Mood, open_relay
from web.reading import read
from web.test_pages_profiles import RELAY, page, profile, put, send, sign_in

STREAM = {"accept": "text/event-stream"}


async def stream(house: House, path: str, form: dict[str, str]) -> list[tuple[str, Any]]:
    answer = await house.client.post(path, data=form, headers=STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = []
    for each in answer.text.strip().split("\n\n"):
        name, data = each.split("\n", 1)
        told.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return told


async def test_what_is_typed_is_checked_and_nothing_saved(house: House):
    await put(house, {"host": "relay.example", "sender_address": "a@company.example"})
    await sign_in(house)
    async with open_relay(Mood()) as relay:
        form = (await page(house, "/profiles/1")).fields | {"host": "127.0.0.1", "port": str(relay.port)}
        told = await stream(house, "/profiles/1/check", form | {"recipient": "b@company.example"})
        shown = read((await send(house, "/profiles/1/check", form, 200)).text)
    assert [name for name, _ in told[-2:]] == ["step", "done"]
    assert told[-1][1] == {"ok": True, "words": "All is well with these settings."}
    assert "b@company.example" in "".join(each["html"] for name, each in told if name == "step")
    assert "All is well" in shown.text
    assert shown.fields["port"] == form["port"], "what was typed stays in the form"
    assert (await profile(house))["host"] == "relay.example"


async def test_a_failing_step_proposes_a_change_that_goes_into_the_form(house: House):
    await sign_in(house)
    async with open_relay(Mood()) as relay:
        form = {"name": "New", "host": "127.0.0.1", "port": str(relay.port), "security": "starttls"}
        told = await stream(house, "/profiles/new/check", form)
        assert told[-1][1]["ok"] is False
        assert told[-2][1]["status"] == "failed"
        shown = read((await send(house, "/profiles/new/check", form, 200)).text)
        (proposal,) = shown.proposals
        filled = read((await send(house, "/profiles/new/check", form | {"use": proposal}, 200)).text)
        assert filled.fields["security"] == "starttls-if-offered"
        assert "Filled in, not saved yet: Encryption" in filled.text
        again = await stream(house, "/profiles/new/check", filled.fields)
    assert again[-1][1]["ok"] is True


async def test_what_a_change_needs_is_marked(house: House):
    await put(house, RELAY)
    await sign_in(house)
    form = (await page(house, "/profiles/1")).fields
    use = json.dumps({"changes": {"port": 465, "security": "tls", "ehlo_name": None}, "needs": ["password"]})
    shown = read((await send(house, "/profiles/1/check", form | {"use": use}, 200)).text)
    assert (shown.fields["port"], shown.fields["security"], shown.wrong) == ("465", "tls", {"password"})
    for nonsense in ("x", "{}", '{"changes": 1, "needs": []}', '{"changes": {"a": 1}}', "[]", "[" * 50_000,
                     '{"changes": {"host": "\\ud800"}, "needs": []}'):  # fmt: skip
        await send(house, "/profiles/1/check", form | {"use": nonsense}, 400)


async def test_a_stored_secret_is_not_tried_elsewhere(house: House):
    await put(house, RELAY)
    await sign_in(house)
    async with open_relay(Mood()) as relay:
        form = (await page(house, "/profiles/1")).fields | {"host": "127.0.0.1", "port": str(relay.port)}
        ((name, told),) = await stream(house, "/profiles/1/check", form)
        shown = read((await send(house, "/profiles/1/check", form, 400)).text)
        assert bytes(relay.got) == b""
    assert (name, told["field"]) == ("wrong", "password")
    assert shown.wrong == {"password"}


async def test_a_mistake_in_the_form_is_told_at_its_field(house: House):
    await put(house, RELAY)
    await sign_in(house)
    form = (await page(house, "/profiles/1")).fields | {"port": "x", "password": "canary-typed"}
    ((name, told),) = await stream(house, "/profiles/1/check", form)
    assert (name, told["field"]) == ("wrong", "port")
    answer = await send(house, "/profiles/1/check", form, 400)
    assert read(answer.text).wrong == {"port"}
    assert "canary" not in answer.text


async def test_a_test_mail_goes_by_what_is_stored(house: House):
    await put(house, {"host": "127.0.0.1", "port": 9, "sender_address": "a@company.example"})
    await sign_in(house)
    form = (await page(house, "/profiles/1")).fields | {"send": "yes", "recipient": "b@company.example"}
    ((name, told),) = await stream(house, "/profiles/1/check", form | {"port": "10"})
    assert (name, told["message"].startswith("A test mail goes out by the stored settings")) == ("wrong", True)
    told_of_stored = await stream(house, "/profiles/1/check", form)
    assert told_of_stored[-1][1]["ok"] is False
    assert told_of_stored[-2][1]["stage"] == "connect"


async def test_who_may_not_check_is_told_so(house: House):
    await put(house, RELAY)
    await sign_in(house, await house.key("settings:read"))
    assert "check-button" not in (await page(house, "/profiles/1")).ids
    await send(house, "/profiles/1/check", {"name": "x"}, 403)
    ((name, told),) = await stream(house, "/profiles/1/check", {"name": "x"})
    assert (name, "settings:check" in told["message"]) == ("wrong", True)


async def test_a_key_that_may_only_check_tries_what_is_stored(house: House):
    await put(house, {"host": "127.0.0.1", "port": 9, "sender_address": "a@company.example"})
    await sign_in(house, await house.key("settings:read", "settings:check"))
    form = (await page(house, "/profiles/1")).fields
    told = await stream(house, "/profiles/1/check", form)
    assert told[-2][1]["stage"] == "connect"


async def test_what_a_relay_says_is_text(house: House):
    await sign_in(house)
    async with open_relay(Mood({"MAIL": b"550 <script>alert(1)</script>\r\n"})) as relay:
        form = {"name": "New", "host": "127.0.0.1", "port": str(relay.port), "security": "none",
                "sender_address": "a@company.example"}  # fmt: skip
        told = await stream(house, "/profiles/new/check", form)
    rungs = "".join(each["html"] for name, each in told if name == "step")
    assert "&lt;script&gt;" in rungs
    assert "<script>" not in rungs
    assert (await house.client.get("/profiles/1/check")).headers["location"] == "/profiles/1"
