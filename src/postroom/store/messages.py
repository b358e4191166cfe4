"""Reading messages back: what became of each recipient, and every attempt with the relay's words."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from postroom.domain.delivery import State, summary
from postroom.domain.message import Reports
from postroom.domain.problems import NotFound
from postroom.store import reports
from postroom.store.ids import first_id, time_of
from postroom.store.schema import attempt, body, delivery, message, queue, transcript

UNKNOWN = "There is no such message."
# OFFSET 0: PostgreSQL then asks for each row that is found. Else it takes an EXISTS for a join, and reads all bodies or
# all deliveries that there are, because it does not know how few rows the LIMIT leaves.
_HAS_CONTENT = select(body.c.message_id).where(body.c.message_id == message.c.id).offset(0).exists()
_MESSAGE = select(message, _HAS_CONTENT.label("has_content"))


@dataclass(frozen=True, slots=True)
class AttemptRead:
    number: int
    started_at: int
    duration: int  # microseconds
    outcome: str
    stage: str
    code: str
    message: str
    reply_code: int | None
    reply_enhanced: str | None
    reply_text: str | None
    relay: str
    tls: str | None
    profile_id: int | None  # that it went through; None is the message's own
    revision: int
    transcript: str | None


@dataclass(frozen=True, slots=True)
class DeliveryRead:
    id: str
    recipient: str
    state: State
    attempts: int
    updated_at: int
    next_attempt_at: int | None
    note: str | None
    tries: tuple[AttemptRead, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageRead:
    id: str
    tenant_id: int
    profile_id: int
    queued_at: int
    expires_at: int
    on_doubt: str
    envelope_sender: str
    header_from: str
    subject: str
    size: int
    reports: Reports | None
    has_content: bool  # kept for some time only
    deliveries: tuple[DeliveryRead, ...]

    @property
    def state(self) -> State:
        return summary([each.state for each in self.deliveries])


@dataclass(frozen=True, slots=True)
class Search:
    """Which messages of a tenant to list, newest first. `before` is the last id of the page before; times are
    microseconds since 1970, to the millisecond, `until` not included."""

    state: State | None = None
    recipient: str | None = None  # the whole address
    profile_id: int | None = None
    before: str | None = None
    limit: int = 50
    id: str | None = None
    to: str | None = None  # some part of a recipient's address, whatever the case
    subject: str | None = None  # some part of it, whatever the case
    since: int | None = None
    until: int | None = None

    @property
    def has_to_look(self) -> bool:
        """Whether no index says which messages are meant, so that one has to look at each."""
        return any(each is not None for each in (self.state, self.recipient, self.profile_id, self.to, self.subject))


LOOKED_AT = 10_000  # messages, where one has to look at each: some 25 ms, however many a tenant has


@dataclass(frozen=True, slots=True)
class Looked:
    """A page of messages. `next` is what to give as `before` for more, None at the end; `back_to`: nothing older than
    this moment was looked at, None where the page is full or the end was reached."""

    messages: tuple[MessageRead, ...]
    next: str | None
    back_to: int | None = None


def look(connection: Connection, tenant_id: int, search: Search, now: int, most: int = LOOKED_AT) -> Looked:
    """`page` in a bounded time: where one has to look at each message, at so many of them only."""
    edge: str | None = connection.execute(_edge(tenant_id, search, most)).scalar() if search.has_to_look else None
    rows = connection.execute(_found(tenant_id, search, edge)).all()
    deliveries = _deliveries(connection, [row.id for row in rows], now)
    found = tuple(_read_message(row, deliveries.get(row.id, ())) for row in rows)
    if len(rows) == search.limit:
        return Looked(found, rows[-1].id)
    return Looked(found, edge, time_of(edge) if edge else None)


def page(connection: Connection, tenant_id: int, search: Search, now: int) -> list[MessageRead]:
    """Messages with their deliveries, without attempts."""
    rows = connection.execute(_found(tenant_id, search)).all()
    deliveries = _deliveries(connection, [row.id for row in rows], now)
    return [_read_message(row, deliveries.get(row.id, ())) for row in rows]


def get(connection: Connection, tenant_id: int, message_id: str, now: int) -> MessageRead:
    """One message with everything that is known of it. Raises NotFound, also when it is another tenant's."""
    ours = _MESSAGE.where(message.c.id == message_id, message.c.tenant_id == tenant_id)
    row = connection.execute(ours).one_or_none()
    if row is None:
        raise NotFound(UNKNOWN)
    deliveries = _deliveries(connection, [message_id], now, with_attempts=True)
    return _read_message(row, deliveries.get(message_id, ()))


def _found(tenant_id: int, search: Search, edge: str | None = None) -> Select[Any]:
    found = _MESSAGE.where(*_among(tenant_id, search)).order_by(message.c.id.desc()).limit(search.limit)
    return found.where(*_conditions(search), *([message.c.id >= edge] if edge is not None else []))


