"""The check of settings: the very code that delivers, stopped at a stage, told as a ladder of steps.

It says which step failed and what to change. What passes here is delivered with these settings, because nothing here
dials, encrypts or logs in by another way. No mail is sent: after the recipient comes RSET.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Literal

from postroom.domain.delivery import Stage
from postroom.domain.message import Envelope
from postroom.domain.profile import Profile
from postroom.smtp import verdict
from postroom.smtp.advice import advice_on
from postroom.smtp.attempt import Job
from postroom.smtp.capabilities import Capabilities
from postroom.smtp.command import Unsendable, path
from postroom.smtp.dialogue import NO_DETAIL, Dialogue, Passed, ask
from postroom.smtp.failure import Failure, Stopped
from postroom.smtp.reply import Reply
from postroom.smtp.route import Route
from postroom.smtp.session import Session
from postroom.smtp.step import Step
from postroom.smtp.verdict import Interruption


async def check(route: Route, *, recipient: str | None = None) -> AsyncGenerator[Step, None]:
    """Each step as soon as it is known; the first failure is the last step."""
    ladder = _Ladder()
    climb = asyncio.ensure_future(_climb(route, recipient, ladder))
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

    def __init__(self) -> None:
        self._steps: asyncio.Queue[Step | None] = asyncio.Queue()
        self._since = time.monotonic()

    async def next(self) -> Step | None:
        return await self._steps.get()

    def passed(self, passed: Passed) -> None:
        status: Literal["ok", "skipped"] = "ok" if passed.done else "skipped"
        code = f"{passed.stage}.{status}"
        self._add(Step(passed.stage, status, code, passed.message, "", passed.detail, self._lap()))

    def failed(self, failure: Failure) -> None:
        reply = failure.reply
        detail = NO_DETAIL if reply is None else {"reply": f"{reply.code} {reply.text}".rstrip()}
        step = Step(failure.stage, "failed", failure.code, failure.what, failure.advice, detail, self._lap())
        self._add(step)

    def end(self, _: object) -> None:
        self._steps.put_nowait(None)

    def _add(self, step: Step) -> None:
        self._steps.put_nowait(step)

    def _lap(self) -> float:
        since, self._since = self._since, time.monotonic()
        return self._since - since


async def _climb(route: Route, recipient: str | None, ladder: _Ladder) -> None:
    visit = _Visit()
    session = Session(route, visit, most_messages=0, tell=ladder.passed)
    try:
        ladder.passed(_settings(route.profile))
        failure = await session.open() or await session.converse(_probe(route.profile, recipient, session.offered))
        if failure is not None:
            ladder.failed(failure)
        session.leave()
    except BaseException:  # whoever looked on has gone
        session.abort()
        raise
    finally:
        await visit.is_over(session)


class _Visit:
    """Owns a session without having messages for it."""

    def __init__(self) -> None:
        self._gone = asyncio.Event()

    async def is_over(self, session: Session) -> None:
        if session.relay:
            await self._gone.wait()

    def next_job(self) -> Job | None:
        return None

    def take_back(self, job: Job) -> None: ...

    reads_ahead = False

    def was_cut_short(self) -> None: ...

    def rests(self, _: Session) -> float:
        return 0

    def gone(self, _: Session) -> None:
        self._gone.set()


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
    sender = profile.mail_from
    if sender is None:
        yield Passed(Stage.SENDER, "The profile has no sender address, so the relay was not asked.", done=False)
        return
    utf8 = _utf8_parameter(Envelope(sender, (recipient,) if recipient else ()), offered)
    reply = yield from _propose(f"MAIL FROM:{_path(sender, Stage.SENDER)}{utf8}", Stage.SENDER)
    if not reply.accepts:
        raise Stopped(verdict.on_sender(reply, sender))
    yield Passed(Stage.SENDER, f'The relay takes mail from "{sender}".', {"reply": str(reply)})
    passed = yield from _probe_recipient(recipient)
    yield from _reset()
    yield passed


def _reset() -> Dialogue[None]:
    """Another answer than a yes belongs to something else: one reply was too many (H13)."""
    reply = yield from ask("RSET", Stage.RECIPIENT)
    if not reply.accepts and reply.code != 421:
        raise Stopped(verdict.interrupted(Interruption.MALFORMED, Stage.RECIPIENT))


def _probe_recipient(recipient: str | None) -> Dialogue[Passed]:
    if recipient is None:
        return Passed(Stage.RECIPIENT, "No recipient was given, so the relay was not asked.", done=False)
    reply = yield from _propose(f"RCPT TO:{_path(recipient, Stage.RECIPIENT)}", Stage.RECIPIENT)
    if not reply.accepts:
        raise Stopped(verdict.on_recipient(reply, recipient))
    return Passed(Stage.RECIPIENT, f'The relay takes mail for "{recipient}".', {"reply": str(reply)})


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
