"""What is no longer needed goes: contents first, then the messages with all that is known of them.

Both are looked for from the oldest id on, in a reading transaction, and taken away a few at a time; so neither claims
nor anyone who hands mail in waits for more than a moment. What waits, is held for a person or is under way stays,
however old it is: a message is over when all its deliveries are, and its age counts from the last that ended.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, and_, case, delete, func, select

from postroom.domain.delivery import FINAL
from postroom.store.ids import first_id
from postroom.store.schema import attempt, body, caught, delivery, message, queue, transcript, trial

LOOKED_AT = 1000  # in one reading
AT_ONCE = 200  # taken away in one transaction
_OVER = sorted(each.value for each in FINAL)


def contents(connection: Connection, after: str, before: int) -> tuple[list[str], str | None]:
    """Messages whose content may go, of the next so many behind the id `after`; and where to go on, None at the end.
    `before`: when their last delivery must have ended."""
    return _over(connection, select(body.c.message_id.label("id")), body, after, before)


def messages(connection: Connection, after: str, before: int) -> tuple[list[str], str | None]:
    """The same for whole messages."""
    return _over(connection, select(message.c.id), message, after, before)


def forget_contents(connection: Connection, ids: Sequence[str], before: int) -> int:
    still = _still_over(connection, ids, before)
    return connection.execute(delete(body).where(body.c.message_id.in_(still))).rowcount if still else 0


def forget_messages(connection: Connection, ids: Sequence[str], before: int) -> int:
    """With deliveries, attempts, and transcripts that no other attempt shares."""
    still = _still_over(connection, ids, before)
    if not still:
        return 0
    theirs = select(delivery.c.id).where(delivery.c.message_id.in_(still))
    gone = delete(attempt).where(attempt.c.delivery_id.in_(theirs)).returning(attempt.c.transcript_id)
    _forget_transcripts(connection, {each for each in connection.execute(gone).scalars() if each is not None})
    connection.execute(delete(delivery).where(delivery.c.message_id.in_(still)))
    connection.execute(delete(body).where(body.c.message_id.in_(still)))
    return connection.execute(delete(message).where(message.c.id.in_(still))).rowcount


def forget_caught(connection: Connection, before: int) -> int:
    """What the sandbox took before; some of it."""
    oldest = select(caught.c.id).where(caught.c.id < first_id(before)).order_by(caught.c.id).limit(AT_ONCE)
    return connection.execute(delete(caught).where(caught.c.id.in_(oldest))).rowcount


def forget_trials(connection: Connection, before: int) -> int:
    """Tests of settings that nobody has asked about."""
    return connection.execute(delete(trial).where(trial.c.started_at < before)).rowcount


def _over(
    connection: Connection, wanted: Select[Any], table: Table, after: str, before: int
) -> tuple[list[str], str | None]:
    key = next(iter(table.primary_key))
    older = wanted.where(key > after, key < first_id(before)).order_by(key).limit(LOOKED_AT)
    ids = list(connection.execute(older).scalars())
    if not ids:
        return [], None
    found = [*connection.execute(_ended(ids, before)).scalars()]
    return sorted(found), ids[-1] if len(ids) == LOOKED_AT else None


def _ended(ids: Sequence[str], before: int) -> Select[Any]:
    """Those of which nothing is in the queue, whose every delivery is over, and was so before."""
    queued = select(queue.c.id).where(queue.c.id == delivery.c.id).exists()
    all_over = func.sum(_as_number(and_(delivery.c.state.in_(_OVER), delivery.c.updated_at < before, ~queued)))
    per_message = select(delivery.c.message_id).where(delivery.c.message_id.in_(ids))
    return per_message.group_by(delivery.c.message_id).having(all_over == func.count())


def _as_number(condition: Any) -> Any:
    return case((condition, 1), else_=0)


def _still_over(connection: Connection, ids: Sequence[str], before: int) -> list[str]:
    """Those of which that is still so, locked: somebody may have had one tried again since it was looked for."""
    locked = select(delivery.c.id).where(delivery.c.message_id.in_(ids)).order_by(delivery.c.id).with_for_update()
    connection.execute(locked).all()
    return list(connection.execute(_ended(ids, before)).scalars())


def _forget_transcripts(connection: Connection, ids: set[str]) -> None:
    if ids:
        shared = select(attempt.c.transcript_id).where(attempt.c.transcript_id.in_(ids))
        left = ids - set(connection.execute(shared).scalars())
        connection.execute(delete(transcript).where(transcript.c.id.in_(sorted(left))))
