"""/messages: finding mail, and the life of one."""

import asyncio
import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from serving import House, Server
from smtp.moods import Mood, Relay, open_relay


async def send(house: House, **said: Any) -> str:
    answer = await house.client.post("/v1/messages", json={"to": ["anna@there.example"], "text": "x"} | said,
                                     headers=house.admin)  # fmt: skip
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@asynccontextmanager
async def at_work(house: House, mood: Mood) -> AsyncIterator[Relay]:
    """The worker runs, and the default profile's relay has this mood."""
    async with open_relay(mood) as relay:
        settings = {"host": "127.0.0.1", "port": relay.port, "sender_address": "us@home.example"}
        assert (await house.client.put("/v1/profiles/default", json=settings, headers=house.admin)).status_code == 200
        running = asyncio.create_task(house.postroom.worker.run())
        try:
            yield relay
        finally:
            house.postroom.worker.stop()
            await running


async def until(house: House, message: str, words: str) -> str:
    """The message's page, as soon as it says so."""
    for _ in range(1000):
        shown = (await house.client.get(f"/messages/{message}")).text
        if words in shown:
            return html.unescape(shown)
        await asyncio.sleep(0.01)
    raise AssertionError(f"the page never said {words}: {shown}")


async def titles(house: House, **query: str) -> list[str]:
    shown = await house.client.get("/messages", params=query)
    assert shown.status_code == 200, shown.text
    return [line.partition('">')[2].partition("</a>")[0].partition('">')[2]
            for line in shown.text.splitlines() if 'class="free"' in line]  # fmt: skip


async def test_messages_are_listed_newest_first_and_found_by_each_filter(house: House):
    await house.sign_in()
    first = await send(house, subject="Invoice 100%", to=["anna@there.example", "bernd@there.example"])
    await send(house, subject="Nightly scan")
    assert await titles(house) == ["Nightly scan", "Invoice 100%"]
    for query in ({"text": "INVOICE"}, {"text": "100%"}, {"text": first}, {"text": f"<{first}@home.example>"},
                  {"to": "Bernd@"}, {"text": "invoice", "to": "there.example", "state": "waiting", "profile": "1"},
                  {"text": first.upper()}):  # fmt: skip
        assert await titles(house, **query) == ["Invoice 100%"], query
    for query in ({"text": "0%0"}, {"to": "nobody"}, {"state": "held"}, {"profile": "7"}, {"text": "0" * 26},
                  {"since": "2100-01-01T00:00"}, {"until": "2000-01-01T00:00"}):  # fmt: skip
        shown = await house.client.get("/messages", params=query)
        assert "Nothing found" in shown.text, query
        assert "Show all" in shown.text


async def test_a_page_has_fifty_and_leads_to_the_next(house: House):
    await house.sign_in()
    mails = [{"to": ["a@there.example"], "text": "x", "subject": f"Mail {n}"} for n in range(51)]
    assert (await house.client.post("/v1/messages", json=mails, headers=house.admin)).status_code == 202
    shown = (await house.client.get("/messages?state=waiting")).text
    assert shown.count('class="free"') == 50
    older = html.unescape(shown.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0])
    assert "state=waiting" in older
    rest = (await house.client.get(older)).text
    assert rest.count('class="free"') == 1
    assert "data-live" not in rest
    assert "Back to the newest" in rest


@pytest.mark.parametrize(
    ("query", "field"), [({"since": "soon"}, "since"), ({"state": "gone"}, "state"), ({"profile": "x"}, "profile"),
                         ({"since": "2026-02-01T00:00", "until": "2026-01-01T00:00"}, "until")]
)  # fmt: skip
async def test_a_wrong_filter_is_named_at_its_field_and_kept(house: House, query: dict[str, str], field: str):
    await house.sign_in()
    await house.client.post("/v1/profiles", headers=house.admin,
                            json={"name": "second", "host": "127.0.0.1", "sender_address": "a@b.example"})  # fmt: skip
    shown = await house.client.get("/messages", params=query)
    assert shown.status_code == 400
    line = next(line for line in shown.text.splitlines() if f'id="{field}"' in line)
    assert f'aria-invalid="true" autofocus aria-describedby="{field}-said"' in line
    assert f'id="{field}-said"' in shown.text
    if field != "state":
        assert query[field] in shown.text or field == "profile"


async def test_no_mail_yet_says_how_to_send_one(house: House):
    await house.sign_in()
    assert "./run send" in (await house.client.get("/messages")).text


async def test_a_refused_recipient_is_explained_with_the_relays_words_and_the_transcript(house: House):
    await house.sign_in()
    async with at_work(house, Mood({"RCPT": (b"250 ok\r\n", b"550 5.1.1 <b@there.example>: nobody here\r\n")})):
        message = await send(house, to=["a@there.example", "b@there.example"], subject="Two")
        shown = await until(house, message, 'class="state bad"')
    assert "550 5.1.1 <b@there.example>: nobody here" in shown
    assert "recipient.refused" in shown
    assert "Check the address." in shown
    assert shown.count("Attempt 1") == 1  # one transaction for both
    assert "S: 550 5.1.1" in shown
    assert "C: RCPT TO:<b@there.example>" in shown
    assert "without TLS" in shown
    assert "Try again now" in shown


