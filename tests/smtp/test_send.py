"""One message to a good relay and to every bad one: each end has its own outcome, and none is an exception."""

import asyncio
import ipaddress
from dataclasses import replace

import pytest

from postroom.domain.delivery import Deferred, Outcome, Refused, Scope, Sent, Stage
from postroom.domain.message import Envelope
from postroom.domain.profile import Security
from postroom.smtp.attempt import Answer, Attempt
from postroom.smtp.route import Timeouts
from postroom.smtp.send import send

from . import moods
from .conftest import CONTENT, ENVELOPE, PASSWORD, route_to
from .moods import Mood

BIG = b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 98 + b"\r\n") * 200_000


def only(attempt: Attempt) -> Outcome:
    (outcome,) = attempt.outcomes.values()
    return outcome


async def test_a_good_relay_takes_the_message_as_it_was_given(relay):
    good = await relay()
    attempt = await send(route_to(good), ENVELOPE, CONTENT)
    outcome = only(attempt)
    assert isinstance(outcome, Sent)
    assert outcome.reply.text == "2.0.0 queued as 42"
    assert outcome.reply.enhanced == "2.0.0"
    assert [mail.content for mail in good.mails] == [CONTENT]
    assert good.mails[0].sender == "from@example.com"
    assert attempt.relay == f"127.0.0.1:{good.port}"
    assert attempt.tls is None
    assert good.heard[-1] == "QUIT"


async def test_the_transcript_has_both_directions_and_no_content(relay):
    attempt = await send(route_to(await relay()), ENVELOPE, CONTENT)
    assert "C: MAIL FROM:<from@example.com>" in attempt.transcript
    assert "S: 354 go on" in attempt.transcript
    assert "C: ." in attempt.transcript
    assert "a line with a dot" not in attempt.transcript


async def test_a_relay_without_pipelining_is_asked_one_thing_at_a_time(relay):
    good = await relay(Mood(offers=("SIZE 1000",)))
    attempt = await send(route_to(good), ENVELOPE._replace(recipients=("a@x.test", "b@x.test")), CONTENT)
    assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values())
    assert len(good.mails) == 1


async def test_a_big_message_arrives_whole(relay):
    good = await relay()
    assert isinstance(only(await send(route_to(good, timeouts=Timeouts()), ENVELOPE, BIG)), Sent)
    assert good.mails[0].content == BIG


@pytest.mark.parametrize("pipelining", [True, False])
async def test_nobody_is_sent_to_when_every_recipient_is_refused_but_the_relay_wants_data(relay, pipelining):
    odd = await relay(Mood({"RCPT": b"550 5.1.1 nobody\r\n"}, offers=("PIPELINING",) if pipelining else ()))
    outcome = only(await send(route_to(odd), ENVELOPE, CONTENT))
    assert isinstance(outcome, Refused)
    assert odd.mails == []
    assert ("DATA" in odd.heard) is pipelining


REPLIES = [
    ("greeting", b"554 5.7.1 go away\r\n", Deferred, "greeting.refused", Scope.PROFILE),
    ("EHLO", b"451 later\r\n", Deferred, "ehlo.refused", Scope.RELAY),
    ("MAIL", b"451 later\r\n", Deferred, "sender.deferred", Scope.MESSAGE),
    ("MAIL", b"550 5.7.1 not yours\r\n", Deferred, "sender.refused", Scope.PROFILE),
    ("MAIL", b"530 5.7.0 Authentication required\r\n", Deferred, "auth.required", Scope.PROFILE),
    ("MAIL", b"530 5.7.0 Must issue a STARTTLS command first\r\n", Deferred, "tls.required", Scope.PROFILE),
    ("MAIL", b"552 5.3.4 too big\r\n", Refused, "message.too_large", Scope.MESSAGE),
    ("MAIL", b"501 5.5.4 syntax\r\n", Refused, "sender.refused", Scope.MESSAGE),
    ("DATA", b"451 later\r\n", Deferred, "data.deferred", Scope.MESSAGE),
    ("DATA", b"554 5.6.0 no\r\n", Refused, "data.refused", Scope.MESSAGE),
    ("dot", b"451 4.3.0 later\r\n", Deferred, "dot.deferred", Scope.MESSAGE),
    ("dot", b"554 5.7.1 spam\r\n", Refused, "dot.refused", Scope.MESSAGE),
    ("dot", b"552 5.3.4 too big\r\n", Refused, "message.too_large", Scope.MESSAGE),
]


