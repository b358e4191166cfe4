"""Nobody outside the filter is mailed: asked of a relay that keeps every RCPT, not of Postroom."""

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import idna
import pytest

from attacks.filters import BAD, FILTERS, NATIVE_WAYS, TEST_WAYS, canonical
from attacks.listening import elsewhere
from attacks.readings import READERS, made_up
from cli.conftest import Cli
from domain.address_corpus import ATTACKS, LEGAL
from postroom.domain.address import Address
from postroom.domain.problems import Invalid
from postroom.domain.recipients import MOST_PATTERNS, RecipientFilter
from serving import ADMIN_KEY, Server, eventually
from smtp.moods import Mood, Relay, Visit, open_relay

TRICKS = sorted({attack for attacks in ATTACKS.values() for attack in attacks})
GOOD = sorted(set(LEGAL))
_RCPT = re.compile(r"RCPT TO:<([^<>\s,;:\\\"()\[\]]+@[a-z0-9.-]+)>(?: NOTIFY=[A-Z,]+)?(?: ORCPT=\S+)?")
INSIDE = list(FILTERS.values())


@dataclass
class Scene:
    """Tenant `f3` has the fourth filter and sends as f3@postroom.example: that tells the relay which is in force."""

    server: Server
    cli: Cli
    relay: Relay
    asked: list[tuple[str, str]]  # from whom, and each RCPT line

    def tenant(self, n: int) -> dict[str, str]:
        return {"x-postroom-tenant": f"f{n}"}

    def mailed(self) -> dict[int, list[str]]:
        """To whom, by filter, as the relay heard it."""
        found: dict[int, list[str]] = {n: [] for n in range(len(FILTERS))}
        for sender, line in list(self.asked):
            to, said = _RCPT.fullmatch(line), re.fullmatch(r"f(\d+)@postroom\.example", sender)
            assert to, f"a RCPT that says more than one address: {line!r}"
            assert said, sender
            found[int(said[1])].append(to[1])
        return found

    def quiet(self) -> None:
        """Until no tenant has mail that waits."""
        for n in range(len(FILTERS)):
            eventually(lambda n=n: not self.waiting(n), what=f"the end of f{n}'s mail", within=120)

    def waiting(self, n: int) -> Any:
        query = {"state": "waiting", "limit": 1}
        return self.server.client.get("/v1/messages", params=query, headers=self.tenant(n)).json()["messages"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with elsewhere() as place, Server(tmp_path_factory.mktemp("filter"), module="attacks.uncounted") as server:
        asked: list[tuple[str, str]] = []

        async def keeps(visit: Visit) -> bytes:
            asked.append((visit.sender, visit.relay.heard[-1]))
            await visit.say(b"250 2.1.5 ok\r\n")
            return b"250"

        relay = place.open(open_relay(Mood({"RCPT": keeps})))
        scene = Scene(server, Cli({"POSTROOM_URL": server.url, "POSTROOM_KEY": ADMIN_KEY}), relay, asked)
        for n, text in enumerate(FILTERS):
            assert server.client.post("/v1/tenants", json={"slug": f"f{n}"}).status_code == 201
            said = {"name": "default", "host": "127.0.0.1", "port": relay.port, "recipient_filter": text,
                    "sender_address": f"f{n}@postroom.example"}  # fmt: skip
            answer = server.client.post("/v1/profiles", json=said, headers=scene.tenant(n))
            assert answer.status_code == 201, answer.text
        yield scene


def outside(scene: Scene) -> list[tuple[int, str]]:
    return [
        (n, to) for n, everyone in scene.mailed().items() for to in everyone if not INSIDE[n](to.lower())
    ]  # fmt: skip


def hand_in(scene: Scene, way: str, n: int, address: str) -> None:
    client, headers = scene.server.client, scene.tenant(n)
    if way in NATIVE_WAYS:
        client.post("/v1/messages", json={way: [address], "text": "x"}, headers=headers)
    elif way == "cli":
        if "\0" not in address and "\udc00" not in address and "\ud800" not in address and "\udcff" not in address:
            scene.cli("-t", f"f{n}", "send", "--to", address, "--text", "x")
    elif way == "keyfactor TRY":
        said = {"Host": "127.0.0.1", "Port": scene.relay.port, "SenderAccount": f"f{n}@postroom.example",
                "SenderName": "", "TestRecipient": address}  # fmt: skip
        counted(client.post("/KeyfactorAPI/SMTP/Test", json=said, headers=headers))
    else:
        made = client.post("/v1/keys", json={"name": "x", "email": address}, headers=headers)
        if made.status_code != 201:
            return
        bearer = {"authorization": f"Bearer {made.json()['key']}"}
        if way == "keycloak TRY":
            said = {"host": "127.0.0.1", "port": str(scene.relay.port), "from": f"f{n}@postroom.example"}
            counted(client.post(f"/admin/realms/f{n}/testSMTPConnection", json=said, headers=bearer))
        else:
            test = "/api/2.0/smtpsettings/smtp/test"
            counted(client.get(test, headers=bearer))

            def over() -> bool:
                told = client.get(f"{test}/status", headers=bearer).json().get("response")
                return told is None or told["completed"]

            eventually(over, what="the test mail")


def counted(answer: httpx2.Response) -> None:
    assert answer.status_code != 429, "a test mail that is refused for its number shows nothing"


WAYS = (*NATIVE_WAYS, "cli", *TEST_WAYS)


def sendable(text: str) -> str:
    """JSON can say half a character, HTTP clients can't."""
    return text.encode("utf-8", "replace").decode()


def campaign(scene: Scene, jobs: "list[tuple[str, int, str]]") -> None:
    for way, n, address in jobs:
        hand_in(scene, way, n, sendable(address))
    scene.quiet()
    assert outside(scene) == []


def test_the_tables_are_as_large_as_promised():
    assert len(ATTACKS) >= 24
    assert len(TRICKS) >= 400
    assert len(GOOD) >= 200
    assert len(FILTERS) == 12
    assert TEST_WAYS == ("keyfactor TRY", "keycloak TRY", "onlyoffice TRY_START"), "a new way to send a test mail"


def test_a_legal_address_inside_the_filter_is_never_held_back(scene: Scene):
    for n in range(len(FILTERS)):
        mails = [{"to": [address], "text": "x"} for address in GOOD]
        assert scene.server.client.post("/v1/messages", json=mails, headers=scene.tenant(n)).status_code == 202
    scene.quiet()
    mailed = scene.mailed()
    for n, inside in enumerate(INSIDE):
        wanted = {canonical(address) for address in GOOD if inside(canonical(address))}
        assert wanted
        assert wanted <= {canonical(address) for address in mailed[n]}
    assert outside(scene) == []


def test_no_trick_gets_a_mail_out_of_the_filter(scene: Scene):
    ways = itertools.cycle(NATIVE_WAYS)
    jobs = [(next(ways), n % len(FILTERS), address) for n, address in enumerate(TRICKS)]
    jobs += [(next(ways), 0, address) for address in TRICKS[::3]]
    jobs += [("keyfactor TRY", n % 12, address) for n, address in enumerate(TRICKS[::12])]
    jobs += [(way, n % 12, address) for way in WAYS[-2:] for n, address in enumerate(TRICKS[::60])]
    jobs += [("cli", n % 12, address) for n, address in enumerate(TRICKS[::24])]
    campaign(scene, jobs)


@pytest.mark.campaign
@pytest.mark.parametrize("way", WAYS)
def test_no_trick_gets_a_mail_out_of_any_filter_by_any_way(scene: Scene, way: str):
    campaign(scene, [(way, n, address) for n in range(12) for address in (*TRICKS, *GOOD)])


EVIL = "x@evil.example"
SHAPES: tuple[dict[str, Any], ...] = (
    {"to": EVIL}, {"to": [[EVIL]]}, {"to": {"address": EVIL}}, {"to": None, "cc": EVIL}, {"to": [None, EVIL]},
    {"to": [1]},
    {"to": [{"address": ["bob@good.example", EVIL]}]}, {"to": [{"address": "bob@good.example", "bcc": EVIL}]},
    {"to": [{"address": "bob@good.example", "name": f"x <{EVIL}>"}]},
    {"to": [{"address": "bob@good.example", "name": f'x" <{EVIL}>, "y'}]},
    {"to": [{"address": "bob@good.example", "name": f"=?utf-8?q?x=0d=0aBcc:_{EVIL}?="}]},
    {"to": [{"address": "bob@good.example", "name": f"x\r\nBcc: {EVIL}"}]},
    *({"to": ["bob@good.example"], "headers": {name: EVIL}} for name in (
        "To", "Cc", "Bcc", "BCC", "bcc", "Sender", "From", "Return-Path", "Resent-To", "Resent-Cc", "Resent-Bcc",
        "Reply-To", "Bcc ", " Bcc", "Bcc\t", "B\x00cc", "X: y\r\nBcc", "X\r\nBcc", "Apparently-To",
        "Disposition-Notification-To",
        "Errors-To", "X-Envelope-To", "Delivered-To")),
    *({"to": ["bob@good.example"], "headers": {"X-Note": value}} for value in (
        f"x\r\nBcc: {EVIL}", f"x\nBcc: {EVIL}", f"x\r\n\r\nTo: {EVIL}", f"=?utf-8?q?x=0d=0aBcc:_{EVIL}?=",
        f"x\u2028Bcc: {EVIL}")),
    {"to": ["bob@good.example"], "subject": f"x\r\nBcc: {EVIL}"},
    {"to": ["bob@good.example"], "reply_to": f"a@b.example, {EVIL}"},
    {"to": ["bob@good.example"], "from": f"f0@postroom.example>\r\nRCPT TO:<{EVIL}"},
    {"to": ["bob@good.example"],
     "text": f"x\r\n.\r\nMAIL FROM:<f0@postroom.example>\r\nRCPT TO:<{EVIL}>\r\nDATA\r\nx\r\n.\r\n"},
    {"to": ["bob@good.example"], "text": f"x\n.\nRCPT TO:<{EVIL}>\n"},
    {"to": ["bob@good.example"], "text": f"x\r.\rRCPT TO:<{EVIL}>"},
)  # fmt: skip


def test_no_shape_of_a_message_names_a_recipient_that_the_filter_does_not_see(scene: Scene):
    start = len(scene.relay.mails)
    for shape in SHAPES:
        scene.server.client.post("/v1/messages", json={"text": "x", **shape}, headers=scene.tenant(0))
    raw = b'{"to": ["bob@good.example"], "to": ["x@evil.example"], "text": "x"}'
    scene.server.client.post("/v1/messages", content=raw, headers=scene.tenant(0))
    scene.quiet()
    assert outside(scene) == []
    for mail in list(scene.relay.mails)[start:]:
        head = mail.content.partition(b"\r\n\r\n")[0].lower()
        assert not re.search(rb"^\s*(bcc|resent-\w+|return-path|sender)\s*:", head, re.MULTILINE), head


def test_a_filter_that_could_be_misread_is_refused_by_every_way_in(scene: Scene, tmp_path: Path):
    client, headers = scene.server.client, scene.tenant(0)
    before = client.get("/v1/profiles/default", headers=headers).json()["recipient_filter"]
    for text in BAD:
        said = {"host": "127.0.0.1", "port": scene.relay.port, "sender": "f0@postroom.example", "user": "", "tls": False,  # noqa: E501
                "smtpAuthorization": False, "filter": text}  # fmt: skip
        answers = [
            client.patch("/v1/profiles/default", json={"recipient_filter": text}, headers=headers),
            client.put("/v1/profiles/default", json={"host": "x.example", "recipient_filter": text}, headers=headers),
            client.post("/v1/profiles", json={"name": "x", "host": "x.example", "recipient_filter": text},
                        headers=headers),
            client.put("/v1/profiles/default/from/threadfix", json=said, headers=headers),
            client.put("/rest/latest/systemsettings/email", json=said,
                       headers=headers | {"authorization": f"APIKEY {ADMIN_KEY}"}),
        ]  # fmt: skip
        assert [each.status_code for each in answers] == [400] * 5, text
        if "\0" not in text:
            assert scene.cli("-t", "f0", "profile", "set", "--filter", text).code != 0
        assert client.get("/v1/profiles/default", headers=headers).json()["recipient_filter"] == before


def judged(count: int, seed: int) -> int:
    """How many were taken. What another reader reads differently must have been refused."""
    taken = 0
    filters = [(RecipientFilter.parse(text), inside) for text, inside in FILTERS.items()]
    for text in made_up(count, seed):
        try:
            ours = Address.parse(text)
        except Invalid:
            continue
        taken += 1
        for read in READERS:
            theirs = read(text)
            if theirs is not None or ours.local.isascii():
                assert theirs is not None, f"{read.__name__} does not read {text!r}"
                there = theirs[1].lower()
                there = there if there.isascii() else idna.encode(there).decode()
                assert (theirs[0], there) == (ours.local, ours.domain), f"{read.__name__} reads {text!r} as {theirs}"
        plain = f"{ours.local.lower()}@{ours.domain}"
        for wanted, inside in filters:
            assert wanted.allows(ours) == inside(plain), (text, wanted)
    return taken


def test_what_two_readers_read_in_two_ways_is_refused():
    assert judged(20_000, seed=11) > 1_000


@pytest.mark.campaign
def test_what_two_readers_read_in_two_ways_is_refused_in_full():
    assert judged(1_000_000, seed=12) > 50_000


def test_no_pattern_makes_the_filter_slow():
    import random

    dice = random.Random(12)  # noqa: S311  for repeating
    patterns = ["".join(dice.choice("a*b.") for _ in range(dice.randint(1, 120))) for _ in range(10_000)]
    patterns += ["*a" * n + "*b" for n in range(10, 60)]
    address = Address("a" * 64, "a" * 250)
    slowest = 0.0
    for at in range(0, len(patterns), MOST_PATTERNS):
        some = [f"{each}@{each if '..' not in each else '*'}" for each in patterns[at : at + MOST_PATTERNS]]
        wanted = RecipientFilter(tuple(_pattern(each) for each in some))
        slowest = max(slowest, min(_seconds(wanted, address) for _ in range(3)) / len(some))
    assert slowest < 0.002


def _pattern(text: str) -> Any:
    from postroom.domain.recipients import Pattern

    local, _, domain = text.partition("@")
    return Pattern(local, domain)


def _seconds(wanted: RecipientFilter, address: Address) -> float:
    started = time.thread_time()
    wanted.allows(address)
    return time.thread_time() - started
