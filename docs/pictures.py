"""Pictures of the console for these pages, from a real one: `.ci/pictures` writes docs/pictures/*.png, light and dark.

A company that does not exist has its mail settings in a Postroom of its own, with relays on this machine that behave as
relays do. What happened over the last day is written by bench/history.py, what is seen in detail really happens.
"""

import asyncio
import math
import random
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import history
import trustme
from PIL import Image
from playwright.async_api import Page, expect

from browser import chromium
from postroom.domain.delivery import SECOND, State
from postroom.store import profiles, tenants
from postroom.store.database import Database
from postroom.store.key_ring import vault_from
from postroom.store.profiles import StoredProfile
from postroom.store.queue.accept import NewMessage
from postroom.store.queue.claim import Claim
from postroom.store.queue.settle import Settlement
from serving import ADMIN_KEY, Server, eventually
from smtp.moods import OFFERS, Mood, Relay, open_relay

HERE = Path(__file__).parent / "pictures"
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
TALLEST = 1400  # pixels
HOUR = 3600 * SECOND
TENANT = "harbour"
MAILS = 640
DICE = random.Random(6)  # noqa: S311  the same mails each time

AUTHORITY = trustme.CA()
SUBJECTS = ("Your order {} has been sent", "Invoice {}", "Ticket {}: we have an answer", "Reset your password",
            "Your appointment on Friday", "Build {} has failed", "Delivery note {}")  # fmt: skip
NAMES = ("ann", "bob", "carla", "dmitri", "eva", "farid", "greta", "hanna", "ivan", "jo")
PLACES = ("mail.example", "post.example", "works.example", "school.example")
INVOICE = """<!doctype html><body style="font: 16px/1.5 sans-serif; margin: 0; background: #f3f1ec">
<div style="max-width: 34rem; margin: 1.5rem auto; border-top: 6px solid #b5442b; background: white; padding: 2rem">
<h1 style="font-size: 1.3rem">Invoice 2041</h1><p>Dear Ann,</p>
<p>thank you for your order. Please find what you owe us below.</p>
<table style="width: 100%"><tr><td>Two ropes, 20 m</td><td align="right">64.00</td></tr>
<tr><td>Lantern</td><td align="right">39.50</td></tr><tr><td><b>Sum</b></td><td align="right"><b>103.50</b></td></tr>
</table><p>Harbour Supplies</p></div></body>"""


@dataclass(frozen=True)
class Ways:
    """Relays on this machine: one that takes all mail, one that knows not everybody, one of a provider that lets
    nobody log in with a password any more."""

    friendly: Relay
    choosy: Relay
    strict: Relay


@asynccontextmanager
async def relays() -> AsyncIterator[Ways]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(tls)
    unknown, later = b"550 5.1.1 There is nobody of that name here\r\n", b"450 4.2.0 Greylisted, please come back\r\n"
    nobody = b"554 5.5.1 No valid recipients\r\n"
    off = b"535 5.7.139 Authentication unsuccessful, basic authentication is disabled\r\n"
    strict = Mood({"AUTH": off}, (*OFFERS, "STARTTLS"), (*OFFERS, "AUTH LOGIN XOAUTH2"), tls=tls)
    async with (
        open_relay(Mood()) as friendly,
        open_relay(Mood({"RCPT": (unknown, later), "DATA": nobody})) as choosy,
        open_relay(strict) as provider,
    ):
        yield Ways(friendly, choosy, provider)


class Office:
    """What its administrator does over the API, with a key of the whole installation."""

    def __init__(self, server: Server) -> None:
        self._client, self.key = server.client, ADMIN_KEY
        made = self.ask("POST", "/keys", tenant="*", name="Mail administrators", email="mail@harbour.example")
        self.key = str(made["key"])

    def ask(self, method: str, path: str, tenant: str = TENANT, **body: Any) -> Any:
        headers = {"x-postroom-tenant": tenant, "authorization": f"Bearer {self.key}"}
        said = self._client.request(method, f"/v1{path}", json=body or None, headers=headers)
        assert said.is_success, said.text  # noqa: S101
        return said.json() if said.content else None


