"""Who did what, when: one line per change, in the transaction of the change, chained to the line before it.

Whoever notes something holds its chain's head until the end of the transaction, so several machines write one chain.
Accepting and delivering mail notes nothing, and waits for nobody here.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, insert, or_, select, update

from postroom.domain.access import Caller
from postroom.store import facts
from postroom.store.audit_chain import START, Entry, Fault, Head, Others, Sealer, Wrong, fault_of, fault_of_end
from postroom.store.schema import audit, fact, tenant

SEALER = "audit_sealer"
_PAGE = 1000
_NAME = "audit head "
_COLUMNS = [audit.c[f.name] for f in fields(Entry)]
_BEGINNER = Caller("start", "the start", None, frozenset())


def seal_with(engine: Engine, sealer: Sealer) -> None:
    """What is noted through this engine from now on is sealed."""
    engine.update_execution_options(**{SEALER: sealer})


def note(
    connection: Connection, caller: Caller, action: str, subject: str, *,
    tenant_id: int | None, now: int, detail: Mapping[str, Any] | None = None, dialect: str | None = None,
) -> None:  # fmt: skip
    """`action` is dotted (`profile.saved`), `subject` says on what. `detail` never holds a secret."""
    head = _lock_head(connection, tenant_id)
    entry = Entry(
        0, tenant_id, head.count + 1, now, caller.key_id, caller.name, caller.address, dialect, action, subject,
        json.dumps(detail or {}, ensure_ascii=False, default=str), head.hash,
    )  # fmt: skip
    linked = _linked(connection, entry)
    values = {name: value for name, value in asdict(linked).items() if name != "id"}
    connection.execute(insert(audit).values(values))
    _write_head(connection, linked)


def begin(connection: Connection, now: int) -> None:
    """At each start: chain what is from before there were chains, and seal the heads with the key in force."""
    _lock_head(connection, None)  # several machines may start at once
    if connection.execute(select(audit.c.id).where(audit.c.number.is_not(None)).limit(1)).first() is None:
        chained = _chain_older(connection)
        note(connection, _BEGINNER, "audit.begun", "chain", tenant_id=None, now=now, detail={"older_rows": chained})
    for tenant_id in chains(connection):
        _seal_anew(connection, tenant_id)


def chains(connection: Connection) -> list[int | None]:
    """The installation's, then each tenant's."""
    return [None, *connection.execute(select(tenant.c.id).order_by(tenant.c.id)).scalars()]


@dataclass(frozen=True, slots=True)
class AuditSearch:
    """Which entries to list, newest first. `action` may be the part before the dot; `before` is the last id of the page
    before; times are microseconds since 1970, `until` not included."""

    action: str | None = None
    subject: str | None = None
    since: int | None = None
    until: int | None = None
    before: int | None = None
    limit: int = 50


def page(connection: Connection, tenant_id: int | None, search: AuditSearch) -> list[Entry]:
    """A tenant's; with None, those of the installation and of all tenants."""
    wanted = select(*_COLUMNS).order_by(audit.c.id.desc()).limit(search.limit)
    for condition in _conditions(tenant_id, search):
        wanted = wanted.where(condition)
    return [_read(row) for row in connection.execute(wanted)]


