"""Writing down how attempts ended."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, null, select, update

from postroom.domain.delivery import Decision, Finish, RelayReply, Stage, State, TryAgain
from postroom.store.ids import new_id
from postroom.store.queue.breaker import end_probes
from postroom.store.queue.claim import Claim, Held, by_lease
from postroom.store.queue.lanes import wake_by
from postroom.store.queue.limits import refund
from postroom.store.schema import attempt, delivery, queue, transcript


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of one attempt for one delivery."""

    outcome: str
    stage: Stage
    code: str
    message: str
    reply: RelayReply | None
    started_at: int
    duration: int  # microseconds
    relay: str
    tls: str | None
    revision: int
    transcript: str | None
    profile_id: int | None = None  # that it went through; None is the message's own


@dataclass(frozen=True, slots=True)
class Settlement:
    """How one claim ended. Without a record nothing was tried (it expired, or the filter holds it back now)."""

    claim: Claim
    decision: Decision
    note: str
    at: int
    record: Record | None = None


def settle(connection: Connection, settlements: Sequence[Settlement]) -> list[bool | Exception]:
    """Write outcomes down. False for a claim whose lease was lost: nothing of it is written."""
    finished = [each for each in settlements if isinstance(each.decision, Finish)]
    again = [each for each in settlements if isinstance(each.decision, TryAgain)]
    ours = _take_out(connection, finished) | _still_ours(connection, again)
    _put_back(connection, [each for each in again if _hold(each) in ours])
    written = [each for each in settlements if _hold(each) in ours]
    if written:
        connection.execute(_SETTLED, [_settled_row(each) for each in written])
        _record(connection, [each for each in written if each.record])
        _give_back(connection, written)
    return [_hold(each) in ours for each in settlements]


def _give_back(connection: Connection, settlements: list[Settlement]) -> None:
    """What costs the message no attempt costs its lane nothing of its limits."""
    free = [each for each in settlements if each.record is None or not _counts(each.decision)]
    refund(connection, [(each.claim.through, each.claim.lease) for each in free])
    end_probes(connection, [(each.claim.lane, each.claim.lease) for each in free if each.record is None])


def _counts(decision: Decision) -> bool:
    return isinstance(decision, Finish) or decision.counts


Hold = tuple[str, str]  # lease and id: someone else may be settling the same delivery, rightly, in this very batch


def _hold(settlement: Settlement) -> Hold:
    return settlement.claim.lease, settlement.claim.id


def _take_out(connection: Connection, settlements: list[Settlement]) -> set[Hold]:
    gone: set[Hold] = set()
    for lease, ids in by_lease([Held(each.claim.lease, (each.claim.id,)) for each in settlements]):
        over = delete(queue).where(queue.c.id.in_(ids), queue.c.lease == lease).returning(queue.c.id)
        gone.update((lease, each) for each in connection.execute(over).scalars())
    return gone


def _still_ours(connection: Connection, settlements: list[Settlement]) -> set[Hold]:
    ours: set[Hold] = set()
    for lease, ids in by_lease([Held(each.claim.lease, (each.claim.id,)) for each in settlements]):
        wanted = select(queue.c.id).where(queue.c.id.in_(ids), queue.c.lease == lease).with_for_update()
        ours.update((lease, each) for each in connection.execute(wanted).scalars())
    return ours


_PUT_BACK = (
    update(queue)
    .where(queue.c.id == bindparam("the_id"))
    .values(due_at=bindparam("again_at"), attempt=bindparam("so_far"), lease=null(), in_doubt=bindparam("doubt"))
)
_SETTLED = (
    update(delivery)
    .where(delivery.c.id == bindparam("the_id"))
    .values(state=bindparam("now_in"), attempts=bindparam("tried"), updated_at=bindparam("the_time"),
            note=bindparam("why"))
)  # fmt: skip


def _put_back(connection: Connection, settlements: list[Settlement]) -> None:
    rows, wakes = [], []
    for each in settlements:
        assert isinstance(each.decision, TryAgain)  # noqa: S101  narrows the type; `settle` sorted them
        so_far = each.claim.attempt if each.decision.counts else each.claim.attempt - 1
        # An earlier attempt that may have got through is not undone by one that did not.
        doubt = each.claim.in_doubt or (each.record is not None and each.record.outcome == "in_doubt")
        rows.append({"the_id": each.claim.id, "again_at": each.decision.at, "so_far": so_far, "doubt": doubt})
        wakes.append((each.claim.lane, each.decision.at))
    if rows:
        connection.execute(_PUT_BACK, rows)
        wake_by(connection, wakes)


def _settled_row(settlement: Settlement) -> dict[str, object]:
    state = settlement.decision.state if isinstance(settlement.decision, Finish) else State.WAITING
    return {
        "the_id": settlement.claim.id, "now_in": state.value,
        "tried": settlement.claim.attempt if settlement.record else settlement.claim.attempt - 1,
        "the_time": settlement.at, "why": settlement.note,
    }  # fmt: skip


def _record(connection: Connection, settlements: list[Settlement]) -> None:
    if not settlements:
        return
    transcripts: dict[str, str] = {}  # content -> id: recipients of one transaction share theirs
    rows = []
    for each in settlements:
        assert each.record is not None  # noqa: S101  narrows the type; `settle` sorted them
        content = each.record.transcript
        transcript_id = transcripts.setdefault(content, new_id(each.at)) if content else None
        rows.append(_attempt_row(each, each.record, transcript_id))
    connection.execute(insert(attempt), rows)
    if transcripts:
        connection.execute(insert(transcript), [{"id": at, "content": what} for what, at in transcripts.items()])


def _attempt_row(settlement: Settlement, record: Record, transcript_id: str | None) -> dict[str, object]:
    reply = record.reply
    return {
        "id": new_id(settlement.at), "delivery_id": settlement.claim.id, "number": settlement.claim.attempt,
        "started_at": record.started_at, "duration": record.duration, "outcome": record.outcome,
        "stage": record.stage.value, "code": record.code, "message": record.message,
        "reply_code": reply.code if reply else None, "reply_enhanced": reply.enhanced if reply else None,
        "reply_text": reply.text if reply else None, "relay": record.relay, "tls": record.tls,
        "revision": record.revision, "profile_id": record.profile_id, "transcript_id": transcript_id,
    }  # fmt: skip