@pytest.mark.parametrize(("moment", "said", "kind", "code", "scope"), REPLIES)
async def test_a_reply_has_the_class_that_the_rules_give_it(relay, moment, said, kind, code, scope):
    outcome = only(await send(route_to(await relay(**{moment: said})), ENVELOPE, CONTENT))
    assert (type(outcome), outcome.code, outcome.scope) == (kind, code, scope)
    assert outcome.message.endswith(".")


async def test_one_byte_at_a_time_is_read_when_it_is_quick_enough(relay):
    good = await relay(Mood(slowly=0.0001))
    assert isinstance(only(await send(route_to(good, timeouts=Timeouts()), ENVELOPE, CONTENT)), Sent)


async def test_what_is_no_mail_server_is_not_quoted(relay):
    attempt = await send(route_to(await relay(greeting=b"-ERR unknown command 'secret-banner'\r\n")), ENVELOPE, CONTENT)
    assert "secret-banner" not in repr(attempt) + attempt.transcript
    refusing = await send(route_to(await relay(greeting=b"554 secret-banner\r\n")), ENVELOPE, CONTENT)
    assert "secret-banner" not in repr(refusing) + refusing.transcript
    assert only(refusing).reply.code == 554


async def test_a_relay_s_words_are_cleaned(relay):
    attempt = await send(
        route_to(await relay(RCPT=b"550 \x1b[31m\x07\x00\xff<script>" + b"x" * 600 + b"\r\n")), ENVELOPE, CONTENT
    )
    text = only(attempt).reply.text
    assert text.startswith("\\x1B[31m\\x07\\x00\\xFF<script>")
    assert len(text) <= 512
    assert text.isprintable()
    assert text.isascii()
    assert len(attempt.transcript) <= 4096


async def test_a_message_over_the_size_limit_is_refused_before_mail(relay):
    small = await relay(Mood(offers=("PIPELINING", "SIZE 10")))
    outcome = only(await send(route_to(small), ENVELOPE, CONTENT))
    assert (type(outcome), outcome.code) == (Refused, "message.too_large")
    assert not any(line.startswith("MAIL") for line in small.heard)


async def test_an_address_that_the_relay_cannot_carry_is_refused(relay):
    ascii_only = await relay(Mood(offers=("PIPELINING",)))
    outcome = only(await send(route_to(ascii_only), ENVELOPE._replace(recipients=("müller@x.test",)), CONTENT))
    assert (type(outcome), outcome.code) == (Refused, "message.utf8_unsupported")
    modern = await relay()
    assert isinstance(
        only(await send(route_to(modern), ENVELOPE._replace(recipients=("müller@x.test",)), CONTENT)), Sent
    )
    assert any(line.endswith("SMTPUTF8") for line in modern.heard)


async def test_8_bit_text_is_announced_or_not_sent(relay):
    modern = await relay()
    assert isinstance(only(await send(route_to(modern), ENVELOPE, "Subject: x\r\n\r\nü\r\n".encode())), Sent)
    assert any("BODY=8BITMIME" in line for line in modern.heard)
    old = await relay(Mood(offers=()))
    outcome = only(await send(route_to(old), ENVELOPE, "Subject: x\r\n\r\nü\r\n".encode()))
    assert (type(outcome), outcome.code) == (Refused, "message.eight_bit_unsupported")


@pytest.mark.parametrize("bad", ["a@x.test> ORCPT=b", "a@x.test\r\nRCPT TO:<b@x.test", "a b@x.test", "a\0@x.test"])
async def test_an_address_that_would_say_something_else_is_never_written(relay, bad):
    good = await relay()
    outcome = only(await send(route_to(good), ENVELOPE._replace(recipients=(bad,)), CONTENT))
    assert (type(outcome), outcome.code) == (Refused, "message.unsendable")
    assert not any(line.startswith(("MAIL", "RCPT")) for line in good.heard)


async def test_a_relay_that_nobody_is_at(relay):
    gone = await relay()
    port = gone.port
    async with asyncio.timeout(2):
        closed = await asyncio.start_server(gone.receive, "127.0.0.1", 0)
        port = closed.sockets[0].getsockname()[1]
        closed.close()
        outcome = only(await send(route_to(port), ENVELOPE, CONTENT))
    assert (outcome.code, outcome.scope) == ("connect.refused", Scope.RELAY)


