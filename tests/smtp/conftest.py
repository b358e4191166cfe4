"""A relay on a free loopback port, certificates for it, and routes to it with short deadlines."""

import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from postroom.domain.message import Envelope
from postroom.domain.profile import Auth, Profile, Security
from postroom.domain.secret import Secret
from postroom.smtp.attempt import Answer
from postroom.smtp.reach import Reach
from postroom.smtp.route import Route, Timeouts

from .moods import Mood, Relay, open_relay

PASSWORD = "correct-horse-battery"
ENVELOPE = Envelope("from@example.com", ("one@example.com",))
CONTENT = b"Subject: hello\r\n\r\n.a line with a dot\r\n"
QUICK = Timeouts(connect=0.5, reply=0.3, dot=0.4, attempt=1.2)


@dataclass(frozen=True)
class Certificates:
    authority: str  # PEM
    good: ssl.SSLContext
    wrong_name: ssl.SSLContext
    expired: ssl.SSLContext
    self_signed: ssl.SSLContext
    foreign: ssl.SSLContext  # from an authority that nobody knows
    good_of: Callable[[ssl.TLSVersion], ssl.SSLContext]  # that and nothing newer


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    ours, foreign = trustme.CA(), trustme.CA()
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    return Certificates(
        authority=ours.cert_pem.bytes().decode(),
        good=_server(ours.issue_cert("relay.test", "127.0.0.1")),
        wrong_name=_server(ours.issue_cert("other.test")),
        expired=_server(
            ours.issue_cert("relay.test", not_before=yesterday - datetime.timedelta(days=9), not_after=yesterday)
        ),
        self_signed=self_signed(tmp_path_factory.mktemp("certificates")),
        foreign=_server(foreign.issue_cert("relay.test")),
        good_of=lambda newest: _server(ours.issue_cert("relay.test"), newest),
    )


def _server(certificate: trustme.LeafCert, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    certificate.configure_cert(context)
    return context


def self_signed(directory: Any, host: str = "relay.test") -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"self-{host}.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.fixture
async def relay() -> AsyncIterator[Callable[..., Awaitable[Relay]]]:
    """Opens relays: `await relay(Mood(...))`, or `await relay(RCPT=b"451 ...")`."""
    async with AsyncExitStack() as stack:

        async def opened(mood: Mood | None = None, **answers: Any) -> Relay:
            return await stack.enter_async_context(open_relay(mood or Mood(answers)))

        yield opened


def route_to(
    relay: Relay | int,
    *,
    security: Security = Security.NONE,
    login: bool = False,
    timeouts: Timeouts = QUICK,
    reach: Reach | None = None,
    plaintext: bool = False,
    **settings: Any,
) -> Route:
    """To a relay on this machine; with TLS it goes by the name relay.test, which only this look-up knows."""
    port = relay if isinstance(relay, int) else relay.port
    profile = Profile(
        host=settings.pop("host", "relay.test"),
        port=port,
        security=security,
        auth=Auth.PASSWORD if login else Auth.NONE,
        username="user" if login else None,
        sender_address=settings.pop("sender_address", "from@example.com"),
        **settings,
    )
    return Route(
        profile=profile,
        password=Secret(PASSWORD) if login else None,
        reach=reach or Reach(lookup=loopback),
        ehlo_name="postroom.test",
        allow_plaintext_auth=plaintext,
        timeouts=timeouts,
    )


async def loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def yes(answer: Answer) -> None:
    answer(True)
