"""Which addresses Postroom may dial: the operator's network policy, and the one look-up that it is asked about.

A name is resolved once, every address is judged, and only judged addresses are dialled, so that no second look-up can
say something else (DNS rebinding). Addresses are compared as numbers, never as text.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import chain, zip_longest
from typing import Literal

from postroom.domain.delivery import Scope, Stage
from postroom.smtp.failure import Failure

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]  # raises socket.gaierror

# The metadata services of the clouds: 169.254/16 is link-local anyway, these are not (AWS over IPv6, Alibaba, Oracle).
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")))
_BROADCAST = IPv4Address("255.255.255.255")

# IPv6 addresses that are an IPv4 address in disguise: its last 32 bits.
_WRAPPERS = (
    IPv6Network("::/96"),  # RFC 4291 2.5.5.1, deprecated, still routed by some
    IPv6Network("::ffff:0:0/96"),  # RFC 4291 2.5.5.2
    IPv6Network("::ffff:0:0:0/96"),  # RFC 2765, SIIT
    IPv6Network("64:ff9b::/96"),  # RFC 6052, NAT64
)
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215: where in it the IPv4 address is, is the operator's choice
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214 section 6.1: the interface identifier's first half
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out so far
# Not for everybody's use, though Python before 3.11.10 (CVE-2024-4032) and the registry's older forms say so.
_NOT_PUBLIC = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"), IPv6Network("3fff::/20"))


@dataclass(frozen=True, slots=True)
class Reach:
    """`own` are our listeners, which no relay setting may lead back to; `exempt` (the sandbox) is always allowed."""

    networks: Literal["any", "public"] | tuple[Network, ...] = "any"
    ports: frozenset[int] | None = None  # None is any
    own: frozenset[tuple[str, int]] = frozenset()
    exempt: frozenset[tuple[str, int]] = frozenset()
    lookup: Lookup | None = None  # None asks the system

    def permits(self, address: str, port: int) -> bool:
        """Whether this one address may be dialled. What is not an IP address is not permitted, and no zone is: it is
        for link-local addresses, and makes one address look like another."""
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address) and ip.scope_id is not None:
            return False
        readings = tuple(_readings(ip))
        if len(readings) == 1 and (readings[0], port) in _endpoints(self.exempt):
            return True
        if self.ports is not None and port not in self.ports:
            return False
        return all(self._permits(reading, port) for reading in readings)

    def also_at(self, port: int) -> "Reach":
        """The same for what is no relay but has a port of its own (a token endpoint)."""
        return self if self.ports is None else replace(self, ports=self.ports | {port})

    def _permits(self, ip: Address, port: int) -> bool:
        if _is_never_a_relay(ip) or self._is_own(ip, port):
            return False
        if self.networks == "any":
            return True
        if self.networks == "public":
            return _is_public(ip)
        return any(ip in network for network in self.networks)

    def _is_own(self, ip: Address, port: int) -> bool:
        own = _endpoints(self.own)
        # A listener on 0.0.0.0 or :: answers on every address of this machine.
        wildcard = any(listener.is_unspecified and at == port for listener, at in own)
        return (ip, port) in own or (wildcard and _is_this_machine(ip))


async def resolve(reach: Reach, host: str, port: int) -> tuple[str, ...] | Failure:
    """The addresses of a relay, IPv6 and IPv4 in turn (RFC 8305 section 4). Nothing is judged yet."""
    try:
        return _interleaved([str(ipaddress.ip_address(host))])
    except ValueError:
        pass
    try:
        found = await (reach.lookup or _ask_the_system)(host, port)
    except socket.gaierror as error:
        return _unresolved(host, error)
    except (OSError, UnicodeError):
        return _unresolved(host, socket.gaierror(socket.EAI_FAIL, "failed"))
    return _interleaved(found) if found else _unresolved(host, socket.gaierror(socket.EAI_NONAME, "no address"))


def refused(reach: Reach, host: str, addresses: Sequence[str], port: int) -> Failure | None:
    """One refused address refuses the host: a name that points inside and outside is not a mistake to work around."""
    if all(reach.permits(address, port) for address in addresses):
        return None
    # The same words whatever the reason, so that the answer maps no network.
    what = f"The network policy of this installation does not let relays be at {host}, port {port}."
    return Failure("policy.address_refused", what, Stage.POLICY, Scope.PROFILE)


async def _ask_the_system(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _unresolved(host: str, error: socket.gaierror) -> Failure:
    if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
        return Failure("resolve.unknown", f'There is no host "{host}" in the DNS.', Stage.RESOLVE, Scope.PROFILE)
    what = f'The DNS gave no answer for "{host}" just now.'
    return Failure("resolve.temporary", what, Stage.RESOLVE, Scope.RELAY)


def _interleaved(addresses: Sequence[str]) -> tuple[str, ...]:
    once = list(dict.fromkeys(addresses))
    six = [address for address in once if ":" in address]
    four = [address for address in once if ":" not in address]
    turns = chain.from_iterable(zip_longest(six, four))
    return tuple(address for address in turns if address is not None)


def _readings(ip: Address) -> Iterator[Address]:
    """Where it may lead: to the IPv4 address in it, or to itself, or to either, where that depends on who routes it."""
    if isinstance(ip, IPv4Address):
        yield ip
        return
    last = IPv4Address(int(ip) & 0xFFFFFFFF)
    if any(ip in wrapper for wrapper in _WRAPPERS) and int(ip) > 1:  # :: and ::1 are themselves
        yield last
        return
    if ip.sixtofour is not None:  # RFC 3056
        yield ip.sixtofour
        return
    yield ip
    if ip in _LOCAL_NAT64:
        yield last
        number = int(ip)  # RFC 6052 section 2.2: a prefix of 48, 56 or 64 bits, around the octet of bits 64 to 71
        yield IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)
        yield IPv4Address((number >> 64 & 0xFF) << 24 | number >> 32 & 0xFFFFFF)
        yield IPv4Address(number >> 24 & 0xFFFFFFFF)
    if ip.teredo is not None:  # RFC 4380
        yield from ip.teredo
    if int(ip) >> 32 & 0xFFFFFFFF in _ISATAP:
        yield last


def _is_never_a_relay(ip: Address) -> bool:
    """Places that no mail server is at, but that other things answer from."""
    return (
        ip.is_link_local
        or ip.is_multicast
        or ip.is_unspecified
        or ip == _BROADCAST
        or ip in _METADATA
        or (isinstance(ip, IPv4Address) and int(ip) >> 24 == 0)  # 0.0.0.0/8 is this host on Linux
    )


def _is_public(ip: Address) -> bool:
    if isinstance(ip, IPv6Address) and ip not in _GLOBAL_UNICAST:
        return False
    return ip.is_global and not any(ip in network for network in _NOT_PUBLIC)


def _is_this_machine(ip: Address) -> bool:
    """Asks the kernel; nothing is sent."""
    if ip.is_loopback:
        return True
    family = socket.AF_INET if isinstance(ip, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True


def _endpoints(pairs: frozenset[tuple[str, int]]) -> set[tuple[Address, int]]:
    return {(reading, port) for address, port in pairs for reading in _readings(ipaddress.ip_address(address))}
