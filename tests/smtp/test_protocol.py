"""The client without a socket, told as dialogues: `S:` is what the relay says, `C:` what we answer.

Consecutive `S:` lines arrive as one piece; `C: (content)` stands for a message's content, after which the dot is due.
"""

import textwrap
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.domain.delivery import Deferred, InDoubt, Refused, Scope, Sent, Stage
from postroom.domain.message import Envelope
from postroom.domain.profile import Auth, Profile, Security
from postroom.domain.secret import Secret
from postroom.smtp.command import Unsendable, command, path
from postroom.smtp.opening import opening, parting
from postroom.smtp.protocol import Protocol
from postroom.smtp.reach import Reach
from postroom.smtp.route import Route
from postroom.smtp.transaction import Transaction
from postroom.smtp.verdict import Interruption

ROUTE = Route(Profile(host="relay.test"), None, Reach(), "me.test")


def route(*, login: bool = False, plaintext: bool = False, security: Security = Security.NONE) -> Route:
    auth: dict[str, Any] = {"auth": Auth.PASSWORD, "username": "tim"} if login else {}
    profile = Profile(host="relay.test", security=security, **auth)
    return replace(ROUTE, profile=profile, password=Secret("tanstaaf"), allow_plaintext_auth=plaintext)


def message(*recipients: str) -> Transaction:
    return Transaction(Envelope("from@x.test", recipients or ("to@x.test",)), b"Subject: x\r\n\r\nhello\r\n")


def play(protocol: Protocol, script: str, *then: Transaction) -> None:
    """Say the `S:` lines, expect the `C:` lines; each of `then` begins right behind a final dot."""
    following = iter(then)
    said: list[str] = []
    heard = bytearray()
    for line in textwrap.dedent(script).strip().splitlines():
        who, _, text = line.partition(": ")
        if who == "S":
            heard += text.encode() + b"\r\n"
            continue
        if heard:
            protocol.receive(bytes(heard))
            heard.clear()
        said += protocol.to_send().decode().split("\r\n")[:-1]
        if text == "(content)":
            assert protocol.body_due is not None, "no content is due"
            protocol.end_body()
            if (behind := next(following, None)) is not None:
                protocol.begin(behind)
        elif text == "(TLS)":
            assert protocol.needs_tls, "no TLS is due"
            protocol.tls_started({"version": "TLSv1.3", "cipher": "AES"})
        else:
            assert said, f"nothing was said, expected {text!r}"
            assert said.pop(0) == text
    if heard:
        protocol.receive(bytes(heard))
    assert said == []
    assert protocol.to_send() == b""


def opened(*offers: str) -> Protocol:
    protocol = Protocol()
    protocol.start(opening(ROUTE))
    lines = ["relay.test", *offers]
    ehlo = "\n".join(f"S: 250{'-' if n < len(lines) else ' '}{name}" for n, name in enumerate(lines, 1))
    play(protocol, f"S: 220 relay.test\nC: EHLO me.test\n{ehlo}")
    assert protocol.is_idle
    return protocol


# Opening.


def test_nothing_is_said_before_the_greeting():
    protocol = Protocol()
    protocol.start(opening(ROUTE))
    assert protocol.to_send() == b""
    assert protocol.stage is Stage.GREETING


def test_capabilities_are_read_from_the_ehlo_reply():
    offered = opened("PIPELINING", "size 1000", "8BITMIME", "SMTPUTF8", "AUTH=LOGIN", "auth PLAIN LOGIN").capabilities
    assert (offered.pipelining, offered.size, offered.eight_bit, offered.utf8) == (True, 1000, True, True)
    assert offered.auth == ("PLAIN", "LOGIN")


