"""Who did what, when: one line per change, in the transaction of the change."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert

from postroom.domain.access import Caller
from postroom.store.schema import audit


def note(
    connection: Connection, caller: Caller, action: str, subject: str, *,
    tenant_id: int | None, now: int, detail: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """`action` is dotted (`profile.saved`), `subject` says on what. `detail` never holds a secret."""
    connection.execute(
        insert(audit).values(
            at=now, tenant_id=tenant_id, key_id=caller.key_id, actor=caller.name, address=caller.address,
            action=action, subject=subject, detail=json.dumps(detail or {}, ensure_ascii=False, default=str),
        )
    )  # fmt: skip
