"""Profiles and their revisions. A revision is never changed; the profile row says which one is in force."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from postroom.domain.delivery import SECOND
from postroom.domain.problems import NotFound, Stale
from postroom.domain.profile import Auth, ClientAuth, Profile, Security, TlsVersion, TokenGrant
from postroom.store.queue.lanes import wake_by
from postroom.store.schema import lane, profile, revision, sign_in, tenant
from postroom.store.sign_ins import StoredSignIn

UNKNOWN = "There is no such profile."


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a revision, and in which dialect."""

    name: str
    key_id: str
    dialect: str


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A profile as it stands, with what is known about it. Its secrets are only their sealed forms."""

    tenant_id: int
    id: int
    name: str
    is_default: bool
    revision: int
    lane: int
    settings: Profile
    sealed_password: str | None
    sign_in: StoredSignIn | None
    changed_at: int
    author: str
    dialect: str
    trouble: str | None  # why its mail waits, if it does
    rests_until: int | None
    failures: int  # attempts in a row that failed for everyone
    pace: int | None = None  # slow start: at most so many deliveries in a worker's hands
    paused_at: int | None = None  # by a person

    @property
    def is_unhindered(self) -> bool:
        """Whether nothing has to be asked of its lane before mail goes out: no limit, no failure, no pause."""
        settings = self.settings
        limits = (settings.limit_per_minute, settings.limit_per_hour, settings.limit_per_day)
        return not self.failures and (*limits, self.pace, self.rests_until, self.paused_at) == (None,) * 6


def place(tenant_id: int, profile_id: int) -> tuple[object, ...]:
    """What a profile's password is sealed to."""
    return ("profile", tenant_id, profile_id, "password")


_STANDING = (
    select(
        profile, revision.c.settings, revision.c.sealed_password, revision.c.changed_at, revision.c.author,
        revision.c.dialect, revision.c.sign_in_id, sign_in.c.sealed, sign_in.c.entered, lane.c.trouble,
        lane.c.rests_until, lane.c.failures, lane.c.pace, lane.c.paused_at,
    )
    .join(revision, (revision.c.tenant_id == profile.c.tenant_id) & (revision.c.profile_id == profile.c.id)
          & (revision.c.number == profile.c.revision))
    .join(lane, lane.c.id == profile.c.lane)
    .outerjoin(sign_in, sign_in.c.id == revision.c.sign_in_id)
    .where(profile.c.deleted_at.is_(None))
)  # fmt: skip


def lock(connection: Connection, tenant_id: int) -> None:
    """Let nobody else change the tenant's profiles until this transaction is over: what is read now still stands when
    it is written."""
    connection.execute(select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update())


def find(connection: Connection, tenant_id: int, profile_id: int | None) -> StoredProfile | None:
    """A tenant's profile, or with None its default one."""
    which = profile.c.is_default if profile_id is None else profile.c.id == profile_id
    row = connection.execute(_STANDING.where(profile.c.tenant_id == tenant_id, which)).one_or_none()
    return _read(row) if row else None


def get(connection: Connection, tenant_id: int, profile_id: int | None) -> StoredProfile:
    """Raises NotFound."""
    found = find(connection, tenant_id, profile_id)
    if found is None:
        raise NotFound(UNKNOWN if profile_id is not None else "There are no SMTP settings yet.")
    return found


def standing(
    connection: Connection, tenant_id: int, profile_id: int | None, if_revision: int | None
) -> StoredProfile | None:
    """The profile as it stands, for who is going to change it: until then nobody else does. Raises NotFound for an
    unknown id, and Stale, saying who changed it and when, if `if_revision` is no longer the one in force."""
    lock(connection, tenant_id)
    stored = (find if profile_id is None else get)(connection, tenant_id, profile_id)
    if if_revision is None or (stored is not None and stored.revision == if_revision):
        return stored
    if stored is None:
        raise Stale(f"There are no settings any more, where you read revision {if_revision}.")
    when = datetime.fromtimestamp(stored.changed_at // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    raise Stale(
        f"Revision {stored.revision} is in force, not {if_revision}: {stored.author} changed the profile on {when} "
        f"({stored.dialect}). Read it again, then repeat your change.",
        stored.revision,
    )


def every(connection: Connection, tenant_id: int) -> list[StoredProfile]:
    wanted = _STANDING.where(profile.c.tenant_id == tenant_id).order_by(profile.c.id)
    return [_read(row) for row in connection.execute(wanted)]


def by_lanes(connection: Connection, lanes: list[int]) -> dict[int, StoredProfile]:
    """The profiles in force of these lanes; one that was deleted is missing."""
    rows = connection.execute(_STANDING.where(profile.c.lane.in_(lanes)))
    return {row.lane: _read(row) for row in rows}


def add(connection: Connection, tenant_id: int, name: str, *, now: int) -> tuple[int, int]:
    """A new profile without a revision yet; returns its id and its lane. The first of a tenant is the default."""
    lock(connection, tenant_id)  # two at once would count to the same number
    last = select(func.coalesce(func.max(profile.c.id), 0)).where(profile.c.tenant_id == tenant_id)
    profile_id = connection.execute(last).scalar_one() + 1
    has_default = find(connection, tenant_id, None) is not None
    new_lane = insert(lane).values(ready=False, vt=0, failures=0).returning(lane.c.id)
    lane_id = connection.execute(new_lane).scalar_one()
    connection.execute(
        insert(profile).values(
            tenant_id=tenant_id, id=profile_id, name=name, is_default=not has_default, revision=0, lane=lane_id,
            created_at=now,
        )
    )  # fmt: skip
    return profile_id, lane_id


