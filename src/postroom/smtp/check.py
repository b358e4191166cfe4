"""The check of settings: the very code that delivers, stopped at a stage, told as a ladder of steps.

It says which step failed, why, and what to change (`diagnosis.py`). What passes here is delivered with these settings,
because nothing here dials, encrypts or logs in by another way. No mail is sent: after the recipient comes RSET.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

from postroom.domain.address import Address
from postroom.domain.delivery import Scope, Stage
from postroom.domain.message import Envelope
from postroom.domain.problems import Invalid
from postroom.domain.profile import Profile
from postroom.domain.recipients import recipient_filter
from postroom.smtp import doors, verdict
from postroom.smtp.advice import advice_on
from postroom.smtp.capabilities import Capabilities
from postroom.smtp.certificate import read_chain
from postroom.smtp.command import Unsendable, path
from postroom.smtp.diagnosis import diagnose
from postroom.smtp.dialogue import NO_DETAIL, Dialogue, Passed, ask
from postroom.smtp.doors import Door
from postroom.smtp.failure import Failure, Stopped
from postroom.smtp.reply import Reply
from postroom.smtp.route import Route
from postroom.smtp.step import Status, Step
from postroom.smtp.tls import CHAIN
from postroom.smtp.verdict import Interruption
from postroom.smtp.visit import visiting
from postroom.smtp.warning import warning_on


async def check(
    route: Route, *, recipient: str | None = None, ports: Sequence[int] = doors.PORTS
) -> AsyncGenerator[Step, None]:
    """Each step as soon as it is known; the first failure is the last step. `ports` are looked at after a failure that
    another port may mend."""
    ladder = _Ladder(route.profile)
    climb = asyncio.ensure_future(_climb(route, recipient, ports, ladder))
    climb.add_done_callback(ladder.end)
    try:
        while (step := await ladder.next()) is not None:
            yield step
        await climb
    finally:
        climb.cancel()
        await asyncio.gather(climb, return_exceptions=True)


async def failed_at_once(code: str, message: str) -> AsyncGenerator[Step, None]:
    """The ladder of settings that can't even be put together."""
    yield Step(Stage.SETTINGS, "failed", code, message, advice_on(code), NO_DETAIL, 0.0)


class _Ladder:
    """The steps on their way from the session's callbacks to whoever looks on."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._steps: asyncio.Queue[Step | None] = asyncio.Queue()
        self._since = time.monotonic()
        self._encrypted = False
        self._starttls_offered = False
        self._addresses: tuple[str, ...] = ()

    async def next(self) -> Step | None:
        return await self._steps.get()

    def passed(self, passed: Passed) -> None:
        passed = _with_certificate(passed)
        self._learn(passed)
        status: Status = "ok" if passed.done else "skipped"
        warning = warning_on(self._profile, passed, encrypted=self._encrypted, starttls_offered=self._starttls_offered)
        if warning is None:
            code = f"{passed.stage}.{status}"
            self._add(Step(passed.stage, status, code, passed.message, "", passed.detail, self.lap()))
        else:
            code, advice = warning.code, advice_on(warning.code)
            self._add(
                Step(passed.stage, "warning", code, warning.message, advice, passed.detail, self.lap(),
                     proposal=warning.proposal)
            )  # fmt: skip

    def failed(self, failure: Failure, seconds: float, seen: tuple[Door, ...]) -> None:
        found = diagnose(self._profile, failure.code, failure.stage, failure.reply, seen)
        self._add(
            Step(failure.stage, "failed", failure.code, failure.what, found.advice, _detail(failure, seen), seconds,
                 found.cause, found.why, found.proposal)
        )  # fmt: skip

    def found_at(self, route: Route) -> Route:
        """The route with the host's addresses as they were: a second look-up could say something else."""
        addresses = self._addresses

        async def as_before(_host: str, _port: int) -> Sequence[str]:
            return addresses

        return replace(route, reach=replace(route.reach, lookup=as_before)) if addresses else route

    def end(self, _: object) -> None:
        self._steps.put_nowait(None)

    def lap(self) -> float:
        """Seconds since the last step."""
        since, self._since = self._since, time.monotonic()
        return self._since - since

    def _learn(self, passed: Passed) -> None:
        self._encrypted = self._encrypted or (passed.stage is Stage.TLS and passed.done)
        if passed.stage is Stage.RESOLVE:
            self._addresses = tuple(filter(None, passed.detail.get("addresses", "").split(", ")))
        if passed.stage is Stage.EHLO:
            self._starttls_offered = "STARTTLS" in passed.detail.get("extensions", "").upper().split(", ")

    def _add(self, step: Step) -> None:
        self._steps.put_nowait(step)


