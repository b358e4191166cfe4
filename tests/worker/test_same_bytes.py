"""A mail that is tried again is the same mail: Message-ID and Date were fixed when it was accepted."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from postroom.smtp.reach import Reach
from postroom.smtp.route import Route
from postroom.worker.loop import Worker
from serving import House, a_house
from smtp.recorder import a_recorder, unstuffed

DEFERRED = b"451 4.3.0 later\r\n"
AN_HOUR_AGO = time.time_ns() // 1000 - 3_600_000_000


@asynccontextmanager
async def at_work(house: House) -> AsyncIterator[None]:
    worker = Worker(
        house.postroom.database,
        house.postroom.vault,
        lambda stored: Route(stored.settings, None, Reach(), "worker.test"),
        lease=60,
    )
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await running


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(3_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what} did not happen")


async def test_each_try_sends_the_bytes_that_were_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with a_house(tmp_path) as house, a_recorder(DEFERRED, DEFERRED) as relay:
        settings = {"host": "127.0.0.1", "port": relay.port, "sender_address": "a@b.example"}
        await house.client.put("/v1/profiles/1", json=settings, headers=house.admin)
        # Accepted an hour ago, so that the date of a try would show.
        monkeypatch.setattr(house.postroom.room.mail, "_clock", lambda: AN_HOUR_AGO)
        mail = {"to": ["r@d.example"], "subject": "x", "text": ".\nx", "html": "x"}
        answer = await house.client.post("/v1/messages", json=mail, headers=house.admin)
        message = answer.json()["id"]
        accepted = await house.content(message)
        async with at_work(house):
            for tries in (1, 2, 3):
                await until(lambda tries=tries: len(relay.contents) == tries, f"try {tries}")
                shown = await _settled(house, message, tries)
                if tries < 3:
                    retried = await house.client.post(f"/v1/messages/{message}/retry", headers=house.admin)
                    assert retried.status_code == 200, retried.text
        assert shown["state"] == "sent"
        assert [unstuffed(each) for each in relay.contents] == [accepted] * 3
        header = message_from_bytes(relay.contents[-1])
        assert header["Message-ID"] == f"<{message}@b.example>"
        assert parsedate_to_datetime(header["Date"]).timestamp() == AN_HOUR_AGO // 1_000_000


async def _settled(house: House, message: str, tries: int) -> dict[str, object]:
    """The message once its last try has been written down."""
    for _ in range(3_000):
        shown = (await house.client.get(f"/v1/messages/{message}", headers=house.admin)).json()
        (delivery,) = shown["deliveries"]
        if delivery["attempts"] == tries and delivery["state"] in ("waiting", "sent"):
            return dict(shown)
        await asyncio.sleep(0.01)
    raise AssertionError(f"try {tries} was not written down: {shown}")
