"""A person signed in once; mail goes out with what that left, however often the provider replaces it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from serving import House, a_house
from smtp.moods import Mood, Relay, open_relay
from smtp.test_oauth import knows
from smtp.tokens_from import Issuer, Rotating, open_issuer

FIRST = "1//the-first-refresh-token"
CLIENT_SECRET = "canary-client-secret"


@asynccontextmanager
async def at_work(data_dir: Path) -> AsyncIterator[House]:
    async with a_house(data_dir) as house:
        worker = asyncio.create_task(house.postroom.worker.run())
        try:
            yield house
        finally:
            house.postroom.worker.stop()
            await worker


@pytest.fixture
async def provider() -> AsyncIterator[Issuer]:
    async with open_issuer(Rotating(FIRST)) as issuer:
        yield issuer


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    tokens = knows(*(f"ya29.access-{n}" for n in range(1, 9)), mailbox="me@example.com")
    async with open_relay(Mood({"AUTH": tokens}, offers=("AUTH XOAUTH2",))) as relay:
        yield relay


def settings(relay: Relay, provider: Issuer, **other: Any) -> dict[str, Any]:
    return {
        "host": "127.0.0.1", "port": relay.port, "auth": "oauth2", "sender_address": "me@example.com",
        "token_url": provider.url, "token_grant": "refresh_token", "client_id": "the-client",
        "password": CLIENT_SECRET, "refresh_token": FIRST,
    } | other  # fmt: skip


async def put(house: House, body: dict[str, Any]) -> Any:
    answer = await house.client.put("/v1/profiles/default", json=body, headers=house.admin)
    for secret in (FIRST, CLIENT_SECRET, "1//refresh"):
        assert secret not in answer.text
    return answer


async def mail(house: House) -> None:
    body = {"to": ["ann@example.com"], "subject": "Hello", "text": "It works."}
    assert (await house.client.post("/v1/messages", json=body, headers=house.admin)).status_code == 202


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  the relay has no event to wait for
            await asyncio.sleep(0.01)


async def sealed(house: House) -> list[str]:
    rows = text("SELECT sealed FROM sign_in ORDER BY id")
    return list(await house.postroom.database.read(lambda connection: connection.execute(rows).scalars().all()))


async def test_what_the_provider_gives_in_its_place_outlives_the_process(
    tmp_path: Path, relay: Relay, provider: Issuer
):
    async with at_work(tmp_path) as house:
        saved = (await put(house, settings(relay, provider))).json()
        assert (saved["password_set"], saved["refresh_token_set"], saved["token_grant"]) == (
            True,
            True,
            "refresh_token",
        )
        before = await sealed(house)
        await mail(house)
        await until(lambda: len(relay.mails) == 1)
        after = await sealed(house)
        assert len(after) == 1
        assert after != before
        assert "1//refresh" not in str(after)
        assert (await house.profile())["revision"] == saved["revision"]  # no setting has changed
    async with at_work(tmp_path) as house:
        await mail(house)
        await until(lambda: len(relay.mails) == 2)
    assert [form["refresh_token"] for form in provider.forms] == [FIRST, "1//refresh 1"]


async def test_a_script_that_says_the_same_once_more_undoes_nothing(tmp_path: Path, relay: Relay, provider: Issuer):
    async with at_work(tmp_path) as house:
        saved = (await put(house, settings(relay, provider))).json()
        await mail(house)
        await until(lambda: len(relay.mails) == 1)
        assert (await put(house, settings(relay, provider))).json()["revision"] == saved["revision"]
        renamed = (await put(house, settings(relay, provider, sender_name="Me"))).json()
        assert renamed["revision"] == saved["revision"] + 1
        newest = await sealed(house)
        assert len(newest) == 1
        again = (await put(house, settings(relay, provider, refresh_token="1//another"))).json()
        assert again["revision"] == saved["revision"] + 2
        assert (await sealed(house))[0] == newest[0]
        assert len(await sealed(house)) == 2


async def test_the_same_token_for_another_destination_is_another_sign_in(
    tmp_path: Path, relay: Relay, provider: Issuer
):
    """So that what one provider gives in its place never goes to the other."""
    async with a_house(tmp_path) as house:
        await put(house, settings(relay, provider))
        assert (await put(house, settings(relay, provider, token_scope="mail"))).status_code == 200
        assert len(await sealed(house)) == 2


async def test_a_sign_in_that_has_ended_is_told_and_a_new_one_ends_the_rest(
    tmp_path: Path, relay: Relay, provider: Issuer
):
    async with at_work(tmp_path) as house:
        await put(house, settings(relay, provider, refresh_token="1//revoked"))
        await mail(house)
        async with asyncio.timeout(30):
            while (profile := await house.profile())["trouble"] is None:  # noqa: ASYNC110  only asking tells
                await asyncio.sleep(0.01)
        assert "Sign in again" in profile["trouble"]
        assert profile["rests_until"] is not None
        assert relay.mails == []
        assert (await put(house, settings(relay, provider))).json()["trouble"] is None
        await until(lambda: len(relay.mails) == 1)


async def test_neither_secret_goes_where_it_was_not_entered_for(tmp_path: Path, relay: Relay, provider: Issuer):
    async with a_house(tmp_path) as house:
        await put(house, settings(relay, provider))
        elsewhere = {"token_url": "https://evil.example/token"}
        for said, field in (
            ({}, "password"),
            ({"password": "new"}, "refresh_token"),
            ({"password": None}, "refresh_token"),
            ({"refresh_token": "new"}, "password"),
        ):
            refused = await house.client.patch("/v1/profiles/default", json=elsewhere | said, headers=house.admin)
            problem = refused.json()
            assert (refused.status_code, problem["code"], problem["field"]) == (400, "secret_needed", field)
        assert provider.visits == 0


async def test_the_check_of_a_public_client_signs_in_too(tmp_path: Path, relay: Relay, provider: Issuer):
    async with a_house(tmp_path) as house:
        saved = (await put(house, settings(relay, provider, password=None))).json()
        assert (saved["password_set"], saved["refresh_token_set"]) == (False, True)
        checked = await house.client.post("/v1/profiles/default/check", headers=house.admin)
        assert checked.json()["ok"] is True
        assert provider.forms == [{"grant_type": "refresh_token", "refresh_token": FIRST, "client_id": "the-client"}]
        audited = text("SELECT detail FROM audit")
        details = await house.postroom.database.read(lambda connection: connection.execute(audited).scalars().all())
        assert FIRST not in str(details) + checked.text
