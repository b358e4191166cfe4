"""The relays of a row, on free ports of this machine, under the names that the row gives them."""

import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from postroom.domain.profile import Auth, Patch, Profile, Security, apply
from postroom.domain.secret import Secret
from postroom.smtp.proposal import Proposal
from postroom.smtp.reach import Reach
from postroom.smtp.route import Route, Timeouts
from serving import free_port
from smtp.conftest import self_signed
from smtp.moods import Relay, open_relay

from .row import OTHER, SENDER, USER, At, Row

TIMES = Timeouts(connect=2, reply=0.6, dot=2, attempt=4)


@dataclass
class Authorities:
    """Certificates for whoever a row says; ours is the one that the profiles trust."""

    directory: Path
    ours: trustme.CA = field(default_factory=trustme.CA)
    foreign: trustme.CA = field(default_factory=trustme.CA)

    @property
    def pem(self) -> str:
        return self.ours.cert_pem.bytes().decode()

    def context(self, kind: str, host: str) -> ssl.SSLContext:
        if kind.startswith("self_signed"):
            return self_signed(self.directory, host if kind == "self_signed" else "mx.other.test")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if kind == "tls_1_2":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        self._leaf(kind, host).configure_cert(context)
        return context

    def _leaf(self, kind: str, host: str) -> trustme.LeafCert:
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        if kind == "expired":
            return self.ours.issue_cert(host, not_before=yesterday - datetime.timedelta(days=9), not_after=yesterday)
        if kind == "ends_soon":
            return self.ours.issue_cert(host, not_after=yesterday + datetime.timedelta(days=6, hours=1))
        if kind == "foreign":
            return self.foreign.issue_cert(host)
        names = {"other_names": (f"mx.{host}", "www.elsewhere.test"), "wildcard": ("*.other.test",)}
        return self.ours.issue_cert(*names.get(kind, (host,)))


@pytest.fixture(scope="session")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    return Authorities(tmp_path_factory.mktemp("certificates"))


@dataclass
class Scene:
    """A row with its relays open. `names` are what the DNS knows."""

    row: Row
    profile: Profile
    ports: tuple[int, ...]  # what a check looks at beside the profile's
    relays: list[Relay]

    def route(self, profile: Profile | None = None, password: str | None = None) -> Route:
        settings = profile or self.profile
        given = password if password is not None else self.row.password
        secret = Secret(given) if given is not None and settings.auth is not Auth.NONE else None
        networks: Any = "public" if self.row.forbidden else "any"
        return Route(
            settings, secret, Reach(networks, lookup=self._look_up), settings.ehlo_name or "postroom.test",
            allow_plaintext_auth=self.row.plaintext, timeouts=TIMES,
        )  # fmt: skip

    async def _look_up(self, host: str, _port: int) -> Sequence[str]:
        if host not in (self.row.knows or (self.row.host,)):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return ["127.0.0.1"]

    def changed(self, proposal: Proposal) -> Profile:
        """As somebody applies it who gives what it needs."""
        given = {name: self.row.gives[name] for name in proposal.needs if name != "password"}
        return apply(self.profile, Patch(**proposal.changes, **given))

    def expected(self, changes: Any, shown: str) -> dict[str, Any]:
        words = {OTHER: self.ports[0] if self.ports else None, "the certificate that was shown": shown}
        return {name: words.get(value, value) if isinstance(value, str) else value for name, value in changes.items()}


@asynccontextmanager
async def scene(row: Row, authorities: Authorities) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:

        async def opened(at: At) -> Relay:
            return await stack.enter_async_context(open_relay(_mood(at, authorities, (row.knows or (row.host,))[0])))

        here = await opened(row.here) if row.here else None
        other = await opened(row.other) if row.other else None
        login: dict[str, Any] = {"auth": Auth.PASSWORD, "username": USER} if row.login else {}
        settings: dict[str, Any] = {
            "security": Security.STARTTLS, "ca_certificates": authorities.pem, "sender_address": SENDER, **login,
            **row.settings,
        }  # fmt: skip
        profile = Profile(host=row.host, port=here.port if here else free_port(), **settings)
        ports = (other.port,) if other else ()
        yield Scene(row, profile, ports, [relay for relay in (here, other) if relay])


def _mood(at: At, authorities: Authorities, host: str) -> Any:
    if at.tls == "none":
        return at.mood
    context = authorities.context(at.certificate, host)
    if at.tls == "implicit":
        return replace(at.mood, tls=context, implicit=True)
    later = at.mood.offers if at.mood.offers_after_tls is None else at.mood.offers_after_tls
    return replace(at.mood, tls=context, offers=(*at.mood.offers, "STARTTLS"), offers_after_tls=later)
