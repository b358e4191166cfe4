"""Each product's own test call says what the check says, the same cause and advice, in that product's envelope."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postroom.smtp.causes import CAUSES
from serving import ADMIN_KEY, House, a_house, free_port
from smtp.moods import Mood, Relay, open_relay

BEARER = {"authorization": f"Bearer {ADMIN_KEY}"}
BASIC = {"authorization": "Basic " + base64.b64encode(f"KEYEXAMPLE\\jsmith:{ADMIN_KEY}".encode()).decode()}
SENDER, TO = "us@company.example", "one@x.example"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, sandbox=f"127.0.0.1:{free_port()}") as house:
        yield house


async def keyfactor(house: House, port: int) -> str:
    body = {
        "Host": "127.0.0.1", "Port": port, "RelayAuthenticationType": 0, "SenderAccount": SENDER, "SenderName": "Us",
        "UseSSL": False, "TestRecipient": TO,
    }  # fmt: skip
    answer = await house.client.post("/KeyfactorAPI/SMTP/Test", json=body, headers=BASIC)
    return str(answer.json()["Message"])


async def keycloak(house: House, port: int) -> str:
    body: dict[str, Any] = {"host": "127.0.0.1", "port": port, "from": SENDER}
    made = await house.client.post(
        "/v1/keys", json={"name": "ann", "email": TO}, headers=BEARER | {"x-postroom-tenant": "default"}
    )
    key = {"authorization": f"Bearer {made.json()['key']}"}
    answer = await house.client.post("/admin/realms/default/testSMTPConnection", json=body, headers=key)
    return str(answer.json()["error_description"])


async def onlyoffice(house: House, port: int) -> str:
    settings = {"host": "127.0.0.1", "port": port, "sender_address": SENDER}
    await house.client.put("/v1/profiles/1", json=settings, headers=BEARER)
    made = await house.client.post(
        "/v1/keys", json={"name": "ann", "email": TO}, headers=BEARER | {"x-postroom-tenant": "default"}
    )
    key = {"authorization": f"Bearer {made.json()['key']}"}
    said = (await house.client.get("/api/2.0/smtpsettings/smtp/test", headers=key)).json()["response"]
    async with asyncio.timeout(30):
        while not said["completed"]:
            await asyncio.sleep(0.05)
            said = (await house.client.get("/api/2.0/smtpsettings/smtp/test/status", headers=key)).json()["response"]
    return str(said["error"])


CALLS = pytest.mark.parametrize("call", [keyfactor, keycloak, onlyoffice])
REPLIES = {
    b"550 5.7.64 TenantAttribution; Relay Access Denied": "microsoft.no_connector",
    b"550 5.7.60 SMTP; Client does not have permissions to send as this sender": "exchange.send_as",
    b"554 Message rejected: Email address is not verified.": "ses.not_verified",
}


@CALLS
@pytest.mark.parametrize("reply", REPLIES)
async def test_a_test_call_says_what_the_relays_words_mean(house: House, call: Any, reply: bytes):
    cause = CAUSES[REPLIES[reply]]
    async with open_relay(Mood({"dot": reply + b"\r\n"})) as relay:
        said = await call(house, relay.port)
    assert reply.decode() in said
    assert f"{cause.why} {cause.advice}" in said
    assert said.count(cause.advice) == 1


@CALLS
async def test_a_test_call_and_a_check_say_the_same(house: House, call: Any):
    async with open_relay(Mood({"RCPT": b"554 5.7.1 Relay access denied\r\n"})) as relay:
        said = await call(house, relay.port)
        checked = await ladder_of(house, relay)
    assert checked["cause"] == "relay.denied"
    assert f"{checked['why']} {checked['advice']}" in said


async def ladder_of(house: House, relay: Relay) -> Any:
    typed = {"host": "127.0.0.1", "port": relay.port, "sender_address": SENDER}
    found = await house.client.post("/v1/check", json={"settings": typed, "recipient": TO}, headers=BEARER)
    return found.json()["steps"][-1]
