"""GET /v1/status: figures for whoever runs the installation, and for nobody else."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from postroom.app import opened
from postroom.config import Config

ADMIN = "an admin key for the tests"
MAIL = {"to": ["bob@good.example"], "from": "noreply@company.example", "subject": "Hello", "text": "Hello, Bob."}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with opened(Config(data_dir=tmp_path, admin_key=SecretStr(ADMIN))) as postroom:
        transport = httpx2.ASGITransport(app=postroom.site)
        headers = {"authorization": f"Bearer {ADMIN}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://test/v1", headers=headers) as client:
            yield client


async def _figures(client: httpx2.AsyncClient) -> tuple[int, int]:
    answer = await client.get("/status")
    assert answer.status_code == 200
    assert answer.json()["since"].endswith("Z")
    return answer.json()["accepted"], answer.json()["commits"]


async def test_it_counts_messages_and_the_commits_that_they_shared(client: httpx2.AsyncClient) -> None:
    accepted, commits = await _figures(client)
    assert accepted == 0

    for body in (MAIL, [MAIL] * 10):
        assert (await client.post("/messages", json=body)).status_code == 202

    after = await _figures(client)
    assert after[0] == 11
    assert commits + 2 <= after[1] < commits + 11


async def test_a_repetition_is_not_counted_again(client: httpx2.AsyncClient) -> None:
    for _ in range(2):
        answer = await client.post("/messages", json=MAIL, headers={"Idempotency-Key": "once"})
        assert answer.status_code == 202

    assert (await _figures(client))[0] == 1


@pytest.mark.parametrize(
    ("tenant", "permissions"),
    [("default", ["mail:read"]), ("*", ["mail:send"])],
    ids=["of one tenant", "without mail:read"],
)
async def test_other_keys_are_refused(client: httpx2.AsyncClient, tenant: str, permissions: list[str]) -> None:
    made = await client.post(
        "/keys", json={"name": "curious", "permissions": permissions}, headers={"X-Postroom-Tenant": tenant}
    )
    assert made.status_code == 201

    answer = await client.get("/status", headers={"authorization": f"Bearer {made.json()['key']}"})

    assert answer.status_code == 403
    assert answer.json()["code"] == "denied"
