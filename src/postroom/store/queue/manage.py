"""What a person may do to a message in the queue: cancel it, try it again, hasten it."""

from sqlalchemy import Connection, Select, delete, insert, or_, select, update

from postroom.domain.delivery import State
from postroom.store.queue.lanes import wake_by
from postroom.store.schema import body, delivery, message, queue


def cancel(connection: Connection, message_id: str, now: int) -> int:
    """Take the message's deliveries out of the queue that nobody holds just now; how many."""
    idle = or_(queue.c.lease.is_(None), queue.c.due_at <= now)
    gone = delete(queue).where(queue.c.id.in_(_deliveries_of(message_id)), idle).returning(queue.c.id)
    ids = list(connection.execute(gone).scalars())
    held = select(delivery.c.id).where(delivery.c.message_id == message_id, delivery.c.state == State.HELD.value)
    ids += connection.execute(held).scalars()
    _set_state(connection, ids, State.CANCELLED, "Cancelled on request.", now)
    return len(ids)


def requeue(connection: Connection, message_id: str, lane_id: int, now: int, life: int) -> int:
    """Put the message's refused, expired, held and cancelled deliveries back for a new life; how many."""
    ended = (State.REFUSED.value, State.EXPIRED.value, State.HELD.value, State.CANCELLED.value)
    wanted = (
        select(delivery.c.id, delivery.c.recipient, delivery.c.attempts, message.c.hold_in_doubt)
        .join(message, message.c.id == delivery.c.message_id)
        .where(delivery.c.message_id == message_id, delivery.c.state.in_(ended))
        .with_for_update(of=delivery)  # whoever asks the same elsewhere finds them waiting
    )
    rows = [
        {
            "lane": lane_id, "due_at": now, "id": row.id, "message_id": message_id, "recipient": row.recipient,
            "attempt": row.attempts, "crashes": 0, "expires_at": now + life, "hold_in_doubt": row.hold_in_doubt,
            "in_doubt": False, "lease": None,
        }
        for row in connection.execute(wanted)
    ]  # fmt: skip
    if rows and _has_content(connection, message_id):  # asked behind the lock: it may have gone meanwhile
        connection.execute(insert(queue), rows)
        connection.execute(update(message).where(message.c.id == message_id).values(expires_at=now + life))
        _set_state(connection, [str(row["id"]) for row in rows], State.WAITING, "To be tried again on request.", now)
        wake_by(connection, [(lane_id, now)])
        return len(rows)
    return 0


def hasten(connection: Connection, message_id: str, lane_id: int, now: int) -> int:
    """Make the message's waiting deliveries due now; how many."""
    waits = queue.c.id.in_(_deliveries_of(message_id)) & queue.c.lease.is_(None) & (queue.c.due_at > now)
    count = connection.execute(update(queue).where(waits).values(due_at=now)).rowcount
    if count:
        wake_by(connection, [(lane_id, now)])
    return count


def is_waiting(connection: Connection, message_id: str) -> bool:
    """Whether a delivery of the message is in the queue and in nobody's hands."""
    waits = select(queue.c.id).where(queue.c.id.in_(_deliveries_of(message_id)), queue.c.lease.is_(None)).limit(1)
    return connection.execute(waits).first() is not None


def _has_content(connection: Connection, message_id: str) -> bool:
    return connection.execute(select(body.c.message_id).where(body.c.message_id == message_id)).first() is not None


def _deliveries_of(message_id: str) -> Select[tuple[str]]:
    return select(delivery.c.id).where(delivery.c.message_id == message_id)


def _set_state(connection: Connection, ids: list[str], state: State, note: str, now: int) -> None:
    if ids:
        values = {"state": state.value, "note": note, "updated_at": now}
        connection.execute(update(delivery).where(delivery.c.id.in_(ids)).values(values))
