"""NTLM against a relay that we did not write, whose NTLM is pyspnego's own server."""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import spnego
from aiosmtpd.smtp import MISSING, SMTP, AuthResult
from hypothesis import given
from hypothesis import strategies as st

from postroom.domain.delivery import Deferred, Scope, Sent
from postroom.domain.profile import Auth, Security
from postroom.domain.secret import Secret
from postroom.smtp.check import check
from postroom.smtp.route import Route
from postroom.smtp.sasl.mechanism import OutOfStep, encoded
from postroom.smtp.sasl.ntlm import Ntlm
from postroom.smtp.send import send

from .conftest import CONTENT, ENVELOPE, PASSWORD, Certificates, route_to
from .moods import Mood

KNOWN = f"OFFICE:ann:{PASSWORD}\n:bob@office.test:{PASSWORD}\n:carl:{PASSWORD}\n"
USE_NTLM = spnego.NegotiateOptions.use_ntlm


@dataclass
class Exchange:
    port: int = 0
    prompt: str = "NTLM supported"
    responses: list[bytes] = field(default_factory=list)

    async def auth_NTLM(self, server: SMTP, args: list[str]) -> AuthResult:
        assert args == ["NTLM"]
        context = spnego.server(protocol="ntlm", options=USE_NTLM)
        said = await server.challenge_auth(self.prompt, encode_to_b64=False)
        said = said if said is MISSING else await server.challenge_auth(context.step(said))
        if said is MISSING:
            return AuthResult(success=False, handled=True)
        self.responses.append(said)
        try:
            context.step(said)
        except spnego.exceptions.SpnegoError:
            return AuthResult(success=False, handled=False)
        return AuthResult(success=True, auth_data=None)


@pytest.fixture
async def exchange(certificates: Certificates, tmp_path: Any, monkeypatch: Any) -> AsyncIterator[Exchange]:
    users = tmp_path / "users"
    users.write_text(KNOWN)
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    handler = Exchange()

    def factory() -> SMTP:
        excluded = ("LOGIN", "PLAIN")
        tls = certificates.good
        return SMTP(
            handler, hostname="relay.test", tls_context=tls, auth_required=True, auth_exclude_mechanism=excluded
        )

    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    handler.port = server.sockets[0].getsockname()[1]
    yield handler
    server.close()
    await server.wait_closed()


def ntlm(route: Route, username: str, password: str = PASSWORD) -> Route:
    profile = replace(route.profile, auth=Auth.NTLM, username=username)
    return replace(route, profile=profile, password=Secret(password))


def route(exchange: Exchange, certificates: Certificates, username: str, password: str = PASSWORD) -> Route:
    tls = {"security": Security.STARTTLS, "ca_certificates": certificates.authority}
    return ntlm(route_to(exchange.port, **tls), username, password)


@pytest.mark.parametrize("username", ["OFFICE\\ann", "bob@office.test", "carl"])
@pytest.mark.parametrize("prompt", ["NTLM supported", ""])
async def test_it_lets_us_in(exchange, certificates, username, prompt):
    exchange.prompt = prompt
    ladder = [step async for step in check(route(exchange, certificates, username))]
    (login,) = [step for step in ladder if step.stage == "auth"]
    assert login.detail == {"offered": "NTLM", "chosen": "NTLM", "answer": "235 2.7.0 Authentication successful"}
    assert login.message == f'The relay knows "{username}".'
    assert ladder[-2].code == "sender.ok"
    assert PASSWORD not in repr(ladder)


@pytest.mark.parametrize(
    ("username", "password"),
    [("OFFICE\\ann", "wrong"), ("ELSEWHERE\\ann", PASSWORD), ("ann", PASSWORD), ("bob@office.test", "wrong")],
)
async def test_a_wrong_login_is_told_after_one_try(exchange, certificates, username, password):
    attempt = await send(route(exchange, certificates, username, password), ENVELOPE, CONTENT)
    (outcome,) = attempt.outcomes.values()
    assert (type(outcome), outcome.code, outcome.scope) == (Deferred, "auth.rejected", Scope.PROFILE)
    assert attempt.transcript.count("C: AUTH NTLM") == 1
    assert len(exchange.responses) == 1


async def test_neither_the_password_nor_a_response_is_recorded(exchange, certificates, caplog):
    caplog.set_level(logging.DEBUG)
    attempt = await send(route(exchange, certificates, "OFFICE\\ann", "wrong horse"), ENVELOPE, CONTENT)
    shown = attempt.transcript + repr(attempt)
    assert shown.count("C: ***") == 2
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("spnego"))
    for secret in ("wrong horse", encoded(exchange.responses[0])):
        assert secret not in shown + ours


