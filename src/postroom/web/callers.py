"""From a request to its caller and its tenant."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection, Request

from postroom.actions.room import Room
from postroom.domain.access import Caller
from postroom.domain.problems import Unauthenticated
from postroom.domain.secret import Secret
from postroom.domain.tenant import Tenant

TENANT_HEADER = "x-postroom-tenant"


def room_of(connection: HTTPConnection) -> Room:
    room: Room = connection.app.state.room
    return room


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands between us and the caller, by configuration. `home` is the host that users know us by."""

    https_only: bool = True
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    home: str | None = None


def home_of(connection: HTTPConnection) -> str | None:
    surroundings: Surroundings = connection.app.state.surroundings
    return surroundings.home


def came_securely(connection: HTTPConnection) -> bool:
    """Whether the request came over https, through a trusted proxy that says so, or from this machine."""
    surroundings: Surroundings = connection.app.state.surroundings
    if not surroundings.https_only or connection.url.scheme == "https":
        return True
    peer = _peer(connection)
    if _is_proxy(peer, surroundings):
        return connection.headers.get("x-forwarded-proto", "https").lower() == "https"
    return peer is not None and peer.is_loopback


def is_https(connection: HTTPConnection) -> bool:
    """Whether the user's side of the connection is https: whether a cookie can be for https only."""
    surroundings: Surroundings = connection.app.state.surroundings
    said = connection.headers.get("x-forwarded-proto", "").lower() == "https"
    return connection.url.scheme == "https" or (said and _is_proxy(_peer(connection), surroundings))


def address_of(connection: HTTPConnection) -> str:
    """Where the request came from: the peer, or who stands behind the trusted proxies. What else X-Forwarded-For says,
    the caller may have written there."""
    surroundings: Surroundings = connection.app.state.surroundings
    peer = _peer(connection)
    if not _is_proxy(peer, surroundings):
        return connection.client.host if connection.client else ""
    for told in reversed(",".join(connection.headers.getlist("x-forwarded-for")).split(",")):
        before = _ip(told.strip())
        if before is None:
            break
        peer = before
        if not _is_proxy(before, surroundings):
            break
    return str(peer)


def _peer(connection: HTTPConnection) -> IPv4Address | IPv6Address | None:
    return _ip(connection.client.host) if connection.client else None  # there are transports without addresses


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_proxy(ip: IPv4Address | IPv6Address | None, surroundings: Surroundings) -> bool:
    return ip is not None and any(ip in network for network in surroundings.trusted_proxies)


async def native_caller(request: Request) -> Caller:
    """`Authorization: Bearer <API key or token>`. Raises Unauthenticated."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("Give your API key as: Authorization: Bearer <key>")
    return await room_of(request).keys.authenticate(Secret(value.strip()), address_of(request))


NativeCaller = Annotated[Caller, Depends(native_caller)]


async def native_tenant(request: Request, caller: NativeCaller) -> Tenant:
    """The credential's tenant; a key of the whole installation names one in `X-Postroom-Tenant`."""
    return await room_of(request).tenants.of(caller, request.headers.get(TENANT_HEADER))


NativeTenant = Annotated[Tenant, Depends(native_tenant)]


async def the_room(connection: HTTPConnection) -> Room:
    """`room_of` as a dependency: FastAPI would run it in a thread if it were not async."""
    return room_of(connection)


TheRoom = Annotated[Room, Depends(the_room)]