def _conditions(tenant_id: int | None, search: AuditSearch) -> Iterable[ColumnElement[bool]]:
    if tenant_id is not None:
        yield audit.c.tenant_id == tenant_id
    if search.action is not None:
        yield or_(audit.c.action == search.action, audit.c.action.startswith(f"{search.action}.", autoescape=True))
    if search.subject is not None:
        yield audit.c.subject == search.subject
    if search.since is not None:
        yield audit.c.at >= search.since
    if search.until is not None:
        yield audit.c.at < search.until
    if search.before is not None:
        yield audit.c.id < search.before


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of verifying one chain. `head` is to be kept elsewhere."""

    tenant_id: int | None
    rows: int
    head: Head | None
    fault: Fault | None


def rows(connection: Connection, tenant_ids: Iterable[int | None]) -> int:
    """How many rows these chains have, by their heads."""
    names = {_name(each) for each in tenant_ids}
    heads = connection.execute(select(fact.c.name, fact.c.value).where(fact.c.name.startswith(_NAME)))
    read = (Head.read(row.value) for row in heads if row.name in names)
    return sum(head.count for head in read if head)


def verify(
    connection: Connection, tenant_id: int | None, sealer: Sealer, kept: Head | None = None,
    saw: Callable[[int], None] = lambda _rows: None,
) -> Verified:  # fmt: skip
    """Walk one chain. `kept` is a head from before, which must still be in it. `saw` is told how many rows were read
    since it was last told; what it raises ends the walk."""
    last, is_proved = Head(0, START), True
    for entry in _walk(connection, tenant_id, saw):
        fault = fault_of(entry, last, sealer, partial(_others, connection, entry, last.count + 1))
        if fault is not None:
            return Verified(tenant_id, last.count, _head(connection, tenant_id), fault)
        last, is_proved = Head(last.count + 1, entry.hash or ""), sealer.proves_row(entry) is True
    # Only now: what is noted meanwhile comes with a newer head, and is not missing here.
    head = _head(connection, tenant_id)
    newer = head is not None and head.count > last.count and _later(connection, tenant_id, last)
    if newer:
        return verify(connection, tenant_id, sealer, kept, saw)
    fault = fault_of_end(tenant_id, last, head, sealer, is_proved=is_proved) or _lost(connection, tenant_id, kept)
    return Verified(tenant_id, last.count, head, fault)


def _walk(connection: Connection, tenant_id: int | None, saw: Callable[[int], None]) -> Iterator[Entry]:
    """In the order in which they stand in the table, without holding them all."""
    after = -(2**62)
    while True:
        wanted = select(*_COLUMNS).where(_of(tenant_id), audit.c.id > after).order_by(audit.c.id).limit(_PAGE)
        entries = [_read(row) for row in connection.execute(wanted)]
        yield from entries
        saw(len(entries))
        if len(entries) < _PAGE:
            return
        after = entries[-1].id


def _later(connection: Connection, tenant_id: int | None, last: Head) -> bool:
    return connection.execute(select(audit.c.id).where(_of(tenant_id), audit.c.number > last.count)).first() is not None


def _others(connection: Connection, entry: Entry, due: int) -> Others:
    def with_number(number: int | None) -> int:
        wanted = select(func.count()).select_from(audit).where(_of(entry.tenant_id), audit.c.number == number)
        return int(connection.execute(wanted).scalar_one())

    head = _head(connection, entry.tenant_id)
    return Others(head.count if head else 0, with_number(entry.number), with_number(due))


def _lost(connection: Connection, tenant_id: int | None, kept: Head | None) -> Fault | None:
    if kept is None or kept.count == 0:
        return None
    wanted = select(audit.c.hash).where(_of(tenant_id), audit.c.number == kept.count)
    known = connection.execute(wanted).scalar()
    if known is None:
        return Fault(Wrong.REMOVED, f"Row {kept.count}, the head that was kept, is missing.", kept.count)
    if known != kept.hash:
        return Fault(Wrong.EDITED, f"Row {kept.count} is not the head that was kept.", kept.count)
    return None


def _of(tenant_id: int | None) -> ColumnElement[bool]:
    return audit.c.tenant_id.is_(None) if tenant_id is None else audit.c.tenant_id == tenant_id


def _name(tenant_id: int | None) -> str:
    return f"{_NAME}{'installation' if tenant_id is None else tenant_id}"


def _head(connection: Connection, tenant_id: int | None) -> Head | None:
    text = facts.recall(connection, _name(tenant_id))
    return Head.read(text) if text is not None else None


def _lock_head(connection: Connection, tenant_id: int | None) -> Head:
    """Nobody else adds to the chain until this transaction is over."""
    wanted = select(fact.c.value).where(fact.c.name == _name(tenant_id)).with_for_update()
    text = connection.execute(wanted).scalar()
    if text is None:
        facts.remember(connection, _name(tenant_id), Head(0, START).written())
        text = connection.execute(wanted).scalar_one()
    return Head.read(text) or Head(0, START)


def _write_head(connection: Connection, last: Entry) -> None:
    head = Head(last.number or 0, last.hash or "")
    sealer = _sealer(connection)
    sealed = replace(head, seal=sealer.seal_head(last.tenant_id, head)) if sealer else head
    connection.execute(update(fact).where(fact.c.name == _name(last.tenant_id)).values(value=sealed.written()))


def _seal_anew(connection: Connection, tenant_id: int | None) -> None:
    """A chain that nothing is added to must be provable when the key that it was sealed with has gone."""
    head, sealer = _head(connection, tenant_id), _sealer(connection)
    if head is None or sealer is None or sealer.is_of_key_in_force(head.seal):
        return
    head = _lock_head(connection, tenant_id)
    if sealer.proves_head(tenant_id, head):
        sealed = replace(head, seal=sealer.seal_head(tenant_id, head))
        connection.execute(update(fact).where(fact.c.name == _name(tenant_id)).values(value=sealed.written()))


def _chain_older(connection: Connection) -> int:
    """Rows of before the chains, as they are now; how many."""
    count = 0
    older = connection.execute(select(*_COLUMNS).order_by(audit.c.id)).all()
    for row in older:
        entry = _read(row)
        head = _lock_head(connection, entry.tenant_id)
        linked = _linked(connection, replace(entry, number=head.count + 1, previous=head.hash))
        values = {name: getattr(linked, name) for name in ("number", "previous", "hash", "seal")}
        connection.execute(update(audit).where(audit.c.id == entry.id).values(values))
        _write_head(connection, linked)
        count += 1
    return count


def _linked(connection: Connection, entry: Entry) -> Entry:
    sealer, known = _sealer(connection), entry.digest()
    return replace(entry, hash=known, seal=sealer.seal_row(known) if sealer else "")


def _sealer(connection: Connection) -> Sealer | None:
    sealer: Sealer | None = connection.engine.get_execution_options().get(SEALER)
    return sealer


def _read(row: Row[Any]) -> Entry:
    return Entry(**row._mapping)
