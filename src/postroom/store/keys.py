"""API keys: only their SHA-256 is kept. A key is a random UUID (two seeds document that form)."""

import hashlib
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, insert, select, update

from postroom.domain.access import EVERYTHING, Permission
from postroom.domain.problems import NotFound
from postroom.domain.secret import Secret
from postroom.store.ids import new_id
from postroom.store.schema import api_key

LONGEST_KEY = 256  # characters, checked before anything is hashed


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; never the key itself."""

    id: str
    tenant_id: int | None
    name: str
    permissions: frozenset[Permission]
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None

    def is_valid(self, now: int) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def fresh() -> Secret:
    return Secret(str(uuid.uuid4()))


def digest(key: Secret) -> str:
    return hashlib.sha256(key.reveal().encode("utf-8", "surrogatepass")).hexdigest()


def add(
    connection: Connection, key: Secret, *, tenant_id: int | None, name: str,
    permissions: frozenset[Permission], now: int, expires_at: int | None = None,
) -> Key:  # fmt: skip
    added = Key(new_id(now), tenant_id, name, permissions, now, expires_at, None, None)
    connection.execute(
        insert(api_key).values(
            id=added.id, tenant_id=tenant_id, name=name, digest=digest(key), created_at=now, expires_at=expires_at,
            permissions="*" if permissions == EVERYTHING else " ".join(sorted(permissions)),
        )
    )  # fmt: skip
    return added


def by_digest(connection: Connection, key_digest: str) -> Key | None:
    row = connection.execute(select(api_key).where(api_key.c.digest == key_digest)).one_or_none()
    return _read(row) if row else None


def by_id(connection: Connection, key_id: str) -> Key | None:
    row = connection.execute(select(api_key).where(api_key.c.id == key_id)).one_or_none()
    return _read(row) if row else None


def every(connection: Connection, tenant_id: int | None) -> list[Key]:
    """Those of a tenant; with None, all."""
    wanted = select(api_key).order_by(api_key.c.id)
    if tenant_id is not None:
        wanted = wanted.where(api_key.c.tenant_id == tenant_id)
    return [_read(row) for row in connection.execute(wanted)]


def any_at_all(connection: Connection) -> bool:
    return connection.execute(select(api_key.c.id).limit(1)).first() is not None


def revoke(connection: Connection, key_id: str, tenant_id: int | None, now: int) -> Key:
    """Raises NotFound; a key revoked already stays as it is."""
    key = by_id(connection, key_id)
    if key is None or (tenant_id is not None and key.tenant_id != tenant_id):
        raise NotFound("There is no such key.")
    unless = (api_key.c.id == key_id) & api_key.c.revoked_at.is_(None)
    connection.execute(update(api_key).where(unless).values(revoked_at=now))
    return key


def note_uses(connection: Connection, key_ids: Sequence[str]) -> list[Exception | None]:
    """A batch: these keys were used just now."""
    now = time.time_ns() // 1000
    # One that another machine is noting just now needs no second note, and nobody has to wait for it.
    free = select(api_key.c.id).where(api_key.c.id.in_(sorted(set(key_ids)))).with_for_update(skip_locked=True)
    connection.execute(update(api_key).where(api_key.c.id.in_(free)).values(last_used_at=now))
    return [None] * len(key_ids)


def _read(row: Row[tuple[object, ...]]) -> Key:
    permissions = EVERYTHING if row.permissions == "*" else frozenset(map(Permission, row.permissions.split()))
    return Key(
        row.id, row.tenant_id, row.name, permissions, row.created_at, row.expires_at, row.revoked_at, row.last_used_at
    )
