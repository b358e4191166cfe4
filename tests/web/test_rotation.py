"""Rotating keys: a new value, and a while in which the old one is good, too."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from postroom.domain.access import LONGEST_OVERLAP
from serving import House, a_house, without_id


class Clock:
    """Hands that only move when they are told to."""

    def __init__(self) -> None:
        import time

        self.ahead = 0.0
        self._start = time.time

    def __call__(self) -> float:
        return self._start() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def house(tmp_path: Path, clock: Clock) -> AsyncIterator[House]:
    async with a_house(tmp_path, clock=clock) as house:
        yield house


async def made(house: House, **body: Any) -> dict[str, Any]:
    answer = await house.client.post("/v1/keys", json={"name": "ci"} | body, headers=house.admin)
    assert answer.status_code == 201
    return dict(answer.json())


async def rotate(house: House, key: str, overlap: int, headers: dict[str, str] | None = None) -> httpx2.Response:
    return await house.client.post(f"/v1/keys/{key}/rotate", json={"overlap": overlap}, headers=headers or house.admin)


async def good(house: House, key: str) -> bool:
    answer = await house.client.get("/v1/profiles/default", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def facts(house: House, key_id: str) -> dict[str, Any]:
    listed = (await house.client.get("/v1/keys", headers=house.admin)).json()["keys"]
    return next(each for each in listed if each["id"] == key_id)


async def test_both_values_are_good_until_the_overlap_ends(house: House, clock: Clock):
    key = await made(house)
    assert await good(house, key["key"])
    rotated = (await rotate(house, key["id"], 600)).json()
    assert rotated["id"] == key["id"]
    assert rotated["permissions"] == key["permissions"]
    assert rotated["tenant"] == "default"
    assert rotated["key"] != key["key"]
    assert await good(house, key["key"])
    assert await good(house, rotated["key"])
    clock.ahead = 540  # and the time that this takes
    assert await good(house, key["key"])
    clock.ahead = 601
    assert not await good(house, key["key"])
    assert await good(house, rotated["key"])


async def test_without_overlap_the_old_value_ends_at_once(house: House):
    key = await made(house)
    assert await good(house, key["key"])
    rotated = (await rotate(house, key["id"], 0)).json()
    assert not await good(house, key["key"])
    assert await good(house, rotated["key"])


async def test_a_second_rotation_ends_the_value_before_the_last(house: House):
    key = await made(house)
    second = (await rotate(house, key["id"], 600)).json()["key"]
    third = (await rotate(house, key["id"], 600)).json()["key"]
    assert [await good(house, each) for each in (key["key"], second, third)] == [False, True, True]


async def test_revoking_ends_both_values_and_the_tokens(house: House):
    key = await made(house)
    token = (await house.client.post("/auth/apikey", headers={"apikey": key["key"]})).json()["token"]
    new = (await rotate(house, key["id"], 600)).json()["key"]
    assert [await good(house, each) for each in (key["key"], new, token)] == [True, True, True]
    assert (await house.client.delete(f"/v1/keys/{key['id']}", headers=house.admin)).status_code == 204
    assert [await good(house, each) for each in (key["key"], new, token)] == [False, False, False]


async def test_whether_the_old_value_is_still_in_use_is_told(house: House):
    key = await made(house)
    new = (await rotate(house, key["id"], 600)).json()["key"]
    assert await good(house, new)
    await house.tenant("any")  # what is noted goes into the next transaction
    told = await facts(house, key["id"])
    assert told["last_used_at"]
    assert told["previous_until"]
    assert told["previous_used_at"] is None
    assert await good(house, key["key"])
    await house.tenant("another")
    assert (await facts(house, key["id"]))["previous_used_at"]


async def test_nobody_gets_by_rotating_what_their_own_key_may_not_do(house: House):
    powerful = await made(house)
    weak = {"authorization": f"Bearer {await house.key('keys:manage', 'mail:send')}"}
    refused = await rotate(house, powerful["id"], 600, weak)
    assert refused.status_code == 403
    assert "key" not in refused.json()
    assert await good(house, powerful["key"])
    assert (await facts(house, powerful["id"]))["previous_until"] is None
    without = {"authorization": f"Bearer {await house.key('mail:send')}"}
    assert (await rotate(house, powerful["id"], 600, without)).status_code == 403


async def test_another_tenants_key_is_not_there(house: House):
    await house.tenant("acme")
    theirs = {"authorization": f"Bearer {await house.key(tenant='acme')}"}
    ours = (await made(house))["id"]
    other, unknown = [await rotate(house, each, 600, theirs) for each in (ours, "0" * 26)]
    assert (other.status_code, without_id(other)) == (404, without_id(unknown))
    installation = await house.client.post(
        "/v1/keys", json={"name": "x"}, headers=house.admin | {"x-postroom-tenant": "*"}
    )
    assert (await rotate(house, installation.json()["id"], 600, theirs)).status_code == 404


async def test_a_revoked_or_expired_key_is_not_rotated(house: House, clock: Clock):
    revoked = await made(house)
    await house.client.delete(f"/v1/keys/{revoked['id']}", headers=house.admin)
    assert (await rotate(house, revoked["id"], 600)).status_code == 409
    assert not await good(house, revoked["key"])


@pytest.mark.parametrize("overlap", [-1, LONGEST_OVERLAP + 1, "600", None, 1.5, True])
async def test_an_overlap_is_a_number_of_seconds(house: House, overlap: Any):
    key = await made(house)
    assert (await rotate(house, key["id"], overlap)).status_code == 400
    assert (await facts(house, key["id"]))["previous_until"] is None


async def test_an_expiry_holds_for_both_values(house: House, clock: Clock):
    key = await made(house, expires_in=60)
    new = (await rotate(house, key["id"], 600)).json()["key"]
    clock.ahead = 61
    assert [await good(house, each) for each in (key["key"], new)] == [False, False]


@pytest.mark.parametrize("length", [257, 100_000, 1_000_000])
@pytest.mark.parametrize("dots", [0, 2])
async def test_what_is_too_long_to_be_a_key_is_not_even_hashed(
    house: House, length: int, dots: int, monkeypatch: pytest.MonkeyPatch
):
    from postroom.actions import claims
    from postroom.store import keys

    hashed: list[int] = []
    digest, read = keys.digest, claims.read
    monkeypatch.setattr(keys, "digest", lambda key: hashed.append(len(key.reveal())) or digest(key))
    monkeypatch.setattr(claims, "read", lambda text: hashed.append(len(text)) or read(text))
    shown = "x." * dots + "x" * max(length, 9000 if dots else 0)
    assert not await good(house, shown)
    assert hashed == []
    assert not await good(house, "short")
    assert hashed
