"""The same client against a relay that we did not write: aiosmtpd with STARTTLS and login."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from postroom.domain import message
from postroom.domain.delivery import Sent
from postroom.domain.profile import Security
from postroom.domain.secret import Secret
from postroom.smtp.check import check
from postroom.smtp.pool import Pool
from postroom.smtp.send import send

from .conftest import PASSWORD, Certificates, route_to, yes

TO = message.Envelope("from@example.com", ("a@example.com", "b@example.com"))


@dataclass
class Taken:
    mails: list[Envelope] = field(default_factory=list)
    port: int = 0

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:
        self.mails.append(envelope)
        return "250 2.0.0 taken"


def _authenticate(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(handled=False, success=data == LoginPassword(b"user", PASSWORD.encode()))


@pytest.fixture
async def taken(certificates: Certificates) -> AsyncIterator[Taken]:
    handler = Taken()

    def factory() -> SMTP:
        return SMTP(
            handler,
            hostname="relay.test",
            tls_context=certificates.good,
            require_starttls=True,
            authenticator=_authenticate,
            auth_required=True,
            enable_SMTPUTF8=True,
        )

    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    handler.port = server.sockets[0].getsockname()[1]
    yield handler
    server.close()
    await server.wait_closed()


def route(taken: Taken, certificates: Certificates):
    return route_to(taken.port, security=Security.STARTTLS, login=True, ca_certificates=certificates.authority)


async def test_mail_goes_through_starttls_and_login(taken, certificates):
    content = b"Subject: x\r\n\r\n.dots\r\n..\r\nand no end\r\n"
    attempt = await send(route(taken, certificates), TO, content)
    assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values())
    assert taken.mails[0].content == content
    assert taken.mails[0].rcpt_tos == list(TO.recipients)


async def test_a_wrong_password_is_told(taken, certificates):
    wrong = replace(route(taken, certificates), password=Secret("not-the-password"))
    ladder = [step async for step in check(wrong)]
    assert ladder[-1].code == "auth.rejected"


async def test_many_over_few_warm_connections(taken, certificates):
    pool = Pool(route(taken, certificates), most_connections=2)
    attempts = await asyncio.gather(*(pool.send(TO, b"x\r\n", yes) for _ in range(20)))
    await pool.close()
    assert all(isinstance(outcome, Sent) for attempt in attempts for outcome in attempt.outcomes.values())
    assert len(taken.mails) == 20
