"""Taking messages in: one durable commit for many callers, each of them once per idempotency key."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, delete

from postroom.domain.delivery import SECOND, State
from postroom.domain.message import OnDoubt, Reports
from postroom.domain.problems import Conflict
from postroom.store import bodies, reports
from postroom.store.queue.lanes import wake_by
from postroom.store.rows import insert_rows, run
from postroom.store.schema import body, delivery, idempotency, message, queue
from postroom.store.vault import Vault

IDEMPOTENCY_DAYS = 2
DAY = 86_400 * SECOND

Clock = Callable[[Connection], int]


class NewDelivery(NamedTuple):
    recipient: str
    state: State  # WAITING or FILTERED
    note: str | None = None


class NewMessage(NamedTuple):
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


class IdempotencyKey(NamedTuple):
    """The caller's key as a digest over tenant and key, the digest of the request, and the answer to repeat."""

    digest: str
    request: str
    answer: str


class HandOver(NamedTuple):
    """A worker right here takes what is accepted at once; so it is kept as claimed already, under this lease and for so
    long (microseconds). `revision` is that of the settings that the worker would send it with, `deliveries` how
    many it has made room for."""

    lease: str
    length: int
    revision: int
    deliveries: int


class Acceptance(NamedTuple):
    """What one request hands in: all of it is kept or none. All messages of a hand-over are of one lane."""

    messages: tuple[NewMessage, ...]
    key: IdempotencyKey | None = None
    hand_over: HandOver | None = None


class Accepted(NamedTuple):
    """Durable. `replayed` is the answer of the first request with the same idempotency key, if this is a repetition;
    `handed_over` says that the worker has it now."""

    replayed: str | None = None
    handed_over: bool = False


@dataclass(frozen=True)
class Accepting:
    """The batch that keeps messages with their deliveries and wakes their lanes; `now` is the database's clock,
    contents are sealed by `vault`. A used idempotency key gives its first answer, or Conflict when it came with another
    request."""

    now: Clock
    vault: Vault

    def __call__(self, connection: Connection, acceptances: Sequence[Acceptance]) -> list[Accepted | Exception]:
        results = _claim_keys(connection, acceptances)
        fresh = [n for n, result in enumerate(results) if result == _KEPT]
        in_force = _in_force(connection, [acceptances[n] for n in fresh])
        for n in fresh:
            each = acceptances[n]
            if each.hand_over and (each.messages[0].lane, each.hand_over.revision) in in_force:
                results[n] = _HANDED_OVER
        kept = [(acceptances[n], results[n] is _HANDED_OVER) for n in fresh]
        _keep(connection, self.vault, kept, self.now(connection) if in_force else 0)
        return results


_KEPT = Accepted()
_HANDED_OVER = Accepted(handed_over=True)


def _claim_keys(connection: Connection, acceptances: Sequence[Acceptance]) -> list[Accepted | Exception]:
    """Each key belongs to who used it first: here before, elsewhere just now, or earlier in this very batch."""
    results: list[Accepted | Exception] = [_KEPT] * len(acceptances)
    keyed = [(n, each.key, _names(each)) for n, each in enumerate(acceptances) if each.key]
    if not keyed:
        return results
    # In the order of the keys, so that two machines that take several at once can't wait for each other crosswise.
    used = _used(connection, sorted({name for _, _, names in keyed for name in names}))
    wanted = {names[0]: key for _, key, names in reversed(keyed) if not any(name in used for name in names)}
    ours = _insert_keys(connection, [(name, wanted[name]) for name in sorted(wanted)])
    used |= _used(connection, sorted(wanted.keys() - ours))
    for n, key, names in keyed:
        if names[0] in ours:
            ours.discard(names[0])
            used[names[0]] = (key.request, key.answer)
            continue
        request, answer = next(used[name] for name in names if name in used)
        results[n] = Accepted(replayed=answer) if request == key.request else _used_for_another()
    return results


def _names(acceptance: Acceptance) -> list[str]:
    """Under which a key may be kept: today's first, then those of the days that are still remembered."""
    assert acceptance.key is not None  # noqa: S101  narrows the type; the caller looked
    today = acceptance.messages[0].queued_at // DAY
    return [f"{today - back:06d}:{acceptance.key.digest}" for back in range(IDEMPOTENCY_DAYS)]


