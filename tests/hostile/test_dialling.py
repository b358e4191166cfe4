"""H19, H37, H38: what takes a clock, an address or a name server to show; each delivered to and checked."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import pytest

from hostile.moods import good
from postroom.domain.delivery import InDoubt, Sent, Stage
from postroom.smtp.check import check
from postroom.smtp.pool import Pool
from postroom.smtp.reach import Reach
from postroom.smtp.route import Route, Timeouts
from postroom.smtp.send import send
from smtp.conftest import CONTENT, ENVELOPE, route_to, yes
from smtp.moods import Mood, Relay, Visit, open_relay

PATIENT = Timeouts(connect=8, reply=8, dot=8, attempt=16)  # seven dead addresses take 7 * 0.25 s


# H19: 250 after the dot, early, in the nick of time and too late.


@dataclass
class Late:
    """Says 250 so many seconds after the dot, and notes how many it really were."""

    seconds: float
    really: float = 0

    async def __call__(self, visit: Visit) -> bytes:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(self.seconds)
        self.really = loop.time() - began
        await visit.say(b"250 2.0.0 queued\r\n")
        return b"250"


@pytest.mark.parametrize(("share", "ends"), [(0.9, Sent), (1.0, Sent), (1.1, InDoubt)])
async def test_h19_a_late_250_is_waited_for_and_nothing_is_sent_twice_meanwhile(share: float, ends: type):
    dot = 1.5
    for _ in range(3):  # on a busy machine "in the nick of time" may come out as too late: then once more
        late = Late(dot * share)
        async with open_relay(good(dot=late)) as relay:
            pool = Pool(route_to(relay, timeouts=Timeouts(connect=5, reply=5, dot=dot, attempt=10)))
            (outcome,) = (await pool.send(ENVELOPE, CONTENT, yes)).outcomes.values()
            await pool.close()
        assert (relay.said["dot"], relay.visits) == (1, 1)
        if ends is InDoubt or late.really < dot * share + 0.01:
            break
    assert isinstance(outcome, ends)


# H37: dead addresses.


@contextmanager
def swallowing(address: str, port: int) -> Iterator[None]:
    """An address where connections are neither taken nor refused: its queue is full, so the kernel drops what comes."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield


@asynccontextmanager
async def behind(dead: Sequence[str], swallowed: Sequence[str] = ()) -> AsyncIterator[tuple[Relay, Route]]:
    """A good relay at the last of a name's addresses."""

    async def lookup(host: str, port: int) -> list[str]:
        return [*dead, *swallowed, "127.0.0.1"]

    async with open_relay(Mood()) as relay:
        with ExitStack() as stack:
            for address in swallowed:
                stack.enter_context(swallowing(address, relay.port))
            yield relay, route_to(relay, reach=Reach(lookup=lookup), timeouts=PATIENT)


DEAD = {
    "IPv6 refuses, IPv4 is good": (["::1"], []),
    "IPv6 leads nowhere, IPv4 is good": (["fd00:ffff::1"], []),
    "8 addresses, 7 refuse": ([f"127.0.0.{n}" for n in range(2, 9)], []),
    "8 addresses, 7 swallow": ([], [f"127.0.0.{n}" for n in range(2, 9)]),
    "8 addresses, some refuse, some swallow": (["::1", "127.0.0.2"], [f"127.0.0.{n}" for n in range(3, 8)]),
}


@pytest.mark.parametrize("which", DEAD)
async def test_h37_dead_addresses_are_passed_over_in_one_attempt(which: str):
    async with behind(*DEAD[which]) as (relay, route):
        attempt = await send(route, ENVELOPE, CONTENT)
        assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values())
        assert attempt.relay == f"127.0.0.1:{relay.port}"
        assert len(relay.mails) == 1


@pytest.mark.parametrize("which", DEAD)
async def test_h37_a_check_passes_over_them_too(which: str):
    async with behind(*DEAD[which]) as (_, route):
        ladder = [step async for step in check(route, recipient="to@example.com")]
        assert ladder[-1].code == "recipient.ok"


# H38: name servers.


@dataclass
class NameServer:
    """Answers in turn; the last answer for ever."""

    answers: Sequence[list[str] | int]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, _port: int) -> list[str]:
        self.asked.append(host)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(answer, int):
            raise socket.gaierror(answer, "no")
        return answer


PRIVATE = ipaddress.ip_network("127.0.0.2/32")  # stands for what the operator allows: nothing here leaves this machine
NAMES = {
    "SERVFAIL": ([socket.EAI_AGAIN], "resolve.temporary", Stage.RESOLVE, "relay"),
    "a failure that lasts": ([socket.EAI_FAIL], "resolve.temporary", Stage.RESOLVE, "relay"),
    "NXDOMAIN": ([socket.EAI_NONAME], "resolve.unknown", Stage.RESOLVE, "profile"),
    "an allowed address, then 127.0.0.1": ([["127.0.0.2"], ["127.0.0.1"]], "connect.refused", Stage.CONNECT, "relay"),
    "127.0.0.1": ([["127.0.0.1"]], "policy.address_refused", Stage.POLICY, "profile"),
    "both at once": ([["127.0.0.2", "127.0.0.1"]], "policy.address_refused", Stage.POLICY, "profile"),
}  # fmt: skip


def by_name(server: NameServer, relay: Relay) -> Route:
    return route_to(relay, reach=Reach(networks=(PRIVATE,), lookup=server), timeouts=PATIENT)


@pytest.mark.parametrize("which", NAMES)
async def test_h38_what_the_name_server_says_ends_an_attempt(which: str):
    answers, code, stage, scope = NAMES[which]
    async with open_relay(Mood()) as relay:
        server = NameServer(answers)
        attempt = await send(by_name(server, relay), ENVELOPE, CONTENT)
        (outcome,) = attempt.outcomes.values()
    assert (outcome.code, outcome.stage, outcome.scope) == (code, stage, scope)
    assert len(server.asked) == 1
    assert (relay.visits, bytes(relay.got)) == (0, b"")


@pytest.mark.parametrize("which", NAMES)
async def test_h38_and_a_check(which: str):
    answers, code, stage, _ = NAMES[which]
    async with open_relay(Mood()) as relay:
        server = NameServer(answers)
        ladder = [step async for step in check(by_name(server, relay), recipient="to@example.com")]
    assert (ladder[-1].status, ladder[-1].code, ladder[-1].stage) == ("failed", code, stage)
    assert len(server.asked) == 1
    assert relay.visits == 0


async def test_h38_a_name_that_flips_is_refused_the_next_time():
    server = NameServer([["127.0.0.2"], ["127.0.0.1"]])
    async with open_relay(Mood()) as relay:
        route = by_name(server, relay)
        codes = [outcome.code for _ in range(2) for outcome in (await send(route, ENVELOPE, CONTENT)).outcomes.values()]
    assert codes == ["connect.refused", "policy.address_refused"]
    assert relay.visits == 0
