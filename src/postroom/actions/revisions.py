"""Revisions of a profile: look at them, and have an old one in force again, together with its secrets."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from postroom import log
from postroom.actions.failover import check_failover
from postroom.domain.access import Caller, Permission
from postroom.domain.problems import Conflict, Problem
from postroom.domain.profile import changed_fields
from postroom.domain.secret import Secret
from postroom.domain.tenant import Tenant
from postroom.store import audit, profiles, revisions, sign_ins
from postroom.store.database import Database
from postroom.store.profiles import Author, StoredProfile
from postroom.store.queue import breaker
from postroom.store.revisions import StoredRevision
from postroom.store.vault import Vault


class Revisions:
    """`changed` is called when another revision is in force."""

    def __init__(self, database: Database, vault: Vault, changed: Callable[[], None]) -> None:
        self._database = database
        self._vault = vault
        self._changed = changed

    async def page(
        self, caller: Caller, tenant: Tenant, profile_id: int | None, before: int | None, limit: int
    ) -> list[StoredRevision]:
        """The newest first. Raises NotFound."""
        caller.require(Permission.SETTINGS_READ)

        def read(connection: Connection) -> list[StoredRevision]:
            stored = profiles.get(connection, tenant.id, profile_id)
            return revisions.page(connection, tenant.id, stored.id, before, limit)

        return await self._database.read(read)

    async def show(self, caller: Caller, tenant: Tenant, profile_id: int | None, number: int) -> StoredRevision:
        """Raises NotFound."""
        caller.require(Permission.SETTINGS_READ)

        def read(connection: Connection) -> StoredRevision:
            stored = profiles.get(connection, tenant.id, profile_id)
            return revisions.get(connection, tenant.id, stored.id, number)

        return await self._database.read(read)

    async def restore(
        self, caller: Caller, tenant: Tenant, profile_id: int | None, number: int, *,
        dialect: str, if_revision: int | None = None,
    ) -> StoredProfile:  # fmt: skip
        """A new revision with the settings of an old one, whole, and the secrets that went with exactly those; so none
        goes where it was not entered for. What is in force already makes no revision.

        Raises NotFound, Stale, Conflict when a secret of it can't be opened, Invalid when it fails over to a profile
        that can't stand in any more.
        """
        caller.require(Permission.SETTINGS_WRITE)

        def step(connection: Connection) -> StoredProfile:
            stored = profiles.standing(connection, tenant.id, profile_id, if_revision)
            stored = stored or profiles.get(connection, tenant.id, profile_id)
            old = revisions.get(connection, tenant.id, stored.id, number)
            password = self._openable(tenant, stored.id, old)
            changes = self._changes(stored, old, password)
            if not changes:
                breaker.end_rest(connection, stored.lane)
                return stored
            if "failover" in changes:
                check_failover(connection, tenant.id, stored.id, old.settings.failover)
            return self._put_in_force(connection, caller, tenant, stored, old, password, changes, dialect)

        restored = await self._database.write(step)
        self._changed()
        return restored

    def _openable(self, tenant: Tenant, profile_id: int, old: StoredRevision) -> Secret | None:
        """The password of a revision; the refresh token is looked at, too. Raises Conflict."""
        try:
            if old.sign_in is not None:
                self._vault.open(old.sign_in.sealed, sign_ins.place(tenant.id, profile_id))
            if old.sealed_password is None:
                return None
            return self._vault.open(old.sealed_password, profiles.place(tenant.id, profile_id))
        except Problem as problem:
            raise Conflict(f"Revision {old.number} can't be restored, nothing was changed. {problem.message}") from None

    def _changes(self, stored: StoredProfile, old: StoredRevision, password: Secret | None) -> dict[str, Any]:
        changes: dict[str, Any] = dict(changed_fields(stored.settings, old.settings))
        if not self._is_in_force(stored, password):
            changes["password"] = "changed" if password is not None else "cleared"
        if _id_of(stored) != _id_of(old):
            changes["refresh_token"] = "changed" if old.sign_in is not None else "cleared"
        return changes

    def _is_in_force(self, stored: StoredProfile, password: Secret | None) -> bool:
        if stored.sealed_password is None or password is None:
            return stored.sealed_password is None and password is None
        try:
            return self._vault.open(stored.sealed_password, profiles.place(stored.tenant_id, stored.id)) == password
        except Problem:  # going back to one that can be opened is the way out of that
            return False

    def _put_in_force(
        self, connection: Connection, caller: Caller, tenant: Tenant, stored: StoredProfile, old: StoredRevision,
        password: Secret | None, changes: dict[str, Any], dialect: str,
    ) -> StoredProfile:  # fmt: skip
        now = self._database.now(connection)
        sealed = self._vault.seal(password, profiles.place(tenant.id, stored.id)) if password is not None else None
        number = profiles.revise(
            connection, tenant.id, stored.id, old.settings, sealed_password=sealed, changes=changes, now=now,
            author=Author(caller.name, caller.key_id, dialect), sign_in_id=_id_of(old),
        )  # fmt: skip
        audit.note(
            connection, caller, "profile.restored", str(stored.id), tenant_id=tenant.id, now=now, dialect=dialect,
            detail={"revision": number, "restored": old.number, "changes": changes},
        )  # fmt: skip
        log.settings_saved(tenant.slug, stored.id, number, dialect, sorted(changes))
        return profiles.get(connection, tenant.id, stored.id)


def _id_of(whose: StoredProfile | StoredRevision) -> int | None:
    """Of the sign-in: one row, in which the newest refresh token stands, for all revisions that go with it."""
    return whose.sign_in.id if whose.sign_in is not None else None
