"""API keys, and the short-lived tokens made from them. Everything a caller shows is a key underneath."""

import re
import secrets
import time
from collections.abc import Callable

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from sqlalchemy import Connection

from postroom.domain.access import EVERYTHING, Caller, Permission
from postroom.domain.address import Address
from postroom.domain.delivery import SECOND
from postroom.domain.problems import Denied, Invalid, Unauthenticated
from postroom.domain.secret import Secret
from postroom.domain.tenant import Tenant
from postroom.domain.text import one_line
from postroom.store import audit, keys
from postroom.store.database import Database
from postroom.store.keys import Key
from postroom.store.remembered import Remembered
from postroom.store.vault import Vault

TOKEN_LIFE = 15 * 60  # seconds
_ALGORITHM = "HS256"
_ISSUER = "postroom"
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_CLAIMS = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": _ISSUER}, aud={"essential": True, "value": _ISSUER}, exp={"essential": True},
    iat={"essential": True}, sub={"essential": True}, jti={"essential": True},
)  # fmt: skip

UNKNOWN_KEY = "The API key is missing, wrong, expired or revoked."


class Keys:
    """`operator_key`: a credential of this process alone, for the command line on the same data directory."""

    def __init__(self, database: Database, vault: Vault, operator_key: Secret, clock: Callable[[], float] = time.time):
        self._database = database
        self._vault = vault
        self._operator = keys.digest(operator_key)
        self._clock = clock
        self._by_digest: Remembered[str, Key | None] = Remembered(self._look_up_digest)
        self._by_id: Remembered[str, Key | None] = Remembered(self._look_up_id)
        self._noted: dict[str, float] = {}

    async def authenticate(self, shown: Secret, address: str) -> Caller:
        """The caller behind an API key or a token made from one. Raises Unauthenticated, always in the same words."""
        text = shown.reveal()
        if not text or len(text) > (2048 if "." in text else keys.LONGEST_KEY):
            raise Unauthenticated(UNKNOWN_KEY)
        if _TOKEN.fullmatch(text):
            key = await self._by_id.get(self._key_of_token(text))
        else:
            digest = keys.digest(shown)
            if secrets.compare_digest(digest, self._operator):
                return Caller("operator", "the operator at the data directory", None, EVERYTHING, address)
            key = await self._by_digest.get(digest)
        if key is None or not key.is_valid(int(self._clock() * SECOND)):
            raise Unauthenticated(UNKNOWN_KEY)
        self._note_use(key)
        return Caller(key.id, key.name, key.tenant_id, key.permissions, address, key.email)

    def token(self, caller: Caller) -> str:
        """A JWT for the caller's key: TOKEN_LIFE long, void as soon as the key is."""
        now = int(self._clock())
        claims = {
            "iss": _ISSUER, "aud": _ISSUER, "sub": caller.key_id, "iat": now, "exp": now + TOKEN_LIFE,
            "jti": secrets.token_urlsafe(12),
        }  # fmt: skip
        return jwt.encode(
            {"alg": _ALGORITHM, "typ": "JWT", "kid": self._vault.key_id}, claims, self._token_key(self._vault.key_id)
        )

    async def visible(self, caller: Caller, tenant: Tenant | None) -> list[Key]:
        """A tenant's keys; with None, for a key of the installation, all."""
        caller.require(Permission.KEYS_MANAGE)
        tenant_id = self._scope(caller, tenant)
        return await self._database.read(lambda connection: keys.every(connection, tenant_id))

    async def create(
        self, caller: Caller, tenant: Tenant | None, name: str, permissions: frozenset[Permission], life: int | None,
        email: str | None = None,
    ) -> tuple[Key, Secret]:  # fmt: skip
        """A new key and, this once, its value. `tenant` None is the whole installation; `life` in seconds."""
        caller.require(Permission.KEYS_MANAGE)
        tenant_id = self._scope(caller, tenant)
        one_line("name", name)
        if not permissions:
            raise Invalid("permissions", "Give the key at least one permission.")
        if not permissions <= caller.permissions:
            missing = ", ".join(sorted(permissions - caller.permissions))
            raise Denied(f"A key can't give more than it has: {missing}.")
        value, owner = keys.fresh(), str(Address.parse(email, "email")) if email is not None else None

        def add(connection: Connection) -> Key:
            now = self._database.now(connection)
            expires_at = now + life * SECOND if life is not None else None
            key = keys.add(
                connection,
                value,
                tenant_id=tenant_id,
                name=name,
                permissions=permissions,
                now=now,
                expires_at=expires_at,
                email=owner,
            )
            audit.note(connection, caller, "key.created", key.id, tenant_id=tenant_id, now=now, detail={"name": name})
            return key

        return await self._database.write(add), value

    async def revoke(self, caller: Caller, tenant: Tenant | None, key_id: str) -> None:
        """In force at once here; on other machines within a second."""
        caller.require(Permission.KEYS_MANAGE)
        tenant_id = self._scope(caller, tenant)

        def end(connection: Connection) -> None:
            now = self._database.now(connection)
            key = keys.revoke(connection, key_id, tenant_id, now)
            detail = {"name": key.name}
            audit.note(connection, caller, "key.revoked", key_id, tenant_id=key.tenant_id, now=now, detail=detail)

        await self._database.write(end)
        self._by_digest.forget()
        self._by_id.forget()

    def _scope(self, caller: Caller, tenant: Tenant | None) -> int | None:
        if tenant is None and not caller.is_installation_wide:
            raise Denied("Only a key of the whole installation can manage such keys.")
        return tenant.id if tenant else None

    def _key_of_token(self, text: str) -> str:
        try:
            token = jwt.decode(text, lambda told: self._token_key(told.headers().get("kid")), algorithms=[_ALGORITHM])
            _CLAIMS.validate(token.claims)
        except (JoseError, ValueError, KeyError):
            raise Unauthenticated(UNKNOWN_KEY) from None
        return str(token.claims["sub"])

    def _token_key(self, vault_key_id: object) -> OctKey:
        """By the vault key that it is derived from: a token outlives a rotation. Raises KeyError."""
        return OctKey.import_key(self._vault.derive("tokens", str(vault_key_id)))

    def _note_use(self, key: Key) -> None:
        """Once a minute, in whatever transaction comes next; nobody waits for it."""
        now = self._clock()
        if now >= self._noted.get(key.id, 0) + 60:
            self._noted[key.id] = now
            noted = self._database.fold(keys.note_uses, key.id)
            noted.add_done_callback(lambda future: future.exception())

    async def _look_up_digest(self, digest: str) -> Key | None:
        return await self._database.read(lambda connection: keys.by_digest(connection, digest))

    async def _look_up_id(self, key_id: str) -> Key | None:
        return await self._database.read(lambda connection: keys.by_id(connection, key_id))
