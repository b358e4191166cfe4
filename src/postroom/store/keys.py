"""API keys: only their SHA-256 is kept. A key is a random UUID (two seeds document that form)."""

import hashlib
import hmac
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Row, insert, or_, select, update

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
    email: str | None
    previous_until: int | None = None  # the value before the last rotation is good until then
    previous_used_at: int | None = None
    by_previous: bool = False  # whether it was found by that value

    def is_valid(self, now: int) -> bool:
        if self.revoked_at is not None or (self.expires_at is not None and now >= self.expires_at):
            return False
        return not self.by_previous or self.previous_until is None or now < self.previous_until

    @property
    def turn(self) -> str:
        """Another one after each rotation."""
        return str(self.previous_until or "")


def fresh() -> Secret:
    return Secret(str(uuid.uuid4()))


def digest(key: Secret) -> str:
    return hashlib.sha256(key.reveal().encode("utf-8", "surrogatepass")).hexdigest()


def add(
    connection: Connection, key: Secret, *, tenant_id: int | None, name: str,
    permissions: frozenset[Permission], now: int, expires_at: int | None = None,
    email: str | None = None, key_id: str | None = None,
) -> Key:  # fmt: skip
    added = Key(key_id or new_id(now), tenant_id, name, permissions, now, expires_at, None, None, email)
    connection.execute(
        insert(api_key).values(
            id=added.id, tenant_id=tenant_id, name=name, digest=digest(key), created_at=now, expires_at=expires_at,
            permissions="*" if permissions == EVERYTHING else " ".join(sorted(permissions)), email=email,
        )
    )  # fmt: skip
    return added


def by_digest(connection: Connection, key_digest: str) -> Key | None:
    """By its value, or by the one before the last rotation. What an index finds fast is compared once more in a time
    that tells nothing."""
    for column in (api_key.c.digest, api_key.c.previous_digest):
        row = connection.execute(select(api_key).where(column == key_digest)).one_or_none()
        if row and hmac.compare_digest(row._mapping[column], key_digest):
            return replace(_read(row), by_previous=column is api_key.c.previous_digest)
    return None


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


def of_installation(connection: Connection) -> list[Key]:
    """Those of no tenant."""
    wanted = select(api_key).where(api_key.c.tenant_id.is_(None)).order_by(api_key.c.id)
    return [_read(row) for row in connection.execute(wanted)]


def ending(connection: Connection, tenant_id: int, now: int, before: int, *, with_installations: bool) -> list[Key]:
    """Those of a tenant that are good now and end before then; and the installation's, if they are wanted."""
    whose = api_key.c.tenant_id == tenant_id
    if with_installations:
        whose = or_(whose, api_key.c.tenant_id.is_(None))
    soon = select(api_key).where(whose, api_key.c.expires_at > now, api_key.c.expires_at < before)
    rows = connection.execute(soon.where(api_key.c.revoked_at.is_(None)).order_by(api_key.c.expires_at))
    return [_read(row) for row in rows]


def get(connection: Connection, key_id: str, tenant_id: int | None) -> Key:
    """`tenant_id` None: whoever's it is. Raises NotFound."""
    key = by_id(connection, key_id)
    if key is None or (tenant_id is not None and key.tenant_id != tenant_id):
        raise NotFound("There is no such key.")
    return key


def rotate(connection: Connection, key: Key, value: Secret, previous_until: int) -> Key:
    """Give it a new value; the one that it has now is good until then, the one before that no more."""
    connection.execute(
        update(api_key).where(api_key.c.id == key.id).values(
            previous_digest=api_key.c.digest, digest=digest(value), previous_until=previous_until, previous_used_at=None
        )
    )  # fmt: skip
    return replace(key, previous_until=previous_until, previous_used_at=None)


def revoke(connection: Connection, key_id: str, tenant_id: int | None, now: int) -> Key:
    """Raises NotFound; a key revoked already stays as it is."""
    key = get(connection, key_id, tenant_id)
    unless = (api_key.c.id == key_id) & api_key.c.revoked_at.is_(None)
    connection.execute(update(api_key).where(unless).values(revoked_at=now))
    return key


@dataclass(frozen=True, slots=True)
class Use:
    key_id: str
    by_previous: bool


def note_uses(connection: Connection, uses: Sequence[Use]) -> list[Exception | None]:
    """A batch: these keys were used just now."""
    now = time.time_ns() // 1000
    for column, used in (
        (api_key.c.last_used_at, {use.key_id for use in uses}),
        (api_key.c.previous_used_at, {use.key_id for use in uses if use.by_previous}),
    ):
        # One that another machine is noting just now needs no second note, and nobody has to wait for it.
        free = select(api_key.c.id).where(api_key.c.id.in_(sorted(used))).with_for_update(skip_locked=True)
        if used:
            connection.execute(update(api_key).where(api_key.c.id.in_(free)).values({column: now}))
    return [None] * len(uses)


def _read(row: Row[tuple[object, ...]]) -> Key:
    permissions = EVERYTHING if row.permissions == "*" else frozenset(map(Permission, row.permissions.split()))
    return Key(
        row.id, row.tenant_id, row.name, permissions, row.created_at, row.expires_at, row.revoked_at, row.last_used_at,
        row.email, row.previous_until, row.previous_used_at,
    )  # fmt: skip