def test_starttls_then_ehlo_again_then_login_in_one_go():
    protocol = Protocol()
    protocol.start(opening(route(login=True, security=Security.STARTTLS)))
    play(
        protocol,
        """
        S: 220 relay.test
        C: EHLO me.test
        S: 250-relay.test
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go ahead
        C: (TLS)
        C: EHLO me.test
        S: 250-relay.test
        S: 250-AUTH LOGIN PLAIN
        S: 250 PIPELINING
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        S: 235 2.7.0 welcome
        """,
    )
    assert protocol.is_idle
    assert protocol.capabilities.pipelining
    assert "C: AUTH PLAIN ***" in str(protocol.transcript)
    assert "AHRpbQB0" not in str(protocol.transcript)


def test_login_step_by_step():
    protocol = Protocol()
    protocol.start(opening(route(login=True, plaintext=True)))
    play(
        protocol,
        """
        S: 220 relay.test
        C: EHLO me.test
        S: 250-relay.test
        S: 250 AUTH LOGIN
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: dGlt
        S: 334 UGFzc3dvcmQ6
        C: dGFuc3RhYWY=
        S: 235 2.7.0 welcome
        """,
    )
    assert protocol.is_idle
    assert "dGFuc3RhYWY=" not in str(protocol.transcript)


@pytest.mark.parametrize("why", Interruption)
def test_a_dialogue_on_a_connection_that_has_gone_ends_before_it_begins(why):
    protocol = opened()
    protocol.interrupt(why)
    protocol.start(parting())
    assert protocol.failure is not None
    assert protocol.failure.code == why.value[0]
    assert not protocol.in_dialogue
    assert protocol.to_send() == b""


def test_a_login_that_never_ends_is_cancelled():
    protocol = Protocol()
    protocol.start(opening(route(login=True, plaintext=True)))
    play(
        protocol,
        """
        S: 220 relay.test
        C: EHLO me.test
        S: 250-relay.test
        S: 250 AUTH PLAIN
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        S: 334 more
        C: *
        S: 501 cancelled
        """,
    )
    assert protocol.failure.code == "auth.malformed"


def test_bytes_that_come_while_tls_begins_are_an_injection():
    protocol = Protocol()
    protocol.start(opening(route(security=Security.STARTTLS)))
    play(protocol, "S: 220 x\nC: EHLO me.test\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go")
    assert protocol.needs_tls
    protocol.receive(b"250 x\r\n")
    assert protocol.failure.code == "tls.injection"


def test_an_ehlo_name_that_would_be_two_commands_is_not_sent():
    protocol = Protocol()
    protocol.start(opening(replace(ROUTE, ehlo_name="me\r\nMAIL FROM:<x@y>")))
    play(protocol, "S: 220 x")
    assert protocol.failure.code == "settings.unsendable"


# Transactions.


def test_everything_up_to_data_is_one_write_with_pipelining():
    protocol = opened("PIPELINING")
    protocol.begin(message("a@x.test", "b@x.test"))
    assert protocol.to_send() == (b"MAIL FROM:<from@x.test>\r\nRCPT TO:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n")


def test_lock_step_without_pipelining():
    protocol, mail = opened(), message("a@x.test", "b@x.test")
    protocol.begin(mail)
    play(
        protocol,
        """
        C: MAIL FROM:<from@x.test>
        S: 250 ok
        C: RCPT TO:<a@x.test>
        S: 250 ok
        C: RCPT TO:<b@x.test>
        S: 550 5.1.1 nobody
        C: DATA
        S: 354 go
        C: (content)
        C: .
        S: 250 2.0.0 taken
        """,
    )
    assert isinstance(mail.outcomes["a@x.test"], Sent)
    assert isinstance(mail.outcomes["b@x.test"], Refused)


def test_lock_step_stops_at_a_refused_sender_and_resets():
    protocol, mail = opened(), message()
    protocol.begin(mail)
    play(protocol, "C: MAIL FROM:<from@x.test>\nS: 451 later\nC: RSET")
    assert protocol.take_finished() == []
    play(protocol, "S: 250 ok")
    assert protocol.take_finished() == [mail]
    protocol.begin(message())
    play(protocol, "C: MAIL FROM:<from@x.test>\nS: 250 ok\nC: RCPT TO:<to@x.test>")


