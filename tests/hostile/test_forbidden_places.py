# ruff: noqa: S104, ARG005, E501
"""V16: places that the network policy forbids, in every spelling that leads there; saved, checked and delivered to.

Everything forbidden here is this very machine, where listeners on IPv4 and IPv6 watch for anyone who comes.
"""

import asyncio
import ipaddress
import itertools
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from postroom.domain.host import host_name
from postroom.domain.problems import Invalid
from postroom.smtp.check import check
from postroom.smtp.failure import Failure
from postroom.smtp.grant import Grant
from postroom.smtp.oauth import ask_for_token
from postroom.smtp.reach import Reach, resolve
from postroom.smtp.route import Route, Timeouts
from postroom.smtp.send import send
from serving import a_house
from smtp.conftest import CONTENT, ENVELOPE, route_to

SOON = Timeouts(connect=5, reply=5, dot=5, attempt=10)


def _of_127_0_0_1() -> list[str]:
    """As URL parsers, resolvers and the IPv6 transition mechanisms spell it."""
    octets = (("127", "0177", "0x7f"), ("0", "00", "0x0"), ("0", "0x00"), ("1", "01", "0x1"))
    mixed = [".".join(each) for each in itertools.product(*octets)]
    short = [
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0177.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0x7F000001",
        "127.0.1.",
    ]
    mapped = [
        "::ffff:127.0.0.1", "::ffff:7f00:1", "::FFFF:7F00:0001", "0:0:0:0:0:ffff:127.0.0.1", "::ffff:127.0.0.1%lo",
        "::127.0.0.1", "::7f00:1", "::ffff:0:127.0.0.1", "::ffff:0:7f00:1",
        "64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "64:ff9b:1:7f00:0:100::", "64:ff9b:1:007f:0000:0001::",
        "64:ff9b:1:0:7f:0:100:0",
        "2002:7f00:1::", "2002:7f00:0001::1", "2002:7f00:1:0:0:5efe:7f00:1",
        "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:0000:7f00:0001:0000:ffff:80ff:fffe",
        "fe80::5efe:7f00:1", "2001:db8::5efe:7f00:1", "2606:2800::200:5efe:7f00:1", "fd12::5efe:127.0.0.1",
    ]  # fmt: skip
    plain = ["127.0.0.1", "127.0.0.2", "127.255.255.254", "localhost", "LOCALHOST", "localhost.", "a.localhost", "::1",
             "0:0:0:0:0:0:0:1", "::1%lo", "0000::0001", "0.0.0.0", "0", "0.1.2.3", "::", "::%lo", "[::1]", "[::ffff:127.0.0.1]",
             "[127.0.0.1]", "127.0.0.1.", "127.0.0.1%lo"]  # fmt: skip
    wide = [
        "１２７.０.０.１",
        "127。0。0。1",
        "①②⑦.⓪.⓪.①",
        "ⓛocalhost",
        "xn--127-0",
        "xn--localhost-",
        "127.0.0.1\u200b",
    ]
    return [*plain, *mixed, *short, *mapped, *wide, *(f"[{each}]" for each in mapped)]


SPELLINGS = list(dict.fromkeys(_of_127_0_0_1()))


