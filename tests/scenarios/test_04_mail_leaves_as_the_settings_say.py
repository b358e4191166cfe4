"""One settings change in each product's words, then a mail: it goes out through exactly those settings."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from email import message_from_bytes
from pathlib import Path

import pytest
import trustme

from postroom.dialects import ALL
from postroom.dialects.dialect import Dialect, Endpoint, Verb
from postroom.domain.profile import Auth, Profile, Security
from postroom.domain.secret import Secret
from serving import House, a_house
from smtp.moods import OFFERS, Mood, Relay, knows, open_relay

each_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
PASSWORD = "open-sesame-4711"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def relay(authority: trustme.CA) -> AsyncIterator[Relay]:
    """It takes mail only over TLS and only from somebody it knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    mood = Mood(
        {"AUTH": knows("mailer", PASSWORD)}, offers=(*OFFERS, "STARTTLS"), offers_after_tls=(*OFFERS, "AUTH PLAIN"),
        tls=context,
    )  # fmt: skip
    async with open_relay(mood) as relay:
        yield relay


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, public_url="http://postroom.test") as house:
        worker = asyncio.create_task(house.postroom.worker.run())
        yield house
        house.postroom.worker.stop()
        await worker


def meant(port: int) -> Profile:
    return Profile(
        host="127.0.0.1", port=port, security=Security.STARTTLS, auth=Auth.PASSWORD, username="mailer",
        sender_address="noreply@company.example", sender_name="Company", reply_to_address="help@company.example",
        reply_to_name="Help", envelope_sender="bounce@company.example",
    )  # fmt: skip


def said_by(dialect: Dialect, profile: Profile) -> Profile:
    """The profile less what the dialect has no words for."""
    lost = dialect.loss(profile)
    blank = {f.name: f.default for f in fields(Profile) if f.name in lost}
    return replace(profile, **blank)


def save_of(dialect: Dialect) -> Endpoint:
    return next(each for each in dialect.endpoints if each.verb is Verb.SAVE)


async def arrived(relay: Relay) -> None:
    async with asyncio.timeout(20):
        while not relay.mails:  # noqa: ASYNC110  the relay has no event to wait for
            await asyncio.sleep(0.01)


@each_dialect
async def test_host_tls_login_sender_reply_to_and_envelope_sender_are_the_ones_set(
    house: House, relay: Relay, authority: trustme.CA, dialect: Dialect
):
    trust = {"ca_certificates": authority.cert_pem.bytes().decode()}  # no product has words for it: it must survive
    await house.client.patch("/v1/profiles/default", json=trust, headers=house.admin)
    profile, key = meant(relay.port), Secret(await house.key())
    save = save_of(dialect)
    set_ = await house.client.request(
        save.method, save.path.format(version="latest", tenant="default"),
        json=dialect.enclose(dialect.write(profile, Secret(PASSWORD))),
        headers={**dialect.dial_headers, **dialect.key_styles[0].attach(key)},
    )  # fmt: skip
    assert set_.status_code == save.status, set_.text

    mail = {"to": ["ann@email.com"], "subject": "Hello", "text": "It works."}
    assert (await house.client.post("/v1/messages", json=mail, headers=house.admin)).status_code == 202
    await arrived(relay)

    stored = (await house.client.get("/v1/profiles/default", headers=house.admin)).json()
    expected = said_by(dialect, profile)
    assert relay.visits == 1
    assert relay.heard.index("STARTTLS") < next(n for n, line in enumerate(relay.heard) if line.startswith("AUTH "))
    token = base64.b64encode(f"\0mailer\0{PASSWORD}".encode()).decode()
    assert f"AUTH PLAIN {token}" in relay.heard
    assert relay.mails[0].sender == (expected.envelope_sender or expected.sender_address)
    header = message_from_bytes(relay.mails[0].content)
    assert "noreply@company.example" in header["From"]
    assert (stored["sender_name"] or "noreply") in header["From"]
    assert ("help@company.example" in (header["Reply-To"] or "")) == (expected.reply_to_address is not None)
    assert stored["dialect"] == dialect.name


async def test_reports_are_asked_for_as_the_message_says(house: House):
    """Of a relay that offers them (RFC 3461); the sandbox of the other scenarios does not, and takes the mail."""
    async with open_relay(Mood(offers=(*OFFERS, "DSN"))) as relay:
        settings = {"host": "127.0.0.1", "port": relay.port, "sender_address": "noreply@company.example"}
        await house.client.put("/v1/profiles/default", json=settings, headers=house.admin)
        mail = {"to": ["ann+x@email.com"], "text": "It works.", "dsn": {"notify": ["success"], "return": "full"}}
        message = (await house.client.post("/v1/messages", json=mail, headers=house.admin)).json()["id"]
        await arrived(relay)
    assert any(line.endswith(f" RET=FULL ENVID={message}") for line in relay.heard if line.startswith("MAIL"))
    assert "RCPT TO:<ann+x@email.com> NOTIFY=SUCCESS ORCPT=rfc822;ann+2Bx@email.com" in relay.heard
