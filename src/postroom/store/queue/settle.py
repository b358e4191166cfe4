"""Writing down how attempts ended."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from postroom.domain.delivery import Decision, Finish, RelayReply, Stage, State, TryAgain
from postroom.store.ids import new_id
from postroom.store.queue.breaker import end_probes
from postroom.store.queue.claim import Claim, still_ours
from postroom.store.queue.lanes import wake_by
from postroom.store.queue.limits import refund
from postroom.store.rows import insert_rows, run
from postroom.store.schema import attempt, transcript


class Record(NamedTuple):
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


class Settlement(NamedTuple):
    """How one claim ended. Without a record nothing was tried (it expired, or the filter holds it back now)."""

    claim: Claim
    decision: Decision
    note: str
    at: int
    record: Record | None = None


def settle(connection: Connection, settlements: Sequence[Settlement]) -> list[bool | Exception]:
    """Write outcomes down. False for a claim whose lease was lost: nothing of it is written."""
    ordered = sorted(settlements, key=_hold)  # the same order everywhere, so that nobody waits crosswise
    finished = [_hold(each) for each in ordered if isinstance(each.decision, Finish)]
    again = {_hold(each): each for each in ordered if isinstance(each.decision, TryAgain)}
    still = still_ours(connection, list(again))
    run(connection, _PUT_BACK, [_again_row(again[each]) for each in again if each in still])
    ours: set[Hold] = {*run(connection, _TAKE_OUT, finished), *still}
    written = [each for each in settlements if _hold(each) in ours]
    run(connection, _SETTLED, [_settled_row(each) for each in written])
    _record(connection, written)
    _give_back(connection, written)
    wake_by(connection, ((e.claim.lane, e.decision.at) for e in written if isinstance(e.decision, TryAgain)))
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
    return settlement.claim.id, settlement.claim.lease


_TAKE_OUT = """
WITH held (id, lease) AS (VALUES {rows})
DELETE FROM queue WHERE id IN (SELECT id FROM held) AND (id, lease) IN (SELECT id, lease FROM held)
RETURNING id, lease
"""
_PUT_BACK = """
WITH held (id, lease, due_at, attempt, doubt) AS (VALUES {rows})
UPDATE queue
SET due_at = CAST(held.due_at AS BIGINT), attempt = CAST(held.attempt AS INTEGER), lease = NULL,
    in_doubt = CAST(held.doubt AS INTEGER) = 1
FROM held WHERE queue.id = held.id AND queue.lease = held.lease
"""
_SETTLED = """
WITH ended (id, state, attempts, at, note) AS (VALUES {rows})
UPDATE delivery
SET state = ended.state, attempts = CAST(ended.attempts AS INTEGER), updated_at = CAST(ended.at AS BIGINT),
    note = ended.note
FROM ended WHERE delivery.id = ended.id
"""


def _again_row(settlement: Settlement) -> tuple[object, ...]:
    claim, record, decision = settlement.claim, settlement.record, settlement.decision
    assert isinstance(decision, TryAgain)  # noqa: S101  narrows the type; `settle` sorted them
    # An earlier attempt that may have got through is not undone by one that did not.
    doubt = claim.in_doubt or (record is not None and record.outcome == "in_doubt")
    return claim.id, claim.lease, decision.at, claim.attempt if decision.counts else claim.attempt - 1, int(doubt)


def _settled_row(settlement: Settlement) -> tuple[object, ...]:
    claim, decision = settlement.claim, settlement.decision
    state = decision.state if isinstance(decision, Finish) else State.WAITING
    attempts = claim.attempt if settlement.record else claim.attempt - 1
    return claim.id, state.value, attempts, settlement.at, settlement.note


def _record(connection: Connection, settlements: list[Settlement]) -> None:
    transcripts: dict[str, str] = {}  # content -> id: recipients of one transaction share theirs
    rows = []
    for each in settlements:
        if each.record is not None:
            content = each.record.transcript
            transcript_id = transcripts.setdefault(content, new_id(each.at)) if content else None
            rows.append(_attempt_row(each, each.record, transcript_id))
    insert_rows(connection, attempt, rows)
    insert_rows(connection, transcript, [(at, what) for what, at in transcripts.items()])


def _attempt_row(settlement: Settlement, record: Record, transcript_id: str | None) -> tuple[object, ...]:
    code, enhanced, text = (record.reply.code, record.reply.enhanced, record.reply.text) if record.reply else _NO_REPLY
    return (
        new_id(settlement.at), settlement.claim.id, settlement.claim.attempt, record.started_at, record.duration,
        record.outcome, record.stage.value, record.code, record.message, code, enhanced, text, record.relay,
        record.tls, record.revision, record.profile_id, transcript_id,
    )  # fmt: skip


_NO_REPLY = (None, None, None)
