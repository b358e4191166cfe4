"""The sandbox's mailbox: what would have gone out."""

from postroom.domain.access import Caller, Permission
from postroom.domain.tenant import Tenant
from postroom.store import caught
from postroom.store.caught import CaughtRead
from postroom.store.database import Database
from postroom.store.vault import Vault


class SandboxMail:
    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def every(
        self, caller: Caller, tenant: Tenant, before: str | None, limit: int, text: str | None = None
    ) -> list[CaughtRead]:
        """A page, newest first; `text` is some part of the subject or of an address."""
        caller.require(Permission.MAIL_READ)
        return await self._database.read(lambda connection: caught.page(connection, tenant.id, before, limit, text))

    async def show(self, caller: Caller, tenant: Tenant, caught_id: str) -> CaughtRead:
        """Raises NotFound."""
        caller.require(Permission.MAIL_READ)
        return await self._database.read(lambda connection: caught.get(connection, self._vault, tenant.id, caught_id))

    async def empty(self, caller: Caller, tenant: Tenant) -> int:
        caller.require(Permission.MAIL_MANAGE)
        return await self._database.write(lambda connection: caught.empty(connection, tenant.id))
