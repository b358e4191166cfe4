"""Vault keys are replaced while mail flows: nothing is lost, no wrong password is shown, no mail is in the database in
the clear."""

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from serving import House, Server, Sink, a_house, eventually
from smtp.moods import Mood, Relay, Visit, open_relay

ONE, TWO = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
PASSWORD = "canary-Kx7-relay-password"
BODY = "canary-Kx7-what-the-mail-says"


async def knows_one_password(visit: Visit) -> None:
    right = base64.b64encode(f"\0u\0{PASSWORD}".encode()).decode()
    if visit.relay.heard[-1] == f"AUTH PLAIN {right}":
        await visit.say(b"235 2.7.0 welcome\r\n")
    else:
        visit.relay.said["wrong password"] += 1
        await visit.say(b"535 5.7.8 no\r\n")


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    async with open_relay(Mood({"AUTH": knows_one_password}, offers=("AUTH PLAIN", "PIPELINING"))) as relay:
        yield relay


def settings(port: int, **other: Any) -> dict[str, Any]:
    login = {"auth": "password", "username": "u", "password": PASSWORD, "sender_address": "a@b.example"}
    return {"host": "127.0.0.1", "port": port} | login | other


async def ask(house: House, method: str, path: str, body: Any = None) -> Any:
    answer = await house.client.request(method, f"/v1/{path}", json=body, headers=house.admin)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def mail(house: House, count: int) -> list[str]:
    body = {"to": ["ann@example.com"], "subject": "Hello", "text": BODY}
    return [(await ask(house, "POST", "messages", body))["id"] for _ in range(count)]


@asynccontextmanager
async def at_work(house: House) -> AsyncIterator[None]:
    running = asyncio.create_task(house.postroom.worker.run())
    try:
        yield
    finally:
        house.postroom.worker.stop()
        await running


async def seal_anew(house: House) -> None:
    """And take every other key out of use."""
    after = None
    while (lot := await ask(house, "POST", "vault/reseal", {"after": after}))["after"] is not None:
        after = lot["after"]
        assert lot["lost"] == 0
    for key in (await ask(house, "GET", "vault"))["keys"]:
        if not key["seals"]:
            await ask(house, "DELETE", f"vault/keys/{key['id']}")


async def all_sent(house: House, relay: Relay, ids: list[str]) -> None:
    async with asyncio.timeout(60):
        while len((await ask(house, "GET", "messages?state=sent&limit=200"))["messages"]) < len(ids):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert len(relay.mails) == len(ids)
    assert all(BODY.encode() in each.content for each in relay.mails)
    assert relay.said["wrong password"] == 0


async def test_while_mail_flows(tmp_path: Path, relay: Relay):
    async with a_house(tmp_path) as house:
        await ask(house, "PUT", "profiles/default", settings(relay.port))
        ids = await mail(house, 30)  # these wait in the queue
        await ask(house, "POST", "vault/rotate")
        async with at_work(house):
            flowing = asyncio.create_task(mail(house, 60))
            for _ in range(3):
                await seal_anew(house)
                await ask(house, "POST", "vault/rotate")
                # a revision that has to be sealed anew the next time, and a connection that has to log in anew
                await ask(house, "PUT", "profiles/default", settings(relay.port, sender_name=os.urandom(3).hex()))
            ids += await flowing
            await seal_anew(house)
            ids += await mail(house, 5)
            await all_sent(house, relay, ids)
        assert [each["seals"] for each in (await ask(house, "GET", "vault"))["keys"]] == [True]


async def test_with_keys_that_the_operator_distributes(tmp_path: Path, database_url: str | None, relay: Relay):
    async with a_house(tmp_path, vault_key=ONE, database_url=database_url) as house:
        await ask(house, "PUT", "profiles/default", settings(relay.port))
        ids = await mail(house, 20)
    async with a_house(tmp_path, vault_key=f"{TWO} {ONE}", database_url=database_url) as house, at_work(house):
        flowing = asyncio.create_task(mail(house, 30))
        await ask(house, "POST", "vault/rotate")
        await seal_anew(house)
        ids += await flowing
        await all_sent(house, relay, ids)
    async with a_house(tmp_path, vault_key=TWO, database_url=database_url) as house, at_work(house):
        ids += await mail(house, 1)
        await all_sent(house, relay, ids)


async def test_mail_whose_key_is_lost_is_held_and_goes_out_when_it_is_back(tmp_path: Path, relay: Relay):
    async with a_house(tmp_path, vault_key=ONE) as house:
        await ask(house, "PUT", "profiles/default", settings(relay.port))
        (lost,) = await mail(house, 1)
    async with a_house(tmp_path, vault_key=f"{TWO} {ONE}") as house:
        pass  # TWO may have sealed something, too
    async with a_house(tmp_path, vault_key=TWO) as house, at_work(house):
        async with asyncio.timeout(30):
            while (shown := await ask(house, "GET", f"messages/{lost}"))["state"] != "held":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert "can't be opened" in shown["deliveries"][0]["note"]
        assert relay.visits == 0  # neither empty nor without a login
    async with a_house(tmp_path, vault_key=f"{TWO} {ONE}") as house, at_work(house):
        await ask(house, "POST", f"messages/{lost}/retry")
        await all_sent(house, relay, [lost])


def command(server: Server, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "postroom", *words], env=server._environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_server_that_is_killed_half_way_goes_on(tmp_path: Path):
    with Sink() as sink, Server(tmp_path) as server:
        assert server.client.put("/v1/profiles/default", json=settings(sink.port)).status_code == 200
        server.client.post("/v1/profiles/default/pause")
        text = {"to": ["ann@example.com"], "subject": "Hello", "text": BODY}
        ids = [each["id"] for each in server.client.post("/v1/messages", json=[text] * 250).json()]
        old = server.client.get("/v1/vault").json()["keys"][0]["id"]
        made = server.client.post("/v1/vault/rotate").json()["made"]
        after = None
        for _ in range(2):  # the password, and the first hundred mails
            after = server.client.post("/v1/vault/reseal", json={"after": after}).json()["after"]
        server.kill()
        server.start()
        assert server.client.get("/v1/vault").json()["keys"][0] == {"id": made, "seals": True, "is_here": True}
        assert server.client.delete(f"/v1/vault/keys/{old}").status_code == 409
        assert "150 messages" in command(server, "vault", "rotate", "--resume")
        assert old in command(server, "vault", "list")
        command(server, "vault", "retire", old)
        for path in (each for each in tmp_path.rglob("*") if each.is_file()):
            for word in (BODY, PASSWORD):
                for offset in range(3):
                    encoded = base64.b64encode(word.encode()[offset:])[:-4]
                    assert encoded not in path.read_bytes(), path
                assert word.encode() not in path.read_bytes(), path
        server.client.post("/v1/profiles/default/resume")
        eventually(lambda: len(sink.mails) == len(ids), what="all of it arriving")
        assert sorted(sink.message_ids()) == sorted(ids)


def test_offline_too(tmp_path: Path):
    with Server(tmp_path) as server:
        server.client.post("/v1/messages", json={"to": ["ann@example.com"], "text": BODY, "subject": "Hello"})
        server.stop()
        assert "messages" in command(server, "vault", "rotate")
        server.start()
        assert len(server.client.get("/v1/vault").json()["keys"]) == 2
