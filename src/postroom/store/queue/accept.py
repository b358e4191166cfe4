"""Taking messages in: one durable commit for many callers, each of them once per idempotency key."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from sqlalchemy import Connection, delete, insert, select, text

from postroom.domain.delivery import SECOND, State
from postroom.domain.message import OnDoubt, Reports
from postroom.domain.problems import Conflict
from postroom.store import reports
from postroom.store.queue.lanes import wake_by
from postroom.store.schema import body, delivery, idempotency, message, queue

IDEMPOTENCY_DAYS = 2
DAY = 86_400 * SECOND


@dataclass(frozen=True, slots=True)
class NewDelivery:
    recipient: str
    state: State  # WAITING or FILTERED
    note: str | None = None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message ready to be kept. `id` is given before, because Message-ID and answer carry it."""

    id: str
    tenant_id: int
    profile_id: int
    lane: int
    queued_at: int
    expires_at: int
    on_doubt: OnDoubt
    envelope_sender: str
    header_from: str
    subject: str
    content: bytes
    key_id: str
    deliveries: tuple[NewDelivery, ...]
    reports: Reports | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The caller's key as a digest over tenant and key, the digest of the request, and the answer to repeat."""

    digest: str
    request: str
    answer: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What one request hands in: all of it is kept or none."""

    messages: tuple[NewMessage, ...]
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """Durable. `replayed` is the answer of the first request with the same idempotency key, if this is a repetition."""

    replayed: str | None = None


def accept(connection: Connection, acceptances: Sequence[Acceptance]) -> list[Accepted | Exception]:
    """Keep messages with their deliveries; wake their lanes. A used idempotency key gives its first answer, or Conflict
    when it came with another request."""
    results = _claim_keys(connection, acceptances)
    fresh = [each for each, result in zip(acceptances, results, strict=True) if result == Accepted()]
    messages = [each for acceptance in fresh for each in acceptance.messages]
    if messages:
        _keep(connection, messages)
    return results


def _claim_keys(connection: Connection, acceptances: Sequence[Acceptance]) -> list[Accepted | Exception]:
    # In the order of the keys, so that two machines that take several at once can't wait for each other.
    wanted = [(each.key.digest, n, each.key) for n, each in enumerate(acceptances) if each.key]
    taken = {
        n: _claim_key(connection, key, acceptances[n].messages[0].queued_at)
        for _, n, key in sorted(wanted, key=itemgetter(0, 1))
    }
    return [taken.get(n, Accepted()) for n in range(len(acceptances))]


def _claim_key(connection: Connection, key: IdempotencyKey, now: int) -> Accepted | Exception:
    names = [f"{now // DAY - back:06d}:{key.digest}" for back in range(IDEMPOTENCY_DAYS)]
    rows = connection.execute(select(idempotency).where(idempotency.c.key.in_(names))).all()
    if not rows and _insert_key(connection, names[0], key):
        return Accepted()
    rows = rows or connection.execute(select(idempotency).where(idempotency.c.key.in_(names))).all()
    if rows[0].request != key.request:
        return Conflict("This Idempotency-Key was used for another request; use a new key for each new request.")
    return Accepted(replayed=rows[0].answer)


def _insert_key(connection: Connection, name: str, key: IdempotencyKey) -> bool:
    # Elsewhere somebody may insert the same key just now: then PostgreSQL waits for them here, and inserts nothing.
    statement = text(
        "INSERT INTO idempotency (key, request, answer) VALUES (:key, :request, :answer)"
        " ON CONFLICT (key) DO NOTHING RETURNING key"
    )
    values = {"key": name, "request": key.request, "answer": key.answer}
    return connection.execute(statement, values).first() is not None


def _keep(connection: Connection, messages: list[NewMessage]) -> None:
    connection.execute(insert(message), [_message_row(each) for each in messages])
    connection.execute(insert(body), [{"message_id": each.id, "content": each.content} for each in messages])
    rows = [(f"{each.id}.{n}", each, new) for each in messages for n, new in enumerate(each.deliveries, 1)]
    connection.execute(insert(delivery), [_delivery_row(*row) for row in rows])
    waiting = [_queue_row(*row) for row in rows if row[2].state is State.WAITING]
    if waiting:
        connection.execute(insert(queue), waiting)
        wake_by(connection, ((row[1].lane, row[1].queued_at) for row in rows if row[2].state is State.WAITING))


def _message_row(new: NewMessage) -> dict[str, object]:
    return {
        "id": new.id, "tenant_id": new.tenant_id, "profile_id": new.profile_id, "queued_at": new.queued_at,
        "expires_at": new.expires_at, "hold_in_doubt": new.on_doubt is OnDoubt.HOLD,
        "envelope_sender": new.envelope_sender, "header_from": new.header_from, "subject": new.subject,
        "size": len(new.content), "key_id": new.key_id, "dsn": reports.to_json(new.reports),
    }  # fmt: skip


def _delivery_row(delivery_id: str, parent: NewMessage, new: NewDelivery) -> dict[str, object]:
    return {
        "id": delivery_id, "message_id": parent.id, "recipient": new.recipient, "state": new.state.value,
        "attempts": 0, "updated_at": parent.queued_at, "note": new.note,
    }  # fmt: skip


def _queue_row(delivery_id: str, parent: NewMessage, new: NewDelivery) -> dict[str, object]:
    return {
        "lane": parent.lane, "due_at": parent.queued_at, "id": delivery_id, "message_id": parent.id,
        "recipient": new.recipient, "attempt": 0, "crashes": 0, "expires_at": parent.expires_at,
        "hold_in_doubt": parent.on_doubt is OnDoubt.HOLD, "in_doubt": False, "lease": None,
    }  # fmt: skip


def forget_old_keys(connection: Connection, now: int) -> int:
    """Idempotency keys past their days; how many."""
    oldest = f"{now // DAY - IDEMPOTENCY_DAYS + 1:06d}:"
    return connection.execute(delete(idempotency).where(idempotency.c.key < oldest)).rowcount