@pytest.mark.parametrize("shifted", ["503 no valid recipients", "354 go", "221 bye"])
def test_a_refusal_that_was_the_answer_to_something_else_is_none(shifted):
    protocol, mail = opened("PIPELINING"), message("a@x.test", "b@x.test")
    protocol.begin(mail)
    play(
        protocol,
        f"""
        C: MAIL FROM:<from@x.test>
        C: RCPT TO:<a@x.test>
        C: RCPT TO:<b@x.test>
        C: DATA
        S: 250 ok
        S: 550 5.7.1 one reply too many
        S: 550 5.1.1 a is nobody
        S: 451 4.7.1 b is greylisted
        C: RSET
        S: {shifted}
        """,
    )
    assert {outcome.code for outcome in mail.outcomes.values()} == {"reply.malformed"}
    assert protocol.is_over


@pytest.mark.parametrize("why", [Interruption.LOST, Interruption.TIMEOUT])
def test_a_refusal_holds_when_the_answer_to_reset_never_comes(why):
    protocol, mail = opened(), message()
    protocol.begin(mail)
    play(protocol, "C: MAIL FROM:<from@x.test>\nS: 250 ok\nC: RCPT TO:<to@x.test>\nS: 550 5.1.1 nobody\nC: RSET")
    protocol.interrupt(why)
    assert protocol.take_finished() == [mail]
    assert mail.outcomes["to@x.test"].code == "recipient.refused"


def test_the_next_message_goes_right_behind_a_final_dot():
    protocol, first, second = opened("PIPELINING"), message("a@x.test"), message("b@x.test")
    protocol.begin(first)
    play(
        protocol,
        """
        C: MAIL FROM:<from@x.test>
        C: RCPT TO:<a@x.test>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: (content)
        C: .
        C: MAIL FROM:<from@x.test>
        C: RCPT TO:<b@x.test>
        C: DATA
        S: 250 2.0.0 first taken
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: (content)
        C: .
        S: 554 5.7.1 second not
        """,
        second,
    )
    assert isinstance(first.outcomes["a@x.test"], Sent)
    assert second.outcomes["b@x.test"].code == "dot.refused"
    assert protocol.take_finished() == [first, second]
    assert protocol.is_idle


def test_a_lone_dot_when_the_relay_wants_data_for_nobody():
    protocol, mail = opened("PIPELINING"), message()
    protocol.begin(mail)
    play(
        protocol,
        """
        C: MAIL FROM:<from@x.test>
        C: RCPT TO:<to@x.test>
        C: DATA
        S: 250 ok
        S: 550 5.1.1 nobody
        S: 354 go
        C: .
        S: 250 2.0.0 taken
        """,
    )
    assert isinstance(mail.outcomes["to@x.test"], Refused)
    assert protocol.body_due is None


def test_a_refused_sender_is_told_to_everyone_and_what_follows_is_ignored():
    protocol, mail = opened("PIPELINING"), message("a@x.test", "b@x.test")
    protocol.begin(mail)
    play(
        protocol,
        """
        C: MAIL FROM:<from@x.test>
        C: RCPT TO:<a@x.test>
        C: RCPT TO:<b@x.test>
        C: DATA
        S: 550 5.7.1 not you
        S: 503 no
        S: 503 no
        S: 503 no
        C: RSET
        S: 250 ok
        """,
    )
    assert {outcome.code for outcome in mail.outcomes.values()} == {"sender.refused"}
    protocol.begin(message())
    assert protocol.to_send().startswith(b"MAIL")


def test_no_empty_mail_goes_to_recipients_whose_sender_was_refused():
    protocol, mail = opened("PIPELINING"), message()
    protocol.begin(mail)
    protocol.to_send()
    protocol.receive(b"451 later\r\n250 ok\r\n354 go\r\n")
    assert protocol.to_send() == b""
    assert protocol.is_over
    assert mail.outcomes["to@x.test"].code == "sender.deferred"


