"""The audit: read it, and verify that nobody has rewritten it."""

from collections.abc import Awaitable
from dataclasses import dataclass

from postroom.domain.access import Caller, Permission
from postroom.domain.problems import Denied, Invalid
from postroom.domain.tenant import Tenant
from postroom.store import audit
from postroom.store.audit import AuditSearch, Verified
from postroom.store.audit_chain import Entry, Head, Sealer
from postroom.store.database import Database
from postroom.store.vault import Vault


@dataclass(slots=True)
class Progress:
    """How far a verification is, in rows, for whoever shows it: it is written where the rows are read, in another
    thread. Whoever waits no longer sets `is_abandoned`: a long walk should not go on for nobody."""

    of: int = 0
    rows: int = 0
    is_abandoned: bool = False

    def saw(self, rows: int) -> None:
        self.rows += rows
        if self.is_abandoned:
            raise Abandoned


class Abandoned(Exception):
    """Nobody waits for this."""


class Audit:
    """With tenant None it is about the installation and all tenants together, for its keys only."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def page(self, caller: Caller, tenant: Tenant | None, search: AuditSearch) -> list[Entry]:
        tenant_id = _scope(caller, tenant)
        return await self._database.read(lambda connection: audit.page(connection, tenant_id, search))

    async def verify(self, caller: Caller, tenant: Tenant | None, kept: str | None) -> list[Verified]:
        """Each chain. `kept` is the head of the one chain as it was told before. Raises Invalid."""
        return await self.verifying(caller, tenant, kept, Progress())

    def verifying(
        self, caller: Caller, tenant: Tenant | None, kept: str | None, progress: Progress
    ) -> Awaitable[list[Verified]]:
        """As `verify`, with what is refused raised here already, before anything is walked."""
        tenant_id = _scope(caller, tenant)
        head = _head(kept) if kept is not None else None
        if head is not None and tenant is None:
            raise Invalid("head", "A head is of one chain: name its tenant.")
        return self._verify(tenant_id, head, progress, is_everything=tenant is None)

    async def _verify(
        self, tenant_id: int | None, kept: Head | None, progress: Progress, *, is_everything: bool
    ) -> list[Verified]:
        wanted = await self._database.read(audit.chains) if is_everything else [tenant_id]
        progress.of = await self._database.read(lambda connection: audit.rows(connection, wanted))
        return [await self._verify_one(each, kept, progress) for each in wanted]

    async def _verify_one(self, tenant_id: int | None, kept: Head | None, progress: Progress) -> Verified:
        return await self._database.read(
            lambda connection: audit.verify(connection, tenant_id, self._sealer, kept, progress.saw)
        )


def sealer_of(vault: Vault) -> Sealer:
    def key_of(key_id: str) -> bytes | None:
        try:
            return vault.derive("audit", key_id)
        except KeyError:
            return None

    return Sealer(lambda: vault.key_id, key_of)


def _scope(caller: Caller, tenant: Tenant | None) -> int | None:
    caller.require(Permission.AUDIT_READ)
    if tenant is None and not caller.is_installation_wide:
        raise Denied("Only a key of the whole installation can see the audit of all of it.")
    return tenant.id if tenant is not None else None


def _head(text: str) -> Head:
    count, _, known = text.strip().partition(":")
    if not (count.isascii() and count.isdigit() and len(count) <= 9 and known):
        raise Invalid("head", "A head reads as verifying told it: the number of rows, a colon, the last hash.")
    return Head(int(count), known)
