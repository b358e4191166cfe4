"""How the installation is doing, in figures for its operator."""

import time
from dataclasses import dataclass

from postroom.actions.mail import Mail
from postroom.actions.stored_secrets import StoredSecrets
from postroom.domain.access import Caller, Permission
from postroom.domain.problems import Denied
from postroom.store import profiles
from postroom.store.database import Database
from postroom.store.profiles import StoredProfile
from postroom.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Figures:
    """Of this process alone, since it started, but for `trouble`. `accepted` over `commits` says how well commits are
    shared."""

    since: int
    accepted: int
    commits: int
    trouble: tuple[tuple[str, StoredProfile], ...]  # profiles whose mail waits for a person, with their tenants


class Status:
    def __init__(self, database: Database, vault: Vault, mail: Mail) -> None:
        self._database = database
        self._vault = vault
        self._mail = mail
        self._since = time.time_ns() // 1000

    async def figures(self, caller: Caller) -> Figures:
        """For keys of the installation only: the figures are of all tenants together."""
        caller.require(Permission.MAIL_READ)
        if not caller.is_installation_wide:
            raise Denied("Only a key of the whole installation can see how all of it is doing.")
        here, secrets = self._vault.key_ids, StoredSecrets(self._vault)
        found = await self._database.read(lambda connection: profiles.in_trouble(connection, here))
        trouble = tuple((slug, secrets.seen(stored)) for slug, stored in found)
        return Figures(self._since, self._mail.accepted, self._database.commits, trouble)
