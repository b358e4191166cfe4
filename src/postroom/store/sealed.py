"""Everything that is sealed, for whoever changes the key: what each key still holds, and sealing that anew in small
batches, in the order of the rows' keys, so that it can be interrupted anywhere and begun again."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, bindparam, func, select, tuple_, update

from postroom.domain.problems import Invalid, SecretLost
from postroom.store import bodies, caught, profiles, sign_ins
from postroom.store.schema import body, message, revision, sign_in
from postroom.store.schema import caught as caught_mail
from postroom.store.vault import Vault

MOST_ROWS = 100  # in one batch
MOST_OCTETS = 2 * 1024 * 1024  # in one batch, unless a single one is larger


@dataclass(frozen=True, slots=True)
class _Kind:
    """`beside`: what else has to be known of a row to seal it `anew`."""

    name: str
    table: Table
    column: str
    keys: tuple[str, ...]
    beside: tuple[ColumnElement[Any], ...]
    anew: Callable[[Vault, Row[Any]], str | bytes]
    binary: bool = False

    @property
    def value(self) -> ColumnElement[Any]:
        return self.table.c[self.column]

    @property
    def key(self) -> ColumnElement[Any]:
        return tuple_(*(self.table.c[each] for each in self.keys))

    def is_under(self, key_id: str) -> ColumnElement[bool]:
        mark: str | bytes = Vault.sealed_by(key_id) if self.binary else f"{key_id}."
        return func.substr(self.value, 1, len(mark)) == mark


def _of_sign_in(column: str) -> ColumnElement[Any]:
    """All revisions with a sign-in are of one profile."""
    its = select(func.min(revision.c[column])).where(revision.c.sign_in_id == sign_in.c.id)
    return its.scalar_subquery().label(column)


def _password(vault: Vault, row: Row[Any]) -> str:
    place = profiles.place(row.tenant_id, row.profile_id)
    return vault.seal(vault.open(row.value, place), place)


def _refresh_token(vault: Vault, row: Row[Any]) -> str:
    place = sign_ins.place(row.tenant_id, row.profile_id)
    return vault.seal(vault.open(row.value, place), place)


def _body(vault: Vault, row: Row[Any]) -> bytes:
    content = bodies.opened(vault, row.value, row.tenant_id, row.message_id)
    return bodies.seal(vault, content, row.tenant_id, row.message_id)


def _caught(vault: Vault, row: Row[Any]) -> bytes:
    content = vault.open_content(row.value, row.tenant_id, caught.KIND, row.id)
    return vault.seal_content(content, row.tenant_id, caught.KIND, row.id)


_tenant_of_message = select(message.c.tenant_id).where(message.c.id == body.c.message_id).scalar_subquery()

KINDS = (
    _Kind("passwords", revision, "sealed_password", ("tenant_id", "profile_id", "number"), (), _password),
    _Kind("refresh tokens", sign_in, "sealed", ("id",), (_of_sign_in("tenant_id"), _of_sign_in("profile_id")),
          _refresh_token),
    _Kind("messages", body, "content", ("message_id",), (_tenant_of_message.label("tenant_id"),), _body, binary=True),
    _Kind("sandbox mail", caught_mail, "content", ("id",), (caught_mail.c.tenant_id,), _caught, binary=True),
)  # fmt: skip


def held_by(connection: Connection, key_id: str) -> dict[str, int]:
    """How many of each kind are sealed with a key; those that are none are left out. It reads everything."""
    counts = {}
    for kind in KINDS:
        wanted = select(func.count()).select_from(kind.table).where(kind.is_under(key_id))
        counts[kind.name] = connection.execute(wanted).scalar_one()
    return {name: count for name, count in counts.items() if count}


@dataclass(frozen=True, slots=True)
class Lot:
    """What to seal anew next: rows of one kind. `after` is where to go on, None at the end."""

    kind: int
    keys: tuple[tuple[Any, ...], ...]
    after: str | None


def next_lot(connection: Connection, key_id: str, after: str | None) -> Lot:
    """What is not sealed with this key, from the beginning or after the last lot. Raises Invalid."""
    number, last = _place(after)
    for n in range(number, len(KINDS)):
        kind = KINDS[n]
        wanted = select(*(kind.table.c[each] for each in kind.keys), func.length(kind.value).label("octets"))
        wanted = wanted.where(kind.value.is_not(None), ~kind.is_under(key_id))
        if last:
            wanted = wanted.where(kind.key > tuple_(*last))
        in_order = wanted.order_by(*(kind.table.c[each] for each in kind.keys)).limit(MOST_ROWS)
        keys = _as_many_as_fit(connection.execute(in_order).all())
        if keys:
            return Lot(n, keys, json.dumps([n, *keys[-1]]))
        last = []
    return Lot(len(KINDS), (), None)


def seal_anew(connection: Connection, vault: Vault, lot: Lot) -> tuple[int, int]:
    """With the key that seals: how many, and how many could not be opened and stay as they are."""
    if not lot.keys:
        return 0, 0
    kind = KINDS[lot.kind]
    columns = [*(kind.table.c[each] for each in kind.keys), kind.value.label("value"), *kind.beside]
    now_there = select(*columns).where(kind.key.in_(lot.keys), ~kind.is_under(vault.key_id))
    new, lost = [], 0
    for row in connection.execute(now_there.with_for_update(of=kind.table)).all():
        try:
            value = kind.anew(vault, row)
        except SecretLost:
            lost += 1
        else:
            new.append({f"the_{each}": getattr(row, each) for each in kind.keys} | {"the_value": value})
    if new:
        is_it = [kind.table.c[each] == bindparam(f"the_{each}") for each in kind.keys]
        connection.execute(update(kind.table).where(*is_it).values({kind.column: bindparam("the_value")}), new)
    return len(new), lost


def _as_many_as_fit(rows: Sequence[Any]) -> tuple[tuple[Any, ...], ...]:
    chosen: list[tuple[Any, ...]] = []
    octets = 0
    for row in rows:
        octets += row.octets
        if chosen and octets > MOST_OCTETS:
            break
        chosen.append(tuple(row[:-1]))
    return tuple(chosen)


def _place(after: str | None) -> tuple[int, list[Any]]:
    if after is None:
        return 0, []
    try:
        number, *last = json.loads(after)
        if last and len(last) == len(KINDS[number].keys) and all(isinstance(each, int | str) for each in last):
            return int(number), last
    except (ValueError, TypeError, IndexError):
        pass
    raise Invalid("after", "Give `after` as the last answer gave it, or leave it out to begin at the beginning.")
