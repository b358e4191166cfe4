"""Mail: accept it durably, tell what became of it, cancel it, try it again."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

from sqlalchemy import Connection

from postroom.domain.access import Caller, Permission
from postroom.domain.address import Address
from postroom.domain.delivery import SECOND, State, summary
from postroom.domain.message import DEFAULT_LIFE, Draft, Mailbox
from postroom.domain.problems import Conflict, Invalid, NotFound
from postroom.domain.profile import Profile
from postroom.domain.recipients import recipient_filter
from postroom.domain.tenant import Tenant
from postroom.smtp.compose import compose
from postroom.store import audit, bodies, messages, profiles
from postroom.store.database import Database, fulfil
from postroom.store.ids import new_id
from postroom.store.messages import Looked, MessageRead, Search
from postroom.store.profiles import StoredProfile
from postroom.store.queue import breaker, manage
from postroom.store.queue.accept import (
    Acceptance,
    Accepted,
    Accepting,
    HandOver,
    IdempotencyKey,
    NewDelivery,
    NewMessage,
)  # fmt: skip
from postroom.store.remembered import Remembered
from postroom.store.vault import Vault

LARGE = 100_000  # characters and octets from which composing leaves the event loop
AT_A_STRETCH = 25  # messages of a list that are composed before everybody else has a turn
MOST_IN_A_ROW = 100  # messages of a list that are composed before another list has a turn
LONGEST_IDEMPOTENCY_KEY = 255

Ready = tuple[StoredProfile, NewMessage]  # with the settings that it goes out by


class LocalWorker(Protocol):
    """The worker in this process, if there is one."""

    def wake(self) -> None:
        """There is something in the queue."""

    def reserve(self, stored: StoredProfile, messages: Sequence[NewMessage], /) -> HandOver | None:
        """Room for mail that is about to be kept; then either `deliver` or `cancel` it. None: it goes through the
        queue."""

    def deliver(self, hand_over: HandOver, stored: StoredProfile, messages: Sequence[NewMessage], /) -> None: ...

    def cancel(self, hand_over: HandOver, lane: int, /) -> None: ...


class Mail:
    """Takes mail in and looks after it."""

    def __init__(
        self, database: Database, vault: Vault, worker: LocalWorker, clock: Callable[[], int] | None = None
    ) -> None:
        self._database = database
        self._vault = vault
        self._worker = worker
        self._keep = Accepting(database.now, vault)
        self.accepted = 0  # messages since the start, replays not counted
        self._clock = clock or (lambda: time.time_ns() // 1000)
        self._composing = asyncio.Lock()
        self._profiles: Remembered[tuple[int, int | None], StoredProfile | None] = Remembered(self._look_up)

    def settings_changed(self) -> None:
        self._profiles.forget()

    async def accept(
        self, caller: Caller, tenant: Tenant, draft: Draft, *, idempotency_key: str | None, request: bytes
    ) -> str:
        """Keep the message and return the JSON answer once that is durable.

        With an idempotency key seen before, the same request gets the same answer and nothing is sent twice. Raises
        Invalid (naming the field), Conflict, Denied, Unavailable (the disk is nearly full).
        """
        self._admit(caller)
        ready = [await self._ready(caller, tenant, draft)]
        answer = json.dumps(_receipt(ready[0][1]))
        return await self._kept(ready, answer, _idempotency(tenant, idempotency_key, request, answer))

    async def accept_list(
        self, caller: Caller, tenant: Tenant, read: Callable[[], Sequence[Draft]], *,
        idempotency_key: str | None, request: bytes,
    ) -> str:  # fmt: skip
        """`accept` for all or none of a list; the answer has a receipt for each. `read` gives the drafts when it is
        their turn: until then they are octets, and not thousands of objects to look after. What is Invalid is told with
        its place in the list."""
        self._admit(caller)
        ready = await self._all_ready(caller, tenant, read)
        answer = json.dumps([_receipt(new) for _, new in ready])
        return await self._kept(ready, answer, _idempotency(tenant, idempotency_key, request, answer))

    def _admit(self, caller: Caller) -> None:
        """Raises Denied, and Unavailable when the disk is nearly full."""
        caller.require(Permission.MAIL_SEND)
        if self._database.space is not None:
            self._database.space.require()

    async def _kept(self, ready: Sequence[Ready], answer: str, key: IdempotencyKey | None) -> str:
        """The answer, or that of the first time."""
        result = await self._keep_ready(ready, key)
        return answer if result.replayed is None else result.replayed

    def _keep_ready(self, ready: Sequence[Ready], key: IdempotencyKey | None) -> "asyncio.Future[Accepted]":
        """Durably, and on to the worker, at once if it has room. What becomes of it then does not depend on the
        request: its caller may have gone away."""
        stored, messages = ready[0][0], tuple([new for _, new in ready])
        alike = all(each is stored for each, _ in ready)
        hand_over = self._worker.reserve(stored, messages) if alike else None
        kept: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()

        def done(result: Accepted | Exception) -> None:
            fulfil(kept, result)  # first: it is durable, or not, whatever comes of handing it over
            if isinstance(result, Accepted) and result.replayed is None:
                self.accepted += len(messages)
            if hand_over and isinstance(result, Accepted) and result.handed_over:
                self._worker.deliver(hand_over, stored, messages)
            else:
                if hand_over:
                    self._worker.cancel(hand_over, stored.lane)
                self._worker.wake()

        self._database.submit(self._keep, Acceptance(messages, key, hand_over), done)
        return kept

    async def search(self, caller: Caller, tenant: Tenant, wanted: Search) -> list[MessageRead]:
        """A page of the tenant's messages, newest first."""
        caller.require(Permission.MAIL_READ)
        now = self._clock()
        return await self._database.read(lambda connection: messages.page(connection, tenant.id, wanted, now))

    async def look(self, caller: Caller, tenant: Tenant, wanted: Search) -> Looked:
        """`search` for a page that must not take long, however much mail there is."""
        caller.require(Permission.MAIL_READ)
        now = self._clock()
        return await self._database.read(lambda connection: messages.look(connection, tenant.id, wanted, now))

    async def content(self, caller: Caller, tenant: Tenant, message_id: str) -> bytes | None:
        """What a message says, as it is sent; None when that is no longer kept. Raises NotFound, SecretLost."""
        caller.require(Permission.MAIL_READ)

        def read(connection: Connection) -> bytes | None:
            messages.get(connection, tenant.id, message_id, self._clock())
            return bodies.read(connection, self._vault, message_id)

        return await self._database.read(read)

    async def show(self, caller: Caller, tenant: Tenant, message_id: str) -> MessageRead:
        """One message with its deliveries and attempts. Raises NotFound."""
        caller.require(Permission.MAIL_READ)
        now = self._clock()
        return await self._database.read(lambda connection: messages.get(connection, tenant.id, message_id, now))

    async def cancel(self, caller: Caller, tenant: Tenant, message_id: str) -> MessageRead:
        """Take back what is not under way or over. Raises Conflict when nothing is left to cancel."""

        def step(connection: Connection, now: int) -> None:
            if not manage.cancel(connection, message_id, now):
                raise Conflict("Nothing is left to cancel: each delivery is over or under way just now.")

        return await self._manage(caller, tenant, message_id, "message.cancelled", step)

    async def retry(self, caller: Caller, tenant: Tenant, message_id: str) -> MessageRead:
        """Try what waits at once, and what ended otherwise than sent or filtered once more. Raises Conflict."""

        def step(connection: Connection, now: int) -> None:
            lane = self._lane_of(connection, tenant, message_id, now)
            rested = breaker.end_rest(connection, lane)  # whoever asks has perhaps mended the relay
            waits_no_longer = rested and manage.is_waiting(connection, message_id)
            hastened = manage.hasten(connection, message_id, lane, now) or waits_no_longer
            if not manage.requeue(connection, message_id, lane, now, DEFAULT_LIFE * SECOND) and not hastened:
                raise Conflict("Nothing to try again: each delivery is sent, filtered, or under way already.")

        shown = await self._manage(caller, tenant, message_id, "message.retried", step)
        self._worker.wake()
        return shown

    async def _manage(
        self, caller: Caller, tenant: Tenant, message_id: str, action: str, step: Callable[[Connection, int], None]
    ) -> MessageRead:
        caller.require(Permission.MAIL_MANAGE)

        def change(connection: Connection) -> MessageRead:
            now = self._database.now(connection)
            messages.get(connection, tenant.id, message_id, now)  # raises NotFound, also for another tenant's
            step(connection, now)
            audit.note(connection, caller, action, message_id, tenant_id=tenant.id, now=now)
            return messages.get(connection, tenant.id, message_id, now)

        return await self._database.write(change)

    def _lane_of(self, connection: Connection, tenant: Tenant, message_id: str, now: int) -> int:
        read = messages.get(connection, tenant.id, message_id, now)
        if not bodies.is_kept(connection, message_id):
            raise Conflict("The message's content is no longer kept, so it can't be sent again.")
        try:
            return profiles.get(connection, tenant.id, read.profile_id).lane
        except NotFound:
            raise Conflict("The message's profile was deleted, so it can't be sent again.") from None

    async def _all_ready(self, caller: Caller, tenant: Tenant, read: Callable[[], Sequence[Draft]]) -> list[Ready]:
        """One list after the other, so that the first is kept and on its way while the others are composed; the longer
        ones in parts, so that a short one need not wait for all of them."""
        async with self._composing:
            drafts = read()
            ready = await self._part_ready(caller, tenant, drafts, 0)
        while len(ready) < len(drafts):
            async with self._composing:
                ready += await self._part_ready(caller, tenant, drafts, len(ready))
        return ready

    async def _part_ready(self, caller: Caller, tenant: Tenant, drafts: Sequence[Draft], start: int) -> list[Ready]:
        part: list[Ready] = []
        for n, draft in enumerate(drafts[start : start + MOST_IN_A_ROW], start):
            if n % AT_A_STRETCH == 0:
                await asyncio.sleep(0)
            try:
                part.append(await self._ready(caller, tenant, draft))
            except Invalid as problem:
                raise problem.inside(f"[{n}]") from None
        return part

    async def _ready(self, caller: Caller, tenant: Tenant, draft: Draft) -> Ready:
        stored = await self._profile_of(tenant, draft)
        now = self._clock()
        if draft.size > LARGE:
            return stored, await asyncio.to_thread(prepare, caller, stored, draft, now)
        return stored, prepare(caller, stored, draft, now)

    async def _profile_of(self, tenant: Tenant, draft: Draft) -> StoredProfile:
        stored = await self._profiles.get((tenant.id, draft.profile))
        if stored is None:
            raise Invalid(
                "profile", "There is no such profile." if draft.profile else "There are no SMTP settings yet."
            )
        return stored

    async def _look_up(self, which: tuple[int, int | None]) -> StoredProfile | None:
        return await self._database.read(lambda connection: profiles.find(connection, *which))


