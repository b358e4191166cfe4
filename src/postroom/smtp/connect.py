"""From a host name to a connected socket: resolve once, judge every address, dial only what was judged."""

import asyncio
import socket
from collections.abc import Callable, Mapping

from postroom.domain.delivery import Scope, Stage
from postroom.smtp.dial import dial
from postroom.smtp.dialogue import Passed
from postroom.smtp.failure import Failure
from postroom.smtp.reach import refused, resolve
from postroom.smtp.route import Route

Tell = Callable[[Passed], None]


def to_nobody(_: Passed) -> None:
    """For whoever does not look on."""


async def connect(route: Route, tell: Tell) -> socket.socket | Failure:
    """A plain TCP connection to one of the relay's addresses, telling each step that was passed."""
    host, port, reach = route.profile.host, route.profile.port, route.reach
    addresses = await _resolve(route)
    if isinstance(addresses, Failure):
        return addresses
    failure = refused(reach, host, addresses, port)
    # The addresses of a refused host are not told: they would map somebody's network.
    tell(Passed(Stage.RESOLVE, f'"{host}" is known.', {} if failure else {"addresses": ", ".join(addresses)}))
    if failure is not None:
        return failure
    tell(Passed(Stage.POLICY, "The network policy of this installation allows it."))

    def stands(address: str, tried: Mapping[str, str]) -> None:
        relay = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        tell(Passed(Stage.CONNECT, "The relay accepted the connection.", {"relay": relay, **tried}))

    return await dial(addresses, port, route.timeouts.connect, stands)


async def _resolve(route: Route) -> tuple[str, ...] | Failure:
    host = route.profile.host
    try:
        async with asyncio.timeout(route.timeouts.connect):
            return await resolve(route.reach, host, route.profile.port)
    except TimeoutError:
        what = f'The DNS gave no answer for "{host}" in time.'
        return Failure("resolve.temporary", what, Stage.RESOLVE, Scope.RELAY)
