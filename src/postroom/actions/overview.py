"""How a tenant stands: its profiles, its mail of the last day, and what needs somebody. Each part is there only for who
may see it."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from postroom.actions.stored_secrets import StoredSecrets
from postroom.domain.access import Caller, Permission
from postroom.domain.delivery import SECOND, Scope
from postroom.domain.tenant import Tenant
from postroom.smtp.certificates import Certificates
from postroom.store import keys, overview, profiles
from postroom.store.database import Database
from postroom.store.keys import Key
from postroom.store.overview import HOUR, Hour, LaneRead
from postroom.store.profiles import StoredProfile
from postroom.store.vault import Vault

HOURS = 24  # in the chart, the one that has begun included
SETTLED_FOR = 300 * SECOND  # how long a closed hour is believed in which nothing waits any more: one may be retried
WAITING_FOR = 15 * SECOND  # how long one in which something waits
MOST_HOURS = 20_000  # kept in memory
SOME_WAY = 0.01  # seconds: so long is always counted, or asking again would get no further
SOON = 14 * 86_400 * SECOND  # certificates and keys that end within this need somebody
MOST_ELSEWHERE = 20


@dataclass(frozen=True, slots=True)
class ProfileState:
    """A profile with what its mail waits for. `through`: the one that sends its mail now, while its relay is away.
    `certificate_ends`: of its relay, as this process last saw it (microseconds since 1970)."""

    stored: StoredProfile
    lane: LaneRead
    through: StoredProfile | None = None
    certificate_ends: int | None = None

    def is_resting(self, now: int) -> bool:
        return self.stored.paused_at is None and (self.stored.rests_until or 0) > now


@dataclass(frozen=True, slots=True)
class Overview:
    """None for what the caller may not see. `elsewhere`: profiles in trouble of other tenants, with their tenants."""

    now: int
    states: tuple[ProfileState, ...] | None = None
    hours: tuple[Hour, ...] | None = None
    is_counting: bool = False  # the hours are not all counted yet
    held: int = 0
    keys_ending: tuple[Key, ...] = ()
    elsewhere: tuple[tuple[str, StoredProfile], ...] = field(default=())

    @property
    def oldest(self) -> int | None:
        """When the mail was handed in that has waited longest."""
        return min((each.lane.oldest for each in self.states or () if each.lane.oldest is not None), default=None)


class Overviews:
    def __init__(self, database: Database, vault: Vault, certificates: Certificates) -> None:
        self._database = database
        self._vault = vault
        self._secrets = StoredSecrets(vault)
        self._certificates = certificates
        self._hours: OrderedDict[tuple[int, int], tuple[int, Hour]] = OrderedDict()

    async def states(self, caller: Caller, tenant: Tenant) -> tuple[ProfileState, ...]:
        """Every profile of the tenant."""
        caller.require(Permission.SETTINGS_READ)
        return await self._database.read(lambda each: self._states(each, tenant, self._database.now(each)))

    async def of(self, caller: Caller, tenant: Tenant, patience: float | None = None) -> Overview:
        """With `patience` (seconds for all of it) a day that takes longer to count is left out: what was counted of it
        is remembered, so that asking again gets further."""
        now = asyncio.get_running_loop().time
        end = now() + patience if patience is not None else None
        found = await self._database.read(lambda connection: self._of(connection, caller, tenant))
        if Permission.MAIL_READ not in caller.permissions:
            return found
        try:
            async with asyncio.timeout_at(end and max(end, now() + SOME_WAY)):
                return replace(found, hours=await self._day(tenant, found.now))
        except TimeoutError:
            return replace(found, is_counting=True)

    def _of(self, connection: Connection, caller: Caller, tenant: Tenant) -> Overview:
        now, may = self._database.now(connection), caller.permissions
        sees_settings, sees_mail = Permission.SETTINGS_READ in may, Permission.MAIL_READ in may
        return Overview(
            now,
            states=self._states(connection, tenant, now) if sees_settings else None,
            held=overview.held(connection, tenant.id) if sees_mail else 0,
            keys_ending=self._keys_ending(connection, caller, tenant, now) if Permission.KEYS_MANAGE in may else (),
            elsewhere=self._elsewhere(connection, tenant) if caller.is_installation_wide and sees_settings else (),
        )

    def _states(self, connection: Connection, tenant: Tenant, now: int) -> tuple[ProfileState, ...]:
        found = {each.id: self._secrets.seen(each) for each in profiles.every(connection, tenant.id)}
        lanes = overview.lanes(connection, [each.lane for each in found.values()])
        ends = self._certificates.ends()
        states = []
        for stored in found.values():
            lane, relay = lanes[stored.lane], f"{stored.settings.host}:{stored.settings.port}"
            away = lane.about == Scope.RELAY.value and (stored.rests_until or 0) > now and stored.paused_at is None
            through = found.get(stored.settings.failover or 0) if away else None
            states.append(ProfileState(stored, lane, through, int(ends[relay] * SECOND) if relay in ends else None))
        return tuple(states)

    async def _day(self, tenant: Tenant, now: int) -> tuple[Hour, ...]:
        """By all readers at once: an hour may be walked while another one is."""
        last = now // HOUR * HOUR
        starts = range(last - (HOURS - 1) * HOUR, last + 1, HOUR)
        return tuple(await asyncio.gather(*(self._hour(tenant, start, now) for start in starts)))

    async def _hour(self, tenant: Tenant, start: int, now: int) -> Hour:
        """A closed hour is not counted anew each time."""
        name = (tenant.id, start)
        known = self._hours.get(name)
        if known is not None and known[0] > now:
            return known[1]
        counted = await self._database.read(lambda connection: overview.hour(connection, tenant.id, start))
        if start + HOUR <= now:
            self._hours[name] = (now + (SETTLED_FOR if counted.is_settled else WAITING_FOR), counted)
            while len(self._hours) > MOST_HOURS:
                self._hours.popitem(last=False)
        return counted

    def _keys_ending(self, connection: Connection, caller: Caller, tenant: Tenant, now: int) -> tuple[Key, ...]:
        wide = caller.is_installation_wide
        return tuple(keys.ending(connection, tenant.id, now, now + SOON, with_installations=wide))

    def _elsewhere(self, connection: Connection, tenant: Tenant) -> tuple[tuple[str, StoredProfile], ...]:
        found = profiles.in_trouble(connection, self._vault.key_ids)
        others = [(slug, self._secrets.seen(stored)) for slug, stored in found if stored.tenant_id != tenant.id]
        return tuple(others[:MOST_ELSEWHERE])