def test_two_answers_to_one_command_never_make_a_sent():
    protocol, mail = opened("PIPELINING"), message()
    protocol.begin(mail)
    play(
        protocol,
        """
        C: MAIL FROM:<from@x.test>
        C: RCPT TO:<to@x.test>
        C: DATA
        S: 250 ok
        S: 250 and once more
        S: 550 5.1.1 nobody
        S: 354 go
        """,
    )
    assert not isinstance(mail.outcomes["to@x.test"], Sent)
    assert protocol.is_over
    assert protocol.body_due is None


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ("C: MAIL FROM:<from@x.test>", b"250 ok\r\n250 and once more\r\n"),
        ("C: MAIL FROM:<from@x.test>\nS: 250 ok\nC: RCPT TO:<to@x.test>", b"250 ok\r\n354 go\r\n"),
    ],
)
def test_an_answer_to_what_was_not_said_yet_is_out_of_step(said, more):
    protocol, mail = opened(), message()
    protocol.begin(mail)
    play(protocol, said)
    protocol.receive(more)
    assert protocol.is_over
    assert mail.outcomes["to@x.test"].code == "reply.malformed"


def test_a_second_greeting_is_out_of_step():
    protocol = Protocol()
    protocol.start(opening(ROUTE))
    protocol.receive(b"220 relay.test\r\n220 relay.test\r\n")
    assert protocol.failure.code == "reply.malformed"


def test_an_answer_before_the_end_of_the_body_ends_it():
    protocol, mail = up_to(4)
    protocol.receive(b"550 5.7.1 enough\r\n")
    assert mail.outcomes["to@x.test"].code == "data.refused"
    assert protocol.is_over


def test_a_yes_before_the_end_of_the_body_is_no_yes():
    protocol, mail = up_to(4)
    protocol.receive(b"250 2.0.0 taken\r\n")
    assert mail.outcomes["to@x.test"].code == "reply.malformed"


