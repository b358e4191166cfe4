"""Delivery status notifications: what is asked, in bytes, and only of relays that offer them (RFC 3461)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.domain.delivery import Sent
from postroom.domain.message import Envelope, Notify, Reports, Returned
from postroom.domain.problems import Invalid
from postroom.smtp.dsn import of_message, of_recipient, xtext
from postroom.smtp.send import send

from .conftest import CONTENT, route_to
from .moods import OFFERS, Mood
from .test_aiosmtpd import Taken, route, taken  # noqa: F401  taken is a fixture

ALL = Reports((Notify.SUCCESS, Notify.FAILURE, Notify.DELAY), Returned.FULL)
TO = ("a+b=c@example.com", "two@example.com")


def envelope(reports: Reports | None, *to: str, name: str = "01JABC+x") -> Envelope:
    return Envelope("from@example.com", to or TO, reports, name)


@pytest.mark.parametrize(
    ("reports", "mail", "rcpt"),
    [
        (ALL, " RET=FULL ENVID=01JABC+2Bx", " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a+2Bb+3Dc@example.com"),
        (Reports((Notify.NEVER,), Returned.HEADERS), " RET=HDRS ENVID=01JABC+2Bx",
         " NOTIFY=NEVER ORCPT=rfc822;a+2Bb+3Dc@example.com"),
        (Reports(), " ENVID=01JABC+2Bx", " ORCPT=rfc822;a+2Bb+3Dc@example.com"),
        (None, "", ""),
    ],
)  # fmt: skip
async def test_the_bytes_on_the_wire(relay: Any, reports: Reports | None, mail: str, rcpt: str):
    good = await relay(Mood(offers=("PIPELINING", "DSN")))
    attempt = await send(route_to(good), envelope(reports), CONTENT)
    assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values())
    assert f"MAIL FROM:<from@example.com>{mail}" in good.heard
    assert f"RCPT TO:<a+b=c@example.com>{rcpt}" in good.heard
    assert good.mails[0].recipients == TO


async def test_it_stands_beside_what_else_is_said(relay: Any):
    good = await relay(Mood(offers=(*OFFERS, "DSN")))
    await send(route_to(good), envelope(ALL), "Subject: ü\r\n\r\nü\r\n".encode())
    assert good.heard[1] == "MAIL FROM:<from@example.com> SIZE=19 BODY=8BITMIME RET=FULL ENVID=01JABC+2Bx"


async def test_a_relay_that_offers_none_is_asked_for_none(relay: Any):
    plain = await relay(Mood(offers=("PIPELINING", "XDSN", "DSNX")))
    attempt = await send(route_to(plain), envelope(ALL), CONTENT)
    assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values())
    said = [line for line in plain.heard if line.startswith(("MAIL", "RCPT"))]
    assert said == ["MAIL FROM:<from@example.com>", *(f"RCPT TO:<{each}>" for each in TO)]


async def test_a_relay_that_we_did_not_write_takes_it(taken: Taken, certificates: Any):  # noqa: F811
    attempt = await send(route(taken, certificates), envelope(ALL), CONTENT)
    assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values())
    assert taken.mails[0].rcpt_tos == list(TO)


async def test_an_address_that_is_not_ascii_has_no_original_recipient(relay: Any):
    good = await relay(Mood(offers=(*OFFERS, "DSN")))
    await send(route_to(good), envelope(ALL, "jörg@example.com"), CONTENT)
    assert "RCPT TO:<jörg@example.com> NOTIFY=SUCCESS,FAILURE,DELAY" in good.heard


@pytest.mark.parametrize("name", ["", "ü", "x" * 101])
def test_a_name_that_is_no_envelope_id_is_left_out(name: str):
    assert of_message(envelope(ALL, name=name)) == " RET=FULL"


def test_an_original_recipient_that_is_too_long_is_left_out():
    assert "ORCPT" in of_recipient(envelope(ALL), "a" * 400 + "@example.com")
    assert "ORCPT" not in of_recipient(envelope(ALL), "+" * 200 + "@example.com")


@given(st.text(st.characters(max_codepoint=127)))
def test_xtext_reads_back_and_has_nothing_that_ends_a_parameter(text: str):
    encoded = xtext(text)
    assert all("!" <= each <= "~" and each != "=" for each in encoded)
    first, *rest = encoded.split("+")
    assert first + "".join(chr(int(part[:2], 16)) + part[2:] for part in rest) == text


def test_never_contradicts_the_others():
    with pytest.raises(Invalid):
        Reports((Notify.NEVER, Notify.DELAY))