def furnish(office: Office, server: Server, ways: Ways) -> None:
    """Tenants, profiles with a past, and keys."""
    for slug, name in ((TENANT, "Harbour Supplies"), ("lighthouse", "Lighthouse Insurance"), ("pier", "Pier Nine")):
        office.ask("POST", "/tenants", slug=slug, name=name)
    here = {"host": "127.0.0.1", "sender_address": "post@harbour.example", "sender_name": "Harbour Supplies"}
    office.ask("POST", "/profiles", name="Company mail", port=ways.friendly.port, most_connections=4, **here)
    office.ask("PATCH", "/profiles/1", most_connections=8, recipient_filter=None)
    office.ask("PATCH", "/profiles/1", sender_name="Harbour", reply_to_address="office@harbour.example")
    office.ask("POST", "/profiles", name="Shop", port=ways.choosy.port, **here)
    secure = {"security": "starttls", "ca_certificates": AUTHORITY.cert_pem.bytes().decode()}
    login = {"auth": "password", "username": "invoices@harbour.example", "password": "not-the-real-one"}
    office.ask("POST", "/profiles", name="Invoices", port=ways.strict.port, **here, **secure, **login)
    office.ask("POST", "/profiles", name="Staging", port=server.sandbox_port, **here)
    day, script = 86_400, ["settings:read", "settings:write"]
    office.ask("POST", "/keys", name="Front desk", email="desk@harbour.example", permissions=["mail:read"])
    office.ask("POST", "/keys", name="Web shop", permissions=["mail:send", "mail:read"])
    office.ask("POST", "/keys", name="Build server", permissions=["mail:send"], expires_in=9 * day)
    office.ask("POST", "/keys", name="Settings script", permissions=script, expires_in=90 * day)


