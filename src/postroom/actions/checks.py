"""The check: settings tried step by step, stored or as typed, and on request with a test mail followed to its end."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from postroom.actions.mail import Mail
from postroom.actions.profiles import Change, Profiles
from postroom.actions.rates import Rates
from postroom.actions.trials import note_trial, recipient_of
from postroom.domain.access import Caller, Permission
from postroom.domain.address import Address
from postroom.domain.delivery import FINAL, RelayReply, Stage, State
from postroom.domain.message import Draft, Mailbox
from postroom.domain.problems import Invalid, Problem, SecretLost
from postroom.domain.profile import Profile
from postroom.domain.tenant import Tenant
from postroom.domain.trial import TestMail
from postroom.smtp.advice import advice_on
from postroom.smtp.check import check, failed_at_once
from postroom.smtp.diagnosis import diagnose
from postroom.smtp.route import Route, Timeouts
from postroom.smtp.step import Status, Step
from postroom.store import messages
from postroom.store.database import Database
from postroom.store.messages import AttemptRead, DeliveryRead

FOR_A_CHECK = Timeouts(connect=10, reply=15, dot=15, attempt=20)  # somebody waits for the end of it
MAIL_LIFE = 15 * 60  # seconds: a test mail that could not be sent is of no use tomorrow
PATIENCE = 60.0  # seconds that a test mail is followed
FIRST_LOOK, LONGEST_PAUSE = 0.05, 1.0  # seconds
_OVER = FINAL | {State.HELD}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be checked. `change` are typed settings, on top of the profile's or, with `is_new`, of none. `send`
    also sends `recipient`, or whom the key belongs to, a test mail."""

    recipient: str | None = None
    change: Change | None = None
    is_new: bool = False
    send: bool = False


class Checks:
    def __init__(self, database: Database, profiles: Profiles, mail: Mail, rates: Rates) -> None:
        self._database = database
        self._profiles = profiles
        self._mail = mail
        self._rates = rates

    async def begin(
        self, caller: Caller, tenant: Tenant, profile_id: int | None, wanted: Wanted
    ) -> AsyncGenerator[Step, None]:
        """The steps as they happen. Before the first one, raises NotFound, Denied, Invalid, SecretNeeded (a stored
        secret is not tried at another destination) and TooMany (test mails)."""
        caller.require(Permission.SETTINGS_CHECK)
        try:
            route = await self._profiles.route_with(caller, tenant, profile_id, wanted.change, is_new=wanted.is_new)
        except SecretLost as lost:
            return failed_at_once("settings.secret_lost", lost.message)
        recipient = self._recipient_of_mail(caller, tenant, wanted) if wanted.send else None
        asked = str(recipient) if recipient else wanted.recipient
        ladder = self._climbed(tenant, profile_id, replace(route, timeouts=FOR_A_CHECK), asked)
        if recipient is None:
            return ladder
        return self._with_mail(caller, tenant, profile_id, recipient, ladder, route.profile)

    def _recipient_of_mail(self, caller: Caller, tenant: Tenant, wanted: Wanted) -> Address:
        caller.require(Permission.MAIL_SEND)
        if wanted.change is not None:
            raise Invalid("send", "A test mail goes out by the stored settings: save them first, then send it.")
        recipient = recipient_of(caller, TestMail("", "", wanted.recipient))
        self._rates.test_mail(caller, tenant, recipient)
        return recipient

    async def _climbed(
        self, tenant: Tenant, profile_id: int | None, route: Route, recipient: str | None
    ) -> AsyncGenerator[Step, None]:
        failed = False
        async with aclosing(check(route, recipient=recipient)) as ladder:
            async for step in ladder:
                failed = failed or step.status == "failed"
                yield step
        if not failed:
            await self._profiles.worked(tenant, profile_id, route)

    async def _with_mail(
        self,
        caller: Caller,
        tenant: Tenant,
        profile_id: int | None,
        recipient: Address,
        ladder: AsyncGenerator[Step, None],
        profile: Profile,
    ) -> AsyncGenerator[Step, None]:
        async with aclosing(ladder):
            async for step in ladder:
                yield step
                if step.status == "failed":
                    return
        await note_trial(self._database, caller, tenant, recipient)
        began = time.monotonic()
        try:
            receipt = await self._mail.accept(
                caller, tenant, _draft(profile_id, recipient), idempotency_key=None, request=b""
            )
        except Problem as problem:
            yield _step("failed", "mail.not_accepted", problem.message, {}, began)
            return
        message_id = str(json.loads(receipt)["id"])
        said = f"Postroom keeps the test mail to {recipient} and sends it."
        yield _step("ok", "mail.accepted", said, {"message": message_id}, began)
        yield await self._followed(tenant, message_id, profile, time.monotonic())

    async def _followed(self, tenant: Tenant, message_id: str, profile: Profile, began: float) -> Step:
        """How it ended, or where it stands when whoever waits has waited long enough."""
        pause = FIRST_LOOK
        while True:
            delivery = await self._database.read(lambda connection: self._delivery(connection, tenant, message_id))
            late = time.monotonic() - began > PATIENCE
            if delivery.state in _OVER or late or (delivery.tries and delivery.state is State.WAITING):
                return _ended(delivery, message_id, profile, began)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def _delivery(self, connection: Connection, tenant: Tenant, message_id: str) -> DeliveryRead:
        return messages.get(connection, tenant.id, message_id, self._database.now(connection)).deliveries[0]


def _draft(profile_id: int | None, recipient: Address) -> Draft:
    text = "This is a test mail. It arrived, so these settings work.\n"
    headers = {"Auto-Submitted": "auto-generated"}
    to = (Mailbox(recipient),)
    return Draft(to=to, subject="Test mail", text=text, headers=headers, profile=profile_id, life=MAIL_LIFE)


def _ended(delivery: DeliveryRead, message_id: str, profile: Profile, began: float) -> Step:
    detail = {"message": message_id, "state": delivery.state.value}
    if delivery.state is State.SENT:
        said = "The relay took the test mail; from here on it is the relay's."
        return _step("ok", "mail.sent", said, detail, began, Stage.DOT)
    if not delivery.tries:
        return _step("warning", "mail.waiting", delivery.note or "The test mail still waits.", detail, began)
    status: Status = "warning" if delivery.state is State.WAITING else "failed"
    return _explained(status, delivery.tries[-1], profile, detail, time.monotonic() - began)


def _explained(status: Status, last: AttemptRead, profile: Profile, detail: dict[str, str], seconds: float) -> Step:
    """How the last attempt ended, and what the check makes of it."""
    reply = None
    if last.reply_code is not None:
        reply = RelayReply(last.reply_code, last.reply_text or "", last.reply_enhanced)
        detail["reply"] = f"{reply.code} {reply.text}".rstrip()
    stage = Stage(last.stage)
    found = diagnose(profile, last.code, stage, reply)
    what = last.message.removesuffix(advice_on(last.code)).rstrip()
    return Step(stage, status, last.code, what, found.advice, detail, seconds, found.cause, found.why, found.proposal)


def _step(
    status: Status, code: str, message: str, detail: dict[str, str], began: float, stage: Stage = Stage.DATA
) -> Step:
    return Step(stage, status, code, message, advice_on(code), detail, time.monotonic() - began)