def is_gone(_answer: Answer) -> None:
    raise RuntimeError("the store is gone")


def says_no_late(answer: Answer) -> None:
    asyncio.get_running_loop().call_later(0.05, answer, False)


@pytest.mark.parametrize(
    "before_dot",
    [
        lambda answer: answer(False),
        lambda answer: answer(RuntimeError("the store is gone")),
        lambda answer: (answer(False), answer(True)),
        says_no_late,
        is_gone,
    ],
)
async def test_without_permission_the_final_dot_is_not_written(relay, before_dot):
    good = await relay()
    outcome = only(await send(route_to(good), ENVELOPE, CONTENT, before_dot))
    assert (type(outcome), outcome.code, outcome.scope) == (Deferred, "lease.lost", Scope.MESSAGE)
    assert good.mails == []


async def test_permission_is_asked_while_the_relay_still_thinks_about_its_354(relay):
    went: list[str] = []

    async def thinks(visit: moods.Visit) -> bytes:
        went.append("DATA heard")
        await asyncio.sleep(0.1)
        went.append("354 said")
        await visit.say(b"354 go on\r\n")
        return b"354"

    def permit(answer: Answer) -> None:
        went.append("permitted")
        answer(True)

    def before_dot(answer: Answer) -> None:
        asyncio.get_running_loop().call_later(0.05, permit, answer)

    slow = await relay(DATA=thinks)
    assert isinstance(only(await send(route_to(slow), ENVELOPE, CONTENT, before_dot)), Sent)
    assert went == ["DATA heard", "permitted", "354 said"]


async def test_the_final_dot_waits_for_a_permission_that_comes_late(relay):
    good = await relay()

    def permit(answer: Answer) -> None:
        answer(good.mails == [])

    def before_dot(answer: Answer) -> None:
        asyncio.get_running_loop().call_later(0.1, permit, answer)

    assert isinstance(only(await send(route_to(good), ENVELOPE, CONTENT, before_dot)), Sent)


# Login.


def login(answer, *mechanisms: str) -> Mood:
    return Mood({"AUTH": answer}, offers=("PIPELINING", f"AUTH {' '.join(mechanisms)}"))


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_login_with_each_mechanism(relay, mechanism):
    good = await relay(login(moods.knows("user", PASSWORD), "GSSAPI", mechanism))
    attempt = await send(route_to(good, login=True, plaintext=True), ENVELOPE, CONTENT)
    assert isinstance(only(attempt), Sent)
    assert f"C: AUTH {mechanism}" in attempt.transcript
    assert "***" in attempt.transcript


FAILED_LOGINS = [
    (login(b"535 5.7.8 bad credentials\r\n", "PLAIN"), "auth.rejected", Scope.PROFILE),
    (login(b"534 5.7.9 weak\r\n", "PLAIN"), "auth.rejected", Scope.PROFILE),
    (login(b"454 4.7.0 try later\r\n", "PLAIN"), "auth.temporary", Scope.RELAY),
    (login(b"421 4.7.0 bye\r\n", "PLAIN"), "auth.temporary", Scope.RELAY),
    (login(b"250 fine\r\n", "PLAIN"), "auth.malformed", Scope.PROFILE),
    (login(b"334 \r\n", "PLAIN"), "auth.malformed", Scope.PROFILE),
    (login(b"334 ***\r\n", "LOGIN"), "auth.malformed", Scope.PROFILE),
    (
        Mood({"AUTH": b"334 VXNlcg==\r\n", "response": b"334 VXNlcg==\r\n"}, ("AUTH LOGIN",)),
        "auth.malformed",
        Scope.PROFILE,
    ),
    (login(b"235 ok\r\n", "NTLM", "X-UNKNOWN"), "auth.no_common_mechanism", Scope.PROFILE),
    (Mood(), "auth.not_offered", Scope.PROFILE),
]


@pytest.mark.parametrize(("mood", "code", "scope"), FAILED_LOGINS)
async def test_a_login_that_fails_keeps_the_mail_and_names_the_reason(relay, mood, code, scope):
    strict = await relay(mood)
    attempt = await send(route_to(strict, login=True, plaintext=True), ENVELOPE, CONTENT)
    outcome = only(attempt)
    assert (type(outcome), outcome.code, outcome.scope) == (Deferred, code, scope)
    assert strict.said["AUTH"] <= 1
    assert strict.mails == []