def prepare(caller: Caller, stored: StoredProfile, draft: Draft, now: int) -> NewMessage:
    """The message as it will be kept: filtered, addressed, composed. Message-ID and Date are fixed here for good."""
    settings = stored.settings
    sender = _sender(settings, draft)
    from_address = str(sender.address)
    message_id = new_id(now)
    content = compose(
        draft,
        sender=sender,
        reply_to=draft.reply_to or _reply_to(settings),
        message_id=f"<{message_id}@{sender.address.domain}>",
        date=now,
    )
    return NewMessage(
        id=message_id, tenant_id=stored.tenant_id, profile_id=stored.id, lane=stored.lane, queued_at=now,
        expires_at=now + draft.life * SECOND, on_doubt=draft.on_doubt,
        envelope_sender=settings.mail_from or from_address, header_from=from_address,
        subject=draft.subject, content=content, key_id=caller.key_id,
        deliveries=_deliveries(settings, draft.recipients), reports=draft.reports,
    )  # fmt: skip


def _deliveries(settings: Profile, recipients: Sequence[Address]) -> tuple[NewDelivery, ...]:
    wanted = recipient_filter(settings.recipient_filter)
    return tuple([
        NewDelivery(str(address), State.WAITING) if wanted.allows(address)
        else NewDelivery(str(address), State.FILTERED, filtered_note(settings))
        for address in recipients
    ])  # fmt: skip


