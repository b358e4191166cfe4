"""GET /v1/status: figures for whoever runs the installation, and for nobody else."""

import httpx2
import pytest

MAIL = {"to": ["bob@good.example"], "from": "noreply@company.example", "subject": "Hello", "text": "Hello, Bob."}


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