async def test_the_environment_can_not_talk_it_into_version_1(exchange, certificates, monkeypatch):
    monkeypatch.setenv("LM_COMPAT_LEVEL", "0")
    (outcome,) = (await send(route(exchange, certificates, "OFFICE\\ann"), ENVELOPE, CONTENT)).outcomes.values()
    assert outcome.code == "auth.malformed"
    assert exchange.responses == []


async def test_mail_goes_through(relay):
    """The prompt, the challenge and the end from a relay of our own, which has no opinion on responses."""
    server = [b"334 NTLM supported\r\n"]
    challenges = (f"334 {encoded(challenge())}\r\n".encode(), b"235 2.7.0 welcome\r\n")
    good = await relay(Mood({"AUTH": server[0], "response": challenges}, offers=("AUTH PLAIN NTLM LOGIN",)))
    attempt = await send(ntlm(route_to(good, plaintext=True), "carl"), ENVELOPE, CONTENT)
    assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values())
    assert good.heard[1] == "AUTH NTLM"


@pytest.mark.parametrize("offer", ["AUTH PLAIN LOGIN XOAUTH2 CRAM-MD5", "PIPELINING"])
async def test_nothing_but_ntlm_will_do(relay, offer):
    other = await relay(Mood(offers=(offer,)))
    (outcome,) = (await send(ntlm(route_to(other, plaintext=True), "carl"), ENVELOPE, CONTENT)).outcomes.values()
    assert outcome.code in ("auth.no_common_mechanism", "auth.not_offered")
    assert other.heard == ["EHLO postroom.test"]


async def test_it_does_not_cross_an_open_connection_unasked(relay):
    good = await relay(Mood(offers=("AUTH NTLM",)))
    (outcome,) = (await send(ntlm(route_to(good), "carl"), ENVELOPE, CONTENT)).outcomes.values()
    assert outcome.code == "auth.plaintext_forbidden"
    assert good.heard == ["EHLO postroom.test"]


@pytest.mark.parametrize("answers", [(b"334 ???\r\n",), (b"334 bm90IG50bG0=\r\n",), (b"334 \r\n",)])
async def test_a_challenge_that_is_none_is_cancelled(relay, answers):
    odd = await relay(Mood({"AUTH": b"334 \r\n", "response": answers}, offers=("AUTH NTLM",)))
    (outcome,) = (await send(ntlm(route_to(odd, plaintext=True), "carl"), ENVELOPE, CONTENT)).outcomes.values()
    assert outcome.code == "auth.malformed"
    assert odd.heard[-1] == "*"


def test_a_response_is_given_once():
    login = Ntlm("carl", Secret(PASSWORD))
    login.respond(b"")
    login.respond(encoded(challenge()).encode())
    with pytest.raises(OutOfStep):
        login.respond(encoded(challenge()).encode())


def challenge() -> bytes:
    """MS-NLMP 2.2.1.2, as small as it can be: Unicode, NTLM, target info with a domain and its end."""
    info = struct.pack("<HH", 2, 8) + "TEST".encode("utf-16-le") + bytes(4)
    flags = 0x00800000 | 0x00080000 | 0x00000200 | 0x00000001
    fields = struct.pack("<HHI", 0, 0, 48) + struct.pack("<I", flags) + b"12345678" + bytes(8)
    return b"NTLMSSP\0" + struct.pack("<I", 2) + fields + struct.pack("<HHI", len(info), len(info), 48) + info


@given(st.data())
def test_a_hostile_challenge_is_answered_or_ends_the_login(data):
    hostile = bytearray(challenge())
    for at in data.draw(st.lists(st.integers(0, len(hostile) - 1), max_size=8)):
        hostile[at] = data.draw(st.integers(0, 255))
    hostile = hostile[: data.draw(st.integers(0, len(hostile)))]
    login = Ntlm("OFFICE\\ann", Secret(PASSWORD))
    assert login.respond(b"ntlm supported").startswith(b"NTLMSSP\0")
    try:
        response = login.respond(encoded(bytes(hostile)).encode())
    except OutOfStep:
        return
    assert int.from_bytes(response[20:22], "little") > 24
    assert PASSWORD.encode() not in response
    assert PASSWORD.encode("utf-16-le") not in response
