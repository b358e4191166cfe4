"""The ladder: every step in order, the first failure is the last, and no mail is ever sent."""

import asyncio
import re
from pathlib import Path

import pytest

from postroom.domain.delivery import Stage
from postroom.domain.profile import Security
from postroom.smtp import advice
from postroom.smtp.causes import CAUSES
from postroom.smtp.check import check
from postroom.smtp.reach import Reach
from postroom.smtp.send import send
from postroom.smtp.step import Step

from . import moods
from .conftest import CONTENT, ENVELOPE, PASSWORD, route_to
from .moods import Mood


async def steps(route, **options) -> list[Step]:
    async with asyncio.timeout(5):
        return [step async for step in check(route, **options)]


async def test_a_good_relay_is_climbed_to_the_top_and_gets_no_mail(relay, certificates):
    mood = Mood(
        {"AUTH": moods.knows("user", PASSWORD)},
        offers=("STARTTLS",),
        offers_after_tls=("AUTH LOGIN PLAIN",),
        tls=certificates.good,
    )
    good = await relay(mood)
    route = route_to(good, security=Security.STARTTLS, login=True, ca_certificates=certificates.authority)
    ladder = await steps(route, recipient="to@example.com")
    assert {step.status for step in ladder} == {"ok"}
    assert " ".join(step.stage for step in ladder) == (
        "settings resolve policy connect greeting ehlo tls auth size sender recipient"
    )
    by_stage = {step.stage: step for step in ladder}
    assert by_stage[Stage.RESOLVE].detail["addresses"] == "127.0.0.1"
    assert by_stage[Stage.TLS].detail["version"] == "TLSv1.3"
    assert by_stage[Stage.TLS].detail["names"] == "relay.test, 127.0.0.1"
    assert "GMT" in by_stage[Stage.TLS].detail["expires"]
    assert by_stage[Stage.AUTH].detail == {"offered": "LOGIN PLAIN", "chosen": "PLAIN", "answer": "235 2.7.0 welcome"}
    assert good.heard[-2:] == ["RSET", "QUIT"]
    assert "DATA" not in good.heard
    assert PASSWORD not in repr(ladder)


async def test_what_is_switched_off_is_said_to_be_skipped(relay):
    ladder = await steps(route_to(await relay()))
    skipped = [str(step.stage) for step in ladder if step.status == "skipped"]
    assert skipped == ["tls", "auth", "recipient"]


async def test_implicit_tls_comes_before_the_greeting(relay, certificates):
    good = await relay(Mood(tls=certificates.good, implicit=True))
    ladder = await steps(route_to(good, security=Security.TLS, ca_certificates=certificates.authority))
    stages = [step.stage for step in ladder]
    assert stages.index(Stage.TLS) < stages.index(Stage.GREETING)
    assert {step.status for step in ladder} == {"ok", "skipped"}


async def test_without_a_sender_the_relay_is_not_asked_about_one(relay):
    good = await relay()
    ladder = await steps(route_to(good, sender_address=None), recipient="to@example.com")
    assert (ladder[-1].stage, ladder[-1].status) == (Stage.SENDER, "skipped")
    assert good.heard == ["EHLO postroom.test", "QUIT"]


FAILURES = [
    (Mood({"greeting": b"554 no\r\n"}), "greeting.refused"),
    (Mood({"greeting": b"HTTP/1.0 400\r\n"}), "greeting.not_smtp"),
    (Mood({"greeting": moods.is_silent}), "reply.timeout"),
    (Mood({"EHLO": b"451 no\r\n"}), "ehlo.refused"),
    (Mood({"MAIL": b"550 5.7.1 not you\r\n"}), "sender.refused"),
    (Mood({"MAIL": b"421 no\r\n"}), "relay.closing"),
    (Mood({"MAIL": b"354 no\r\n"}), "reply.malformed"),
    (Mood({"MAIL": moods.hangs_up}), "connection.lost"),
    (Mood({"RCPT": b"550 5.1.1 nobody\r\n"}), "recipient.refused"),
    (Mood({"RCPT": b"451 4.7.1 grey\r\n"}), "recipient.deferred"),
]


@pytest.mark.parametrize(("mood", "code"), FAILURES)
async def test_check_and_send_agree_on_what_is_wrong(relay, mood, code):
    ladder = await steps(route_to(await relay(mood)), recipient=ENVELOPE.recipients[0])
    (outcome,) = (await send(route_to(await relay(mood)), ENVELOPE, CONTENT)).outcomes.values()
    last = ladder[-1]
    assert (last.status, last.code) == ("failed", code)
    assert (last.code, last.stage) == (outcome.code, outcome.stage)
    assert outcome.message == f"{last.message} {advice.advice_on(code)}"  # a check knows more, and never other facts
    assert all(step.status != "failed" for step in ladder[:-1])
    assert last.advice


async def test_a_refused_address_is_the_last_step_and_names_no_address(relay):
    route = route_to(await relay(), reach=Reach(networks="public", lookup=route_to(25).reach.lookup))
    ladder = await steps(route)
    assert [step.code for step in ladder] == ["settings.ok", "resolve.ok", "policy.address_refused"]
    assert "127.0.0.1" not in repr(ladder)


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_a_bad_certificate_is_the_last_step(relay, certificates, security):
    mood = Mood(offers=("STARTTLS",), tls=certificates.self_signed, implicit=security is Security.TLS)
    last = (await steps(route_to(await relay(mood), security=security)))[-1]
    assert (last.stage, last.status, last.code) == (Stage.TLS, "failed", "tls.self_signed")
    assert "CA certificates" in last.advice


async def test_every_code_that_a_step_can_fail_with_has_advice():
    source = "".join(path.read_text() for path in Path(advice.__file__).parent.glob("*.py"))
    families = (
        "settings resolve policy connect greeting ehlo tls auth oauth sender recipient message relay reply in_doubt"
    )
    codes = set(re.findall(rf'"((?:{families.replace(" ", "|")})\.[a-z_]+)"', source))
    assert len(codes) > 40
    assert codes <= set(advice.ADVICE) | set(CAUSES)
    assert not set(advice.ADVICE) & set(CAUSES)


async def test_nobody_home():
    reach = Reach(lookup=route_to(25).reach.lookup)
    ladder = await steps(route_to(1, reach=reach))
    assert ladder[-1].code == "connect.refused"


async def test_steps_are_told_as_they_come_and_looking_away_ends_the_check(relay):
    slow = await relay(EHLO=moods.is_silent)
    told = []
    climb = check(route_to(slow))
    async for step in climb:
        told.append(step.stage)
        if step.stage is Stage.GREETING:
            break
    await climb.aclose()
    assert told[-1] is Stage.GREETING
    await asyncio.sleep(0.05)
    assert slow.heard == ["EHLO postroom.test"]
