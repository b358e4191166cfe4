"""OAuth 2: a token from a token endpoint, shown to a relay; both on loopback, both with moods."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from postroom.domain.delivery import Deferred, Scope, Sent, Stage
from postroom.domain.profile import Auth
from postroom.domain.secret import Secret
from postroom.smtp.check import check
from postroom.smtp.dialogue import Token
from postroom.smtp.failure import Failure
from postroom.smtp.opening import opening
from postroom.smtp.pool import Pool
from postroom.smtp.protocol import Protocol
from postroom.smtp.reach import Reach
from postroom.smtp.route import Route, Timeouts
from postroom.smtp.send import send
from postroom.smtp.tokens import Tokens
from postroom.smtp.verdict import Interruption

from . import moods
from .conftest import CONTENT, ENVELOPE, PASSWORD, QUICK, loopback, route_to, yes
from .moods import Act, Mood, Visit
from .tokens_from import Issuer, answer, drips_for_ever, hangs_up, never_answers, open_issuer, token

TOKEN = "ya29.the-token-itself"
PATIENT = Timeouts(connect=5, reply=5, dot=5, attempt=10)  # the first request loads the system's authorities
DENIED = base64.b64encode(b'{"status":"400","schemes":"Bearer"}')


@pytest.fixture
async def issuer() -> AsyncIterator[Callable[..., Awaitable[Issuer]]]:
    async with AsyncExitStack() as stack:

        async def opened(*answers: Any, tls: Any = None) -> Issuer:
            return await stack.enter_async_context(open_issuer(*answers or (token(TOKEN),), tls=tls))

        yield opened


def knows(*tokens: str, mailbox: str = "from@example.com") -> Act:
    """Takes these tokens, in the initial response or asked for, and says no as RFC 7628 3.2.3 has it."""

    async def act(visit: Visit) -> None:
        _, mechanism, *initial = visit.relay.heard[-1].split(" ")
        given = initial[0].encode() if initial else await asked(visit, b"")
        start = f"user={mailbox}" if mechanism == "XOAUTH2" else f"n,a={mailbox},"
        right = [f"{start}\x01auth=Bearer {token}\x01\x01".encode() for token in tokens]
        if base64.b64decode(given) in right:
            await visit.say(b"235 2.7.0 welcome\r\n")
            return
        visit.relay.heard.append(f"sorry {(await asked(visit, DENIED)).decode()}")
        await visit.say(f"535 5.7.8 not with {given.decode()} {base64.b64decode(given)[-30:-2].decode()}\r\n".encode())

    return act


async def asked(visit: Visit, challenge: bytes) -> bytes:
    await visit.say(b"334 " + challenge + b"\r\n")
    return (await visit.reader.readline()).strip()


def mood(answers: Any = None, offers: str = "PLAIN LOGIN XOAUTH2") -> Mood:
    return Mood({"AUTH": answers or knows(TOKEN)}, offers=("PIPELINING", f"AUTH {offers}"))


def oauth(route: Route, token_url: str, **settings: Any) -> Route:
    said = {"client_id": "the-client", **settings}
    profile = replace(route.profile, auth=Auth.OAUTH2, token_url=token_url, **said)
    return replace(route, profile=profile, password=Secret(PASSWORD), timeouts=PATIENT)


async def outcome_of(route: Route) -> Any:
    attempt = await send(route, ENVELOPE, CONTENT)
    for shown in (attempt.transcript, repr(attempt)):
        assert PASSWORD not in shown
        assert TOKEN not in shown
    (outcome,) = attempt.outcomes.values()
    return outcome


# The login.


@pytest.mark.parametrize(
    ("offers", "chosen"), [("XOAUTH2", "XOAUTH2"), ("OAUTHBEARER", "OAUTHBEARER"), ("OAUTHBEARER XOAUTH2", "XOAUTH2")]
)
async def test_a_token_is_asked_for_and_shown(relay, issuer, offers, chosen):
    good, provider = await relay(mood(offers=offers)), await issuer()
    asks = {"token_scope": "mail.send other", "token_audience": "https://mail.test/"}
    route = oauth(route_to(good, plaintext=True), provider.url, **asks)
    attempt = await send(route, ENVELOPE, CONTENT)
    assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values())
    assert f"C: AUTH {chosen} ***" in attempt.transcript
    assert "(access token from 127.0.0.1)" in attempt.transcript
    assert provider.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "the-client",
            "client_secret": PASSWORD,
            "scope": "mail.send other",
            "audience": "https://mail.test/",
        }
    ]
    assert provider.heads[0].startswith("POST /token?v=2 HTTP/1.1\r\n")


async def test_the_mailbox_is_the_user_name_if_there_is_one(relay, issuer):
    good = await relay(mood(knows(TOKEN, mailbox="a=3Db=2Cc@x.test"), "OAUTHBEARER"))
    route = oauth(route_to(good, plaintext=True), (await issuer()).url, username="a=b,c@x.test")
    assert isinstance(await outcome_of(route), Sent)


async def test_without_any_mailbox_nothing_is_asked(relay, issuer):
    good, provider = await relay(mood()), await issuer()
    ladder = [s async for s in check(oauth(route_to(good, plaintext=True, sender_address=None), provider.url))]
    assert ladder[-1].code == "settings.no_sender"
    assert (provider.visits, good.said["AUTH"]) == (0, 0)


@pytest.mark.parametrize("size", [300, 3000])
async def test_a_long_token_waits_until_the_relay_asks_for_it(relay, issuer, size):
    long = "t" * size
    good = await relay(mood(knows(long)))
    route = oauth(route_to(good, plaintext=True), (await issuer(token(long))).url)
    assert isinstance(await outcome_of(route), Sent)
    (command,) = [line for line in good.heard if line.startswith("AUTH")]
    assert len(command) < 512
    assert (command == "AUTH XOAUTH2") is (size > 500)


@pytest.mark.parametrize(("offers", "sorry"), [("XOAUTH2", "sorry "), ("OAUTHBEARER", "sorry AQ==")])
async def test_a_relay_that_says_no_is_heard_to_the_end_and_recorded_without_the_token(relay, issuer, offers, sorry):
    strict, provider = await relay(mood(knows("another"), offers)), await issuer()
    outcome = await outcome_of(oauth(route_to(strict, plaintext=True), provider.url))
    assert (type(outcome), outcome.code, outcome.scope) == (Deferred, "auth.rejected", Scope.PROFILE)
    assert outcome.reply.text.startswith("5.7.8 not with *** ")
    assert sorry in strict.heard
    assert (strict.said["AUTH"], len(provider.forms)) == (1, 1)


@pytest.mark.parametrize("offer", ["AUTH PLAIN LOGIN NTLM CRAM-MD5", "PIPELINING"])
async def test_nothing_but_a_token_will_do(relay, issuer, offer):
    other, provider = await relay(Mood(offers=(offer,))), await issuer()
    outcome = await outcome_of(oauth(route_to(other, plaintext=True), provider.url))
    assert outcome.code in ("auth.no_common_mechanism", "auth.not_offered")
    assert other.heard == ["EHLO postroom.test"]
    assert provider.visits == 0


async def test_a_token_does_not_cross_an_open_connection_unasked(relay, issuer):
    good, provider = await relay(mood()), await issuer()
    outcome = await outcome_of(oauth(route_to(good), provider.url))
    assert outcome.code == "auth.plaintext_forbidden"
    assert good.heard == ["EHLO postroom.test"]
    assert provider.visits == 0


async def test_a_way_in_that_the_provider_has_closed_is_told_from_a_wrong_secret(relay, issuer):
    words = b"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.\r\n"
    outcome = await outcome_of(oauth(route_to(await relay(mood(words)), plaintext=True), (await issuer()).url))
    assert (outcome.code, outcome.scope) == ("auth.disabled", Scope.PROFILE)


# The token endpoint.

INVALID_CLIENT = answer(401, error="invalid_client", error_description=f"AADSTS7000215: wrong, got '{PASSWORD}'\r\n")
FAILURES = [
    (INVALID_CLIENT, "oauth.refused", Scope.PROFILE),
    (answer(400, error="invalid_scope"), "oauth.refused", Scope.PROFILE),
    (answer(404, b"<h1>nothing here</h1>"), "oauth.refused", Scope.PROFILE),
    (answer(400, error="temporarily_unavailable"), "oauth.temporary", Scope.RELAY),
    (answer(500), "oauth.temporary", Scope.RELAY),
    (answer(429), "oauth.temporary", Scope.RELAY),
    (never_answers, "oauth.temporary", Scope.RELAY),
    (hangs_up, "oauth.temporary", Scope.RELAY),
    (b"220 mail.test ESMTP\r\n", "oauth.temporary", Scope.RELAY),
    (drips_for_ever, "oauth.malformed", Scope.PROFILE),
    (answer(200, b" " * 70_000), "oauth.malformed", Scope.PROFILE),
    (answer(200, b"[" * 60_000), "oauth.malformed", Scope.PROFILE),
    (answer(200, b"access_token=x&token_type=bearer"), "oauth.malformed", Scope.PROFILE),
    (answer(200, b'["bearer"]'), "oauth.malformed", Scope.PROFILE),
    (answer(201, b"{}"), "oauth.malformed", Scope.PROFILE),
    (token(""), "oauth.malformed", Scope.PROFILE),
    (token("two\x01auth=Bearer other"), "oauth.malformed", Scope.PROFILE),
    (token("x" * 9000), "oauth.malformed", Scope.PROFILE),
    (token(TOKEN, token_type="mac"), "oauth.malformed", Scope.PROFILE),
    (token(TOKEN, token_type=None), "oauth.malformed", Scope.PROFILE),
    (token(TOKEN, expires_in="soon"), "oauth.malformed", Scope.PROFILE),
    (token(TOKEN, expires_in=True), "oauth.malformed", Scope.PROFILE),
    (token(TOKEN, expires_in=-1), "oauth.malformed", Scope.PROFILE),
    (token(TOKEN, expires_in=float("nan")), "oauth.malformed", Scope.PROFILE),
]


@pytest.mark.parametrize(("mood_of_issuer", "code", "scope"), FAILURES)
async def test_without_a_token_there_is_no_login(relay, issuer, mood_of_issuer, code, scope):
    good, provider = await relay(mood()), await issuer(mood_of_issuer)
    route = oauth(route_to(good, plaintext=True), provider.url)
    route = replace(route, timeouts=QUICK) if mood_of_issuer is never_answers else route
    outcome = await outcome_of(route)
    assert (type(outcome), outcome.code, outcome.scope) == (Deferred, code, scope)
    assert good.said["AUTH"] == 0
    ladder = [step async for step in check(route)]
    assert (ladder[-1].code, ladder[-1].status) == (code, "failed")
    assert ladder[-1].advice
    assert PASSWORD not in repr(ladder)


async def test_what_the_provider_says_is_passed_on_without_the_secret(relay, issuer):
    outcome = await outcome_of(oauth(route_to(await relay(mood()), plaintext=True), (await issuer(INVALID_CLIENT)).url))
    assert "(401, invalid_client: AADSTS7000215: wrong, got '***'\\x0D\\x0A)" in outcome.message


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirection_is_not_followed(relay, issuer, status):
    elsewhere = await issuer()
    provider = await issuer(answer(status, b"", f"Location: {elsewhere.url}"))
    outcome = await outcome_of(oauth(route_to(await relay(mood()), plaintext=True), provider.url))
    assert (outcome.code, outcome.scope) == ("oauth.malformed", Scope.PROFILE)
    assert (provider.visits, elsewhere.visits) == (1, 0)


@pytest.mark.parametrize("said", [{"expires_in": "3600"}, {"token_type": "bearer"}, {"expires_in": None}])
async def test_what_providers_do_differently(relay, issuer, said):
    provider = await issuer(token(TOKEN, **said))
    assert isinstance(await outcome_of(oauth(route_to(await relay(mood()), plaintext=True), provider.url)), Sent)


async def test_nobody_there(relay):
    outcome = await outcome_of(oauth(route_to(await relay(mood()), plaintext=True), "http://127.0.0.1:1/token"))
    assert (outcome.code, outcome.scope) == ("oauth.unreachable", Scope.RELAY)


async def test_proxies_and_passwords_from_the_environment_are_left_alone(relay, issuer, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    provider = await issuer()
    assert isinstance(await outcome_of(oauth(route_to(await relay(mood()), plaintext=True), provider.url)), Sent)
    assert "authorization" not in provider.heads[0].lower()


# Its network and its TLS.


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "100.100.100.200", "0.0.0.1", "[ff02::1]"]
)
async def test_where_no_relay_may_be_no_token_endpoint_may_be(relay, host):
    good = await relay(mood())
    outcome = await outcome_of(oauth(route_to(good, plaintext=True), f"https://{host}/latest/"))
    assert (outcome.code, outcome.scope) == ("oauth.address_refused", Scope.PROFILE)
    assert good.said["AUTH"] == 0


async def test_one_of_our_own_listeners_is_no_token_endpoint(relay, issuer):
    good, provider = await relay(mood()), await issuer()
    reach = Reach(lookup=loopback, own=frozenset({("::", provider.port)}))
    outcome = await outcome_of(oauth(route_to(good, plaintext=True, reach=reach), provider.url))
    assert (outcome.code, provider.visits) == ("oauth.address_refused", 0)


async def test_one_refused_address_of_several_refuses_the_endpoint(relay, issuer, certificates):
    good, provider = await relay(mood()), await issuer(tls=certificates.good)

    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if port == good.port else ["127.0.0.1", "169.254.169.254"]

    outcome = await outcome_of(oauth(route_to(good, plaintext=True, reach=Reach(lookup=lookup)), provider.url))
    assert (outcome.code, provider.visits) == ("oauth.address_refused", 0)


async def test_it_is_looked_up_once_and_what_was_judged_is_dialled(relay, issuer, certificates):
    good, provider = await relay(mood()), await issuer(tls=certificates.good)
    asked: list[int] = []

    async def flips(host: str, port: int) -> list[str]:
        asked.append(port)
        return ["127.0.0.1"] if asked.count(port) == 1 else ["169.254.169.254"]

    settings = {"ca_certificates": certificates.authority}
    route = oauth(route_to(good, plaintext=True, reach=Reach(lookup=flips), **settings), provider.url)
    assert isinstance(await outcome_of(route), Sent)
    assert asked == [good.port, provider.port]
    assert f"host: relay.test:{provider.port}\r\n" in provider.heads[0].lower()


async def test_unencrypted_is_for_loopback_whatever_the_name_resolves_to(relay):
    good = await relay(mood())

    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if port == good.port else ["192.0.2.1"]

    route = oauth(route_to(good, plaintext=True, reach=Reach(lookup=lookup)), "http://localhost:8080/token")
    assert (await outcome_of(route)).code == "oauth.address_refused"


@pytest.mark.parametrize("kind", ["wrong_name", "expired", "self_signed", "foreign"])
async def test_a_bad_certificate_gets_no_secret_even_where_the_relay_s_is_not_verified(
    relay, issuer, certificates, kind
):
    provider = await issuer(tls=getattr(certificates, kind))
    settings = {"ca_certificates": certificates.authority, "verify_certificate": False}
    outcome = await outcome_of(oauth(route_to(await relay(mood()), plaintext=True, **settings), provider.url))
    assert (outcome.code, outcome.scope) == ("oauth.untrusted", Scope.PROFILE)
    assert provider.forms == []


async def test_a_dead_address_leaves_time_for_the_next_one(relay, issuer, certificates):
    good, provider = await relay(mood()), await issuer(tls=certificates.good)

    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if port == good.port else ["::1", "127.0.0.1"]

    settings = {"ca_certificates": certificates.authority}
    route = oauth(route_to(good, plaintext=True, reach=Reach(lookup=lookup), **settings), provider.url)
    assert isinstance(await outcome_of(route), Sent)


# Keeping tokens.


async def test_one_token_for_many_sessions(relay, issuer):
    good, provider = await relay(mood()), await issuer(token(TOKEN), answer(500))
    route = oauth(route_to(good, plaintext=True), provider.url)
    outcomes = await asyncio.gather(*(outcome_of(route) for _ in range(10)))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert (good.said["AUTH"], provider.visits) == (10, 1)


async def test_one_failure_for_many_sessions_and_it_is_not_kept(relay, issuer):
    good, provider = await relay(mood()), await issuer(answer(500), token(TOKEN))
    route = oauth(route_to(good, plaintext=True), provider.url)
    grant = route.grant()
    failures = await asyncio.gather(*(route.tokens.get(grant, route.reach, 2) for _ in range(10)))
    assert ({failure.code for failure in failures}, provider.visits) == ({"oauth.temporary"}, 1)
    assert isinstance(await outcome_of(route), Sent)


async def test_who_goes_away_takes_nothing_from_the_others(relay, issuer):
    provider = await issuer()
    route = oauth(route_to(1), provider.url)
    first, second = (asyncio.ensure_future(route.tokens.get(route.grant(), route.reach, 2)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).value == Secret(TOKEN)
    assert provider.visits == 1


async def test_an_expired_token_is_asked_for_anew(relay, issuer):
    now = 0.0
    good, provider = await relay(mood(knows(TOKEN, "second"))), await issuer(token(TOKEN), token("second"))
    route = replace(oauth(route_to(good, plaintext=True), provider.url), tokens=Tokens(clock=lambda: now))
    for at, visits in ((0, 1), (3539, 1), (3541, 2), (3600, 2)):
        now = at
        assert isinstance(await outcome_of(route), Sent)
        assert provider.visits == visits


@pytest.mark.parametrize(
    "other",
    [{"client_id": "other"}, {"token_scope": "other"}, {"token_audience": "other"}, {"password": Secret("other")}],
)
async def test_another_client_gets_another_token(relay, issuer, other):
    provider = await issuer()
    route = oauth(route_to(1), provider.url)
    password = other.pop("password", route.password)
    different = replace(route, profile=replace(route.profile, **other), password=password)
    for each in (route, different, route, different):
        await route.tokens.get(each.grant(), each.reach, 2)
    assert provider.visits == 2


async def test_a_kept_token_that_was_withdrawn_is_replaced_once(relay, issuer):
    good, provider = await relay(mood((knows(TOKEN), knows("second")))), await issuer(token(TOKEN), token("second"))
    route = oauth(route_to(good, plaintext=True), provider.url)
    assert isinstance(await outcome_of(route), Sent)
    assert isinstance(await outcome_of(route), Sent)
    assert (good.said["AUTH"], good.visits, provider.visits) == (3, 2, 2)


async def test_when_the_new_token_is_refused_too_that_is_the_answer(relay, issuer):
    good, provider = await relay(mood((knows(TOKEN), knows()))), await issuer(token(TOKEN), token("second"))
    route = oauth(route_to(good, plaintext=True), provider.url)
    assert isinstance(await outcome_of(route), Sent)
    assert (await outcome_of(route)).code == "auth.rejected"
    assert (good.said["AUTH"], provider.visits) == (3, 2)


async def test_a_temporary_no_costs_no_token(relay, issuer):
    good, provider = await relay(mood((knows(TOKEN), b"454 4.7.0 later\r\n"))), await issuer()
    route = oauth(route_to(good, plaintext=True), provider.url)
    assert isinstance(await outcome_of(route), Sent)
    assert (await outcome_of(route)).code == "auth.temporary"
    assert provider.visits == 1


async def test_a_relay_that_hangs_up_on_a_withdrawn_token_gets_the_new_one_next_time(relay, issuer):
    moody = (knows(TOKEN), moods.says_then_hangs_up(b"535 5.7.8 no\r\n"), knows("second"))
    good, provider = await relay(mood(moody)), await issuer(token(TOKEN), token("second"))
    route = oauth(route_to(good, plaintext=True), provider.url)
    assert isinstance(await outcome_of(route), Sent)
    outcome = await outcome_of(route)
    assert (outcome.code, outcome.scope) == ("connection.lost", Scope.RELAY)
    assert isinstance(await outcome_of(route), Sent)
    assert provider.visits == 2


async def test_a_pool_asks_once_for_all_of_its_connections(relay, issuer):
    good, provider = await relay(mood()), await issuer()
    pool = Pool(oauth(route_to(good, plaintext=True), provider.url), most_connections=4)
    attempts = await asyncio.gather(*(pool.send(ENVELOPE, CONTENT, yes) for _ in range(20)))
    await pool.close()
    assert all(isinstance(outcome, Sent) for attempt in attempts for outcome in attempt.outcomes.values())
    assert provider.visits == 1


# What is seen of it.


async def test_the_ladder_says_where_the_token_came_from(relay, issuer, caplog):
    caplog.set_level(logging.DEBUG, logger="httpx2")
    good, provider = await relay(mood()), await issuer()
    route = oauth(route_to(good, plaintext=True), provider.url)
    for origin in ("from 127.0.0.1", "from 127.0.0.1, kept from before"):
        ladder = [step async for step in check(route)]
        (login,) = [step for step in ladder if step.stage == "auth"]
        assert login.detail == {
            "offered": "PLAIN LOGIN XOAUTH2",
            "chosen": "XOAUTH2",
            "token": origin,
            "answer": "235 2.7.0 welcome",
        }
        for secret in (TOKEN, PASSWORD):
            assert secret not in repr(ladder) + caplog.text + repr(route) + repr(route.tokens)


# While the token is on its way, without sockets.


@pytest.fixture
def waiting() -> Protocol:
    protocol = Protocol()
    protocol.start(opening(oauth(route_to(25, plaintext=True), "https://tokens.test/")))
    protocol.receive(b"220 relay.test\r\n")
    protocol.to_send()
    protocol.receive(b"250-relay.test\r\n250 AUTH XOAUTH2\r\n")
    assert protocol.token_due is not None
    assert protocol.to_send() == b""
    return protocol


def test_a_relay_that_has_something_to_say_meanwhile_is_closing(waiting):
    waiting.receive(b"421 4.4.2 too slow\r\n")
    assert waiting.failure.code == "relay.closing"
    assert (waiting.is_over, waiting.in_dialogue) == (True, False)


def test_a_token_that_comes_after_the_connection_has_gone_is_not_said(waiting):
    need = waiting.token_due
    waiting.interrupt(Interruption.LOST)
    assert (waiting.failure.code, waiting.failure.stage) == ("connection.lost", need.stage)
    waiting.token_came(Token(Secret("late"), "that was asked for before"))
    waiting.token_failed(Failure("token.late", "It came too late.", Stage.AUTH, Scope.PROFILE))
    assert waiting.to_send() == b""
    assert waiting.failure.code == "connection.lost"
