"""Mechanisms by the examples of their RFCs, which of them is chosen, and relays that don't keep to them."""

import base64
import hashlib
import hmac
import random
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.domain.delivery import Deferred, Scope, Sent
from postroom.domain.profile import MECHANISMS, Auth, Profile, Security
from postroom.domain.secret import Secret
from postroom.smtp.opening import opening
from postroom.smtp.protocol import Protocol
from postroom.smtp.sasl.challenge import CramMd5
from postroom.smtp.sasl.choice import candidates, choose
from postroom.smtp.sasl.mechanism import Mechanism, OutOfStep, Unproved, decoded, encoded
from postroom.smtp.sasl.saslprep import prepared
from postroom.smtp.sasl.scram import MOST_ITERATIONS, Scram, ScramSha1, ScramSha256
from postroom.smtp.send import send

from .conftest import CONTENT, ENVELOPE, PASSWORD, route_to
from .moods import Act, Mood, Visit

# The examples.


def said(text: str) -> bytes:
    return encoded(text.encode()).encode()


def test_cram_md5_as_in_rfc_2195():
    login = CramMd5("tim", Secret("tanstaaftanstaaf"))
    assert login.initial() is None
    response = login.respond(said("<1896.697170952@postoffice.reston.mci.net>"))
    assert response == b"tim b913a602c7eda7a495b4e6e7334d3890"
    with pytest.raises(OutOfStep):
        login.respond(said("<another@one>"))


