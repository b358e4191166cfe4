"""Which profile may stand in for which."""

from sqlalchemy import Connection

from postroom.domain.problems import Invalid
from postroom.store import profiles


def check_failover(connection: Connection, tenant_id: int, profile_id: int | None, target: int | None) -> None:
    """One step and no further: what stands in for somebody has nobody who stands in for it. Raises Invalid."""
    if target is None:
        return
    there = profiles.find(connection, tenant_id, target)
    if there is None:
        raise Invalid("failover", f"There is no profile {target} to fail over to.")
    if target == profile_id:
        raise Invalid("failover", "A profile can't fail over to itself: name another one.")
    if there.settings.failover is not None and profiles.find(connection, tenant_id, there.settings.failover):
        raise Invalid("failover", f"Profile {target} fails over to another one itself: name one that does not.")
    if profile_id is not None and (before := profiles.failing_over_to(connection, tenant_id, profile_id)):
        names = ", ".join(str(each.id) for each in before)
        raise Invalid("failover", f"Profile {names} fails over to this one, so this one can't fail over any further.")
