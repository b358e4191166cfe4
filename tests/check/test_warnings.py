"""What works, but should be mended."""

import pytest

from check.conftest import Authorities, scene
from check.moods import good
from check.row import At, Row
from check.test_table import climbed
from postroom.domain.delivery import Stage
from postroom.domain.profile import Security
from smtp.moods import Mood

ANY = (Stage.SETTINGS, "", "")
GOOD = At(good())
UNENCRYPTED = {"security": Security.NONE}
STARTTLS = {"security": Security.STARTTLS}
ROWS = {
    "tls.expires_soon": (Stage.TLS, None, Row("ends soon", ANY, None, At(good(), certificate="ends_soon"))),
    "tls.unverified": (Stage.TLS, None, Row("not verified", ANY, None, GOOD, settings={"verify_certificate": False})),
    "tls.unused": (Stage.TLS, STARTTLS, Row("unused", ANY, None, GOOD, login=False, settings=UNENCRYPTED)),
    "auth.in_the_clear": (
        Stage.AUTH, None,
        Row("in the clear", ANY, None, At(good(), "none"), settings=UNENCRYPTED, plaintext=True),
    ),
    "size.small": (Stage.SIZE, None, Row("small", ANY, None, At(Mood(offers=("SIZE 1000000",))), login=False)),
}  # fmt: skip


@pytest.mark.parametrize("code", ROWS)
async def test_a_warning_stands_in_the_ladder_and_does_not_end_it(authorities: Authorities, code: str):
    stage, changes, row = ROWS[code]
    async with scene(row, authorities) as there:
        ladder = await climbed(there, there.route())
    (warning,) = [step for step in ladder if step.status == "warning"]
    assert (warning.stage, warning.code) == (stage, code)
    assert warning.advice
    assert (dict(warning.proposal.changes) if warning.proposal else None) == changes
    assert (ladder[-1].stage, ladder[-1].status) == ("recipient", "ok")


async def test_the_ladder_says_what_there_is_to_know(authorities: Authorities):
    async with scene(Row("good", ANY, None, At(good())), authorities) as there:
        ladder = {step.stage: step for step in await climbed(there, there.route())}
        port = there.profile.port
    assert {step.status for step in ladder.values()} == {"ok"}
    assert ladder[Stage.CONNECT].detail == {"relay": f"127.0.0.1:{port}", "tried": "127.0.0.1: connected"}
    assert ladder[Stage.GREETING].detail["greeting"] == "relay.test ESMTP"
    assert ladder[Stage.EHLO].detail["extensions"].startswith("PIPELINING, SIZE 50000000")
    assert ladder[Stage.SIZE].detail["size"] == "50000000"
    shown = ladder[Stage.TLS].detail
    assert int(shown["days_left"]) > 300
    assert shown["names"] == "relay.test"
    assert shown["certificates"] == "1"
    assert len(bytes.fromhex(shown["sha256"].replace(":", ""))) == 32
    assert "chain" not in shown


async def test_a_certificate_that_is_not_trusted_is_shown_all_the_same(authorities: Authorities):
    async with scene(Row("self", ANY, None, At(good(), certificate="self_signed")), authorities) as there:
        last = (await climbed(there, there.route()))[-1]
    assert last.detail["subject"] == last.detail["issuer"] == "commonName=relay.test"
    assert last.detail["sha256"] in (last.proposal.message if last.proposal else "")


async def test_of_a_login_that_failed_is_told_what_was_offered_and_chosen(authorities: Authorities):
    async with scene(Row("wrong", ANY, None, At(good()), password="not-that-one"), authorities) as there:
        last = (await climbed(there, there.route()))[-1]
    assert last.detail == {"offered": "PLAIN LOGIN", "chosen": "PLAIN", "reply": "535 5.7.8 wrong"}


async def test_what_came_of_each_address_is_told(authorities: Authorities):
    async with scene(Row("closed", ANY, None, None), authorities) as there:
        last = (await climbed(there, there.route()))[-1]
    assert last.detail == {"tried": "127.0.0.1: refused"}


async def test_looking_around_never_logs_in(authorities: Authorities):
    row = Row("closed", ANY, None, None, other=At(good()))
    async with scene(row, authorities) as there:
        last = (await climbed(there, there.route()))[-1]
        (other,) = there.relays
    assert last.detail["answers"] == f"{other.port} (STARTTLS)"
    assert [line.split(" ")[0] for line in other.heard] == ["EHLO", "STARTTLS", "EHLO", "QUIT"]
