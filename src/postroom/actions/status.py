"""How the installation is doing, in figures for its operator."""

import time
from dataclasses import dataclass

from postroom.actions.mail import Mail
from postroom.domain.access import Caller, Permission
from postroom.domain.problems import Denied
from postroom.store.database import Database


@dataclass(frozen=True, slots=True)
class Figures:
    """Of this process alone, since it started. `accepted` over `commits` says how well commits are shared."""

    since: int
    accepted: int
    commits: int


class Status:
    def __init__(self, database: Database, mail: Mail) -> None:
        self._database = database
        self._mail = mail
        self._since = time.time_ns() // 1000

    def figures(self, caller: Caller) -> Figures:
        """For keys of the installation only: the figures are of all tenants together."""
        caller.require(Permission.MAIL_READ)
        if not caller.is_installation_wide:
            raise Denied("Only a key of the whole installation can see how all of it is doing.")
        return Figures(self._since, self._mail.accepted, self._database.commits)
