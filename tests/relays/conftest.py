"""Exim, Dovecot and Postfix, each started once for whoever asks, and the sink behind them."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller

from postroom.domain.delivery import Outcome
from postroom.domain.message import Envelope
from postroom.domain.profile import Auth, Profile, Security
from postroom.domain.secret import Secret
from postroom.smtp.attempt import Answer, Attempt
from postroom.smtp.pool import Pool
from postroom.smtp.reach import Reach
from postroom.smtp.route import Route, Timeouts
from postroom.smtp.send import send

from .daemon import PASSWORD, USER, Certificate, Relay, free_ports
from .dovecot import LOGINS, dovecot
from .exim import exim
from .postfix import Postfix, postfix
from .sink import Sink

PATIENT = Timeouts(connect=10, reply=20, dot=20, attempt=40)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("relays")


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    authority = trustme.CA()
    issued = authority.issue_cert("relay.test")
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    return Certificate(authority.cert_pem.bytes().decode(), chain, issued.private_key_pem.bytes())


@dataclass(frozen=True)
class Listening:
    sink: Sink
    port: int


@pytest.fixture(scope="session")
def listening() -> Iterator[Listening]:
    sink = Sink()
    (port,) = free_ports(1)
    controller = Controller(sink, hostname="127.0.0.1", port=port, server_hostname="sink.test")
    controller.start()
    yield Listening(sink, port)
    controller.stop()


@pytest.fixture(scope="session")
def sink(listening: Listening) -> Sink:
    return listening.sink


@pytest.fixture(scope="session")
def an_exim(listening: Listening, certificate: Certificate) -> Iterator[Relay]:
    with exim(listening.port, certificate) as relay:
        yield relay


@pytest.fixture(scope="session")
def a_dovecot(listening: Listening, certificate: Certificate) -> Iterator[Relay]:
    with dovecot(listening.port, certificate) as relay:
        yield relay


@pytest.fixture(scope="session")
def a_postfix(listening: Listening, certificate: Certificate, a_dovecot: Relay) -> Iterator[Postfix]:
    with postfix(listening.port, certificate, a_dovecot.log.parent / LOGINS) as relay:
        yield relay


@pytest.fixture(scope="session")
def a_cyrus(listening: Listening, certificate: Certificate) -> Iterator[Postfix]:
    """A Postfix whose logins are Cyrus SASL's."""
    with postfix(listening.port, certificate, None) as relay:
        yield relay


def route_to(port: int, security: Security, certificate: Certificate, **settings: Any) -> Route:
    """As whoever the relay knows, unless the settings say otherwise."""
    password = Secret(settings.pop("password", PASSWORD))
    said = {"auth": Auth.PASSWORD, "username": USER, "sender_address": USER} | settings
    if security is not Security.NONE:
        said.setdefault("ca_certificates", certificate.authority)
    profile = Profile(host="relay.test", port=port, security=security, **said)
    reach = Reach(lookup=_loopback)
    return Route(profile, password, reach, "postroom.test", allow_plaintext_auth=True, timeouts=PATIENT)


async def _loopback(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


@dataclass(frozen=True)
class Sending:
    recipient: str
    subject: str
    attempt: Attempt

    @property
    def outcome(self) -> Outcome:
        return self.attempt.outcomes[self.recipient]


async def send_one(by: Route | Pool) -> Sending:
    """A mail of its own, to a recipient of its own, through the code that delivers."""
    name = secrets.token_hex(8)
    recipient, subject = f"{name}@sink.test", f"mail {name}"
    content = f"From: {USER}\r\nTo: {recipient}\r\nSubject: {subject}\r\n\r\n.hello\r\n".encode()
    envelope = Envelope(USER, (recipient,))
    sent = by.send(envelope, content, _yes) if isinstance(by, Pool) else send(by, envelope, content)
    return Sending(recipient, subject, await sent)


def _yes(answer: Answer) -> None:
    answer(True)
