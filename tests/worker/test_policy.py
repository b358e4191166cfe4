"""A relay that is away, a person who mends it, and a second profile that stands in: with real relays."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from postroom.domain.secret import Secret
from postroom.smtp.route import Route
from postroom.smtp.sandbox import Caught, Sandbox
from postroom.store.profiles import StoredProfile
from serving import House, a_house, free_port
from smtp.moods import OFFERS, Mood, Visit, open_relay
from worker.test_loop import at_work, hand_in, point_to, route_of, run, until


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path) as house:
        yield house


class Switched:
    """A sandbox relay on one port that can be killed and brought back."""

    def __init__(self) -> None:
        self.port = free_port()
        self.mails: list[Caught] = []
        self._running: Sandbox | None = None

    async def _keep(self, mail: Caught) -> None:
        self.mails.append(mail)

    async def on(self) -> None:
        self._running = Sandbox(self._keep, hostname="switched.test")
        await self._running.start("127.0.0.1", self.port)

    async def off(self) -> None:
        if self._running:
            await self._running.close()
            self._running = None


@pytest.fixture
async def relays() -> AsyncIterator[tuple[Switched, Switched]]:
    two = Switched(), Switched()
    yield two
    for each in two:
        await each.off()


async def ask(house: House, method: str, path: str, body: Any = None, code: int = 200) -> Any:
    answer = await house.client.request(method, f"/v1/{path}", json=body, headers=house.admin)
    assert answer.status_code == code, answer.text
    return answer.json()


async def set_up(house: House, relays: tuple[Switched, Switched], **second: Any) -> None:
    """The default profile fails over to profile 2."""
    common = {"host": "127.0.0.1", "sender_address": "post@company.example"}
    await ask(house, "POST", "profiles", common | {"name": "second", "port": relays[1].port} | second, 201)
    await ask(house, "PUT", "profiles/1", common | {"port": relays[0].port, "failover": 2})


async def deliveries(house: House) -> list[Any]:
    """By recipient."""
    found = (await ask(house, "GET", "messages"))["messages"]
    shown = [await ask(house, "GET", f"messages/{each['id']}") for each in found]
    return sorted((each["deliveries"][0] for each in shown), key=lambda each: each["recipient"])


# --- failover


async def test_while_its_relay_is_away_mail_goes_through_the_second_profile_and_then_through_the_first_again(
    house: House, relays: tuple[Switched, Switched]
):
    first, second = relays
    await set_up(house, relays)
    await second.on()
    await hand_in(house, 5)
    async with at_work(house) as worker:
        await until(lambda: len(second.mails) == 5, "delivery through the second")
        await until(lambda: worker.in_flight == 0, "settling")
        told = await deliveries(house)
        assert [each["state"] for each in told] == ["sent"] * 5
        assert {(each["tries"][-1]["profile"], each["tries"][-1]["relay"]) for each in told} == {
            (2, f"127.0.0.1:{second.port}")
        }
        assert {each["tries"][0]["profile"] for each in told} >= {1}  # the first was asked before
        assert {mail.envelope_sender for mail in second.mails} == {"post@company.example"}

        await first.on()
        assert (await ask(house, "POST", "profiles/1/check", {}))["ok"]
        await hand_in(house, 1, first=5)
        await until(lambda: len(first.mails) == 1, "the probe through the first")
        await until(lambda: worker.in_flight == 0, "settling")
        assert (await house.profile())["trouble"] is None
        await hand_in(house, 5, first=6)
        await until(lambda: len(first.mails) == 6, "delivery through the first")
        assert len(second.mails) == 5


async def test_a_recipient_that_the_second_profile_may_not_mail_waits_for_the_first(
    house: House, relays: tuple[Switched, Switched]
):
    first, second = relays
    await set_up(house, relays, recipient_filter="r0@d.example")
    await second.on()
    await hand_in(house, 2)
    async with at_work(house):
        await until(lambda: len(second.mails) == 1, "delivery through the second")

        async def is_told_of() -> bool:
            ours, other = await deliveries(house)
            return (ours["state"], other["state"]) == ("sent", "waiting") and "stands in" in (other["note"] or "")

        await until(is_told_of, "one sent, and the other told why it waits")
        told = await deliveries(house)
        await first.on()
        await ask(house, "POST", f"messages/{told[1]['id'].partition('.')[0]}/retry")
        await until(lambda: len(first.mails) == 1, "delivery through the first")
    assert [mail.recipients for mail in first.mails + second.mails] == [("r1@d.example",), ("r0@d.example",)]


@pytest.mark.parametrize(
    ("profile", "target", "words"),
    [
        (1, 9, "no profile 9"),
        (1, 1, "itself"),
        (1, 3, "Profile 3 fails over to another one"),  # 1 → 3 → 2
        (2, 1, "Profile 3 fails over to this one"),  # 3 → 2 → 1
    ],
)
async def test_a_failover_that_makes_no_sense_is_refused_by_its_name(
    house: House, profile: int, target: int, words: str
):
    common = {"host": "127.0.0.1", "sender_address": "post@company.example"}
    await ask(house, "POST", "profiles", common | {"name": "second"}, 201)
    await ask(house, "POST", "profiles", common | {"name": "third", "failover": 2}, 201)
    refused = await ask(house, "PATCH", f"profiles/{profile}", {"failover": target}, 400)
    assert refused["field"] == "failover"
    assert words in refused["detail"]


async def test_a_profile_whose_failover_was_deleted_can_still_be_saved(house: House):
    common = {"host": "127.0.0.1", "sender_address": "post@company.example"}
    await ask(house, "POST", "profiles", common | {"name": "second"}, 201)
    await ask(house, "PATCH", "profiles/1", {"failover": 2})
    answer = await house.client.delete("/v1/profiles/2", headers=house.admin)
    assert answer.status_code == 204
    assert (await ask(house, "PATCH", "profiles/1", {"sender_name": "Post"}))["failover"] == 2


# --- a person mends it


@pytest.mark.parametrize("how", ["save", "retry", "check", "resume"])
async def test_whoever_mended_the_relay_does_not_wait_out_a_rest(
    house: House, relays: tuple[Switched, Switched], how: str
):
    relay = relays[0]
    settings = {"host": "127.0.0.1", "port": relay.port, "sender_address": "post@company.example"}
    await ask(house, "PUT", "profiles/1", settings)
    await hand_in(house, 3)
    async with at_work(house) as worker:
        await until_in_trouble(house)
        await make_it_rest_long(house)
        await relay.on()
        if how == "save":
            assert (await ask(house, "PUT", "profiles/1", settings))["revision"] == 2
        elif how == "retry":
            message = (await ask(house, "GET", "messages"))["messages"][0]["id"]
            await ask(house, "POST", f"messages/{message}/retry")
        else:
            await ask(house, "POST", f"profiles/1/{how}", {} if how == "check" else None)
        worker.wake()
        await until(lambda: len(relay.mails) == 3, "delivery")


async def test_a_check_that_fails_ends_no_rest(house: House, relays: tuple[Switched, Switched]):
    await ask(house, "PATCH", "profiles/1", {"port": relays[0].port})
    await hand_in(house)
    async with at_work(house):
        await until_in_trouble(house)
    await make_it_rest_long(house)
    before = (await house.profile())["rests_until"]
    assert not (await ask(house, "POST", "profiles/1/check", {}))["ok"]
    assert (await house.profile())["rests_until"] == before


async def test_a_paused_profile_keeps_its_mail_and_sends_it_when_it_is_resumed(
    house: House, relays: tuple[Switched, Switched]
):
    relay = relays[0]
    await relay.on()
    await ask(house, "PATCH", "profiles/1", {"port": relay.port})
    assert (await ask(house, "POST", "profiles/1/pause"))["paused_at"] is not None
    await hand_in(house, 3)
    async with at_work(house):
        await ask(house, "PATCH", "profiles/1", {"sender_name": "Post"})
        status = await ask(house, "GET", "status")
        assert [(each["tenant"], each["profile"], each["trouble"]) for each in status["trouble"]] == [
            ("default", 1, None)
        ]
        assert [each["attempts"] for each in await deliveries(house)] == [0] * 3
        assert (await ask(house, "POST", "profiles/1/resume"))["paused_at"] is None
        await until(lambda: len(relay.mails) == 3, "delivery")
    assert (await ask(house, "GET", "status"))["trouble"] == []


async def test_a_pause_hands_back_what_has_not_begun(house: House):
    may_go_on = asyncio.Event()

    async def thinks_about_it(visit: Visit) -> bytes:
        await may_go_on.wait()
        await visit.say(b"250 ok\r\n")
        return b"250 ok"

    async with open_relay(Mood({"dot": thinks_about_it}, offers=())) as slow:
        await point_to(house, slow)
        await ask(house, "PATCH", "profiles/1", {"most_connections": 1})
        await hand_in(house, 5)
        async with at_work(house) as worker:
            await until(lambda: slow.said["dot"] == 1, "the first mail's final dot")
            await ask(house, "POST", "profiles/1/pause")
            worker.settings_changed()
            await until(lambda: worker.in_flight == 1, "giving back")
            may_go_on.set()
            await until(lambda: worker.in_flight == 0, "the end of what was on the wire")
        assert len(slow.mails) == 1
        assert sorted(each["state"] for each in await deliveries(house)) == ["sent", *["waiting"] * 4]


async def test_a_rejected_password_is_tried_once_told_of_and_keeps_the_mail(house: House):
    mood = Mood({"AUTH": b"535 5.7.8 wrong\r\n"}, offers=(*OFFERS, "AUTH PLAIN"))
    async with open_relay(mood) as relay:
        login = {"auth": "password", "username": "post", "password": "wrong"}
        settings = {"host": "127.0.0.1", "port": relay.port, "sender_address": "post@company.example"}
        await ask(house, "PUT", "profiles/1", settings | login)
        await hand_in(house, 30)

        def logs_in(stored: StoredProfile) -> Route:
            route = route_of(stored)
            return replace(route, password=Secret("wrong"), plaintext_networks=(ip_network("127.0.0.0/8"),))

        with capture_logs() as logged:
            async with at_work(house, logs_in) as worker:
                await until_in_trouble(house)
                await until(lambda: worker.in_flight == 0, "giving back")
        assert relay.said["AUTH"] == 1
        (alert,) = [each for each in logged if each["event"] == "settings_rejected"]
        assert (alert["log_level"], alert["profile"], alert["seconds"] >= 1200) == ("warning", 1, True)
    (trouble,) = (await ask(house, "GET", "status"))["trouble"]
    assert trouble["trouble"]
    assert trouble["rests_until"]
    assert {each["state"] for each in await deliveries(house)} == {"waiting"}


async def test_a_relay_that_is_back_is_asked_by_one_delivery_and_then_by_more_and_more(house: House):
    standing: list[tuple[int, int]] = []

    async def greets(visit: Visit) -> bytes:
        standing.append((visit.relay.here, len(visit.relay.mails)))
        await visit.say(b"220 back again\r\n")
        return b"220"

    async with open_relay(Mood({"greeting": b"421 not now\r\n"})) as relay:
        await point_to(house, relay)
        await hand_in(house, 80)
        async with at_work(house) as worker:
            await until_in_trouble(house)
            await until(lambda: worker.in_flight == 0, "giving back")
            relay.mood = Mood({"greeting": greets}, offers=())
            await ask(house, "POST", "profiles/1/resume")
            await until(lambda: len(relay.mails) == 80, "delivery")
            await until(lambda: worker.in_flight == 0, "settling")
    assert standing[0] == (1, 0)
    assert all(here <= 1 + delivered for here, delivered in standing)
    told = (await ask(house, "GET", "messages?limit=200"))["messages"]
    assert {each["state"] for each in told} == {"sent"}


# --- recipients


async def test_recipients_beyond_what_the_relay_takes_at_once_follow_at_once(house: House):
    async def takes_two(visit: Visit) -> bytes:
        answer = b"250 ok\r\n" if len(visit.recipients) < 2 else b"452 4.5.3 too many recipients\r\n"
        await visit.say(answer)
        return answer

    async with open_relay(Mood({"RCPT": takes_two})) as relay:
        await point_to(house, relay)
        await ask(house, "POST", "messages", {"to": [f"r{n}@d.example" for n in range(7)], "text": "x"}, 202)
        async with at_work(house) as worker:
            await until(lambda: len(relay.mails) == 4, "four transactions")
            await until(lambda: worker.in_flight == 0, "settling")
    assert [len(mail.recipients) for mail in relay.mails] == [2, 2, 2, 1]
    assert len({each for mail in relay.mails for each in mail.recipients}) == 7


async def until_in_trouble(house: House) -> None:
    async def is_in_trouble() -> bool:
        return (await house.profile())["trouble"] is not None

    await until(is_in_trouble, "noting the trouble")


async def make_it_rest_long(house: House) -> None:
    await run(house, "UPDATE lane SET rests_until = rests_until + 3600000000, wake_at = wake_at + 3600000000")


async def test_a_message_that_is_over_is_not_tried_again_just_because_its_lane_rests(
    house: House, relays: tuple[Switched, Switched]
):
    relay = relays[0]
    await relay.on()
    await ask(house, "PATCH", "profiles/1", {"port": relay.port})
    await hand_in(house)
    async with at_work(house) as worker:
        await until(lambda: len(relay.mails) == 1 and worker.in_flight == 0, "delivery")
        await relay.off()
        await hand_in(house, first=1)
        await until_in_trouble(house)
    await make_it_rest_long(house)
    sent = (await ask(house, "GET", "messages?state=sent"))["messages"][0]["id"]
    before = (await house.profile())["rests_until"]
    await ask(house, "POST", f"messages/{sent}/retry", code=409)
    assert (await house.profile())["rests_until"] == before