async def _climb(route: Route, recipient: str | None, ports: Sequence[int], ladder: _Ladder) -> None:
    async with visiting(route, ladder.passed) as session:
        ladder.passed(_settings(route.profile))
        failure = await session.open() or await session.converse(_probe(route.profile, recipient, session.offered))
    if failure is not None:
        seconds = ladder.lap()
        seen = await doors.look_around(ladder.found_at(route), failure.code, failure.stage, ports=ports)
        ladder.failed(failure, seconds, seen)


def _with_certificate(passed: Passed) -> Passed:
    """In words what the relay showed."""
    chain = passed.detail.get(CHAIN)
    if chain is None:
        return passed
    certificate = read_chain(chain)
    plain = {name: text for name, text in passed.detail.items() if name != CHAIN}
    return Passed(passed.stage, passed.message, plain | (certificate.facts() if certificate else {}), passed.done)


def _detail(failure: Failure, seen: tuple[Door, ...]) -> Mapping[str, str]:
    reply = failure.reply
    detail = dict(failure.detail)
    if reply is not None:
        detail["reply"] = f"{reply.code} {reply.text}".rstrip()
    if failure.stage is Stage.TLS and seen and seen[0].certificate is not None:
        detail |= seen[0].certificate.facts()
    if seen:
        detail["answers"] = ", ".join(map(str, seen))
    return detail


def _settings(profile: Profile) -> Passed:
    detail = {
        "host": profile.host,
        "port": str(profile.port),
        "security": profile.security.value,
        "auth": profile.auth.value,
    }
    return Passed(Stage.SETTINGS, f"Asking {profile.host}, port {profile.port}.", detail)


def _probe(profile: Profile, recipient: str | None, offered: Capabilities) -> Dialogue[None]:
    """A transaction that ends before DATA."""
    yield _size(offered)
    sender = profile.mail_from
    if sender is None:
        yield Passed(Stage.SENDER, "The profile has no sender address, so the relay was not asked.", done=False)
        return
    utf8 = _utf8_parameter(Envelope(sender, (recipient,) if recipient else ()), offered)
    reply = yield from _propose(f"MAIL FROM:{_path(sender, Stage.SENDER)}{utf8}", Stage.SENDER)
    if not reply.accepts:
        raise Stopped(verdict.on_sender(reply, sender))
    yield Passed(Stage.SENDER, f'The relay takes mail from "{sender}".', {"reply": str(reply)})
    passed = yield from _probe_recipient(profile, recipient)
    yield from _reset()
    yield passed


def _size(offered: Capabilities) -> Passed:
    """RFC 1870: what the relay takes at most."""
    if offered.size is None:
        return Passed(Stage.SIZE, "The relay names no limit for the size of a message.")
    largest = f"{offered.size / 1_000_000:.1f} MB"
    return Passed(Stage.SIZE, f"The relay takes messages of up to {largest}.", {"size": str(offered.size)})


def _reset() -> Dialogue[None]:
    """Another answer than a yes belongs to something else: one reply was too many (H13)."""
    reply = yield from ask("RSET", Stage.RECIPIENT)
    if not reply.accepts and reply.code != 421:
        raise Stopped(verdict.interrupted(Interruption.MALFORMED, Stage.RECIPIENT))


def _probe_recipient(profile: Profile, recipient: str | None) -> Dialogue[Passed]:
    if recipient is None:
        return Passed(Stage.RECIPIENT, "No recipient was given, so the relay was not asked.", done=False)
    if not _is_allowed(profile, recipient):
        what = "The recipient filter of these settings does not allow this address: mail to it is held back."
        raise Stopped(Failure("policy.filtered", what, Stage.POLICY, Scope.RECIPIENT))
    reply = yield from _propose(f"RCPT TO:{_path(recipient, Stage.RECIPIENT)}", Stage.RECIPIENT)
    if not reply.accepts:
        raise Stopped(verdict.on_recipient(reply, recipient))
    return Passed(Stage.RECIPIENT, f'The relay takes mail for "{recipient}".', {"reply": str(reply)})


def _is_allowed(profile: Profile, recipient: str) -> bool:
    wanted = recipient_filter(profile.recipient_filter)
    try:
        return not wanted.patterns or wanted.allows(Address.parse(recipient, "recipient"))
    except Invalid:
        raise Stopped(verdict.unsendable(Stage.RECIPIENT)) from None


def _utf8_parameter(envelope: Envelope, offered: Capabilities) -> str:
    if not envelope.needs_smtputf8:
        return ""
    if not offered.utf8:
        raise Stopped(verdict.utf8_unsupported(Stage.SENDER))
    return " SMTPUTF8"


def _propose(text: str, stage: Stage) -> Dialogue[Reply]:
    reply = yield from ask(text, stage)
    if reply.code == 421:
        raise Stopped(verdict.closing(reply, stage))
    if not (reply.accepts or reply.defers or reply.refuses):
        raise Stopped(verdict.interrupted(Interruption.MALFORMED, stage))
    return reply


def _path(address: str, stage: Stage) -> str:
    try:
        return path(address)
    except Unsendable:
        raise Stopped(verdict.unsendable(stage)) from None
