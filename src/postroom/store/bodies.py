"""What messages say, sealed to tenant and message."""

from sqlalchemy import Connection, select

from postroom.store.schema import body, message
from postroom.store.vault import Vault

KIND = "body"


def seal(vault: Vault, content: bytes, tenant_id: int, message_id: str) -> bytes:
    return vault.seal_content(content, tenant_id, KIND, message_id)


def opened(vault: Vault, sealed: bytes, tenant_id: int, message_id: str) -> bytes:
    """Raises SecretLost."""
    return vault.open_content(sealed, tenant_id, KIND, message_id)


def is_kept(connection: Connection, message_id: str) -> bool:
    return connection.execute(select(body.c.message_id).where(body.c.message_id == message_id)).scalar() is not None


def read(connection: Connection, vault: Vault, message_id: str) -> bytes | None:
    """The bytes as they are sent; None when they are no longer kept. Raises SecretLost."""
    kept = select(message.c.tenant_id, body.c.content).join(body, body.c.message_id == message.c.id)
    row = connection.execute(kept.where(message.c.id == message_id)).one_or_none()
    return opened(vault, row.content, row.tenant_id, message_id) if row is not None else None
