"""Trials: settings tried by sending a real mail through the delivery code, stored or as typed, at once or as a job."""

import asyncio
import time
from dataclasses import replace

from sqlalchemy import Connection

from postroom.actions.profiles import Change, Profiles
from postroom.actions.rates import Rates
from postroom.domain.access import Caller, Permission
from postroom.domain.address import Address
from postroom.domain.delivery import SECOND, Outcome, Sent, Stage
from postroom.domain.message import Draft, Envelope, Mailbox
from postroom.domain.problems import Invalid, Problem
from postroom.domain.profile import KEEP, Profile
from postroom.domain.recipients import recipient_filter
from postroom.domain.tenant import Tenant
from postroom.domain.trial import Job, TestMail, Verdict
from postroom.smtp.advice import advice_on
from postroom.smtp.compose import compose
from postroom.smtp.diagnosis import diagnose, in_words
from postroom.smtp.doors import look_around
from postroom.smtp.route import Route, Timeouts
from postroom.smtp.send import send
from postroom.store import audit, trials
from postroom.store.database import Database
from postroom.store.ids import new_id

AT_ONCE = Timeouts(connect=3.0, reply=3.0, dot=3.0, attempt=3.4)  # one product's client waits 5 s for the whole answer
LOOK, LONGER = 1.0, 0.3  # seconds to look around after a failure: at most, and beyond the attempt's end
AS_JOB = Timeouts(connect=10.0, reply=20.0, dot=20.0, attempt=30.0)