EXAMPLES = [
    (
        ScramSha1,
        "fyko+d2lbbFgONRv9qkxdawL",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (
        ScramSha256,
        "rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
]


@pytest.mark.parametrize(("kind", "nonce", "first", "final", "signature"), EXAMPLES)
def test_scram_as_in_rfc_5802_and_7677(kind, nonce, first, final, signature):
    login = kind("user", Secret("pencil"), nonce)
    assert login.initial() == f"n,,n=user,r={nonce}".encode()
    assert login.respond(said(first)) == final.encode()
    assert login.owes_proof
    assert login.respond(said(signature)) == b""
    assert not login.owes_proof
    with pytest.raises(OutOfStep):
        login.respond(said(signature))


@pytest.mark.parametrize(("kind", "nonce", "first", "final", "signature"), EXAMPLES)
def test_a_signature_that_is_another_s_proves_nothing(kind, nonce, first, final, signature):
    login = kind("user", Secret("pencil"), nonce)
    login.respond(said(first))
    with pytest.raises(Unproved):
        login.respond(said(signature.replace("r", "s", 1)))
    assert login.owes_proof


def test_a_nonce_is_drawn_for_each_login_and_names_are_escaped():
    firsts = {ScramSha1("a,b=c", Secret("x")).initial() for _ in range(50)}
    assert len(firsts) == 50
    assert all(first.startswith(b"n,,n=a=2Cb=3Dc,r=") for first in firsts)


# RFC 4013 section 3.
@pytest.mark.parametrize(
    ("given_text", "normal"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_saslprep_as_in_rfc_4013(given_text, normal):
    assert prepared(given_text) == normal


@pytest.mark.parametrize("text", ["\u0007", "\u06271", "\U0001f600 horse", "\u00ad"])
def test_what_saslprep_has_no_form_for_stays_as_it_is(text):
    assert prepared(text) == text


@given(st.text())
def test_preparing_twice_is_preparing_once(text):
    assert prepared(prepared(text)) == prepared(text)


# The choice.

VERIFIED = {"security": Security.STARTTLS}
UNVERIFIED = {"security": Security.TLS, "verify_certificate": False}
OPEN = {"security": Security.NONE}


def profile(auth: Auth = Auth.PASSWORD, **settings) -> Profile:
    oauth = {"token_url": "https://login.example/token", "client_id": "c"} if auth is Auth.OAUTH2 else {}
    return Profile("relay.test", auth=auth, username="user", **oauth, **settings)


@pytest.mark.parametrize(
    ("settings", "best_first"),
    [
        (VERIFIED, "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN CRAM-MD5"),
        (UNVERIFIED, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN"),
        (OPEN, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN"),
    ],
)
def test_the_best_offered_one_is_taken_and_best_depends_on_who_may_listen(settings, best_first):
    offered = [*best_first.split(), "NTLM", "XOAUTH2", "DIGEST-MD5", "SCRAM-SHA-256-PLUS"]
    chosen = []
    while kind := choose(random.sample(offered, len(offered)), profile(**settings)):
        chosen.append(kind.name)
        offered.remove(kind.name)
    assert chosen == best_first.split()


@pytest.mark.parametrize("auth", Auth)
@pytest.mark.parametrize("settings", [VERIFIED, UNVERIFIED, OPEN])
def test_each_kind_has_the_mechanisms_that_the_settings_may_name(auth, settings):
    assert {kind.name for kind in candidates(profile(auth, **settings))} == set(MECHANISMS[auth])
    for name in MECHANISMS[auth]:
        (kind,) = candidates(profile(auth, mechanism=name, **settings))
        assert kind.name == name


async def test_the_one_that_the_settings_name_is_taken_even_if_there_is_a_better_one(relay):
    good = await relay(Mood(offers=("AUTH SCRAM-SHA-256 PLAIN CRAM-MD5",)))
    attempt = await send(route_to(good, login=True, plaintext=True, mechanism="plain"), ENVELOPE, CONTENT)
    assert [type(outcome) for outcome in attempt.outcomes.values()] == [Sent]
    assert good.heard[1].startswith("AUTH PLAIN ")


async def test_the_one_that_the_settings_name_or_none(relay):
    other = await relay(Mood(offers=("AUTH PLAIN LOGIN",)))
    outcome = await outcome_of(route_to(other, login=True, plaintext=True, mechanism="CRAM-MD5"))
    assert (type(outcome), outcome.code, outcome.scope) == (Deferred, "auth.no_common_mechanism", Scope.PROFILE)
    assert "ask for CRAM-MD5" in outcome.message
    assert "(AUTH PLAIN LOGIN)" in outcome.message
    assert other.heard == ["EHLO postroom.test"]


@pytest.mark.parametrize("mechanism", [*MECHANISMS[Auth.PASSWORD], None])
async def test_none_of_them_crosses_an_open_connection_unasked(relay, mechanism):
    good = await relay(Mood(offers=(f"AUTH {' '.join(MECHANISMS[Auth.PASSWORD])}",)))
    outcome = await outcome_of(route_to(good, login=True, mechanism=mechanism))
    assert outcome.code == "auth.plaintext_forbidden"
    assert good.heard == ["EHLO postroom.test"]


# Relays that don't keep to SCRAM.


@dataclass(frozen=True)
class Server:
    """The relay's side of SCRAM-SHA-256, with the ways in which it may go wrong. `{}` is what would be right."""

    nonce: str = "{}relay's"
    salt: str = "c2FsdHNhbHQ="
    iterations: str = "4096"
    extension: str = ""
    signature: str = "v={}"
    password: str = PASSWORD
    end: bytes = b"235 2.7.0 welcome\r\n"

    def act(self) -> Act:
        async def act(visit: Visit) -> None:
            bare = decoded(visit.relay.heard[-1].split(" ")[2].encode()).decode().removeprefix("n,,")
            nonce = self.nonce.format(bare.partition(",r=")[2])
            first = f"{self.extension}r={nonce},s={self.salt},i={self.iterations}"
            final = await answer(visit, first)
            if final is not None and self.signature and await answer(visit, self._signed(bare, first, final)) is None:
                return
            await visit.say(self.end if final is not None else b"501 5.0.0 cancelled\r\n")

        return act

    def _signed(self, bare: str, first: str, final: str) -> str:
        without_proof = final.partition(",p=")[0]
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(self.salt), 4096)
        key = hmac.digest(salted, b"Server Key", "sha256")
        signature = hmac.digest(key, f"{bare},{first},{without_proof}".encode(), "sha256")
        return self.signature.format(base64.b64encode(signature).decode())


async def answer(visit: Visit, challenge: str) -> str | None:
    await visit.say(b"334 " + said(challenge) + b"\r\n")
    line = (await visit.reader.readline()).strip()
    visit.relay.heard.append(line.decode())
    if line == b"*":
        await visit.say(b"501 5.0.0 cancelled\r\n")
        return None
    return decoded(line).decode()


async def outcome_of(route):
    attempt = await send(route, ENVELOPE, CONTENT)
    assert PASSWORD not in attempt.transcript + repr(attempt)
    (outcome,) = attempt.outcomes.values()
    return outcome


def mood(server: Server) -> Mood:
    return Mood({"AUTH": server.act()}, offers=("PIPELINING", "AUTH PLAIN SCRAM-SHA-256"))


async def test_a_relay_that_proves_itself_gets_the_mail(relay):
    good = await relay(mood(Server()))
    attempt = await send(route_to(good, login=True, plaintext=True), ENVELOPE, CONTENT)
    assert [type(outcome) for outcome in attempt.outcomes.values()] == [Sent]
    assert attempt.transcript.count("S: 334 ***") == 2  # from the relay's signature the password could be guessed
    assert attempt.transcript.count("334") == 2
    assert len(good.mails) == 1


@pytest.mark.parametrize(
    "server",
    [
        Server(password="another"),  # it lets everyone in and knows nobody's password
        Server(signature=""),
        Server(signature="e=other-error"),
        Server(signature="v=!"),
        Server(signature="{}"),
    ],
)
async def test_a_yes_from_a_relay_that_has_proved_nothing_is_a_failed_login(relay, server):
    strange = await relay(mood(server))
    outcome = await outcome_of(route_to(strange, login=True, plaintext=True))
    assert (type(outcome), outcome.code, outcome.scope) == (Deferred, "auth.unproved", Scope.PROFILE)
    assert strange.said["AUTH"] <= 1
    assert strange.mails == []


async def test_a_yes_to_the_first_message_is_no_login_either(relay):
    strange = await relay(Mood({"AUTH": b"235 2.7.0 welcome\r\n"}, offers=("AUTH SCRAM-SHA-1",)))
    assert (await outcome_of(route_to(strange, login=True, plaintext=True))).code == "auth.unproved"


async def test_an_error_in_the_exchange_and_a_no_is_a_wrong_password(relay):
    strict = await relay(mood(Server(signature="e=invalid-proof", end=b"535 5.7.8 wrong\r\n")))
    outcome = await outcome_of(route_to(strict, login=True, plaintext=True))
    assert outcome.code == "auth.rejected"
    assert "(SCRAM-SHA-256)" in outcome.message


@pytest.mark.parametrize(
    "server",
    [
        Server(nonce="{}"),
        Server(nonce="x{}"),
        Server(nonce="another"),
        Server(nonce="{}\u00fc"),
        Server(iterations="1"),
        Server(iterations="4095"),
        Server(iterations=str(MOST_ITERATIONS + 1)),
        Server(iterations="99999999999999"),
        Server(iterations="04096"),
        Server(iterations="-4096"),
        Server(salt=""),
        Server(salt="c2Fsd"),
        Server(extension="m=what,"),
    ],
)
async def test_a_first_message_that_breaks_the_rules_gets_no_proof(relay, server):
    odd = await relay(mood(server))
    outcome = await outcome_of(route_to(odd, login=True, plaintext=True))
    assert (outcome.code, outcome.scope) == ("auth.malformed", Scope.PROFILE)
    assert odd.heard[-1] == "*"
    assert len(odd.heard) == 3  # EHLO, AUTH, *


@given(st.sampled_from([ScramSha1, ScramSha256]), st.lists(st.binary(max_size=200), max_size=4))
def test_a_hostile_relay_ends_the_login_and_proves_nothing(kind: type[Scram], challenges):
    login = kind("user", Secret(PASSWORD), "nonce")
    for challenge in challenges:
        try:
            assert PASSWORD.encode() not in login.respond(challenge)
        except OutOfStep:
            break
    assert login.owes_proof


def test_the_answer_is_worked_out_where_nobody_waits_for_it():
    route = route_to(25, login=True, plaintext=True)
    protocol = Protocol()
    protocol.start(opening(replace(route, profile=replace(route.profile, mechanism="SCRAM-SHA-1"))))
    protocol.receive(b"220 relay.test\r\n")
    protocol.to_send()
    protocol.receive(b"250-relay.test\r\n250 AUTH SCRAM-SHA-1\r\n")
    first = protocol.to_send().split(b" ")[2]
    nonce = base64.b64decode(first).partition(b",r=")[2].decode()
    protocol.receive(b"334 " + said(f"r={nonce}x,s=QSXCR+Q6sek8bf92,i={MOST_ITERATIONS}") + b"\r\n")
    assert protocol.to_send() == b""
    work = protocol.work_due
    assert work is not None
    protocol.receive(b"421 4.3.2 bye\r\n")
    assert protocol.failure is not None
    protocol.work_done(work.done())  # comes too late, and changes nothing
    assert protocol.to_send() == b""
    assert protocol.is_over


def test_nothing_owes_a_proof_that_never_gives_one():
    kinds: set[type[Mechanism]] = {kind for auth in Auth for kind in candidates(profile(auth))}
    owing = {kind.name for kind in kinds if kind("user", Secret("x")).owes_proof}
    assert owing == {"SCRAM-SHA-1", "SCRAM-SHA-256"}
