"""What a profile was: its revisions, each with its author and diff, and what it takes to have one in force again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from postroom.domain.problems import NotFound
from postroom.domain.profile import Profile
from postroom.store.profiles import read_settings
from postroom.store.schema import revision, sign_in
from postroom.store.sign_ins import StoredSignIn


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """`changes` is field by field what was and what is; of a secret only "changed" or "cleared"."""

    number: int
    settings: Profile
    changes: Mapping[str, Any]
    changed_at: int
    author: str
    key_id: str | None
    dialect: str
    sealed_password: str | None
    sign_in: StoredSignIn | None


_WHOLE = select(revision, sign_in.c.sealed, sign_in.c.entered).outerjoin(sign_in, sign_in.c.id == revision.c.sign_in_id)


def page(
    connection: Connection, tenant_id: int, profile_id: int, before: int | None, limit: int
) -> list[StoredRevision]:
    """The newest first; `before` is the last number of the page before."""
    wanted = _WHOLE.where(revision.c.tenant_id == tenant_id, revision.c.profile_id == profile_id)
    if before is not None:
        wanted = wanted.where(revision.c.number < before)
    rows = connection.execute(wanted.order_by(revision.c.number.desc()).limit(limit))
    return [_read(row) for row in rows]


def get(connection: Connection, tenant_id: int, profile_id: int, number: int) -> StoredRevision:
    """Raises NotFound."""
    ours = (revision.c.tenant_id == tenant_id) & (revision.c.profile_id == profile_id)
    row = connection.execute(_WHOLE.where(ours, revision.c.number == number)).one_or_none()
    if row is None:
        raise NotFound("There is no such revision of the profile.")
    return _read(row)


def _read(row: Row[Any]) -> StoredRevision:
    return StoredRevision(
        row.number, read_settings(row.settings), json.loads(row.changes), row.changed_at, row.author, row.key_id,
        row.dialect, row.sealed_password,
        StoredSignIn(row.sign_in_id, row.sealed, row.entered) if row.sign_in_id is not None else None,
    )  # fmt: skip