@dataclass
class Watched:
    """Listeners at one port of this machine, and who came."""

    port: int = 0
    visits: int = 0


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched()

    async def come(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        watched.visits += 1
        writer.close()

    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(await asyncio.start_server(come, "127.0.0.1", 0))
        watched.port = first.sockets[0].getsockname()[1]
        for address in ("127.0.0.2", "::1"):
            try:
                server = await asyncio.start_server(come, address, watched.port)
            except OSError:
                continue  # no IPv6 here
            await stack.enter_async_context(server)
        yield watched


@dataclass
class Resolver:
    """This machine's own reading of numbers (`inet_aton` and all); names are local and never asked of anybody."""

    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host.lower().rstrip(".").endswith("localhost"):
            return ["127.0.0.1", "::1"]
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [str(address[0]) for *_, address in found]


def test_there_are_enough_of_them():
    assert len(SPELLINGS) >= 120


def _as_saved(text: str) -> str:
    """As it would stand in a profile; what is never saved is tried as it is, as if it had been stored by mistake."""
    try:
        return host_name(text)
    except Invalid:
        return text


def _route(host: str, port: int, reach: Reach) -> Route:
    route = route_to(port, host="relay.test", reach=reach, timeouts=SOON)
    object.__setattr__(route.profile, "host", host)  # past the model, which would refuse many of them
    return route


POLICIES = {
    "public": lambda port, lookup: Reach("public", lookup=lookup),
    "own": lambda port, lookup: Reach("any", own=frozenset({("0.0.0.0", port)}), lookup=lookup),
    "ports": lambda port, lookup: Reach("any", ports=frozenset({25}), lookup=lookup),
}


@pytest.mark.parametrize("policy", POLICIES)
async def test_no_spelling_of_a_forbidden_place_is_connected_to(watched: Watched, policy: str):
    for text in SPELLINGS:
        for host in {text, _as_saved(text)}:
            resolver = Resolver()
            route = _route(host, watched.port, POLICIES[policy](watched.port, resolver))
            ladder = [step async for step in check(route, recipient="to@example.com")]
            assert ladder[-1].status == "failed", host
            assert ladder[-1].code in ("policy.address_refused", "resolve.unknown", "resolve.temporary"), host
            (outcome,) = (await send(route, ENVELOPE, CONTENT)).outcomes.values()
            assert outcome.code == ladder[-1].code, host
            assert len(resolver.asked) in (0, 2), host  # one look-up an attempt, none for an address
            assert "127.0.0" not in (ladder[-1].message + outcome.message).replace(host, ""), host
    assert watched.visits == 0


async def test_the_watchers_see_who_does_come(watched: Watched):
    """Else the test above could not fail. Only spellings that stay on this machine whoever routes them."""
    came = []
    for text in SPELLINGS:
        resolver = Resolver()
        found = await resolve(Reach(lookup=resolver), text, watched.port)
        if isinstance(found, Failure) or not all(_is_loopback(each) for each in found):
            continue
        before = watched.visits
        await send(_route(text, watched.port, Reach("any", lookup=resolver)), ENVELOPE, CONTENT)
        if watched.visits > before:
            came.append(text)
    assert len(came) >= 40
    assert {"127.0.0.1", "localhost", "2130706433", "::ffff:127.0.0.1"} <= set(came)


def _is_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return ip.is_loopback or (isinstance(ip, ipaddress.IPv6Address) and bool(ip.ipv4_mapped))


@pytest.mark.parametrize("first", ["allowed", "forbidden"])
async def test_a_resolver_that_flips_leads_nowhere_and_is_asked_once_an_attempt(watched: Watched, first: str):
    """Who judges one answer and dials another would be led to the watchers."""
    allowed = "127.0.0.3"  # stands for the Internet: nothing listens there, and nothing leaves this machine
    turns = itertools.cycle([allowed, "127.0.0.1"] if first == "allowed" else ["127.0.0.1", allowed])
    asked = []

    async def flips(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return [next(turns)]

    route = route_to(watched.port, reach=Reach((ipaddress.ip_network(allowed),), lookup=flips), timeouts=SOON)
    codes = []
    for _ in range(1000):
        (outcome,) = (await send(route, ENVELOPE, CONTENT)).outcomes.values()
        codes.append(outcome.code)
    assert watched.visits == 0
    assert len(asked) == 1000
    assert codes.count("connect.refused") == codes.count("policy.address_refused") == 500


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_token_endpoint_is_no_way_around_it(watched: Watched, policy: str):
    for text in SPELLINGS:
        resolver = Resolver()
        host = text if text.startswith("[") or ":" not in text else f"[{text}]"
        grant = Grant(f"https://{host}:{watched.port}/token", "client", None)
        answer = await ask_for_token(grant, POLICIES[policy](watched.port, resolver), 5)
        assert answer.code in ("oauth.address_refused", "oauth.unreachable"), host  # type: ignore[union-attr]
        assert len(resolver.asked) <= 1
    assert watched.visits == 0


async def test_saving_and_checking_over_http_tells_all_of_them_alike(tmp_path: Path, watched: Watched):
    async with a_house(tmp_path, relay_networks="public", sandbox="off") as house:
        profile = {"name": "p", "host": "127.0.0.1", "port": watched.port, "sender_address": "a@b.example"}
        made = await house.client.post("/v1/profiles", json=profile, headers=house.admin)
        assert made.status_code == 201, made.text
        told = set()
        for text in (
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "169.254.169.254",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
            "64:ff9b::7f00:1",
        ):
            saved = await house.client.patch("/v1/profiles/1", json={"host": text}, headers=house.admin)
            assert saved.status_code == 200, saved.text
            checked = await house.client.post("/v1/profiles/1/check", json={}, headers=house.admin)
            assert "policy.address_refused" in checked.text, checked.text
            told.add(checked.status_code)
        assert told == {200}
    assert watched.visits == 0
