"""Tenants: who they are, and which one a request is about."""

from sqlalchemy import Connection

from postroom.domain.access import Caller, Permission
from postroom.domain.problems import Denied, NotFound
from postroom.domain.tenant import DEFAULT, Tenant, is_slug, slug
from postroom.domain.text import one_line
from postroom.store import audit, tenants
from postroom.store.database import Database
from postroom.store.remembered import Remembered


class Tenants:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_slug: Remembered[str, Tenant | None] = Remembered(self._look_up_slug)
        self._by_id: Remembered[int, Tenant] = Remembered(self._look_up_id)

    async def of(self, caller: Caller, asked: str | None) -> Tenant:
        """The tenant a request is about: the credential's, to which host, path or header may only agree.

        A key of the whole installation takes the one asked for, else `default`. Raises NotFound, alike for an unknown
        tenant and for another's (design section 3, rule 1).
        """
        if caller.tenant_id is not None:
            tenant = await self._by_id.get(caller.tenant_id)
            if asked is not None and asked != tenant.slug:
                raise NotFound(tenants.UNKNOWN)
            return tenant
        wanted = asked or DEFAULT
        found = await self._by_slug.get(wanted) if is_slug(wanted) else None
        if found is None:
            raise NotFound(tenants.UNKNOWN)
        return found

    async def visible(self, caller: Caller) -> list[Tenant]:
        """All for a key of the installation, else the caller's own."""
        if caller.tenant_id is not None:
            return [await self._by_id.get(caller.tenant_id)]
        return await self._database.read(tenants.every)

    async def page(self, caller: Caller, text: str | None, after: str | None, limit: int) -> list[Tenant]:
        """A page of all tenants by slug, for keys of the installation; `text` is some part of slug or name."""
        if not caller.is_installation_wide:
            raise Denied("Only a key of the whole installation can see the tenants.")
        return await self._database.read(lambda connection: tenants.page(connection, text, after, limit))

    async def create(self, caller: Caller, wanted: str, name: str) -> Tenant:
        caller.require(Permission.TENANTS_MANAGE)
        if not caller.is_installation_wide:
            raise Denied("Only a key of the whole installation can make tenants.")
        checked, name = slug(wanted), one_line("name", name)
        tenant = await self._database.write(lambda connection: self._create(connection, caller, checked, name))
        self._by_slug.forget()
        return tenant

    def _create(self, connection: Connection, caller: Caller, wanted: str, name: str) -> Tenant:
        now = self._database.now(connection)
        tenant = tenants.add(connection, wanted, name or wanted, now)
        audit.note(connection, caller, "tenant.created", wanted, tenant_id=tenant.id, now=now)
        return tenant

    async def _look_up_slug(self, wanted: str) -> Tenant | None:
        return await self._database.read(lambda connection: tenants.find(connection, wanted))

    async def _look_up_id(self, tenant_id: int) -> Tenant:
        return await self._database.read(lambda connection: tenants.by_id(connection, tenant_id))
