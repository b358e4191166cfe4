"""Which addresses Postroom may dial: the operator's network policy, and the one look-up that it is asked about.

A name is resolved once, every address is judged, and only judged addresses are dialled, so that no second look-up can
say something else (DNS rebinding). Addresses are compared as numbers, never as text.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
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
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 2.5.5.1, deprecated, still routed by some


@dataclass(frozen=True, slots=True)
class Reach:
    """`own` are our listeners, which no relay setting may lead back to; `exempt` (the sandbox) is always allowed."""

    networks: Literal["any", "public"] | tuple[Network, ...] = "any"
    own: frozenset[tuple[str, int]] = frozenset()
    exempt: frozenset[tuple[str, int]] = frozenset()
    lookup: Lookup | None = None  # None asks the system

    def permits(self, address: str, port: int) -> bool:
        """Whether this one address may be dialled. What is not an IP address is not permitted."""
        try:
            ip = _unwrapped(ipaddress.ip_address(address))
        except ValueError:
            return False
        if (ip, port) in _endpoints(self.exempt):
            return True
        if _is_never_a_relay(ip) or self._is_own(ip, port):
            return False
        if self.networks == "any":
            return True
        if self.networks == "public":
            return ip.is_global
        return any(ip in network for network in self.networks)

    def _is_own(self, ip: Address, port: int) -> bool:
        own = _endpoints(self.own)
        # A listener on 0.0.0.0 or :: answers on every loopback address.
        wildcard = any(listener.is_unspecified and at == port for listener, at in own)
        return (ip, port) in own or (wildcard and ip.is_loopback)


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


def _unwrapped(ip: Address) -> Address:
    """The IPv4 address that an IPv6 one really leads to, or the address itself."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip in _NAT64 or (ip in _COMPATIBLE and int(ip) > 1):  # :: and ::1 are themselves
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


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


def _endpoints(pairs: frozenset[tuple[str, int]]) -> set[tuple[Address, int]]:
    return {(_unwrapped(ipaddress.ip_address(address)), port) for address, port in pairs}
