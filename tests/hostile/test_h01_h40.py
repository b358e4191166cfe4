"""Every row of the table, delivered to and checked, without TLS, with STARTTLS and with TLS from the start.

Whatever a relay does: the end is the one that the table says, it comes by the deadline, no login is shown to a relay
that is due none, nothing that the relay wrote comes through uncleaned, and a mail that was not sent is not there.
"""

import asyncio
import base64
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

from hostile.row import EVERYWHERE, PLAIN, SENT, TLS, End, Row
from hostile.table import TABLE
from postroom.domain.delivery import InDoubt, Sent
from postroom.domain.message import Envelope
from postroom.domain.profile import Security
from postroom.smtp.attempt import Attempt
from postroom.smtp.check import check
from postroom.smtp.pool import Pool
from postroom.smtp.route import Route
from smtp.conftest import PASSWORD, Certificates, route_to, yes
from smtp.moods import Mood, Relay, open_relay

GRACE = 1.0  # seconds after its deadline within which everything has ended (V8)
_LOGIN = re.compile(rb"(?mi)^AUTH ")
_SECRETS = (PASSWORD.encode(), base64.b64encode(PASSWORD.encode()), base64.b64encode(f"\0user\0{PASSWORD}".encode()))

RUNS = [pytest.param(row, security, id=f"{row}-{security}") for row in TABLE for security in row.over]


Meet = Callable[[Row, Security], AbstractAsyncContextManager[tuple[Relay, Route]]]


@pytest.fixture
def meet(certificates: Certificates) -> Meet:
    """The relay of a row, and the route to it."""

    @asynccontextmanager
    async def opened(row: Row, security: Security) -> AsyncIterator[tuple[Relay, Route]]:
        async with open_relay(over(security, row.mood, getattr(certificates, row.certificate))) as relay:
            yield relay, route_to(
                relay, security=security, login=row.login[security], timeouts=row.timeouts,
                ca_certificates=certificates.authority, **row.settings,
            )  # fmt: skip

    return opened


def over(security: Security, mood: Mood, context: ssl.SSLContext) -> Mood:
    if security is PLAIN:
        return mood
    if security is TLS:
        return replace(mood, tls=context, implicit=True)
    later = mood.offers if mood.offers_after_tls is None else mood.offers_after_tls
    return replace(mood, tls=context, offers=(*mood.offers, "STARTTLS"), offers_after_tls=later)


async def deliver(route: Route, row: Row) -> Attempt:
    pool = Pool(route, most_connections=1)
    try:
        async with asyncio.timeout(row.timeouts.attempt + GRACE):
            return await pool.send(Envelope("from@example.com", row.recipients), row.content, yes)
    finally:
        await pool.close()


@pytest.mark.parametrize(("row", "security"), RUNS)
async def test_delivery(meet: Meet, row: Row, security: Security):
    async with meet(row, security) as (relay, route):
        attempt = await deliver(route, row)
    outcomes = [attempt.outcomes[each] for each in row.recipients]
    assert [ending(each) for each in outcomes] == list(row.each)
    assert_clean(repr(attempt.outcomes) + attempt.transcript + attempt.relay + str(attempt.tls))
    assert_login(relay, row.may_log_in(security, row.each[0]))
    sent = tuple(each for each, outcome in attempt.outcomes.items() if isinstance(outcome, Sent))
    in_doubt = any(isinstance(each, InDoubt) for each in outcomes)
    assert [mail.recipients for mail in relay.mails] == [sent] * bool(sent) or in_doubt
    assert relay.visits <= 1


@pytest.mark.parametrize(("row", "security"), RUNS)
async def test_check(meet: Meet, row: Row, security: Security):
    async with meet(row, security) as (relay, route):
        started = time.monotonic()
        async with asyncio.timeout(row.timeouts.attempt + GRACE):
            ladder = [step async for step in check(route, recipient=row.recipients[0])]
    end, last = row.check_ends(), ladder[-1]
    assert all(step.status != "failed" for step in ladder[:-1])
    if end is SENT:
        assert (last.status, last.stage) == ("ok", "recipient")
    else:
        assert (last.status, last.stage, last.code) == ("failed", end.stage, end.code)
        assert last.advice
    assert_clean(repr(ladder))
    assert_login(relay, row.may_log_in(security, end))
    assert relay.mails == []
    assert b"DATA\r\n" not in relay.got
    assert sum(step.seconds for step in ladder) <= time.monotonic() - started


def ending(outcome: object) -> End:
    """An outcome as the table writes it."""
    return End(type(outcome), getattr(outcome, "code", "sent"), outcome.stage, getattr(outcome, "scope", None))  # type: ignore


def assert_clean(shown: str) -> None:
    """H22, everywhere: printable ASCII, but for our own names of people."""
    assert shown.replace("ü", "").replace("\n", "").isascii()
    assert shown.replace("\n", "").isprintable()
    assert "secret-banner" not in shown  # H2: not even cleaned
    assert not any(secret.decode().replace("\0", "") in shown for secret in _SECRETS)


def assert_login(relay: Relay, due: bool) -> None:
    """Every byte that the relay got, at any time, is looked at."""
    assert bool(_LOGIN.search(relay.got)) is due
    assert due or not any(secret in relay.got for secret in _SECRETS)


def test_the_table_is_whole():
    elsewhere = {16, 19, 25, 31, 32, 33, 37, 38, 40}
    assert {row.h for row in TABLE} == set(range(1, 41)) - elsewhere
    assert len(RUNS) * 2 >= 150
    assert {security for row in TABLE for security in row.over} == set(EVERYWHERE)
