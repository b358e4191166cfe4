"""Which addresses may be dialled, in every spelling, and that nothing else ever is."""

import asyncio
import ipaddress
import socket

import pytest

from postroom.domain.delivery import Scope, Sent
from postroom.smtp.reach import Reach, refused, resolve
from postroom.smtp.send import send

from .conftest import CONTENT, ENVELOPE, route_to
from .moods import Mood, open_relay

ANY = Reach()
PUBLIC = Reach(networks="public")

UNSPECIFIED = str(ipaddress.IPv4Address(0))
NEVER = [
    UNSPECIFIED,
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "255.255.255.255",
    "100.100.100.200",
    "192.0.0.192",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::ffff:255.255.255.255",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::169.254.169.254",
    "::ffff:224.0.0.1",
]


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize(
    "reach", [ANY, PUBLIC, Reach(networks=(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")))]
)
def test_some_places_are_never_a_relay(reach, address):
    assert not reach.permits(address, 25)


@pytest.mark.parametrize("text", ["", "relay.test", "127.1", "0x7f000001", "2130706433", "127.0.0.01", "1.2.3.4:25"])
def test_what_is_not_one_plain_address_is_not_permitted(text):
    assert not ANY.permits(text, 25)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5", "192.168.1.1", "93.184.216.34", "::1", "fd12::1"])
def test_by_default_public_private_and_loopback_are_permitted(address):
    assert ANY.permits(address, 25)


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.0.0.5", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("fd12::1", False),
        ("::ffff:10.0.0.5", False),
        ("64:ff9b::a00:5", False),
        ("2002:a00:5::1", False),
    ],
)
def test_public_means_public_in_every_spelling(address, permitted):
    assert PUBLIC.permits(address, 25) is permitted


def test_a_list_of_networks_permits_these_and_no_others():
    reach = Reach(networks=(ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd12::/32")))
    assert reach.permits("10.1.2.3", 25)
    assert reach.permits("::ffff:10.1.2.3", 25)
    assert reach.permits("fd12::5", 25)
    assert not reach.permits("10.2.0.1", 25)
    assert not reach.permits("93.184.216.34", 25)


def test_our_own_listeners_are_no_relay_except_the_sandbox():
    reach = Reach(own=frozenset({("127.0.0.1", 8025), (UNSPECIFIED, 5432)}), exempt=frozenset({("127.0.0.1", 2525)}))
    assert not reach.permits("127.0.0.1", 8025)
    assert not reach.permits("::ffff:127.0.0.1", 8025)
    assert not reach.permits("127.0.0.1", 5432)
    assert not reach.permits("::1", 5432)
    assert reach.permits("127.0.0.1", 25)
    assert reach.permits("127.0.0.1", 2525)
    assert Reach(networks="public", exempt=frozenset({("127.0.0.1", 2525)})).permits("127.0.0.1", 2525)
    both = frozenset({("127.0.0.1", 2525)})
    assert Reach(own=both, exempt=both).permits("127.0.0.1", 2525)


def finds(*addresses: str, count: list[str] | None = None):
    async def lookup(host: str, port: int) -> list[str]:
        if count is not None:
            count.append(host)
        return list(addresses)

    return lookup


async def test_the_two_families_take_turns():
    reach = Reach(lookup=finds("10.0.0.1", "10.0.0.2", "fd12::1", "10.0.0.1"))
    assert await resolve(reach, "relay.test", 25) == ("fd12::1", "10.0.0.1", "10.0.0.2")


async def test_a_dns_that_never_answers_meets_a_deadline():
    async def lookup(host: str, port: int) -> list[str]:
        await asyncio.sleep(30)
        return []

    (outcome,) = (await send(route_to(25, reach=Reach(lookup=lookup)), ENVELOPE, CONTENT)).outcomes.values()
    assert outcome.code == "resolve.temporary"


async def test_a_name_with_one_refused_address_is_not_dialled_at_all(relay):
    good = await relay()
    reach = Reach(lookup=finds("127.0.0.1", "169.254.169.254"))
    attempt = await send(route_to(good, reach=reach), ENVELOPE, CONTENT)
    (outcome,) = attempt.outcomes.values()
    assert (outcome.code, outcome.scope) == ("policy.address_refused", Scope.PROFILE)
    assert good.visits == 0
    assert "169.254" not in repr(attempt) + attempt.transcript


@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1", "10.0.0.1"])
def test_a_refusal_says_the_same_whatever_the_reason(address):
    assert refused(PUBLIC, "relay.test", [address], 25) == refused(PUBLIC, "relay.test", ["::"], 25)


async def test_a_name_is_looked_up_once_and_what_was_judged_is_dialled(relay):
    looked_up: list[str] = []
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])

    async def flips(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return next(answers)

    good = await relay()
    (outcome,) = (await send(route_to(good, reach=Reach(lookup=flips)), ENVELOPE, CONTENT)).outcomes.values()
    assert isinstance(outcome, Sent)
    assert looked_up == ["relay.test"]


async def test_a_relay_at_an_ip_address_needs_no_look_up(relay):
    async def never(host: str, port: int) -> list[str]:
        raise AssertionError("an address was looked up")

    good = await relay()
    route = route_to(good, host="127.0.0.1", reach=Reach(lookup=never))
    (outcome,) = (await send(route, ENVELOPE, CONTENT)).outcomes.values()
    assert isinstance(outcome, Sent)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_ipv6():
    try:
        async with open_relay(Mood(), "::1") as good:
            attempt = await send(route_to(good, host="::1"), ENVELOPE, CONTENT)
    except OSError:
        pytest.skip("no IPv6 here")
    assert attempt.relay == f"[::1]:{good.port}"
    assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values())


@pytest.mark.parametrize("address", ["::1%lo", "::ffff:127.0.0.1%1", "fd00:ec2::254%eth0", "fd12::1%eth0"])
def test_a_zone_makes_no_address_another_one(address):
    assert not ANY.permits(address, 25)


@pytest.mark.parametrize(
    "address",
    ["64:ff9b:1::a00:5", "64:ff9b:1:a00:0:500::", "2001:0:a00:5::", "2001:0:4136:e378:8000:63bf:f5ff:fffa",
     "2606:2800::5efe:a00:5", "::ffff:0:10.0.0.5", "fec0::1", "4000::1", "192.0.0.9", "192.88.99.1"],
)  # fmt: skip
def test_what_may_lead_inside_is_not_public(address):
    assert not PUBLIC.permits(address, 25)


def test_a_list_of_ports_is_for_all_but_the_sandbox_and_the_token_endpoints_own():
    reach = Reach(ports=frozenset({25, 587}), exempt=frozenset({("127.0.0.1", 2525)}))
    assert [port for port in (25, 443, 587, 2525, 6379) if reach.permits("127.0.0.1", port)] == [25, 587, 2525]
    assert reach.also_at(443).permits("127.0.0.1", 443)
    assert not reach.permits("127.0.0.2", 2525)


def test_a_listener_on_all_addresses_is_ours_at_each_of_this_machines():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: it only says which address would be used
        except OSError:
            pytest.skip("this machine has no address but loopback")
        outside = probe.getsockname()[0]
    assert not Reach(own=frozenset({(UNSPECIFIED, 8025)})).permits(outside, 8025)
    assert Reach(own=frozenset({(UNSPECIFIED, 8025)})).permits("192.0.2.1", 8025)
