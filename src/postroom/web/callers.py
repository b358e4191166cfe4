"""From a request to its caller and its tenant."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
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
    try:
        peer = ip_address(address_of(connection))
    except ValueError:  # a transport without addresses
        return False
    if any(peer in network for network in surroundings.trusted_proxies):
        return connection.headers.get("x-forwarded-proto", "https").lower() == "https"
    return peer.is_loopback


def address_of(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


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