async def test_what_waits_says_until_when(house: House):
    await house.sign_in()
    async with at_work(house, Mood({"RCPT": b"451 4.7.1 Greylisted\r\n"})):
        shown = await until(house, await send(house), "Greylisted")
    assert "It is tried again in " in shown
    assert "If nothing helps, it expires in " in shown


async def test_what_waits_for_its_relay_says_why(house: House):
    await house.sign_in()
    async with at_work(house, Mood({"greeting": b"554 go away\r\n"})):
        shown = await until(house, await send(house), "waits, for the reason above")  # once both are written down
    assert "All mail of" in shown
    assert "The relay refused the connection (554)." in shown


async def test_what_waits_for_a_person_says_so(house: House):
    await house.sign_in()
    paused = await house.client.post("/v1/profiles/default/pause", headers=house.admin)
    assert paused.status_code == 200
    assert "is paused since" in await until(house, await send(house), "is paused since")


async def test_held_mail_is_released_or_cancelled_by_a_person(house: House):
    await house.sign_in()

    async def hang_up(visit: Any) -> bytes | None:
        raise EOFError

    async with at_work(house, Mood({"dot": hang_up})) as relay:
        message = await send(house, on_doubt="hold")
        shown = await until(house, message, "It is held for a person")
        assert "in_doubt.lost" in shown
        assert "Release" in shown
        relay.mood = Mood()
        released = await house.client.post(f"/messages/{message}/retry")
        assert (released.status_code, released.headers["location"]) == (303, f"/messages/{message}?done=retried")
        await until(house, message, "The relay took it")
    again = await house.client.post(f"/messages/{message}/retry")
    assert again.status_code == 409
    assert "Nothing to try again" in again.text


async def test_what_the_filter_held_back_is_said(house: House):
    await house.sign_in()
    settings = {"recipient_filter": "*@home.example"}
    await house.client.patch("/v1/profiles/default", json=settings, headers=house.admin)
    message = await send(house, to=["in@home.example", "out@there.example"])
    shown = (await house.client.get(f"/messages/{message}")).text
    assert "Not sent to out@there.example" in shown
    assert "Held back by the recipient filter *@home.example" in shown


async def test_a_message_shows_what_it_says_and_escapes_it(house: House):
    await house.sign_in()
    message = await send(house, subject="<b>Hi</b>", text="<script>alert(1)</script>", html="<img src=x onerror=y>",
                         attachments=[{"filename": "<i>.txt", "content": "eA=="}])  # fmt: skip
    shown = (await house.client.get(f"/messages/{message}")).text
    for danger in ("<b>Hi", "<script>alert", "<img src=x", "<i>.txt"):
        assert danger not in shown
        assert html.escape(danger) in shown
    listed = (await house.client.get("/messages")).text
    assert "&lt;b&gt;Hi" in listed
    assert "<b>Hi" not in listed


async def test_a_key_that_may_only_read_mail_is_offered_nothing_else(house: House):
    message = await send(house)
    await house.sign_in("mail:read")
    shown = (await house.client.get(f"/messages/{message}")).text
    assert "Try again now" not in shown
    assert "to go through profile 1." in shown  # its name is a setting
    assert (await house.client.post(f"/messages/{message}/cancel")).status_code == 403
    assert "default" not in (await house.client.get("/messages")).text.partition("<main")[2]


async def test_without_the_permission_there_is_no_mail(house: House):
    message = await send(house)
    await house.sign_in("settings:read")
    for path in ("/messages", f"/messages/{message}", "/live/messages", f"/live/messages/{message}"):
        answer = await house.client.get(path)
        if path.startswith("/live"):
            assert "event: end" in answer.text, path
        else:
            assert answer.status_code == 403, path
            assert "lacks the permission mail:read" in html.unescape(answer.text)


async def test_another_tenants_message_is_not_there(house: House):
    message = await send(house, subject="Secret")
    await house.tenant("acme")
    await house.sign_in(tenant="acme")
    assert "Secret" not in (await house.client.get("/messages")).text
    for method, path in (("GET", ""), ("POST", "/retry"), ("POST", "/cancel")):
        answer = await house.client.request(method, f"/messages/{message}{path}")
        assert answer.status_code == 404
        assert "Secret" not in answer.text


async def test_a_form_of_another_site_cancels_nothing(house: House):
    message = await send(house)
    await house.sign_in()
    answer = await house.client.post(f"/messages/{message}/cancel", headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    shown = (await house.client.get(f"/v1/messages/{message}", headers=house.admin)).json()
    assert shown["state"] == "waiting"


def test_a_page_hears_of_what_has_changed(tmp_path: Any):
    """Over a real connection: what is open stays open."""
    with Server(tmp_path) as server:
        server.client.post("/sign-in", data={"key": server.client.headers["authorization"].split()[1]})
        page = server.client.get("/messages").text
        live = html.unescape(page.partition('data-live="')[2].partition('"')[0])
        with server.client.stream("GET", live) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            server.client.post("/v1/messages", json={"to": ["a@b.example"], "text": "x"})
            assert next(line for line in lines if line) == "event: changed"
        fresh = server.client.get("/messages").text
        assert fresh.partition('data-live="')[2].partition('"')[0] != page.partition('data-live="')[2].partition('"')[0]


def test_open_streams_hold_up_nobody_who_stops_the_server(tmp_path: Any):
    with Server(tmp_path) as server:
        server.client.post("/sign-in", data={"key": server.client.headers["authorization"].split()[1]})
        with server.client.stream("GET", "/live/sandbox"):
            assert server.stop() == 0