def filtered_note(settings: Profile) -> str:
    return f"Held back by the recipient filter {settings.recipient_filter}"


def _sender(settings: Profile, draft: Draft) -> Mailbox:
    if draft.sender is not None:
        return draft.sender
    if settings.sender_address is None:
        raise Invalid("from", "The profile names no sender: give a from address, or set the profile's sender.")
    return _profiles_own(settings.sender_address, settings.sender_name)


def _reply_to(settings: Profile) -> Mailbox | None:
    if settings.reply_to_address is None:
        return None
    return _profiles_own(settings.reply_to_address, settings.reply_to_name)


@lru_cache(maxsize=256)
def _profiles_own(address: str, name: str | None) -> Mailbox:
    return Mailbox(Address.parse(address), name)


def _receipt(new: NewMessage) -> dict[str, object]:
    return {
        "id": new.id,
        "state": summary([each.state for each in new.deliveries]),
        "deliveries": [{"recipient": each.recipient, "state": each.state} for each in new.deliveries],
    }


def _idempotency(tenant: Tenant, key: str | None, request: bytes, answer: str) -> IdempotencyKey | None:
    if key is None:
        return None
    if not 1 <= len(key) <= LONGEST_IDEMPOTENCY_KEY or not key.isprintable():
        limit = LONGEST_IDEMPOTENCY_KEY
        raise Invalid("Idempotency-Key", f"The Idempotency-Key must be 1 to {limit} printable characters.")
    digest = hashlib.sha256(f"{tenant.id}\x1f{key}".encode()).hexdigest()
    return IdempotencyKey(digest, hashlib.sha256(request).hexdigest(), answer)
