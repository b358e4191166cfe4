"""From a request to its caller and its tenant."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Annotated

from fastapi import Depends
from starlette.datastructures import URL
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
    """What stands between us and the caller, by configuration. `home` is the host that users know us by, `is_https`
    whether they do so by https."""

    https_only: bool = True
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    home: str | None = None
    is_https: bool = False

    def trusts(self, address: str) -> bool:
        """Whether this is one of the proxies that are believed."""
        if not self.trusted_proxies:
            return False
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self.trusted_proxies)


def home_of(connection: HTTPConnection) -> str | None:
    surroundings: Surroundings = connection.app.state.surroundings
    return surroundings.home


def came_securely(connection: HTTPConnection) -> bool:
    """Whether the request came over https, through a trusted proxy that says so, or from this machine."""
    surroundings: Surroundings = connection.app.state.surroundings
    if not surroundings.https_only or connection.url.scheme == "https":
        return True
    peer = _peer_of(connection)
    if surroundings.trusts(peer):
        # Several proxies each add theirs; the last word is that of the one we know.
        said = ",".join(connection.headers.getlist("x-forwarded-proto")) or "https"
        return said.rpartition(",")[2].strip().lower() == "https"
    try:
        return ip_address(peer).is_loopback
    except ValueError:  # a transport without addresses
        return False


def is_https(connection: HTTPConnection) -> bool:
    """Whether the user's side of the connection is https: whether a cookie can be for https only."""
    surroundings: Surroundings = connection.app.state.surroundings
    said = connection.headers.get("x-forwarded-proto", "").lower() == "https"
    return connection.url.scheme == "https" or (said and surroundings.trusts(_peer_of(connection)))


def url_of(connection: HTTPConnection) -> URL:
    """What was asked for, as the user's side of the connection has it."""
    return connection.url.replace(scheme="https") if is_https(connection) else connection.url


def address_of(connection: HTTPConnection) -> str:
    """Who asks: our peer, or whom a trusted proxy says that it asks for. Read from the right, because what stands left
    of the first address that is no proxy of ours, anybody could have written."""
    peer = _peer_of(connection)
    surroundings: Surroundings = connection.app.state.surroundings
    if not surroundings.trusts(peer):
        return peer
    for said in reversed(",".join(connection.headers.getlist("x-forwarded-for")).split(",")):
        try:
            peer = str(ip_address(_without_port(said.strip())))
        except ValueError:
            return peer
        if not surroundings.trusts(peer):
            return peer
    return peer


def _without_port(text: str) -> str:
    """Some proxies write `192.0.2.1:4711`, and IPv6 in brackets."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _peer_of(connection: HTTPConnection) -> str:
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
