"""Tenants."""

from sqlalchemy import Connection, Row, insert, select

from postroom.domain.problems import Conflict, NotFound
from postroom.domain.tenant import Tenant
from postroom.store.schema import tenant

UNKNOWN = "There is no such tenant."  # said alike for "not there" and "not yours"


def by_slug(connection: Connection, slug: str) -> Tenant:
    """Raises NotFound."""
    return _one(connection.execute(select(tenant).where(tenant.c.slug == slug)).one_or_none())


def by_id(connection: Connection, tenant_id: int) -> Tenant:
    """Raises NotFound."""
    return _one(connection.execute(select(tenant).where(tenant.c.id == tenant_id)).one_or_none())


def every(connection: Connection) -> list[Tenant]:
    return [_read(row) for row in connection.execute(select(tenant).order_by(tenant.c.slug))]


def add(connection: Connection, slug: str, name: str, now: int) -> Tenant:
    """Raises Conflict when the slug is taken."""
    if connection.execute(select(tenant.c.id).where(tenant.c.slug == slug)).first():
        raise Conflict(f'There is a tenant "{slug}" already.')
    added = insert(tenant).values(slug=slug, name=name, created_at=now).returning(tenant.c.id)
    return Tenant(connection.execute(added).scalar_one(), slug, name, now)


def _one(row: Row[tuple[int, str, str, int]] | None) -> Tenant:
    if row is None:
        raise NotFound(UNKNOWN)
    return _read(row)


def _read(row: Row[tuple[int, str, str, int]]) -> Tenant:
    return Tenant(row.id, row.slug, row.name, row.created_at)