def _used(connection: Connection, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Request and answer of each key that is known."""
    rows = run(connection, _KNOWN_KEYS, [(name,) for name in names])
    return {name: (request, answer) for name, request, answer in rows}


_KNOWN_KEYS = "SELECT key, request, answer FROM idempotency WHERE key IN (VALUES {rows})"
# Elsewhere somebody may insert the same key just now: then PostgreSQL waits for them here, and inserts nothing.
_NEW_KEYS = "INSERT INTO idempotency (key, request, answer) VALUES {rows} ON CONFLICT (key) DO NOTHING RETURNING key"


def _insert_keys(connection: Connection, keys: list[tuple[str, IdempotencyKey]]) -> set[str]:
    return {row[0] for row in run(connection, _NEW_KEYS, [(name, key.request, key.answer) for name, key in keys])}


def _used_for_another() -> Conflict:
    return Conflict("This Idempotency-Key was used for another request; use a new key for each new request.")


_IN_FORCE = """
WITH meant (lane) AS (VALUES {rows})
SELECT profile.lane, profile.revision FROM meant
JOIN profile ON profile.lane = CAST(meant.lane AS BIGINT) AND profile.deleted_at IS NULL
JOIN lane ON lane.id = profile.lane AND lane.failures = 0 AND lane.rests_until IS NULL AND lane.paused_at IS NULL
"""


def _in_force(connection: Connection, acceptances: list[Acceptance]) -> set[tuple[int, int]]:
    """Lane and revision where mail may go out at once. Elsewhere the settings may have been changed, paused or put to
    rest since. Limits are settings, and who hands over knows that there are none."""
    lanes = {each.messages[0].lane for each in acceptances if each.hand_over}
    return {(lane, revision) for lane, revision in run(connection, _IN_FORCE, [(each,) for each in sorted(lanes)])}


def _keep(connection: Connection, vault: Vault, fresh: list[tuple[Acceptance, bool]], now: int) -> None:
    messages = [each for acceptance, _ in fresh for each in acceptance.messages]
    insert_rows(connection, message, [_message_row(each) for each in messages])
    # Sealed here, where everything is written in turn: what comes after a rotation is under the new key.
    sealed = [(each.id, bodies.seal(vault, each.content, each.tenant_id, each.id)) for each in messages]
    insert_rows(connection, body, sealed)
    deliveries: list[tuple[object, ...]] = []
    queued: list[tuple[object, ...]] = []
    for acceptance, handed_over in fresh:
        over = acceptance.hand_over if handed_over else None
        lease, until, attempt = (over.lease, now + over.length, 1) if over else (None, None, 0)
        for each in acceptance.messages:
            holds = each.on_doubt is OnDoubt.HOLD
            for delivery_id, new in with_ids(each):
                deliveries.append((delivery_id, each.id, new.recipient, new.state.value, 0, each.queued_at, new.note))
                if new.state is State.WAITING:
                    queued.append((
                        each.lane, until or each.queued_at, delivery_id, each.id, new.recipient, attempt, 0,
                        each.expires_at, holds, False, lease,
                    ))  # fmt: skip
    insert_rows(connection, delivery, deliveries)
    insert_rows(connection, queue, queued)
    # Of what was handed over too: if the worker dies, somebody has to look when its lease is over.
    wake_by(connection, ((lane, due_at) for lane, due_at, *_ in queued))  # type: ignore[misc]


def with_ids(new: NewMessage) -> Iterable[tuple[str, NewDelivery]]:
    """Each delivery with its id."""
    return ((f"{new.id}.{n}", each) for n, each in enumerate(new.deliveries, 1))


def _message_row(new: NewMessage) -> tuple[object, ...]:
    return (
        new.id, new.tenant_id, new.profile_id, new.queued_at, new.expires_at, new.on_doubt is OnDoubt.HOLD,
        new.envelope_sender, new.header_from, new.subject, len(new.content), new.key_id, reports.to_json(new.reports),
    )  # fmt: skip


def forget_old_keys(connection: Connection, now: int) -> int:
    """Idempotency keys past their days; how many."""
    oldest = f"{now // DAY - IDEMPOTENCY_DAYS + 1:06d}:"
    return connection.execute(delete(idempotency).where(idempotency.c.key < oldest)).rowcount