def _edge(tenant_id: int, search: Search, most: int) -> Select[Any]:
    """The last message to look at, if there are more behind it."""
    ids = select(message.c.id).where(*_among(tenant_id, search)).order_by(message.c.id.desc())
    last = ids.offset(most - 1).limit(2).subquery()
    return select(func.max(last.c.id)).having(func.count() == 2)


def _among(tenant_id: int, search: Search) -> Iterable[ColumnElement[bool]]:
    """What the index on tenant and id answers: ids sort by time."""
    yield message.c.tenant_id == tenant_id
    if search.id is not None:
        yield message.c.id == search.id
    if search.before is not None:
        yield message.c.id < search.before
    if search.since is not None:
        yield message.c.id >= first_id(search.since)
    if search.until is not None:
        yield message.c.id < first_id(search.until)


def _conditions(search: Search) -> Iterable[ColumnElement[bool]]:
    """What stands in the message itself first: it costs less to look at."""
    if search.profile_id is not None:
        yield message.c.profile_id == search.profile_id
    if search.subject is not None:
        yield message.c.subject.icontains(search.subject, autoescape=True)
    of_delivery = [*_delivery_conditions(search)]
    if of_delivery:  # one delivery that is all of it: "refused" and "anna" is what was refused to Anna
        yield select(delivery.c.id).where(delivery.c.message_id == message.c.id, *of_delivery).offset(0).exists()


def _delivery_conditions(search: Search) -> Iterable[ColumnElement[bool]]:
    if search.recipient is not None:
        yield delivery.c.recipient == search.recipient
    if search.to is not None:
        yield delivery.c.recipient.icontains(search.to, autoescape=True)
    if search.state is not None:
        yield _in_state(search.state)


def _in_state(state: State) -> Any:
    """While it is under way a delivery is stored as waiting; the queue knows better."""
    if state is State.IN_DOUBT:
        return select(queue.c.id).where(queue.c.id == delivery.c.id, queue.c.in_doubt).exists()
    if state is State.CLAIMED:
        return select(queue.c.id).where(queue.c.id == delivery.c.id, queue.c.lease.is_not(None)).exists()
    return delivery.c.state == state.value


def _deliveries(
    connection: Connection, message_ids: list[str], now: int, *, with_attempts: bool = False
) -> dict[str, tuple[DeliveryRead, ...]]:
    wanted = (
        select(delivery, queue.c.due_at, queue.c.lease, queue.c.in_doubt)
        .outerjoin(queue, queue.c.id == delivery.c.id)
        .where(delivery.c.message_id.in_(message_ids))
    )
    rows = sorted(connection.execute(wanted), key=lambda row: (row.message_id, int(row.id.partition(".")[2])))
    tries = _attempts(connection, (row.id for row in rows)) if with_attempts else {}
    return {
        message_id: tuple(_read_delivery(row, tries.get(row.id, ()), now) for row in ours)
        for message_id, ours in groupby(rows, attrgetter("message_id"))
    }


def _attempts(connection: Connection, delivery_ids: Iterable[str]) -> dict[str, tuple[AttemptRead, ...]]:
    wanted = (
        select(attempt, transcript.c.content)
        .outerjoin(transcript, transcript.c.id == attempt.c.transcript_id)
        .where(attempt.c.delivery_id.in_(list(delivery_ids)))
    )
    rows = sorted(connection.execute(wanted), key=attrgetter("delivery_id", "started_at"))
    return {
        delivery_id: tuple(_read_attempt(row) for row in ours)
        for delivery_id, ours in groupby(rows, attrgetter("delivery_id"))
    }


def _read_message(row: Row[Any], deliveries: tuple[DeliveryRead, ...]) -> MessageRead:
    return MessageRead(
        id=row.id, tenant_id=row.tenant_id, profile_id=row.profile_id, queued_at=row.queued_at,
        expires_at=row.expires_at, on_doubt="hold" if row.hold_in_doubt else "retry",
        envelope_sender=row.envelope_sender, header_from=row.header_from, subject=row.subject, size=row.size,
        reports=reports.from_json(row.dsn), has_content=bool(row.has_content), deliveries=deliveries,
    )  # fmt: skip


def _read_delivery(row: Row[Any], tries: tuple[AttemptRead, ...], now: int) -> DeliveryRead:
    claimed = row.lease is not None and row.due_at > now
    state = State(row.state)
    if row.in_doubt:
        state = State.IN_DOUBT
    elif claimed:
        state = State.CLAIMED
    next_attempt_at = row.due_at if row.due_at is not None and not claimed else None
    return DeliveryRead(row.id, row.recipient, state, row.attempts, row.updated_at, next_attempt_at, row.note, tries)


def _read_attempt(row: Row[Any]) -> AttemptRead:
    return AttemptRead(
        number=row.number, started_at=row.started_at, duration=row.duration, outcome=row.outcome, stage=row.stage,
        code=row.code, message=row.message, reply_code=row.reply_code, reply_enhanced=row.reply_enhanced,
        reply_text=row.reply_text, relay=row.relay, tls=row.tls, profile_id=row.profile_id,
        revision=row.revision, transcript=row.content,
    )  # fmt: skip
