"""H1, H6: whoever asks for a check waits a while for its end, not as long as a mail may."""

from dataclasses import replace
from pathlib import Path

import pytest

from hostile.moods import good
from postroom.actions import checks
from serving import a_house
from smtp.moods import is_silent, open_relay


def test_a_check_takes_no_longer_than_somebody_waits():
    assert checks.FOR_A_CHECK.attempt <= 20


async def test_a_check_of_a_silent_relay_ends_by_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "FOR_A_CHECK", replace(checks.FOR_A_CHECK, reply=5, attempt=0.5))
    async with a_house(tmp_path) as house, open_relay(good(greeting=is_silent)) as silent:
        settings = {"host": "127.0.0.1", "port": silent.port, "sender_address": "a@b.example"}
        await house.client.put("/v1/profiles/1", json=settings, headers=house.admin)
        answer = await house.client.post("/v1/profiles/1/check", json={}, headers=house.admin)
    assert answer.json()["steps"][-1]["code"] == "attempt.timeout"
