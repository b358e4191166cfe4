"""How the installation is doing, in figures for its operator."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from postroom.actions.mail import Mail
from postroom.actions.stored_secrets import StoredSecrets
from postroom.domain.access import Caller, Permission
from postroom.domain.counts import Counts
from postroom.domain.problems import Denied
from postroom.smtp.certificates import Certificates
from postroom.store import profiles
from postroom.store.database import Database
from postroom.store.profiles import StoredProfile
from postroom.store.queue.backlog import Backlog, backlog
from postroom.store.vault import Vault

KEPT = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """Of this process alone, since it started, but for `trouble`. `accepted` over `commits` says how well commits are
    shared."""

    since: int
    accepted: int
    commits: int
    trouble: tuple[tuple[str, StoredProfile], ...]  # profiles whose mail waits for a person, with their tenants


@dataclass(frozen=True, slots=True)
class Readings:
    """For a monitoring system. All but the backlog is of this process alone, since it started."""

    accepted: int
    commits: int
    jobs: int
    counts: Counts
    backlog: Backlog
    certificates: Mapping[str, float]  # when they end, seconds since 1970, by relay
    disk_free: int | None  # octets; None on PostgreSQL


class Status:
    def __init__(
        self, database: Database, vault: Vault, mail: Mail, counts: Counts | None = None,
        certificates: Certificates | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._vault = vault
        self._mail = mail
        self._since = time.time_ns() // 1000
        self._counts = counts or Counts()
        self._certificates = certificates or Certificates()
        self._looking = asyncio.Lock()
        self._backlog: tuple[float, Backlog] | None = None

    async def backlog(self, *, fresh: bool = False) -> Backlog:
        """At most some seconds old, however many ask; `fresh`: one that was not looked at before this second."""
        async with self._looking:
            if self._backlog is None or time.monotonic() - self._backlog[0] > (1.0 if fresh else KEPT):
                found = await self._database.read(lambda each: backlog(each, self._database.now(each)))
                self._backlog = time.monotonic(), found
            return self._backlog[1]

    async def readings(self, caller: Caller) -> Readings:
        """For keys of the installation only, as `figures`."""
        _require_operator(caller)
        space = self._database.space
        return Readings(
            self._mail.accepted, self._database.commits, self._database.jobs, self._counts, await self.backlog(),
            self._certificates.ends(), space.free if space is not None else None,
        )  # fmt: skip

    async def figures(self, caller: Caller) -> Figures:
        """For keys of the installation only: the figures are of all tenants together."""
        _require_operator(caller)
        here, secrets = self._vault.key_ids, StoredSecrets(self._vault)
        found = await self._database.read(lambda connection: profiles.in_trouble(connection, here))
        trouble = tuple((slug, secrets.seen(stored)) for slug, stored in found)
        return Figures(self._since, self._mail.accepted, self._database.commits, trouble)


def _require_operator(caller: Caller) -> None:
    caller.require(Permission.MAIL_READ)
    if not caller.is_installation_wide:
        raise Denied("Only a key of the whole installation can see how all of it is doing.")
