"""All actions together, as the front ends get them."""

from dataclasses import dataclass

from postroom.actions.audit import Audit
from postroom.actions.checks import Checks
from postroom.actions.keys import Keys
from postroom.actions.mail import Mail
from postroom.actions.overview import Overviews
from postroom.actions.profiles import Profiles
from postroom.actions.revisions import Revisions
from postroom.actions.sandbox import SandboxMail
from postroom.actions.status import Status
from postroom.actions.tenants import Tenants
from postroom.actions.trials import Trials
from postroom.actions.vault import VaultKeys


@dataclass(frozen=True, slots=True)
class Room:
    tenants: Tenants
    trials: Trials
    keys: Keys
    profiles: Profiles
    overviews: Overviews
    checks: Checks
    revisions: Revisions
    mail: Mail
    sandbox: SandboxMail
    status: Status
    audit: Audit
    vault: VaultKeys
