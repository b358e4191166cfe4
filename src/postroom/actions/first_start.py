"""The first start: a tenant, an admin key, and settings that point to the sandbox, so that the first mail arrives
somewhere a newcomer can see it."""

from sqlalchemy import Connection

from postroom import log
from postroom.actions.vault import FACT, remember
from postroom.domain.access import EVERYTHING, Caller
from postroom.domain.problems import Invalid
from postroom.domain.profile import Profile
from postroom.domain.secret import Secret
from postroom.domain.tenant import DEFAULT
from postroom.store import audit, facts, keys, profiles, tenants
from postroom.store.database import Database
from postroom.store.profiles import Author
from postroom.store.vault import Vault

SHORTEST_ADMIN_KEY = 16
SANDBOX_SENDER = "postroom@localhost"
_STARTER = Caller("start", "the first start", None, EVERYTHING)


async def settle_in(
    database: Database, vault: Vault, *, sandbox: tuple[str, int] | None, admin_key: Secret | None
) -> Secret | None:
    """Make what is missing; returns the admin key if one was drawn, to be shown this once.

    Raises Invalid when the vault key is not the one that this database was sealed with, or the admin key is too weak.
    """
    if admin_key is not None and len(admin_key.reveal()) < SHORTEST_ADMIN_KEY:
        raise Invalid("POSTROOM_ADMIN_KEY", f"POSTROOM_ADMIN_KEY needs at least {SHORTEST_ADMIN_KEY} characters.")
    return await database.write(lambda connection: _settle_in(database, connection, vault, sandbox, admin_key))


def sandbox_settings(sandbox: tuple[str, int]) -> Profile:
    """The settings that lead to the sandbox relay."""
    return Profile(host=sandbox[0], port=sandbox[1], sender_address=SANDBOX_SENDER, sender_name="Postroom")


def _settle_in(
    database: Database, connection: Connection, vault: Vault, sandbox: tuple[str, int] | None, admin_key: Secret | None
) -> Secret | None:
    now = database.now(connection)
    _check_vault(connection, vault)
    audit.begin(connection, now)
    if tenants.find(connection, DEFAULT) is None:
        _first_tenant(connection, sandbox, now)
    if admin_key is not None:
        if keys.by_digest(connection, keys.digest(admin_key)) is None:
            _add_admin_key(connection, admin_key, "admin (POSTROOM_ADMIN_KEY)", now)
        return None
    if keys.any_at_all(connection):
        return None
    drawn = keys.fresh()
    _add_admin_key(connection, drawn, "admin", now)
    return drawn


def _check_vault(connection: Connection, vault: Vault) -> None:
    """A wrong vault key is found at the start, not when the first mail should go out. One of several that is missing
    blocks what it sealed, and nothing else."""
    known = (facts.recall(connection, FACT) or vault.key_id).split()
    missing = [each for each in known if each not in vault.key_ids]
    if len(missing) == len(known) and not vault.lost.issuperset(missing):
        raise Invalid(
            "POSTROOM_VAULT_KEY",
            f"The vault key ({' '.join(vault.key_ids)}) is not the one that this database's secrets were sealed with "
            f"({' '.join(known)}). Restore data/vault.key or POSTROOM_VAULT_KEY; if it is lost for good, add "
            f"{' '.join(f'lost:{each}' for each in missing)} to the keys there, and enter every secret again.",
        )
    remember(connection, vault)
    if missing:
        log.vault_keys_missing(missing, list(vault.key_ids))


def _first_tenant(connection: Connection, sandbox: tuple[str, int] | None, now: int) -> None:
    tenant = tenants.add(connection, DEFAULT, "Default", now)
    audit.note(connection, _STARTER, "tenant.created", DEFAULT, tenant_id=tenant.id, now=now)
    if sandbox is None:
        return
    settings = sandbox_settings(sandbox)
    profile_id, _lane = profiles.add(connection, tenant.id, "default", now=now)
    author = Author(_STARTER.name, _STARTER.key_id, "native")
    profiles.revise(
        connection, tenant.id, profile_id, settings, sealed_password=None, changes={}, author=author, now=now
    )
    audit.note(connection, _STARTER, "profile.saved", str(profile_id), tenant_id=tenant.id, now=now)


def _add_admin_key(connection: Connection, key: Secret, name: str, now: int) -> None:
    added = keys.add(connection, key, tenant_id=None, name=name, permissions=EVERYTHING, now=now)
    audit.note(connection, _STARTER, "key.created", added.id, tenant_id=None, now=now, detail={"name": name})
