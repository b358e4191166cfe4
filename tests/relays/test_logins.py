"""Every mechanism against servers that we did not write: in with the right secret, out with the wrong one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from postroom.domain.delivery import Deferred, Scope, Sent
from postroom.domain.profile import Auth, Security
from postroom.domain.secret import Secret
from postroom.smtp.check import check
from postroom.smtp.pool import Pool
from postroom.smtp.route import Route
from smtp.tokens_from import open_issuer
from smtp.tokens_from import token as issued

from .conftest import Sending, route_to, send_one
from .daemon import PASSWORD, Certificate, Relay
from .dovecot import token
from .sink import Sink

IN_TLS_OR_NOT = list(Security)
MECHANISMS = {
    "an_exim": ("PLAIN", "LOGIN", "CRAM-MD5"),
    "a_dovecot": ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"),
    "a_cyrus": ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "NTLM"),
    "a_postfix": ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"),
}
PAIRS = [(relay, mechanism) for relay, mechanisms in MECHANISMS.items() for mechanism in mechanisms]
LADDER = {
    Security.NONE: "settings resolve policy connect greeting ehlo tls auth size sender recipient",
    Security.STARTTLS: "settings resolve policy connect greeting ehlo tls auth size sender recipient",
    Security.STARTTLS_IF_OFFERED: "settings resolve policy connect greeting ehlo tls auth size sender recipient",
    Security.TLS: "settings resolve policy connect tls greeting ehlo auth size sender recipient",
}


@pytest.fixture
def relay(request: pytest.FixtureRequest, name: str) -> Relay:
    found: Relay = request.getfixturevalue(name)
    return found


def by(mechanism: str, relay: Relay, security: Security, certificate: Certificate) -> Route:
    auth = Auth.NTLM if mechanism == "NTLM" else Auth.PASSWORD
    return route_to(relay.port_for(security), security, certificate, auth=auth, mechanism=mechanism)


async def arrived(sink: Sink, sending: Sending) -> None:
    assert isinstance(sending.outcome, Sent), (sending.outcome, sending.attempt.transcript)
    mail = await asyncio.to_thread(sink.mail_to, sending.recipient)
    assert mail["Subject"] == sending.subject
    assert mail.get_content() == ".hello\r\n"


def refused(sink: Sink, sending: Sending, secret: str = PASSWORD) -> None:
    """Told as a fault of the settings, after one try, and without the secret."""
    outcome, transcript = sending.outcome, sending.attempt.transcript
    assert isinstance(outcome, Deferred), (outcome, transcript)
    assert (outcome.code, outcome.scope) == ("auth.rejected", Scope.PROFILE), (outcome, transcript)
    assert transcript.count("C: AUTH") == 1
    assert secret not in transcript + repr(sending)
    assert not sink.has_mail_to(sending.recipient)


@pytest.mark.parametrize("security", IN_TLS_OR_NOT)
@pytest.mark.parametrize(("name", "mechanism"), PAIRS)
async def test_the_right_password_delivers(relay, mechanism, security, certificate, sink):
    sending = await send_one(by(mechanism, relay, security, certificate))
    await arrived(sink, sending)
    assert f"C: AUTH {mechanism}" in sending.attempt.transcript
    assert PASSWORD not in sending.attempt.transcript
    assert (sending.attempt.tls is None) == (security is Security.NONE)


@pytest.mark.parametrize(("name", "mechanism"), PAIRS)
async def test_a_wrong_password_is_told_after_one_try(relay, mechanism, certificate, sink):
    route = by(mechanism, relay, Security.STARTTLS, certificate)
    refused(sink, await send_one(replace(route, password=Secret("wrong horse"))), "wrong horse")
    route = replace(route, profile=replace(route.profile, username="nobody@relay.test"))
    refused(sink, await send_one(route))


@pytest.mark.parametrize("security", IN_TLS_OR_NOT)
@pytest.mark.parametrize(("name", "mechanism"), PAIRS)
async def test_the_ladder_is_green(relay, mechanism, security, certificate):
    route = by(mechanism, relay, security, certificate)
    ladder = [step async for step in check(route, recipient="somebody@sink.test")]
    assert [step.stage.value for step in ladder] == LADDER[security].split()
    in_the_clear = {"tls", "auth"} if security is Security.NONE else set()
    assert {step.stage.value for step in ladder if step.status != "ok"} == in_the_clear, ladder
    assert "failed" not in {step.status for step in ladder}
    (login,) = [step for step in ladder if step.stage == "auth"]
    assert login.detail["chosen"] == mechanism


@pytest.mark.parametrize(
    ("name", "security", "best"),
    [
        ("an_exim", Security.NONE, "CRAM-MD5"),
        ("an_exim", Security.STARTTLS, "PLAIN"),
        ("a_dovecot", Security.NONE, "SCRAM-SHA-256"),
        ("a_dovecot", Security.TLS, "SCRAM-SHA-256"),
    ],
)
async def test_the_best_one_is_taken_where_none_is_named(relay, security, best, certificate, sink):
    sending = await send_one(route_to(relay.port_for(security), security, certificate))
    await arrived(sink, sending)
    assert f"C: AUTH {best}" in sending.attempt.transcript


async def test_a_mechanism_that_exim_has_not_got_is_told_with_those_that_it_has(an_exim, certificate):
    sending = await send_one(by("SCRAM-SHA-256", an_exim, Security.STARTTLS, certificate))
    assert sending.outcome.code == "auth.no_common_mechanism"
    assert "(AUTH PLAIN LOGIN CRAM-MD5 NTLM)" in sending.outcome.message


async def test_exim_s_ntlm_is_version_1_and_gets_nothing_that_version_1_would_have_told(an_exim, certificate, sink):
    """Its spa authenticator compares version 1's response only (auths/spa.c); ours is version 2's, so it says no."""
    refused(sink, await send_one(by("NTLM", an_exim, Security.STARTTLS, certificate)))


@pytest.mark.parametrize("name", MECHANISMS)
async def test_many_over_few_warm_connections(relay, certificate, sink):
    pool = Pool(route_to(relay.port, Security.STARTTLS, certificate), most_connections=2)
    sendings = await asyncio.gather(*(send_one(pool) for _ in range(20)))
    await pool.close()
    for sending in sendings:
        await arrived(sink, sending)
    assert len({sending.attempt.transcript.split("C: MAIL")[0] for sending in sendings}) <= 2


# Access tokens.


@pytest.fixture
async def token_url() -> AsyncIterator[str]:
    async with open_issuer(issued(token())) as issuer:
        yield issuer.url


def oauth(relay: Relay, security: Security, certificate: Certificate, url: str, mechanism: str) -> Route:
    route = route_to(
        relay.port_for(security), security, certificate, auth=Auth.OAUTH2, mechanism=mechanism, token_url=url,
        client_id="client",
    )  # fmt: skip
    return replace(route, password=Secret("the client's secret"))


@pytest.mark.parametrize("security", IN_TLS_OR_NOT)
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("name", ["a_dovecot", "a_postfix"])
async def test_an_access_token_delivers(relay, mechanism, security, certificate, sink, token_url):
    sending = await send_one(oauth(relay, security, certificate, token_url, mechanism))
    await arrived(sink, sending)
    assert f"C: AUTH {mechanism}" in sending.attempt.transcript


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("name", ["a_dovecot", "a_postfix"])
async def test_an_access_token_of_somebody_else_is_refused(relay, mechanism, certificate, sink):
    strange = token(key="another key, which is also at least 32 bytes")
    async with open_issuer(issued(strange)) as issuer:
        sending = await send_one(oauth(relay, Security.STARTTLS, certificate, issuer.url, mechanism))
    refused(sink, sending, strange)
