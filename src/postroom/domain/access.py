"""Who is asking, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum

from postroom.domain.problems import Denied

LONGEST_KEY_LIFE = 100 * 366 * 86_400  # seconds; a moment beyond the calendar could never be shown

LONGEST_OVERLAP = 90 * 86_400  # seconds that an old value of a key may be good beside its new one


class Permission(StrEnum):
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    SETTINGS_CHECK = "settings:check"
    MAIL_SEND = "mail:send"
    MAIL_READ = "mail:read"
    MAIL_MANAGE = "mail:manage"
    AUDIT_READ = "audit:read"
    KEYS_MANAGE = "keys:manage"
    TENANTS_MANAGE = "tenants:manage"


EVERYTHING = frozenset(Permission)


@dataclass(frozen=True, slots=True)
class Caller:
    """A credential that was recognised. `tenant_id` None is the whole installation (the first admin key)."""

    key_id: str
    name: str
    tenant_id: int | None
    permissions: frozenset[Permission]
    address: str = ""  # where the request came from, for the audit
    email: str | None = None  # whose it is: where a product's test mail goes that names no recipient
    issuer: str | None = None  # who vouches for it, where that is not a key of ours; `name` names it, too

    @property
    def is_installation_wide(self) -> bool:
        return self.tenant_id is None

    def require(self, permission: Permission) -> None:
        """Raises Denied, naming the permission that is missing."""
        if permission not in self.permissions:
            raise Denied(f'The key "{self.name}" lacks the permission {permission}.', self.name)