class Trials:
    def __init__(self, database: Database, profiles: Profiles, rates: Rates) -> None:
        self._database = database
        self._rates = rates
        self._profiles = profiles
        self._running: set[asyncio.Task[None]] = set()

    async def now(
        self, caller: Caller, tenant: Tenant, profile_id: int | None, change: Change | None, mail: TestMail, *,
        clear_if_moved: bool = False,
    ) -> Verdict:  # fmt: skip
        """Try the settings as they would be after `change` (None: as they are), without saving them.

        Raises Invalid, SecretNeeded (the stored secret is not tried at another destination), NotFound, TooMany.
        """
        tried = None if change is None else lambda stored: replace(change(stored), recipient_filter=KEEP)
        route = await self._profiles.route_with(caller, tenant, profile_id, tried, clear_if_moved=clear_if_moved)
        recipient = recipient_of(caller, mail)
        self._rates.test_mail(caller, tenant, recipient)
        await note_trial(self._database, caller, tenant, recipient)
        verdict = await _try(replace(route, timeouts=AT_ONCE), recipient, mail)
        if not verdict.code:
            await self._profiles.worked(tenant, profile_id, route)
        return verdict

    async def start(self, caller: Caller, tenant: Tenant, mail: TestMail) -> Job:
        """Try the stored settings as a job; while one runs, that one is meant. Raises TooMany."""
        caller.require(Permission.SETTINGS_CHECK)
        # One whose key has no address to send to is told so by the job; it sends nothing.
        self._rates.test_mail(caller, tenant, recipient_of(caller, mail) if mail.recipient or caller.email else None)
        job, is_new = await self._database.write(lambda connection: self._begin(connection, tenant))
        if is_new:
            task = asyncio.create_task(self._run(caller, tenant, mail, job))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return job

    def _begin(self, connection: Connection, tenant: Tenant) -> tuple[Job, bool]:
        running = trials.find(connection, tenant.id, self._oldest(connection))
        if running is not None and running.verdict is None:
            return running, False
        return trials.start(connection, tenant.id, self._database.now(connection)), True

    async def status(self, caller: Caller, tenant: Tenant) -> Job | None:
        """How far the tenant's job is. Its end is told once."""
        caller.require(Permission.SETTINGS_CHECK)
        return await self._database.write(
            lambda connection: trials.take(connection, tenant.id, self._oldest(connection))
        )

    async def close(self) -> None:
        """End the jobs that run here, and say so; the database must still be open."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, caller: Caller, tenant: Tenant, mail: TestMail, job: Job) -> None:
        verdict = Verdict(Stage.SETTINGS, "internal", "Something went wrong here; it is in the server's log.")
        try:
            route = await self._profiles.route_with(caller, tenant, None, None)
            recipient = recipient_of(caller, mail)
            await note_trial(self._database, caller, tenant, recipient)
            await self._database.write(lambda connection: trials.reach(connection, job.id, Stage.CONNECT))
            verdict = await _try(replace(route, timeouts=AS_JOB), recipient, mail)
            if not verdict.code:
                await self._profiles.worked(tenant, None, route)
        except Problem as problem:
            verdict = Verdict(Stage.SETTINGS, problem.code, problem.message)
        except asyncio.CancelledError:
            verdict = Verdict(Stage.SETTINGS, "stopped", "The server was stopped during the test: start it again.")
            raise
        finally:
            await self._database.write(lambda connection: trials.end(connection, job.id, verdict))

    def _oldest(self, connection: Connection) -> int:
        return self._database.now(connection) - int(2 * AS_JOB.attempt * SECOND)


async def note_trial(database: Database, caller: Caller, tenant: Tenant, recipient: Address) -> None:
    """In the audit: a real mail goes to somebody."""

    def note(connection: Connection) -> None:
        audit.note(
            connection, caller, "settings.tried", str(recipient), tenant_id=tenant.id, now=database.now(connection)
        )

    await database.write(note)


def recipient_of(caller: Caller, mail: TestMail) -> Address:
    """To whom a test mail goes. Raises Invalid."""
    if mail.recipient is not None:
        return Address.parse(mail.recipient, "recipient")
    if caller.email is None:
        raise Invalid(
            "recipient",
            f'The key "{caller.name}" has no e-mail address to send the test to: '
            "name a recipient, or use a key that has one.",
        )
    return Address.parse(caller.email, "recipient")


async def _try(route: Route, recipient: Address, mail: TestMail) -> Verdict:
    settings = route.profile
    if settings.sender_address is None:
        return Verdict(Stage.SETTINGS, "settings.no_sender", "The settings name no sender.")
    if not recipient_filter(settings.recipient_filter).allows(recipient):
        return Verdict(Stage.POLICY, "policy.filtered", "The recipient filter does not allow this address.")
    envelope = Envelope(settings.mail_from or settings.sender_address, (str(recipient),))
    end = time.monotonic() + route.timeouts.attempt + LONGER
    attempt = await send(route, envelope, _composed(settings, recipient, mail))
    return await _explained(route, attempt.outcomes[str(recipient)], end - time.monotonic())


def _composed(settings: Profile, recipient: Address, mail: TestMail) -> bytes:
    now = time.time_ns() // 1000
    sender = Mailbox(Address.parse(settings.sender_address or ""), settings.sender_name)
    reply_to = settings.reply_to_address
    draft = Draft(
        to=(Mailbox(recipient),), subject=mail.subject, text=mail.text, headers={"Auto-Submitted": "auto-generated"}
    )
    return compose(
        draft,
        sender=sender,
        reply_to=Mailbox(Address.parse(reply_to), settings.reply_to_name) if reply_to else None,
        message_id=f"<{new_id(now)}@{sender.address.domain}>",
        date=now,
    )


async def _explained(route: Route, outcome: Outcome, seconds_left: float) -> Verdict:
    """With what a check would say of it."""
    if isinstance(outcome, Sent):
        return Verdict(outcome.stage)
    seen = await look_around(route, outcome.code, outcome.stage, seconds=min(LOOK, seconds_left))
    found = diagnose(route.profile, outcome.code, outcome.stage, outcome.reply, seen)
    what = outcome.message.removesuffix(advice_on(outcome.code)).rstrip()  # that part is said better now
    return Verdict(outcome.stage, outcome.code, in_words(what, found))
