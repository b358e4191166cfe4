"""A disk that is nearly full, and one that is (M12, V4): on a file system of its own, so as root or where a user may
mount one; skipped elsewhere."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from postroom.store.space import MIB, DiskFull, Space
from serving import House, a_house, eventually

MAIL = {"to": ["bob@good.example"], "subject": "Hello", "text": "Hello, Bob."}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "disk"
    where.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "test", where], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"NOT TESTED: what happens on a full disk, as none can be mounted here ({made.stderr.strip()})")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Another program's file, that leaves so many octets free."""
    hog = disk / "hog"
    with hog.open("ab") as file:
        while (free := shutil.disk_usage(disk).free) > leave:
            try:
                file.write(b"x" * min(free - leave, MIB))
                file.flush()
            except OSError:
                break
    return hog


def test_a_disk_is_measured_by_its_size(small_disk: Path):
    clock = [0.0]
    space = Space(small_disk, lambda: clock[0])
    assert (space.least, space.weight) == (16 * MIB, 4 * MIB)
    assert (small_disk / "ballast").stat().st_blocks * 512 >= 4 * MIB
    assert not space.is_low
    with capture_logs() as logged:
        hog = fill(small_disk, 10 * MIB)
        assert not space.is_low  # not looked at again within a second
        clock[0] += 1
        assert space.is_low
        hog.unlink()
        clock[0] += 1
        assert not space.is_low
    assert [each["event"] for each in logged] == ["disk_low", "disk_well"]


def test_the_ballast_is_given_up_once_and_taken_again_when_there_is_room(small_disk: Path):
    clock = [0.0]
    space = Space(small_disk, lambda: clock[0])
    assert space.drop_ballast()
    assert not space.drop_ballast()
    hog = fill(small_disk, 18 * MIB)
    space.look()
    assert not (small_disk / "ballast").exists()  # it would itself make it low
    hog.unlink()
    space.look()
    assert (small_disk / "ballast").exists()


async def _post(house: House) -> int:
    return (await house.client.post("/v1/messages", json=MAIL, headers=house.admin)).status_code


async def test_mail_is_not_taken_when_it_gets_scarce_and_is_again_when_there_is_room(small_disk: Path):
    async with a_house(small_disk / "data", sandbox="off") as house:
        await house.client.post("/v1/profiles", headers=house.admin, json={
            "name": "p", "host": "127.0.0.1", "port": 1, "sender_address": "a@b.example"})  # fmt: skip
        assert await _post(house) == 202
        assert (await house.client.get("/readyz")).status_code == 200
        hog = fill(small_disk, 10 * MIB)
        await asyncio.sleep(1.1)  # it looks once a second
        refused = await house.client.post("/v1/messages", json=MAIL, headers=house.admin)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        ready = await house.client.get("/readyz")
        assert (ready.status_code, list(ready.json()["wrong"])) == (503, ["disk"])
        assert (await house.client.get("/v1/messages", headers=house.admin)).status_code == 200
        hog.unlink()
        await asyncio.sleep(1.1)
        assert await _post(house) == 202
        assert (await house.client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("ballast", [True, False], ids=["with ballast", "without (else the other could not fail)"])
async def test_what_becomes_of_mail_is_written_on_a_full_disk_thanks_to_the_ballast(small_disk: Path, ballast: bool):
    async with a_house(small_disk / "data", sandbox="off") as house:
        database = house.postroom.database
        fill(small_disk, 0)
        if not ballast:
            (small_disk / "data" / "ballast").unlink()
            fill(small_disk, 0)
        written, failed = 0, 0
        for n in range(150):  # the ballast of so small a disk is 4 MiB, and a commit some 12 KiB
            try:
                await database.write(lambda connection, n=n: _note(connection, n))
                written += 1
            except DiskFull:
                failed += 1
        assert (failed == 0) is ballast
        kept = await database.read(_notes)
        assert kept == written
        assert (small_disk / "data" / "ballast").exists() is False
        answer = await house.client.post("/v1/tenants", json={"slug": "one-more"}, headers=house.admin)
        assert answer.status_code == (201 if ballast else 503)
        (small_disk / "hog").unlink()
        await database.write(lambda connection: _note(connection, 1000))
        eventually(lambda: not database.space.is_low if database.space else False)


def _note(connection: Connection, n: int) -> None:
    connection.execute(
        text("INSERT INTO fact (name, value) VALUES (:name, :value)"), {"name": f"n{n}", "value": "x" * 4000}
    )


def _notes(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM fact WHERE value LIKE 'xxxx%'")).scalar_one())
