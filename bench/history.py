"""A past in seconds: messages handed in over days, and what became of each. The product's own code writes every row."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from postroom.domain.delivery import SECOND, Finish, RelayReply, Stage, State, TryAgain
from postroom.domain.message import DEFAULT_LIFE, OnDoubt
from postroom.store.database import Database
from postroom.store.ids import new_id
from postroom.store.profiles import StoredProfile
from postroom.store.queue.accept import Acceptance, Accepting, NewDelivery, NewMessage
from postroom.store.queue.claim import Claim, Claiming, Wanted
from postroom.store.queue.settle import Record, Settlement, settle
from postroom.store.vault import Vault

IN_ONE = 500  # messages kept in one transaction
CLAIMS = 2_000
LEASE = 600 * SECOND
RELAY = "192.0.2.25:587"

Fate = Callable[[Claim], Settlement]


def mail(
    by: StoredProfile,
    at: int,
    recipient: str,
    subject: str,
    content: bytes,
    state: State = State.WAITING,
    note: str = "",
) -> NewMessage:
    """One that was handed in then (microseconds since 1970). With another state than WAITING its end is known."""
    sender = by.settings.sender_address or ""
    return NewMessage(
        id=new_id(at), tenant_id=by.tenant_id, profile_id=by.id, lane=by.lane, queued_at=at,
        expires_at=at + DEFAULT_LIFE * SECOND, on_doubt=OnDoubt.RETRY, envelope_sender=sender, header_from=sender,
        subject=subject, content=content, key_id="bench", deliveries=(NewDelivery(recipient, state, note or None),),
    )  # fmt: skip


async def live_through(
    database: Database, vault: Vault, messages: Iterable[NewMessage], fate: Fate, progress: Callable[[int], None]
) -> None:
    """Keeps them all, then claims until nothing is due; `fate` says how each attempt ended. `progress` is told how many
    messages are kept."""
    accept, claim, coming, kept = Accepting(database.now, vault), Claiming(database.now), iter(messages), 0
    while some := tuple(islice(coming, IN_ONE)):
        await database.fold(accept, Acceptance(some))
        kept += len(some)
        progress(kept)
    while claims := await database.fold(claim, Wanted(CLAIMS, LEASE, CLAIMS)):
        await asyncio.gather(*(database.fold(settle, fate(each)) for each in claims))


def sent(claim: Claim, at: int, took: int = 80_000) -> Settlement:
    reply = RelayReply(250, "2.0.0 Ok: queued as 4fGk2v", "2.0.0")
    record = _record("sent", Stage.DOT, "sent", "The relay took it.", reply, at, took)
    return Settlement(claim, Finish(State.SENT), record.message, at + took, record)


def refused(claim: Claim, at: int, why: str = "5.1.1 User unknown", took: int = 60_000) -> Settlement:
    reply = RelayReply(550, why, why.split()[0])
    said = f"The relay refused the recipient: 550 {why}."
    record = _record(
        "refused", Stage.RECIPIENT, "recipient.refused", said, reply, at, took, _spoken(claim, f"550 {why}")
    )
    return Settlement(claim, Finish(State.REFUSED), said, at + took, record)


def deferred(claim: Claim, at: int, again_at: int, why: str = "4.2.0 Greylisted", took: int = 60_000) -> Settlement:
    reply = RelayReply(450, why, why.split()[0])
    said = f"The relay put the recipient off: 450 {why}."
    record = _record(
        "deferred", Stage.RECIPIENT, "recipient.deferred", said, reply, at, took, _spoken(claim, f"450 {why}")
    )
    return Settlement(claim, TryAgain(again_at, counts=True), said, at + took, record)


def held(claim: Claim, at: int, took: int = 5_000_000) -> Settlement:
    said = "The connection broke after the final dot: nobody knows whether the relay took it."
    record = _record("in_doubt", Stage.DOT, "in_doubt.lost", said, None, at, took, _spoken(claim, "250 2.1.5 Ok"))
    return Settlement(claim, Finish(State.HELD), said, at + took, record)


def _record(
    outcome: str, stage: Stage, code: str, said: str, reply: RelayReply | None, at: int, took: int, spoken: str = ""
) -> Record:
    return Record(
        outcome, stage, code, said, reply, at, took, RELAY, "TLSv1.3 TLS_AES_256_GCM_SHA384", 1, spoken or None
    )


def _spoken(claim: Claim, answer: str) -> str:
    return _SPOKEN.format(claim.recipient, answer)


_SPOKEN = """< 220 relay.example ESMTP
> EHLO postroom.example
< 250-relay.example
< 250 PIPELINING
> MAIL FROM:<post@company.example>
> RCPT TO:<{}>
< 250 2.1.0 Ok
< {}"""


def evenly(first: int, last: int, count: int) -> Iterator[int]:
    """So many moments from the first to the last, in their order."""
    return (first + (last - first) * n // max(1, count - 1) for n in range(count))
