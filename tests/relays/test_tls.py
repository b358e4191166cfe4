"""TLS as servers have it that we did not write, and what it comes to when it is not as the settings say."""

import asyncio

import pytest
import trustme

from postroom.domain.delivery import Deferred, Scope, Sent
from postroom.domain.profile import Auth, Security

from .conftest import route_to, send_one

WITHOUT_LOGIN = {"auth": Auth.NONE, "username": None}
SERVERS = ["an_exim", "a_dovecot", "a_postfix"]
IN_TLS = [Security.STARTTLS, Security.TLS]


@pytest.mark.parametrize("security", list(Security))
async def test_postfix_as_a_plain_relay_in_its_own_network(a_postfix, security, certificate, sink):
    sending = await send_one(route_to(a_postfix.port_for(security), security, certificate, **WITHOUT_LOGIN))
    assert isinstance(sending.outcome, Sent), sending.outcome
    mail = await asyncio.to_thread(sink.mail_to, sending.recipient)
    assert mail["Subject"] == sending.subject


async def test_postfix_that_takes_mail_in_tls_only(a_postfix, certificate, sink):
    strict = a_postfix.strict_port
    inside = await send_one(route_to(strict, Security.STARTTLS, certificate, **WITHOUT_LOGIN))
    assert isinstance(inside.outcome, Sent), inside.outcome
    outside = (await send_one(route_to(strict, Security.NONE, certificate, **WITHOUT_LOGIN))).outcome
    assert isinstance(outside, Deferred)
    assert (outside.code, outside.scope) == ("tls.required", Scope.PROFILE)
    assert await asyncio.to_thread(sink.mail_to, inside.recipient)


@pytest.mark.parametrize("security", IN_TLS)
@pytest.mark.parametrize("name", SERVERS)
async def test_an_authority_that_nobody_named_ends_it_before_the_login(request, name, security, certificate):
    relay = request.getfixturevalue(name)
    stranger = trustme.CA().cert_pem.bytes().decode()
    sending = await send_one(route_to(relay.port_for(security), security, certificate, ca_certificates=stranger))
    assert (sending.outcome.code, sending.outcome.scope) == ("tls.untrusted", Scope.PROFILE)
    assert "C: AUTH" not in sending.attempt.transcript


@pytest.mark.parametrize("name", SERVERS)
async def test_a_name_that_the_certificate_does_not_have(request, name, certificate):
    relay = request.getfixturevalue(name)
    sending = await send_one(route_to(relay.port, Security.STARTTLS, certificate, server_name="other.test"))
    assert sending.outcome.code == "tls.name_mismatch"


@pytest.mark.parametrize("name", SERVERS)
async def test_tls_from_the_start_on_a_port_that_begins_in_the_open(request, name, certificate):
    relay = request.getfixturevalue(name)
    sending = await send_one(route_to(relay.port, Security.TLS, certificate))
    assert sending.outcome.code == "tls.handshake"


@pytest.mark.parametrize(("name", "code"), [("an_exim", "recipient.refused"), ("a_dovecot", "auth.required")])
async def test_who_does_not_log_in_is_told_to(request, name, code, certificate):
    relay = request.getfixturevalue(name)
    sending = await send_one(route_to(relay.port, Security.STARTTLS, certificate, **WITHOUT_LOGIN))
    assert sending.outcome.code == code
    assert "switch login on" in sending.outcome.message.lower()
