"""Profiles: read, save, delete. Every way in (native API, dialects, command line) saves by `Profiles.save`."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Connection

from postroom import log
from postroom.actions.failover import check_failover
from postroom.actions.sign_ins import GivenSignIn, SignIns, digest
from postroom.actions.stored_secrets import StoredSecrets
from postroom.domain.access import Caller, Permission
from postroom.domain.destination import Secrets, destination, keep_or_replace_secrets
from postroom.domain.problems import Conflict
from postroom.domain.profile import KEEP, Patch, Profile, apply, changed_fields
from postroom.domain.secret import Secret
from postroom.domain.tenant import Tenant
from postroom.domain.text import one_line
from postroom.smtp.route import Route
from postroom.smtp.sign_in import SignIn
from postroom.store import audit, profiles, sign_ins
from postroom.store.database import Database
from postroom.store.profiles import Author, StoredProfile
from postroom.store.queue import breaker
from postroom.store.queue.lanes import waiting_in
from postroom.store.references import References
from postroom.store.vault import Vault

Change = Callable[[StoredProfile | None], Patch]
RouteWith = Callable[[Profile, Secret | None, SignIn | None], Route]


class Profiles:
    """`changed` is called after every change, so that whoever keeps settings in memory looks again. `fallback` are the
    installation's own settings, which a tenant can go back to."""

    def __init__(
        self, database: Database, vault: Vault, references: References, route_with: RouteWith,
        changed: Callable[[], None], fallback: Profile | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._vault = vault
        self._references = references
        self._secrets = StoredSecrets(vault)
        self._sign_ins = SignIns(database, vault)
        self._route_with = route_with
        self._changed = changed
        self._fallback = fallback

    @property
    def fallback(self) -> Profile | None:
        """The installation's own settings."""
        return self._fallback

    def is_fallback(self, stored: StoredProfile | None) -> bool:
        """Whether these are the installation's own settings, or none at all."""
        return stored is None or stored.settings == self._fallback

    async def show(self, caller: Caller, tenant: Tenant, profile_id: int | None = None) -> StoredProfile:
        """One profile, or the default one. Raises NotFound."""
        caller.require(Permission.SETTINGS_READ)
        get = self._database.read(lambda connection: profiles.get(connection, tenant.id, profile_id))
        return self._secrets.seen(await get)

    async def find(self, caller: Caller, tenant: Tenant, profile_id: int | None = None) -> StoredProfile | None:
        """One profile, or the default one; None where there are no settings yet. Raises NotFound for an unknown id."""
        caller.require(Permission.SETTINGS_READ)
        find = profiles.find if profile_id is None else profiles.get
        return await self._database.read(lambda connection: find(connection, tenant.id, profile_id))

    async def are_none(self, tenant: Tenant) -> bool:
        """Whether the tenant has no settings yet."""
        return await self._database.read(lambda connection: profiles.find(connection, tenant.id, None)) is None

    async def every(self, caller: Caller, tenant: Tenant) -> list[StoredProfile]:
        caller.require(Permission.SETTINGS_READ)
        found = await self._database.read(lambda connection: profiles.every(connection, tenant.id))
        return [self._secrets.seen(each) for each in found]

    async def save(
        self, caller: Caller, tenant: Tenant, profile_id: int | None, change: Change, *,
        dialect: str, if_revision: int | None = None, clear_if_moved: bool = False,
    ) -> StoredProfile:  # fmt: skip
        """Change a profile (None: the default one, made if there is none). `change` sees what stands and says what to
        change, inside the transaction. A save that changes nothing makes no revision.

        Raises NotFound, Invalid, SecretNeeded, and Stale when `if_revision` is no longer the one in force.
        """
        caller.require(Permission.SETTINGS_WRITE)

        def step(connection: Connection) -> StoredProfile:
            before = profiles.standing(connection, tenant.id, profile_id, if_revision)
            patch = change(before)
            return self._save(connection, caller, tenant, before, patch, dialect, clear_if_moved=clear_if_moved)

        return await self._saved(step)

    async def create(self, caller: Caller, tenant: Tenant, name: str, patch: Patch, *, dialect: str) -> StoredProfile:
        """One more profile. The first of a tenant becomes its default."""
        caller.require(Permission.SETTINGS_WRITE)
        one_line("name", name)
        return await self._saved(
            lambda connection: self._save(connection, caller, tenant, None, patch, dialect, name=name)
        )

    async def arrange(
        self, caller: Caller, tenant: Tenant, profile_id: int, *, name: str | None, make_default: bool
    ) -> StoredProfile:
        """Name a profile, or make it the default. Not a revision: no setting changes."""
        caller.require(Permission.SETTINGS_WRITE)
        one_line("name", name or "")

        def step(connection: Connection) -> StoredProfile:
            profiles.lock(connection, tenant.id)
            before = profiles.get(connection, tenant.id, profile_id)
            if name is not None:
                profiles.name_it(connection, tenant.id, profile_id, name)
            if make_default:
                profiles.make_default(connection, tenant.id, profile_id)
            after = profiles.get(connection, tenant.id, profile_id)
            changes = {"name": (before.name, after.name), "default": (before.is_default, after.is_default)}
            detail = {"changes": {word: each for word, each in changes.items() if each[0] != each[1]}}
            self._note(connection, caller, tenant, "profile.arranged", profile_id, detail)
            return after

        return await self._saved(step)

    async def delete(
        self, caller: Caller, tenant: Tenant, profile_id: int | None, *,
        dialect: str = "native", if_revision: int | None = None,
    ) -> None:  # fmt: skip
        """Raises Conflict while mail waits for it: nothing that was accepted is dropped on the side; and Stale."""
        caller.require(Permission.SETTINGS_WRITE)

        def step(connection: Connection) -> None:
            stored = profiles.standing(connection, tenant.id, profile_id, if_revision)
            stored = stored or profiles.get(connection, tenant.id, profile_id)
            waiting = waiting_in(connection, stored.lane)
            if waiting:
                raise Conflict(f"Mail still waits for this profile ({waiting}): let it go out or cancel it first.")
            profiles.delete(connection, stored, self._database.now(connection))
            self._note(connection, caller, tenant, "profile.deleted", stored.id, {}, dialect)

        await self._database.write(step)
        self._changed()

    async def worked(self, tenant: Tenant, profile_id: int | None, route: Route) -> None:
        """The relay was just found to be well with this route: if that is the stored one, its mail waits no longer."""

        def step(connection: Connection) -> None:
            stored = profiles.find(connection, tenant.id, profile_id)
            same = stored is not None and (stored.settings, self._secrets.of(stored).password) == (
                route.profile,
                route.password,
            )
            if stored is not None and same and stored.failures:
                breaker.end_rest(connection, stored.lane)

        await self._database.write(step)
        self._changed()

    async def pause(self, caller: Caller, tenant: Tenant, profile_id: int | None) -> StoredProfile:
        """Keep the profile's mail until it is resumed; what is on the wire comes to its end. Raises NotFound."""
        return await self._arrange_lane(caller, tenant, profile_id, "profile.paused", breaker.pause)

    async def resume(self, caller: Caller, tenant: Tenant, profile_id: int | None) -> StoredProfile:
        """Go on at once, whether it was paused or rests; with one delivery first if it had failed. Raises NotFound."""
        return await self._arrange_lane(
            caller, tenant, profile_id, "profile.resumed", lambda connection, lane, _: breaker.resume(connection, lane)
        )

    async def _arrange_lane(
        self, caller: Caller, tenant: Tenant, profile_id: int | None, action: str,
        arrange: Callable[[Connection, int, int], None],
    ) -> StoredProfile:  # fmt: skip
        caller.require(Permission.SETTINGS_WRITE)

        def step(connection: Connection) -> StoredProfile:
            stored = profiles.get(connection, tenant.id, profile_id)
            arrange(connection, stored.lane, self._database.now(connection))
            self._note(connection, caller, tenant, action, stored.id, {})
            return profiles.get(connection, tenant.id, stored.id)

        return await self._saved(step)

    async def route_with(
        self, caller: Caller, tenant: Tenant, profile_id: int | None, change: Change | None, *,
        clear_if_moved: bool = False, is_new: bool = False,
    ) -> Route:  # fmt: skip
        """The way to the relay as it would be after `change` (None: as it is), under the same rules as a save. With
        `is_new` there is nothing yet to change. Raises NotFound, Invalid, SecretNeeded, SecretLost."""
        caller.require(Permission.SETTINGS_CHECK)

        def settle(connection: Connection) -> Route:
            if change is None:
                return self._stored_route(profiles.get(connection, tenant.id, profile_id))
            find = profiles.find if profile_id is None else profiles.get
            before = None if is_new else find(connection, tenant.id, profile_id)
            new, secrets = self._after(caller, before, change(before), clear_if_moved)
            return self._route_with(new, secrets.password, self._sign_in_with(before, new, secrets))

        return await self._database.read(settle)

    def _stored_route(self, stored: StoredProfile) -> Route:
        return self._route_with(stored.settings, self._secrets.of(stored).password, self._sign_ins.of(stored))

    def _sign_in_with(self, before: StoredProfile | None, new: Profile, secrets: Secrets) -> SignIn | None:
        unchanged = "refresh_token" not in self._secrets.changed(before, secrets)
        if before is not None and unchanged and _same_destination(before, new):
            return self._sign_ins.of(before)
        return GivenSignIn(secrets.refresh_token) if secrets.refresh_token is not None else None

    async def reset(self, caller: Caller, tenant: Tenant, *, dialect: str) -> StoredProfile | None:
        """Back to the installation's own settings; without such, to none. Raises Conflict while mail waits for them."""
        caller.require(Permission.SETTINGS_WRITE)
        fallback = self._fallback
        if fallback is not None:
            settings = {f.name: getattr(fallback, f.name) for f in fields(fallback)}
            whole = Patch(**settings, password=None, refresh_token=None)
            return await self.save(caller, tenant, None, lambda _stored: whole, dialect=dialect)
        if await self.find(caller, tenant) is not None:
            await self.delete(caller, tenant, None, dialect=dialect)
        return None

    async def _saved(self, step: Callable[[Connection], StoredProfile]) -> StoredProfile:
        saved = await self._database.write(step)
        self._changed()
        return saved

    def _save(
        self, connection: Connection, caller: Caller, tenant: Tenant, before: StoredProfile | None, patch: Patch,
        dialect: str, name: str = "default", clear_if_moved: bool = False,
    ) -> StoredProfile:  # fmt: skip
        old = before.settings if before else None
        new, secrets = self._after(caller, before, patch, clear_if_moved)
        changes: dict[str, Any] = {**changed_fields(old, new), **self._secrets.changed(before, secrets)}
        if before is not None and not changes:
            breaker.end_rest(connection, before.lane)  # perhaps it is the relay that was mended
            return profiles.get(connection, tenant.id, before.id)
        if "failover" in changes:
            check_failover(connection, tenant.id, before.id if before else None, new.failover)
        return self._revise(connection, caller, tenant, before, new, secrets, changes, dialect, name)

    def _after(
        self, caller: Caller, before: StoredProfile | None, patch: Patch, clear_if_moved: bool
    ) -> tuple[Profile, Secrets]:
        """Settings and secrets after a change."""
        old = before.settings if before else None
        new = apply(old, patch)
        known = _same_destination(before, new) and _is_what_was_entered(before, patch)
        if known and not self._secrets.is_lost(before, "refresh_token"):
            patch = replace(patch, refresh_token=KEEP)
        if isinstance(patch.password, Secret):
            self._references.check(patch.password, by_operator=caller.is_installation_wide)
        stored = self._secrets.to_change(before, patch)
        return new, keep_or_replace_secrets(old, new, patch, stored, clear_if_moved=clear_if_moved)

    def _revise(
        self, connection: Connection, caller: Caller, tenant: Tenant, before: StoredProfile | None, new: Profile,
        secrets: Secrets, changes: dict[str, Any], dialect: str, name: str,
    ) -> StoredProfile:  # fmt: skip
        now = self._database.now(connection)
        profile_id = before.id if before else profiles.add(connection, tenant.id, name, now=now)[0]
        password = secrets.password
        sealed = self._vault.seal(password, profiles.place(tenant.id, profile_id)) if password else None
        sign_in_id = before.sign_in.id if before is not None and before.sign_in is not None else None
        # The same token for another destination is another sign-in: what one gives in its place is not for the other.
        if "refresh_token" in changes or not _same_destination(before, new):
            sign_in_id = self._begin_sign_in(connection, tenant, profile_id, secrets.refresh_token)
        number = profiles.revise(
            connection, tenant.id, profile_id, new, sealed_password=sealed, changes=changes, sign_in_id=sign_in_id,
            author=Author(caller.name, caller.key_id, dialect), now=now,
        )  # fmt: skip
        detail = {"revision": number, "changes": changes}
        self._note(connection, caller, tenant, "profile.saved", profile_id, detail, dialect)
        log.settings_saved(tenant.slug, profile_id, number, dialect, sorted(changes))
        return profiles.get(connection, tenant.id, profile_id)

    def _begin_sign_in(
        self, connection: Connection, tenant: Tenant, profile_id: int, token: Secret | None
    ) -> int | None:
        if token is None:
            return None
        sealed = self._vault.seal(token, sign_ins.place(tenant.id, profile_id))
        return sign_ins.add(connection, sealed, digest(token), now=self._database.now(connection))

    def _note(
        self, connection: Connection, caller: Caller, tenant: Tenant, action: str, profile_id: int,
        detail: dict[str, Any], dialect: str = "native",
    ) -> None:  # fmt: skip
        audit.note(
            connection, caller, action, str(profile_id), tenant_id=tenant.id, now=self._database.now(connection),
            detail=detail, dialect=dialect,
        )  # fmt: skip


def _same_destination(before: StoredProfile | None, new: Profile) -> bool:
    return before is not None and destination(before.settings) == destination(new)


def _is_what_was_entered(before: StoredProfile | None, patch: Patch) -> bool:
    """A script that gives the same refresh token on each run must not undo what the provider has replaced it with."""
    given, sign_in = patch.refresh_token, before.sign_in if before is not None else None
    return isinstance(given, Secret) and sign_in is not None and digest(given) == sign_in.entered
