"""The worker when something goes wrong around it: nothing that it claimed may stay in its hands for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from postroom.smtp.reach import Reach
from postroom.smtp.route import Route
from postroom.store.profiles import StoredProfile
from postroom.worker.loop import Worker
from serving import House, a_house
from smtp.moods import Mood, Relay, Visit, open_relay


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path) as house:
        yield house


def route_of(stored: StoredProfile) -> Route:
    return Route(stored.settings, None, Reach(), "worker.test")


@asynccontextmanager
async def at_work(
    house: House, routes: Callable[[StoredProfile], Route] = route_of, **settings: int
) -> AsyncIterator[Worker]:
    worker = Worker(house.postroom.database, house.postroom.vault, routes, lease=60, **settings)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await running


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Gives the others a turn until it holds."""
    for _ in range(2_000):
        holds = condition()
        if holds if isinstance(holds, bool) else await holds:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what} did not happen")


async def point_to(house: House, relay: Relay, tenant: str = "default") -> None:
    settings = {"host": "127.0.0.1", "port": relay.port, "sender_address": "a@b.example"}
    headers = house.admin | {"x-postroom-tenant": tenant}
    path, send = ("/v1/profiles/1", house.client.put) if tenant == "default" else ("/v1/profiles", house.client.post)
    body = settings if tenant == "default" else settings | {"name": "default"}
    answer = await send(path, json=body, headers=headers)
    assert answer.status_code in (200, 201), answer.text


