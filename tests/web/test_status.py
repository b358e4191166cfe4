"""GET /v1/status: figures for whoever runs the installation, and for nobody else."""

import pytest

from serving import House

MAIL = {"to": ["bob@good.example"], "subject": "Hello", "text": "Hello, Bob."}


async def figures(house: House) -> tuple[int, int]:
    answer = await house.client.get("/v1/status", headers=house.admin)
    assert answer.status_code == 200
    assert answer.json()["since"].endswith("Z")
    return answer.json()["accepted"], answer.json()["commits"]


async def test_it_counts_messages_and_the_commits_that_they_shared(house: House):
    accepted, commits = await figures(house)
    assert accepted == 0

    for body in (MAIL, [MAIL] * 10):
        assert (await house.client.post("/v1/messages", json=body, headers=house.admin)).status_code == 202

    after = await figures(house)
    assert after[0] == 11
    assert commits + 2 <= after[1] < commits + 11


async def test_a_repetition_is_not_counted_again(house: House):
    for _ in range(2):
        headers = house.admin | {"idempotency-key": "once"}
        assert (await house.client.post("/v1/messages", json=MAIL, headers=headers)).status_code == 202

    assert (await figures(house))[0] == 1


@pytest.mark.parametrize(
    ("tenant", "permission"),
    [("default", "mail:read"), ("*", "mail:send")],
    ids=["of one tenant", "without mail:read"],
)
async def test_other_keys_are_refused(house: House, tenant: str, permission: str):
    key = await house.key(permission, tenant=tenant)

    answer = await house.client.get("/v1/status", headers={"authorization": f"Bearer {key}"})

    assert answer.status_code == 403
    assert answer.json()["code"] == "denied"
