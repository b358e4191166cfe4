"""Rolled back while mail flows: each relay is only ever shown its own password."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from serving import House, a_house
from smtp.moods import OFFERS, Mood, Relay, knows, open_relay

PASSWORDS = ("first-4711", "second-0815")
ROUNDS = 6


@pytest.fixture
async def house(tmp_path: Path, database_url: str | None) -> AsyncIterator[House]:
    async with a_house(tmp_path, database_url=database_url) as house:
        worker = asyncio.create_task(house.postroom.worker.run())
        yield house
        house.postroom.worker.stop()
        await worker


def mood(password: str) -> Mood:
    return Mood({"AUTH": knows("mailer", password)}, offers=(*OFFERS, "AUTH PLAIN"))


def shown_to(relay: Relay) -> set[str]:
    return {line for line in relay.heard if line.startswith("AUTH ")}


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not reached():  # noqa: ASYNC110  relays have no event
            await asyncio.sleep(0.01)


async def test_each_attempt_has_the_old_settings_or_the_new_with_the_password_of_its_own(house: House):
    async with open_relay(mood(PASSWORDS[0])) as first, open_relay(mood(PASSWORDS[1])) as second:
        relays = (first, second)
        for relay, password in zip(relays, PASSWORDS, strict=True):
            settings = {
                "host": "127.0.0.1", "port": relay.port, "auth": "password", "username": "mailer",
                "password": password, "sender_address": "noreply@company.example",
            }  # fmt: skip
            saved = await house.client.put("/v1/profiles/1", json=settings, headers=house.admin)
            assert saved.status_code == 200, saved.text

        sent = 0
        for turn in range(ROUNDS):  # revision 2 is the first relay's, 3 the second's
            path = f"/v1/profiles/1/revisions/{2 + turn % 2}/restore"
            mails = [{"to": [f"u{n}@email.com"], "text": "It works."} for n in range(20)]
            both = await asyncio.gather(
                house.client.post("/v1/messages", json=mails, headers=house.admin),
                house.client.post(path, headers=house.admin),
            )
            assert [each.status_code for each in both] == [202, 200]
            sent += len(mails)
        await until(lambda: sum(len(relay.mails) for relay in relays) >= sent)

        # Which relay the mail of a race went to is chance; what follows each rollback is not.
        for revision, relay in enumerate(relays, start=2):
            before = len(relay.mails)
            await house.client.post(f"/v1/profiles/1/revisions/{revision}/restore", headers=house.admin)
            await house.client.post("/v1/messages", json={"to": ["u@email.com"], "text": "Still."}, headers=house.admin)
            await until(lambda relay=relay, before=before: len(relay.mails) > before)
            sent += 1

        for relay, password in zip(relays, PASSWORDS, strict=True):
            right = base64.b64encode(f"\0mailer\0{password}".encode()).decode()
            assert shown_to(relay) == {f"AUTH PLAIN {right}"}
        assert sum(len(relay.mails) for relay in relays) == sent