async def hand_in(house: House, count: int = 1, tenant: str = "default", octets: int = 10, first: int = 0) -> None:
    words = ("x" * 60 + "\n") * (octets // 61)
    mails = [{"to": [f"r{n}@d.example"], "subject": str(n), "text": words} for n in range(first, first + count)]
    headers = house.admin | {"x-postroom-tenant": tenant}
    answer = await house.client.post("/v1/messages", json=mails, headers=headers)
    assert answer.status_code == 202, answer.text


async def run(house: House, statement: str) -> None:
    def step(connection: Connection) -> None:
        connection.execute(text(statement))

    await house.postroom.database.write(step)


async def test_mail_that_could_not_be_read_just_now_is_given_back_and_goes_out_later(house: House):
    async with open_relay(Mood()) as relay:
        await point_to(house, relay)
        await hand_in(house, 3)
        await run(house, "ALTER TABLE body RENAME TO elsewhere")
        with capture_logs() as logged:
            async with at_work(house) as worker:
                await until(lambda: any(each["event"] == "worker_failed" for each in logged), "a failed look-up")
                await until(lambda: worker.in_flight == 0, "giving back")
                await run(house, "ALTER TABLE elsewhere RENAME TO body")
                await until(lambda: len(relay.mails) == 3, "delivery")


async def test_a_mistake_with_one_profile_keeps_neither_its_mail_in_hand_nor_anothers_from_going(house: House):
    await house.tenant("acme")

    def only_acme(stored: StoredProfile) -> Route:
        if stored.settings.port == broken.port:
            raise LookupError("a mistake of ours")
        return route_of(stored)

    async with open_relay(Mood()) as broken, open_relay(Mood()) as good:
        await point_to(house, broken)
        await point_to(house, good, "acme")
        await hand_in(house, 3)
        await hand_in(house, 3, "acme")
        async with at_work(house, only_acme) as worker:
            await until(lambda: len(good.mails) == 3, "delivery")
            await until(lambda: worker.in_flight == 0, "letting go")


async def test_no_more_content_is_held_than_there_is_room_for_and_the_rest_costs_nothing(house: House):
    may_go_on = asyncio.Event()

    async def thinks_about_it(visit: Visit) -> bytes:
        await may_go_on.wait()
        await visit.say(b"250 ok\r\n")
        return b"250 ok"

    await house.tenant("acme")
    async with open_relay(Mood({"dot": thinks_about_it})) as slow, open_relay(Mood()) as good:
        await point_to(house, slow)
        await point_to(house, good, "acme")
        await hand_in(house, 2, octets=40_000)
        await hand_in(house, 4, octets=40_000, first=2)
        await hand_in(house, 3, "acme")
        async with at_work(house, most_octets=100_000) as worker:
            await until(lambda: len(good.mails) == 3, "another tenant's small mail")
            await until(lambda: worker.in_flight == 2, "giving back what does not fit")
            held = await house.client.get("/v1/messages?state=claimed", headers=house.admin)
            assert {each["subject"] for each in held.json()["messages"]} == {"0", "1"}  # the oldest
            may_go_on.set()
            await until(lambda: len(slow.mails) == 6, "delivery")
            await until(lambda: worker.in_flight == 0, "settling")
    found = (await house.client.get("/v1/messages", headers=house.admin)).json()["messages"]
    assert [(each["state"], each["deliveries"][0]["attempts"]) for each in found] == [("sent", 1)] * 6


async def test_a_single_mail_larger_than_all_room_is_sent_all_the_same(house: House):
    async with open_relay(Mood()) as relay:
        await point_to(house, relay)
        await hand_in(house, 2, octets=40_000)
        async with at_work(house, most_octets=10_000):
            await until(lambda: len(relay.mails) == 2, "delivery")


async def test_what_fails_with_the_old_settings_does_not_rest_the_lane_of_the_new_ones(house: House):
    may_refuse = asyncio.Event()

    async def refuses_late(visit: Visit) -> None:
        await may_refuse.wait()
        await visit.say(b"554 go away\r\n")

    async with open_relay(Mood({"greeting": refuses_late})) as wrong, open_relay(Mood()) as right:
        await point_to(house, wrong)
        await hand_in(house)
        async with at_work(house) as worker:
            await until(lambda: wrong.visits == 1, "dialling")
            await point_to(house, right)
            may_refuse.set()
            await until(lambda: worker.in_flight == 0, "the old attempt's end")
            assert (await house.profile())["trouble"] is None
            await until(lambda: len(right.mails) == 1, "delivery by the new settings")


async def test_a_lane_that_another_machine_found_well_rests_again_when_it_fails_here(house: House):
    async with open_relay(Mood({"greeting": b"421 not now\r\n"})) as away:
        await point_to(house, away)
        await hand_in(house)
        async with at_work(house) as worker:
            await until(lambda: away.visits == 1 and worker.in_flight == 0, "the first attempt")
            await run(house, "UPDATE lane SET rests_until = NULL, trouble = NULL, ready = 1, wake_at = NULL")
            worker.wake()
            await until(lambda: away.visits == 2 and worker.in_flight == 0, "the second attempt")
            assert (await house.profile())["trouble"] is not None


async def test_a_lease_that_is_nearly_over_at_the_dot_costs_no_attempt_and_no_wait(house: House):
    may_greet = asyncio.Event()

    async def greets_late(visit: Visit) -> None:
        await may_greet.wait()
        await visit.say(b"220 relay.example ESMTP\r\n")

    async with open_relay(Mood({"greeting": greets_late})) as relay:
        await point_to(house, relay)
        await hand_in(house)
        async with at_work(house) as worker:
            await until(lambda: relay.visits == 1, "dialling")
            await run(house, "UPDATE queue SET due_at = due_at - 55000000")  # 5 of 60 s are left
            may_greet.set()
            await until(lambda: len(relay.mails) == 1, "delivery")
            await until(lambda: worker.in_flight == 0, "settling")
    found = (await house.client.get("/v1/messages", headers=house.admin)).json()["messages"]
    assert [(each["state"], each["deliveries"][0]["attempts"]) for each in found] == [("sent", 1)]


async def marked(house: House) -> set[str]:
    """The subjects of what is in doubt."""
    query = text("SELECT subject FROM queue JOIN message ON message.id = queue.message_id WHERE in_doubt")
    return await house.postroom.database.read(lambda connection: set(connection.execute(query).scalars()))


@pytest.mark.parametrize("first", ["held", "usual"])
async def test_what_waits_for_a_connection_is_in_doubt_early_but_not_what_is_to_be_held_then(house: House, first: str):
    """And no more when it is put back: it never began."""
    may_end = asyncio.Event()

    async def are_marked() -> bool:
        return await marked(house) == {"0", "usual"}

    async def thinks(visit: Visit) -> None:
        await may_end.wait()
        await visit.say(b"250 ok\r\n")

    async def hand_in_one(subject: str, on_doubt: str) -> None:
        body = {"to": ["r@d.example"], "subject": subject, "text": "x", "on_doubt": on_doubt}
        answer = await house.client.post("/v1/messages", json=body, headers=house.admin)
        assert answer.status_code == 202, answer.text

    async with open_relay(Mood({"dot": thinks}, offers=())) as relay:
        await point_to(house, relay)
        saved = await house.client.patch("/v1/profiles/1", json={"most_connections": 1}, headers=house.admin)
        assert saved.status_code == 200, saved.text
        await hand_in(house)
        async with at_work(house) as worker:
            await until(lambda: relay.said["body"] == 1, "the first mail")
            for subject in ("held", "usual") if first == "held" else ("usual", "held"):
                await hand_in_one(subject, "hold" if subject == "held" else "retry")
            await until(lambda: worker.in_flight == 3, "claiming both")
            await until(are_marked, "marking one of the two ahead")
            paused = await house.client.post("/v1/profiles/1/pause", headers=house.admin)
            assert paused.status_code == 200, paused.text
            worker.settings_changed()
            await until(lambda: worker.in_flight == 1, "putting back")
            assert await marked(house) == {"0"}
            found = (await house.client.get("/v1/messages", headers=house.admin)).json()["messages"]
            attempts = {each["subject"]: each["deliveries"][0]["attempts"] for each in found}
            assert (attempts["held"], attempts["usual"]) == (0, 0)
            may_end.set()
