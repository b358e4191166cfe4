"""What the sandbox relay took, per tenant; only so many are kept."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select

from postroom.domain.problems import NotFound
from postroom.store.ids import new_id
from postroom.store.schema import caught, message, tenant
from postroom.store.vault import Vault

MOST_KEPT = 5_000  # per tenant; pruned by a chore

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<([0-9a-z]{26})@", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class NewCaught:
    received_at: int
    envelope_sender: str
    recipients: tuple[str, ...]
    subject: str
    content: bytes


@dataclass(frozen=True, slots=True)
class CaughtRead:
    """`content` is None in listings."""

    id: str
    received_at: int
    envelope_sender: str
    recipients: tuple[str, ...]
    subject: str
    content: bytes | None


KIND = "caught"


@dataclass(frozen=True)
class Keeping:
    """The batch that keeps mails, sealed. One that Postroom sent itself goes to its tenant's box, any other to the
    first tenant's."""

    vault: Vault

    def __call__(self, connection: Connection, mails: Sequence[NewCaught]) -> list[str | Exception]:
        senders = [_message_id(mail.content) for mail in mails]
        known = select(message.c.id, message.c.tenant_id).where(message.c.id.in_([each for each in senders if each]))
        owners = {row.id: row.tenant_id for row in connection.execute(known)}
        first = connection.execute(select(func.min(tenant.c.id))).scalar_one()
        of_each = zip(mails, senders, strict=True)
        rows = [_row(self.vault, mail, owners.get(sender or "", first)) for mail, sender in of_each]
        connection.execute(insert(caught), rows)
        return [str(row["id"]) for row in rows]


def page(
    connection: Connection, tenant_id: int, before: str | None, limit: int, text: str | None = None
) -> list[CaughtRead]:
    """Newest first; `text` is some part of the subject or of an address of the envelope, whatever the case."""
    columns = [each for each in caught.c if each.name != "content"]
    found = select(*columns).where(caught.c.tenant_id == tenant_id).order_by(caught.c.id.desc()).limit(limit)
    if before is not None:
        found = found.where(caught.c.id < before)
    if text is not None:
        places = (caught.c.subject, caught.c.recipients, caught.c.envelope_sender)
        found = found.where(or_(*(each.icontains(text, autoescape=True) for each in places)))
    return [_read(row, None) for row in connection.execute(found)]


def get(connection: Connection, vault: Vault, tenant_id: int, caught_id: str) -> CaughtRead:
    """Raises NotFound, SecretLost."""
    ours = select(caught).where(caught.c.id == caught_id, caught.c.tenant_id == tenant_id)
    row = connection.execute(ours).one_or_none()
    if row is None:
        raise NotFound("There is no such mail in the sandbox.")
    return _read(row, vault.open_content(row.content, tenant_id, KIND, row.id))


def empty(connection: Connection, tenant_id: int) -> int:
    return connection.execute(delete(caught).where(caught.c.tenant_id == tenant_id)).rowcount


def prune(connection: Connection) -> int:
    """Keep the newest MOST_KEPT of each tenant."""
    return sum(_prune_one(connection, each) for each in connection.execute(select(tenant.c.id)).scalars().all())


def _prune_one(connection: Connection, tenant_id: int) -> int:
    newest = select(caught.c.id).where(caught.c.tenant_id == tenant_id).order_by(caught.c.id.desc())
    limit = connection.execute(newest.offset(MOST_KEPT).limit(1)).scalar()
    if limit is None:
        return 0
    return connection.execute(delete(caught).where(caught.c.tenant_id == tenant_id, caught.c.id <= limit)).rowcount


def _message_id(content: bytes) -> str | None:
    head = content[: content.find(b"\r\n\r\n") + 2] if b"\r\n\r\n" in content else content[:8192]
    found = _MESSAGE_ID.search(head)
    return found[1].decode() if found else None


def _row(vault: Vault, mail: NewCaught, tenant_id: int) -> dict[str, object]:
    caught_id = new_id(mail.received_at)
    return {
        "id": caught_id, "tenant_id": tenant_id, "received_at": mail.received_at,
        "envelope_sender": mail.envelope_sender, "recipients": json.dumps(mail.recipients),
        "subject": mail.subject, "content": vault.seal_content(mail.content, tenant_id, KIND, caught_id),
    }  # fmt: skip


def _read(row: Row[Any], content: bytes | None) -> CaughtRead:
    recipients = tuple(json.loads(row.recipients))
    return CaughtRead(row.id, row.received_at, row.envelope_sender, recipients, row.subject, content)
