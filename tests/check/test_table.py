"""Each row: the right step, code and cause, the change that is proposed; and with the change applied, all is well."""

import asyncio
import ssl

import pytest

from check.conftest import Authorities, Scene, scene
from check.row import PASSWORD, Row
from check.table import TABLE
from hostile.test_h01_h40 import RUNS as HOSTILE
from postroom.domain.message import Envelope
from postroom.domain.profile import Auth, Security
from postroom.smtp.check import check
from postroom.smtp.route import Route
from postroom.smtp.send import send
from postroom.smtp.step import Step
from smtp.conftest import CONTENT

ROWS = [pytest.param(row, id=str(row)) for row in TABLE]


async def climbed(scene: Scene, route: Route) -> list[Step]:
    async with asyncio.timeout(20):
        return [step async for step in check(route, recipient=scene.row.recipient, ports=scene.ports)]


@pytest.mark.parametrize("row", ROWS)
async def test_the_check_says_what_is_wrong_and_what_to_change(row: Row, authorities: Authorities):
    async with scene(row, authorities) as there:
        ladder = await climbed(there, there.route())
        last = ladder[-1]
        assert (last.status, last.stage, last.code, last.cause) == ("failed", *row.ends), last
        assert all(step.status != "failed" for step in ladder[:-1])
        assert last.advice
        assert last.why or not last.cause
        assert PASSWORD not in repr(ladder)
        assert [mail for relay in there.relays for mail in relay.mails] == []
        if row.changes is None:
            assert last.proposal is None
            return
        assert last.proposal is not None
        assert dict(last.proposal.changes) == there.expected(row.changes, shown_by(there, row))
        assert (last.proposal.needs, last.proposal.confirm) == (row.needs, row.confirm)
        if row.cured:
            after = await climbed(there, there.route(there.changed(last.proposal), PASSWORD))
            assert {step.status for step in after} <= {"ok", "skipped", "warning"}, after[-1]
            assert after[-1].stage == "recipient"


@pytest.mark.parametrize("row", ROWS)
async def test_no_proposal_gives_up_what_protects_a_login(row: Row, authorities: Authorities):
    async with scene(row, authorities) as there:
        for step in await climbed(there, there.route()):
            if step.proposal is None or "client_id" in step.proposal.needs:
                continue
            after = there.changed(step.proposal)
            if after.auth is not Auth.NONE:
                assert after.security in (Security.STARTTLS, Security.TLS)
                assert after.verify_certificate


@pytest.mark.parametrize("row", [each for each in ROWS if each.values[0].delivers_alike])  # type: ignore[union-attr]
async def test_a_delivery_ends_as_the_check_does(row: Row, authorities: Authorities):
    """V9. tests/hostile does the same with its table."""
    async with scene(row, authorities) as there:
        last = (await climbed(there, there.route()))[-1]
    async with scene(row, authorities) as there:
        envelope = Envelope(there.profile.mail_from or "", (row.recipient,))
        (outcome,) = (await send(there.route(), envelope, CONTENT)).outcomes.values()
    assert (outcome.stage, getattr(outcome, "code", "sent")) == (last.stage, last.code)


def test_the_tables_are_long_enough():
    assert len(TABLE) >= 40
    assert len({str(row) for row in TABLE}) == len(TABLE)
    assert sum(row.delivers_alike for row in TABLE) >= 36
    assert len(HOSTILE) >= 36
    assert sum(row.changes is not None for row in TABLE) >= 40
    assert sum(row.cured for row in TABLE if row.changes is not None) >= 36


def shown_by(there: Scene, row: Row) -> str:
    """What the relay of the settings shows, as PEM; asked for by a client of Python's own."""
    if row.here is None or row.here.certificate not in ("self_signed", "self_signed_other", "foreign"):
        return ""
    context = there.relays[0].mood.tls
    assert context is not None
    return _certificate_of(context)


def _certificate_of(server: ssl.SSLContext) -> str:
    """By a handshake in memory."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there)
    theirs = server.wrap_bio(there, back, server_side=True)
    for side in (ours, theirs, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    der = ours.getpeercert(binary_form=True)
    assert der is not None
    return ssl.DER_cert_to_PEM_cert(der)
