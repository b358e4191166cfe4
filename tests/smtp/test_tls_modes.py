"""STARTTLS where it is offered, and the oldest TLS that will do."""

import ssl

import pytest

from postroom.domain.delivery import Sent
from postroom.domain.profile import Security, TlsVersion
from postroom.smtp.check import check
from postroom.smtp.send import send

from .conftest import CONTENT, ENVELOPE, PASSWORD, route_to
from .moods import HangUp, Mood, Visit

IF_OFFERED = Security.STARTTLS_IF_OFFERED


async def outcome_of(route):
    (outcome,) = (await send(route, ENVELOPE, CONTENT)).outcomes.values()
    return outcome


async def test_what_is_offered_is_used_and_verified(relay, certificates):
    good = await relay(Mood(offers=("STARTTLS",), tls=certificates.good))
    route = route_to(good, security=IF_OFFERED, ca_certificates=certificates.authority)
    attempt = await send(route, ENVELOPE, CONTENT)
    assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values())
    assert attempt.tls.startswith("TLSv1.3")
    assert good.heard[:3] == ["EHLO postroom.test", "STARTTLS", "EHLO postroom.test"]


@pytest.mark.parametrize("answers", [{}, {"EHLO": b"502 5.5.1 what?\r\n"}])
async def test_without_an_offer_mail_goes_out_in_the_clear_and_the_ladder_says_so(relay, answers):
    open_relay = await relay(Mood(answers))
    route = route_to(open_relay, security=IF_OFFERED)
    assert isinstance(await outcome_of(route), Sent)
    (tls,) = [step async for step in check(route) if step.stage == "tls"]
    assert (tls.status, tls.code) == ("skipped", "tls.skipped")
    assert tls.message == "The relay offers no STARTTLS; the settings allow going on without."


async def test_no_login_crosses_the_open_connection_unless_the_operator_allows_it(relay):
    open_relay = await relay(Mood(offers=("AUTH PLAIN",)))
    outcome = await outcome_of(route_to(open_relay, security=IF_OFFERED, login=True))
    assert outcome.code == "auth.plaintext_forbidden"
    assert open_relay.heard == ["EHLO postroom.test"]
    assert isinstance(await outcome_of(route_to(open_relay, security=IF_OFFERED, login=True, plaintext=True)), Sent)


async def test_inside_tls_a_login_needs_nobody_s_permission(relay, certificates):
    good = await relay(Mood(offers=("STARTTLS",), offers_after_tls=("AUTH PLAIN",), tls=certificates.good))
    route = route_to(good, security=IF_OFFERED, login=True, ca_certificates=certificates.authority)
    assert isinstance(await outcome_of(route), Sent)
    assert good.said["AUTH"] == 1
    assert PASSWORD not in repr(good.heard)


@pytest.mark.parametrize(
    ("starttls", "code"),
    [
        (b"454 4.7.0 no certificate\r\n", "tls.refused"),
        (b"502 5.5.1 not implemented\r\n", "tls.refused"),
        (b"220 go ahead\r\n250 injected\r\n", "tls.injection"),
    ],
)
async def test_an_offer_that_comes_to_nothing_is_a_failure(relay, certificates, starttls, code):
    moody = await relay(Mood({"STARTTLS": starttls}, offers=("STARTTLS",), tls=certificates.good))
    route = route_to(moody, security=IF_OFFERED, ca_certificates=certificates.authority)
    assert (await outcome_of(route)).code == code
    assert (moody.said["MAIL"], moody.mails) == (0, [])


@pytest.mark.parametrize("kind", ["wrong_name", "expired", "self_signed", "foreign"])
async def test_a_bad_certificate_is_never_a_reason_to_go_on_without(relay, certificates, kind):
    bad = await relay(Mood(offers=("STARTTLS",), tls=getattr(certificates, kind)))
    outcome = await outcome_of(route_to(bad, security=IF_OFFERED, ca_certificates=certificates.authority))
    assert outcome.code.startswith("tls.")
    assert (bad.said["MAIL"], bad.visits) == (0, 1)


async def knows_only_older(visit: Visit) -> None:
    """TLS from before 1.3: a fatal alert, protocol_version (RFC 8446 6.2)."""
    if visit.relay.heard:
        await visit.say(b"220 go ahead\r\n")
    await visit.reader.read(1)  # the beginning of a ClientHello
    await visit.say(bytes((21, 3, 3, 0, 2, 2, 70)))
    await visit.reader.read()
    raise HangUp


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS, IF_OFFERED])
@pytest.mark.parametrize("minimum", TlsVersion)
async def test_a_relay_whose_tls_is_too_old_is_told_from_a_broken_one(relay, security, minimum):
    moment = "greeting" if security is Security.TLS else "STARTTLS"
    old = await relay(Mood({moment: knows_only_older}, offers=("STARTTLS",)))
    outcome = await outcome_of(route_to(old, security=security, tls_minimum=minimum))
    assert outcome.code == "tls.version"
    assert f"{minimum} or newer" in outcome.message


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS, IF_OFFERED])
async def test_the_settings_say_the_oldest_tls_that_will_do(relay, certificates, security):
    old = certificates.good_of(ssl.TLSVersion.TLSv1_2)
    good = await relay(Mood(offers=("STARTTLS",), tls=old, implicit=security is Security.TLS))
    settings = {"security": security, "ca_certificates": certificates.authority}
    attempt = await send(route_to(good, **settings), ENVELOPE, CONTENT)
    assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values())
    assert attempt.tls.startswith("TLSv1.2")
    outcome = await outcome_of(route_to(good, tls_minimum=TlsVersion.V1_3, **settings))
    assert outcome.code.startswith("tls.")
    assert len(good.mails) == 1