async def test_a_password_never_crosses_an_open_connection_unasked(relay):
    good = await relay(login(moods.knows("user", PASSWORD), "PLAIN"))
    outcome = only(await send(route_to(good, login=True), ENVELOPE, CONTENT))
    assert (outcome.code, outcome.scope) == ("auth.plaintext_forbidden", Scope.PROFILE)
    assert not any(line.startswith("AUTH") for line in good.heard)


async def test_a_relay_that_repeats_the_password_does_not_get_it_into_our_records(relay):
    echo = await relay(login(f"535 wrong: {PASSWORD} Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5\r\n".encode(), "PLAIN"))
    attempt = await send(route_to(echo, login=True, plaintext=True), ENVELOPE, CONTENT)
    shown = repr(attempt) + attempt.transcript
    assert "535 wrong: *** ***" in shown
    assert PASSWORD not in shown
    assert "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5" not in shown


# TLS.


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_a_good_certificate_and_a_login_inside_tls(relay, certificates, security):
    mood = Mood(
        {"AUTH": moods.knows("user", PASSWORD)},
        offers=("PIPELINING", "AUTH PLAIN") if security is Security.TLS else ("STARTTLS",),
        offers_after_tls=("PIPELINING", "AUTH PLAIN"),
        tls=certificates.good,
        implicit=security is Security.TLS,
    )
    good = await relay(mood)
    route = route_to(good, security=security, login=True, ca_certificates=certificates.authority, timeouts=Timeouts())
    attempt = await send(route, ENVELOPE, BIG)
    assert isinstance(only(attempt), Sent)
    assert attempt.tls.startswith("TLSv1.3 ")
    assert good.mails[0].content == BIG
    assert good.heard.count("EHLO postroom.test") == (1 if security is Security.TLS else 2)


async def test_a_bad_certificate_is_taken_where_the_profile_says_so(relay, certificates):
    bad = await relay(Mood(offers=("STARTTLS",), tls=certificates.self_signed))
    route = route_to(bad, security=Security.STARTTLS, verify_certificate=False)
    assert isinstance(only(await send(route, ENVELOPE, CONTENT)), Sent)


async def test_the_server_name_of_the_profile_is_the_one_that_counts(relay, certificates):
    other = await relay(Mood(offers=("STARTTLS",), tls=certificates.wrong_name))
    route = route_to(
        other, security=Security.STARTTLS, server_name="other.test", ca_certificates=certificates.authority
    )
    assert isinstance(only(await send(route, ENVELOPE, CONTENT)), Sent)


async def test_ca_certificates_that_are_none_are_the_profile_s_fault(relay):
    route = route_to(await relay(), ca_certificates="not a certificate")
    outcome = only(await send(route, ENVELOPE, CONTENT))
    assert (outcome.code, outcome.scope, outcome.stage) == ("settings.ca_unreadable", Scope.PROFILE, Stage.SETTINGS)


async def test_the_transcript_is_bounded_however_much_was_said(relay):
    wordy = await relay(
        EHLO=b"250-relay.test\r\n" + b"250-X-" + b"E" * 1000 + b"\r\n250 PIPELINING\r\n",
        RCPT=(b"550-" + b"r" * 1500 + b"\r\n") * 5 + b"550 no\r\n",
    )
    many = Envelope("f@x.test", tuple(f"r{n}@x.test" for n in range(50)))
    transcript = (await send(route_to(wordy), many, CONTENT)).transcript
    assert len(transcript) <= 4096
    assert transcript.startswith("S: 220 relay.test ESMTP")
    assert "C: MAIL FROM:<f@x.test>" in transcript
    assert transcript.endswith("(more was said than is kept)")


@pytest.mark.parametrize(("network", "allowed"), [("127.0.0.0/8", True), ("10.0.0.0/8", False)])
async def test_a_password_may_cross_an_open_connection_in_the_operator_s_networks_only(relay, network, allowed):
    good = await relay(login(moods.knows("user", PASSWORD), "PLAIN"))
    route = replace(route_to(good, login=True), plaintext_networks=(ipaddress.ip_network(network),))
    outcome = only(await send(route, ENVELOPE, CONTENT))
    assert isinstance(outcome, Sent) is allowed
    assert any(line.startswith("AUTH") for line in good.heard) is allowed
