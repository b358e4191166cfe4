"""What answers on the relay's ports: looked at when a check failed, to be able to say which settings would do.

It is the delivery code that looks, under the same network policy and with little patience. Nothing is logged in, no
mail is begun, and no certificate is judged: what is seen here is only ever proposed to a person.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from postroom.domain.delivery import Stage
from postroom.domain.profile import Auth, Security, TlsVersion
from postroom.smtp.capabilities import Capabilities
from postroom.smtp.certificate import Certificate, read_chain
from postroom.smtp.certificates import Certificates
from postroom.smtp.dialogue import Passed
from postroom.smtp.route import Route, Timeouts
from postroom.smtp.tls import CHAIN
from postroom.smtp.visit import visiting

PORTS = (587, 465, 25, 2525)  # RFC 6409, RFC 8314, RFC 5321; the last one many providers have where 25 is blocked
LOOK = Timeouts(connect=2, reply=2.5, dot=1, attempt=6)
_FROM_THE_START = (465, 2465)
_NOTHING_THERE = (Stage.RESOLVE, Stage.POLICY, Stage.CONNECT)

# The failures that another way in may mend, and those where it is worth asking at other ports too.
HERE = frozenset({
    "greeting.not_smtp", "reply.timeout", "connection.lost", "tls.handshake", "tls.not_offered", "tls.version",
    "tls.self_signed", "tls.untrusted", "tls.name_mismatch", "tls.expired", "tls.not_yet_valid", "tls.required",
    "auth.not_offered", "auth.no_common_mechanism", "auth.plaintext_forbidden", "auth.required",
})  # fmt: skip
ELSEWHERE = frozenset({
    "connect.refused", "connect.timeout", "greeting.not_smtp", "reply.timeout", "connection.lost", "tls.handshake",
    "tls.not_offered", "auth.not_offered", "auth.plaintext_forbidden", "auth.required", "tls.required",
})  # fmt: skip
_NO_ANSWER = ("reply.timeout", "connection.lost", "tls.handshake")  # to the way that the settings have
_EARLY = (Stage.GREETING, Stage.TLS, Stage.CONNECT)


@dataclass(frozen=True, slots=True)
class Door:
    """A port where a mail server answers, and the best encryption that it does (NONE, STARTTLS or TLS). `offered` is
    what it offers behind that."""

    port: int
    security: Security
    offered: Capabilities = field(default_factory=Capabilities)
    certificate: Certificate | None = None

    def __str__(self) -> str:
        return f"{self.port} ({_IN_WORDS[self.security]})"


_IN_WORDS = {Security.NONE: "no TLS", Security.STARTTLS: "STARTTLS", Security.TLS: "TLS from the start"}


async def look_around(
    route: Route, code: str, stage: Stage, *, ports: Sequence[int] = PORTS, seconds: float = LOOK.attempt
) -> tuple[Door, ...]:
    """The doors that answer, as far as this failure makes it worth looking; the one of the settings comes first."""
    if seconds <= 0 or (code in ("reply.timeout", "connection.lost") and stage not in _EARLY):
        return ()
    here = [route.profile.port] if code in HERE else []
    others = [port for port in ports if port != route.profile.port] if code in ELSEWHERE else []
    if not here and not others:
        return ()
    # First in the way that the settings have, unless that was in vain just now; elsewhere in the way that is usual.
    tls_first = (route.profile.security is Security.TLS) is (code not in _NO_ANSWER)
    looks = [
        *(asyncio.create_task(_look(route, port, tls_first=tls_first)) for port in here),
        *(asyncio.create_task(_look(route, port, tls_first=port in _FROM_THE_START)) for port in others),
    ]
    try:
        await asyncio.wait(looks, timeout=min(seconds, route.timeouts.attempt))
        found = [look.result() for look in looks if look.done()]
    finally:
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
    return tuple(door for door in found if door is not None)


async def _look(route: Route, port: int, *, tls_first: bool) -> Door | None:
    ways = (Security.TLS, Security.STARTTLS_IF_OFFERED)
    for security in ways if tls_first else reversed(ways):
        found = await _knock(route, port, security)
        if isinstance(found, Door):
            return found
        if found in _NOTHING_THERE:
            return None
    return None


async def _knock(route: Route, port: int, security: Security) -> Door | Stage:
    """What is there, or how far it got."""
    chain: list[str] = []

    def tell(passed: Passed) -> None:
        if passed.stage is Stage.TLS and passed.done:
            chain.append(passed.detail.get(CHAIN, ""))

    async with visiting(_as_a_stranger(route, port, security), tell) as session:
        failure = await session.open()
        if failure is not None:
            return failure.stage
        seen = Security.TLS if security is Security.TLS else Security.STARTTLS if chain else Security.NONE
        return Door(port, seen, session.offered, read_chain(chain[0]) if chain else None)


def _as_a_stranger(route: Route, port: int, security: Security) -> Route:
    """The same way without anything to lose."""
    profile = replace(
        route.profile, port=port, security=security, auth=Auth.NONE, verify_certificate=False, ca_certificates=None,
        tls_minimum=TlsVersion.V1_2,
    )  # fmt: skip
    ours = route.timeouts
    patience = Timeouts(
        min(LOOK.connect, ours.connect), min(LOOK.reply, ours.reply), LOOK.dot, min(LOOK.attempt, ours.attempt)
    )
    return replace(route, profile=profile, password=None, sign_in=None, timeouts=patience, certificates=Certificates())