async def live_a_day(data: Path) -> None:
    """Up to an hour ago: morning and afternoon busy, the night quiet."""
    vault, _ = vault_from(None, data)
    database = Database.open(f"sqlite:///{data}/postroom.db", data_dir=data)
    now = time.time_ns() // 1000
    moments = sorted(now - HOUR // 2 - int(HOUR * _busy()) for _ in range(MAILS))
    company = await database.read(lambda each: profiles.find(each, _tenant(each), 1))
    assert company  # noqa: S101

    messages = [_mail(company, at) for at in moments]
    began = {each.id: each.queued_at + SECOND for each in messages}

    def fate(claim: Claim) -> Settlement:
        at, die = began[claim.message_id], DICE.random()
        end = history.refused if die < 0.03 else history.held if die > 0.998 else history.sent
        return end(claim, at)

    await history.live_through(database, vault, messages, fate, lambda _: None)
    await database.close()


def _mail(by: StoredProfile, at: int) -> NewMessage:
    subject = DICE.choice(SUBJECTS).format(DICE.randrange(1000, 9999))
    recipient = f"{DICE.choice(NAMES)}@{DICE.choice(PLACES)}"
    return history.mail(by, at, recipient, subject, f"Subject: {subject}\r\n\r\nHello.\r\n".encode())


def _busy() -> float:
    """Hours ago: mostly 2 to 10, some in the night."""
    return min(22.9, abs(DICE.gauss(6, 4)) if DICE.random() < 0.8 else DICE.uniform(0, 22.9))


def _tenant(connection: Any) -> int:
    found = tenants.find(connection, TENANT)
    assert found  # noqa: S101
    return found.id


def happen(office: Office) -> dict[str, str]:
    """What is seen in detail. What stands for the names in the addresses below."""
    mail = {"text": "Dear Ann, thank you for your order.", "html": INVOICE}

    def hand_in(profile: int, subject: str, *to: str) -> str:
        return str(office.ask("POST", "/messages", to=list(to), subject=subject, profile=profile, **mail)["id"])

    names = {"refused": hand_in(2, "Your order 4711 has been sent", "bob@works.example")}
    eventually(lambda: _state_of(office, names["refused"]) == State.REFUSED)
    hand_in(2, "Your order 4712 has been sent", "carla@school.example")
    for subject in ("Invoice 2041", "Invoice 2042", "Invoice 2043"):
        names["waiting"] = hand_in(3, subject, "ann@mail.example")
    for subject, to in (("Welcome to Harbour Supplies", "eva@post.example"), ("Invoice 2041", "ann@mail.example")):
        hand_in(4, subject, to)
    caught = eventually(lambda: _caught(office, "Invoice 2041"))
    eventually(lambda: office.ask("GET", "/profiles/3")["trouble"])
    key = next(each for each in office.ask("GET", "/keys")["keys"] if each["name"] == "Build server")
    return names | {"caught": caught, "key": key["id"]}


def _caught(office: Office, subject: str) -> str | None:
    mails = office.ask("GET", "/sandbox/messages")["messages"]
    return next((str(each["id"]) for each in mails if each["subject"] == subject), None)


def _state_of(office: Office, message: str) -> str:
    return str(office.ask("GET", f"/messages/{message}")["deliveries"][0]["state"])


async def _check(page: Page) -> None:
    await page.get_by_role("button", name="Check these settings").click()
    await expect(page.locator("#check-said")).to_have_class("note bad", timeout=30_000)
    await page.locator(".check").evaluate("(box) => { box.scrollTop = box.scrollHeight; }")


async def _open_transcript(page: Page) -> None:
    await page.locator("summary", has_text="Transcript").first.click()


async def _nothing(page: Page) -> None:
    await page.wait_for_load_state("load")


Then = Callable[[Page], Awaitable[None]]
PICTURES: dict[str, tuple[str, Then]] = {
    "overview": ("/", _nothing),
    "profiles": ("/profiles", _nothing),
    "presets": ("/profiles/new", _nothing),
    "profile": ("/profiles/1", _nothing),
    "check": ("/profiles/3", _check),
    "as-product": ("/profiles/1/as/threadfix", _nothing),
    "revisions": ("/profiles/1/revisions", _nothing),
    "revision": ("/profiles/1/revisions/2", _nothing),
    "messages": ("/messages", _nothing),
    "message": ("/messages/{refused}", _open_transcript),
    "sandbox": ("/sandbox", _nothing),
    "mail": ("/sandbox/{caught}", _nothing),
    "keys": ("/keys", _nothing),
    "new-key": ("/keys/new", _nothing),
    "key": ("/keys/{key}", _nothing),
    "audit": ("/audit", _nothing),
    "verification": ("/audit/verification", _nothing),
    "tenants": ("/tenants", _nothing),
    "api": ("/docs", _nothing),
    "not-here": ("/nowhere", _nothing),
}


async def take(server: Server, key: str, names: dict[str, str], only: set[str]) -> None:
    HERE.mkdir(exist_ok=True)
    async with chromium.running() as browser:
        for scheme in ("light", "dark"):
            context = await browser.new_context(viewport=WIDE, color_scheme=scheme)  # type: ignore[arg-type]
            page = await context.new_page()
            await page.goto(f"{server.url}/sign-in")
            if not only or "sign-in" in only:
                await _shoot(page, f"sign-in-{scheme}")
            await page.get_by_label("API key").fill(key)
            await page.get_by_role("button", name="Sign in").click()
            await page.wait_for_url(f"{server.url}/")
            for name, (path, then) in PICTURES.items():
                if only and name not in only:
                    continue
                await page.goto(f"{server.url}{path.format_map(names)}?tenant={TENANT}")
                await then(page)
                await _shoot(page, f"{name}-{scheme}", whole=name != "check")
            await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
            for name in ("overview", "message"):
                if not only or f"{name}-phone" in only:
                    await page.goto(f"{server.url}{PICTURES[name][0].format_map(names)}?tenant={TENANT}")
                    await _shoot(page, f"{name}-phone-{scheme}")
            await context.close()


async def _shoot(page: Page, name: str, *, whole: bool = True) -> None:
    """The whole page, or what of it is on the screen."""
    path, size = HERE / f"{name}.png", page.viewport_size or WIDE
    height = int(await page.evaluate("document.documentElement.scrollHeight")) if whole else size["height"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(TALLEST, height)}
    await page.screenshot(path=path, full_page=whole, clip=clip)  # type: ignore[arg-type]
    with Image.open(path) as seen:
        seen.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )
    print(f"{path.name}: {math.ceil(path.stat().st_size / 1000)} kB")  # noqa: T201


async def main() -> None:
    """With arguments only those pictures."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as directory, ExitStack() as stack:
        server = Server(Path(directory), ehlo_name="post.harbour.example")
        stack.push(server)  # it ends, however this does
        async with relays() as ways:
            await asyncio.to_thread(server.start)
            office = await asyncio.to_thread(Office, server)
            await asyncio.to_thread(furnish, office, server, ways)
            await asyncio.to_thread(server.stop)
            await live_a_day(Path(directory) / "data")
            await asyncio.to_thread(server.start)
            names = await asyncio.to_thread(happen, office)
            await take(server, office.key, names, set(sys.argv[1:]))
            await asyncio.to_thread(server.stop)


if __name__ == "__main__":
    asyncio.run(main())
