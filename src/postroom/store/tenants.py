"""Tenants."""

from sqlalchemy import Connection, Row, or_, select
from sqlalchemy import text as sql

from postroom.domain.problems import Conflict
from postroom.domain.tenant import Tenant
from postroom.store.schema import tenant

UNKNOWN = "There is no such tenant."  # said alike for "not there" and "not yours"


def find(connection: Connection, slug: str) -> Tenant | None:
    row = connection.execute(select(tenant).where(tenant.c.slug == slug)).one_or_none()
    return _read(row) if row else None


def by_id(connection: Connection, tenant_id: int) -> Tenant:
    return _read(connection.execute(select(tenant).where(tenant.c.id == tenant_id)).one())


def every(connection: Connection) -> list[Tenant]:
    return [_read(row) for row in connection.execute(select(tenant).order_by(tenant.c.slug))]


def page(connection: Connection, text: str | None, after: str | None, limit: int) -> list[Tenant]:
    """In the order of their slugs; `text` is some part of slug or name, `after` the last slug of the page before."""
    wanted = select(tenant).order_by(tenant.c.slug).limit(limit)
    if text is not None:
        wanted = wanted.where(or_(*(each.icontains(text, autoescape=True) for each in (tenant.c.slug, tenant.c.name))))
    if after is not None:
        wanted = wanted.where(tenant.c.slug > after)
    return [_read(row) for row in connection.execute(wanted)]


def add(connection: Connection, slug: str, name: str, now: int) -> Tenant:
    """Raises Conflict when the slug is taken."""
    statement = sql(
        "INSERT INTO tenant (slug, name, created_at) VALUES (:slug, :name, :now)"
        " ON CONFLICT (slug) DO NOTHING RETURNING id"
    )
    added = connection.execute(statement, {"slug": slug, "name": name, "now": now}).scalar()
    if added is None:
        raise Conflict(f'There is a tenant "{slug}" already.')
    return Tenant(added, slug, name, now)


def _read(row: Row[tuple[int, str, str, int]]) -> Tenant:
    return Tenant(row.id, row.slug, row.name, row.created_at)