def revise(
    connection: Connection, tenant_id: int, profile_id: int, settings: Profile, *,
    sealed_password: str | None, changes: dict[str, Any], author: Author, now: int, sign_in_id: int | None = None,
) -> int:  # fmt: skip
    """Write the next revision and put it in force; returns its number. The lane starts afresh with it."""
    ours = (profile.c.tenant_id == tenant_id) & (profile.c.id == profile_id)
    bump = update(profile).where(ours).values(revision=profile.c.revision + 1).returning(profile.c.revision)
    number: int = connection.execute(bump).scalar_one()
    connection.execute(
        insert(revision).values(
            tenant_id=tenant_id, profile_id=profile_id, number=number, settings=_to_json(settings),
            sealed_password=sealed_password, changes=json.dumps(changes, ensure_ascii=False, default=str),
            changed_at=now, author=author.name, key_id=author.key_id, dialect=author.dialect,
            sign_in_id=sign_in_id,
        )
    )  # fmt: skip
    lane_id = connection.execute(select(profile.c.lane).where(ours)).scalar_one()
    connection.execute(
        update(lane).where(lane.c.id == lane_id).values(_AFRESH | _policy(connection, tenant_id, settings))
    )
    wake_by(connection, [(lane_id, now)])
    return number


_AFRESH = {
    "failures": 0, "trouble": None, "rests_until": None, "about": None, "probe": None, "pace": None, "spent_until": None
}  # fmt: skip


def _policy(connection: Connection, tenant_id: int, settings: Profile) -> dict[str, int | None]:
    """What claiming has to know of the settings. A profile to fail over to that was deleted is none."""
    there = find(connection, tenant_id, settings.failover) if settings.failover is not None else None
    return {
        "per_minute": settings.limit_per_minute, "per_hour": settings.limit_per_hour, "per_day": settings.limit_per_day,
        "most_connections": settings.most_connections, "failover": there.lane if there else None,
    }  # fmt: skip


def failing_over_to(connection: Connection, tenant_id: int, profile_id: int) -> list[StoredProfile]:
    """The tenant's profiles whose mail goes through this one while their relay is away."""
    return [each for each in every(connection, tenant_id) if each.settings.failover == profile_id]


def in_trouble(connection: Connection, vault_keys: Sequence[str]) -> list[tuple[str, StoredProfile]]:
    """Every profile whose mail waits for something that a person could mend, with its tenant's slug. `vault_keys` are
    the ids of those that are here: what is sealed with another can't be opened."""
    lost = [
        column.is_not(None) & func.substr(column, 1, 8).not_in(vault_keys)
        for column in (revision.c.sealed_password, sign_in.c.sealed)
    ]
    wrong = _STANDING.add_columns(tenant.c.slug).join(tenant, tenant.c.id == profile.c.tenant_id)
    rows = connection.execute(wrong.where(or_(lane.c.trouble.is_not(None), lane.c.paused_at.is_not(None), *lost)))
    return [(row.slug, _read(row)) for row in rows]


def name_it(connection: Connection, tenant_id: int, profile_id: int, name: str) -> None:
    ours = (profile.c.tenant_id == tenant_id) & (profile.c.id == profile_id)
    connection.execute(update(profile).where(ours).values(name=name))


def make_default(connection: Connection, tenant_id: int, profile_id: int) -> None:
    connection.execute(
        update(profile).where(profile.c.tenant_id == tenant_id).values(is_default=profile.c.id == profile_id)
    )


def delete(connection: Connection, stored: StoredProfile, now: int) -> None:
    """Out of force; its revisions stay for the audit. If it was the default, the oldest that is left becomes it."""
    ours = (profile.c.tenant_id == stored.tenant_id) & (profile.c.id == stored.id)
    connection.execute(update(profile).where(ours).values(deleted_at=now, is_default=False))
    connection.execute(update(lane).where(lane.c.failover == stored.lane).values(failover=None))
    heirs = select(func.min(profile.c.id)).where(
        profile.c.tenant_id == stored.tenant_id, profile.c.deleted_at.is_(None)
    )
    heir = connection.execute(heirs).scalar()
    if stored.is_default and heir is not None:
        make_default(connection, stored.tenant_id, heir)


def _to_json(settings: Profile) -> str:
    said = {f.name: getattr(settings, f.name) for f in fields(settings)}
    said["extras"] = {name: dict(kept) for name, kept in settings.extras.items()}
    return json.dumps(said, ensure_ascii=False)


def read_settings(text: str) -> Profile:
    """As they were kept. A field that is newer than they are has its default."""
    said = json.loads(text)
    return Profile(**said | {name: kind(said[name]) for name, kind in _CHOICES.items() if name in said})


_CHOICES: dict[str, type[StrEnum]] = {
    "security": Security, "tls_minimum": TlsVersion, "auth": Auth, "token_grant": TokenGrant,
    "token_client_auth": ClientAuth,
}  # fmt: skip


def _read(row: Row[tuple[Any, ...]]) -> StoredProfile:
    return StoredProfile(
        tenant_id=row.tenant_id, id=row.id, name=row.name, is_default=row.is_default, revision=row.revision,
        lane=row.lane, settings=read_settings(row.settings), sealed_password=row.sealed_password,
        sign_in=StoredSignIn(row.sign_in_id, row.sealed, row.entered) if row.sign_in_id is not None else None,
        changed_at=row.changed_at, author=row.author, dialect=row.dialect, trouble=row.trouble,
        rests_until=row.rests_until, failures=row.failures, pace=row.pace, paused_at=row.paused_at,
    )  # fmt: skip