@pytest.mark.parametrize(
    ("more", "codes"),
    [
        (b"250 ok\r\n250 ok\r\n354 go\r\n", []),  # as it was before
        (b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", ["reply.malformed"]),
        (b"250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n", ["reply.malformed"]),
        (b"250 ok\r\n250 ok\r\n354 go\r\n354 go\r\n", ["reply.malformed"]),
        (b"250 ok\r\n354 go\r\n", ["reply.malformed"]),
    ],
)
def test_answers_that_were_heard_before_are_heard_as_strictly(more, codes):
    protocol = opened("PIPELINING")
    for _ in range(3):
        mail = message()
        protocol.begin(mail)
        protocol.to_send()
        protocol.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
        protocol.end_body()
        protocol.to_send()
        protocol.receive(b"250 ok\r\n")
        assert isinstance(mail.outcomes["to@x.test"], Sent)
    last = message()
    protocol.begin(last)
    protocol.to_send()
    protocol.receive(more)
    assert [outcome.code for outcome in last.outcomes.values()] == codes
    assert protocol.is_over == bool(codes)
    assert (protocol.body_due is last) == (not codes)


def test_421_ends_the_connection_and_spares_who_has_an_outcome():
    protocol, mail = opened("PIPELINING"), message("a@x.test", "b@x.test", "c@x.test")
    protocol.begin(mail)
    protocol.to_send()
    protocol.receive(b"250 ok\r\n550 5.1.1 nobody\r\n250 ok\r\n421 4.3.2 closing\r\n")
    a, b, c = (mail.outcomes[name] for name in ("a@x.test", "b@x.test", "c@x.test"))
    assert isinstance(a, Refused)
    assert (b.code, b.scope) == (c.code, c.scope) == ("relay.closing", Scope.RELAY)
    assert protocol.is_over


def test_an_idle_relay_that_speaks_is_done_with_and_nobody_is_hurt():
    protocol = opened("PIPELINING")
    protocol.receive(b"421 4.4.2 idle for too long\r\n")
    assert protocol.is_over
    assert protocol.take_finished() == []


def up_to(steps: int) -> tuple[Protocol, Transaction]:
    """1: MAIL sent … 4: 354 came, 5: the dot is out."""
    protocol, mail = opened("PIPELINING"), message()
    protocol.begin(mail)
    for reply in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")[: steps - 1]:
        protocol.to_send()
        protocol.receive(reply)
    if steps == 5:
        protocol.end_body()
        protocol.to_send()
    return protocol, mail


@pytest.mark.parametrize("why", [Interruption.LOST, Interruption.TIMEOUT, Interruption.MALFORMED])
@pytest.mark.parametrize(
    ("steps", "kind", "stage", "scope"),
    [
        (1, Deferred, Stage.SENDER, Scope.RELAY),
        (2, Deferred, Stage.RECIPIENT, Scope.RELAY),
        (3, Deferred, Stage.DATA, Scope.RELAY),
        (4, Deferred, Stage.DATA, Scope.MESSAGE),
        (5, InDoubt, Stage.DOT, None),
    ],
)
def test_only_what_is_lost_after_the_dot_is_in_doubt(why, steps, kind, stage, scope):
    protocol, mail = up_to(steps)
    protocol.interrupt(why)
    outcome = mail.outcomes["to@x.test"]
    assert (type(outcome), outcome.stage, getattr(outcome, "scope", None)) == (kind, stage, scope)
    assert protocol.take_finished() == [mail]
    protocol.interrupt(why)
    assert protocol.take_finished() == []


def test_a_message_behind_a_lost_dot_is_no_doubt():
    protocol, first = up_to(4)
    second = message("second@x.test")
    protocol.end_body()
    protocol.begin(second)
    protocol.interrupt(Interruption.LOST)
    assert isinstance(first.outcomes["to@x.test"], InDoubt)
    assert isinstance(second.outcomes["second@x.test"], Deferred)


REPLIES = st.sampled_from(
    [
        b"250 ok\r\n",
        b"354 go\r\n",
        b"550 no\r\n",
        b"451 later\r\n",
        b"421 bye\r\n",
        b"220 x\r\n",
        b"250-a\r\n",
        b"zzz\r\n",
        b"2",
    ]
)


@settings(max_examples=300)
@given(st.lists(REPLIES, max_size=12), st.booleans(), st.integers(0, 12))
def test_whatever_a_relay_says_everyone_has_one_outcome_and_sent_needs_a_dot(replies, pipelining, chunk):
    protocol = opened(*(["PIPELINING"] if pipelining else []))
    mails = [message("a@x.test", "b@x.test"), message("c@x.test")]
    waiting = list(mails)
    protocol.begin(waiting.pop(0))
    dots = 0
    for reply in replies:
        for piece in (reply[:chunk], reply[chunk:]):
            protocol.to_send()
            protocol.receive(piece)
        if protocol.body_due is not None:
            protocol.end_body()
            dots += 1
        if protocol.is_idle and waiting:
            protocol.begin(waiting.pop(0))
    protocol.interrupt(Interruption.LOST)
    begun = [mail for mail in mails if mail not in waiting]
    assert all(set(mail.outcomes) == set(mail.envelope.recipients) for mail in begun)
    assert sum(any(isinstance(o, Sent | InDoubt) for o in mail.outcomes.values()) for mail in begun) <= dots
    finished = protocol.take_finished()
    assert sorted(map(id, finished)) == sorted(map(id, begun))


# Commands.


@pytest.mark.parametrize("text", ["RCPT TO:<a\r\nDATA>", "MAIL\n", "x\0", "\r", "a\udc80"])
def test_no_command_has_a_line_break_in_it(text):
    with pytest.raises(Unsendable) as caught:
        command(text)
    assert "RCPT" not in str(caught.value)


@given(st.text(max_size=30))
def test_a_command_is_one_line_or_nothing(text):
    try:
        line = command(f"RCPT TO:{path(text)}")
    except Unsendable:
        return
    assert line.endswith(b">\r\n")
    assert line.count(b"\r") == line.count(b"\n") == line.count(b">") == 1
    assert b"\0" not in line
