"""API keys, and the short-lived tokens made from them. Everything a caller shows is a key underneath."""

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection

from postroom.actions import claims
from postroom.actions.issuer import Issuer
from postroom.actions.rates import Rates
from postroom.actions.tokens import TOKEN_LIFE, Tokens
from postroom.domain.access import EVERYTHING, Caller, Permission
from postroom.domain.address import Address
from postroom.domain.delivery import SECOND
from postroom.domain.problems import Conflict, Denied, Invalid, Stale, Unauthenticated
from postroom.domain.secret import Secret
from postroom.domain.tenant import Tenant
from postroom.domain.text import one_line
from postroom.store import audit, keys, tenants
from postroom.store.database import Database
from postroom.store.keys import Key, Use
from postroom.store.remembered import MOST, Remembered
from postroom.store.vault import Vault

__all__ = ["TOKEN_LIFE", "Keys"]

_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
LATELY = 600.0  # seconds in which a key that was good needs no leave to be looked up again
UNKNOWN_KEY = "The API key is missing, wrong, expired or revoked."


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands before the keys: the rates, and the issuer of tokens beside us, if the operator trusts one."""

    rates: Rates
    issuer: Issuer | None = None


class Keys:
    """`operator_key`: a credential of this process alone, for the command line on the same data directory."""

    def __init__(
        self, database: Database, vault: Vault, operator_key: Secret, gate: Gate,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._database = database
        self._tokens = Tokens(vault, clock)
        self._operator = keys.digest(operator_key)
        self._rates, self._issuer = gate.rates, gate.issuer
        self._clock = clock
        self._by_digest: Remembered[str, Key | None] = Remembered(self._look_up_digest)
        self._by_id: Remembered[str, Key | None] = Remembered(self._look_up_id)
        self._tenant: Remembered[str, Tenant | None] = Remembered(self._look_up_tenant)
        self._good: dict[str, float] = {}
        self._noted: dict[tuple[str, bool], float] = {}

    async def authenticate(self, shown: Secret, address: str) -> Caller:
        """The caller behind an API key, or behind a token. Raises Unauthenticated, always in the same words; TooMany;
        Unavailable when an issuer's keys can't be asked for."""
        text = shown.reveal()
        if not text:
            raise Unauthenticated(UNKNOWN_KEY)
        if len(text) > (claims.LONGEST_TOKEN if "." in text else keys.LONGEST_KEY):
            self._rates.failed_login(address, "too long")  # before anything is made of it
            raise Unauthenticated(UNKNOWN_KEY)
        try:
            if _TOKEN.fullmatch(text):
                return await self._behind_token(text, address)
            return await self._behind_key(shown, address)
        except Unauthenticated:
            self._rates.failed_login(address, keys.digest(shown))
            raise Unauthenticated(UNKNOWN_KEY) from None

    async def _behind_key(self, shown: Secret, address: str) -> Caller:
        digest = keys.digest(shown)
        if secrets.compare_digest(digest, self._operator):
            return Caller("operator", "the operator at the data directory", None, EVERYTHING, address)
        now = self._clock()
        if self._good.get(digest, 0.0) < now:
            self._rates.may_log_in(address, digest)
        caller = self._caller(await self._by_digest.get(digest), address)
        if len(self._good) >= MOST:
            self._good.clear()
        self._good[digest] = now + LATELY
        return caller

    async def _behind_token(self, text: str, address: str) -> Caller:
        """No leave is asked here: what is behind a signature can't be guessed, and is looked up only after it."""
        try:
            token = claims.read(text)
        except ValueError:
            raise Unauthenticated(UNKNOWN_KEY) from None
        if self._issuer is not None and token.claims.get("iss") == self._issuer.trusted.issuer:
            await self._issuer.verify(token)
            return await self._vouched_for(self._issuer, token, address)
        return self._caller(await self._by_id.get(self._tokens.key_of(token)), address)

    def _caller(self, key: Key | None, address: str) -> Caller:
        if key is None or not key.is_valid(int(self._clock() * SECOND)):
            raise Unauthenticated(UNKNOWN_KEY)
        self._rates.request(key.id)
        self._note_use(key)
        return Caller(key.id, key.name, key.tenant_id, key.permissions, address, key.email)

    async def _vouched_for(self, issuer: Issuer, token: claims.Unverified, address: str) -> Caller:
        """A caller that only the issuer knows: all that it may is in its claims."""
        trusted, said = issuer.trusted, token.claims
        slug = trusted.tenant(said)
        tenant = await self._tenant.get(slug) if slug is not None else None
        if tenant is None:
            raise Unauthenticated(UNKNOWN_KEY)
        name = f"{said['sub']} ({trusted.issuer})"
        # As long as an id of a key, so that it fits wherever one does; of the same subject it is always the same.
        caller_id = f"oidc-{sha256(name.encode()).hexdigest()[:21]}"
        self._rates.request(caller_id)
        email = said.get("email") if said.get("email_verified") is True else None
        return Caller(
            caller_id, name if len(name) <= 255 else f"{name[:254]}…", tenant.id, trusted.permissions(said), address,
            email if isinstance(email, str) else None, trusted.issuer,
        )  # fmt: skip

    def token(self, caller: Caller) -> str:
        """A JWT for the caller's key: TOKEN_LIFE long, void as soon as the key is. Raises Denied for a caller that has
        none."""
        if caller.issuer is not None:
            raise Denied(f"Tokens are made from API keys: ask {caller.issuer} for the next one.", caller.name)
        return self._tokens.make(caller.key_id)

    async def visible(self, caller: Caller, tenant: Tenant | None) -> list[Key]:
        """A tenant's keys; with None, for a key of the installation, all."""
        caller.require(Permission.KEYS_MANAGE)
        tenant_id = self._scope(caller, tenant)
        return await self._database.read(lambda connection: keys.every(connection, tenant_id))

    async def of_installation(self, caller: Caller) -> list[Key]:
        """The keys of no tenant, for one of them."""
        caller.require(Permission.KEYS_MANAGE)
        self._scope(caller, None)
        return await self._database.read(keys.of_installation)

    async def one(self, caller: Caller, tenant: Tenant | None, key_id: str) -> Key:
        """A tenant's key; with None, for a key of the installation, anyone's. Raises NotFound."""
        caller.require(Permission.KEYS_MANAGE)
        tenant_id = self._scope(caller, tenant)
        return await self._database.read(lambda connection: keys.get(connection, key_id, tenant_id))

    async def create(
        self, caller: Caller, tenant: Tenant | None, name: str, permissions: frozenset[Permission], life: int | None,
        email: str | None = None, key_id: str | None = None,
    ) -> tuple[Key, Secret]:  # fmt: skip
        """A new key and, this once, its value. `tenant` None is the whole installation; `life` in seconds. With a
        `key_id` of the caller's choice it is made once: raises Conflict when there is such a key."""
        caller.require(Permission.KEYS_MANAGE)
        tenant_id = self._scope(caller, tenant)
        one_line("name", name)
        if not permissions:
            raise Invalid("permissions", "Give the key at least one permission.")
        _may_give(caller, permissions)
        value, owner = keys.fresh(), str(Address.parse(email, "email")) if email is not None else None

        def add(connection: Connection) -> Key:
            now = self._database.now(connection)
            expires_at = now + life * SECOND if life is not None else None
            if key_id is not None and keys.by_id(connection, key_id) is not None:
                raise Conflict("This key was made already; its value was shown once.")
            key = keys.add(
                connection,
                value,
                tenant_id=tenant_id,
                name=name,
                permissions=permissions,
                now=now,
                expires_at=expires_at,
                email=owner,
                key_id=key_id,
            )
            audit.note(connection, caller, "key.created", key.id, tenant_id=tenant_id, now=now, detail={"name": name})
            return key

        return await self._database.write(add), value

    async def rotate(
        self, caller: Caller, tenant: Tenant | None, key_id: str, overlap: int, turn: str | None = None
    ) -> tuple[Key, Secret]:
        """A new value for a key, shown this once; the old one is good for `overlap` seconds more, the one before it no
        longer. Its id, name, permissions and tokens stay. `turn`: the key's, as it was when this was decided. Raises
        NotFound, Denied, Conflict, and Stale when it was rotated since then."""
        caller.require(Permission.KEYS_MANAGE)
        tenant_id = self._scope(caller, tenant)
        value = keys.fresh()

        def change(connection: Connection) -> Key:
            now = self._database.now(connection)
            key = keys.get(connection, key_id, tenant_id)
            if not key.is_valid(now):
                raise Conflict("This key is expired or revoked: make a new one.")
            if turn not in (None, key.turn):
                raise Stale("This key was rotated meanwhile.")
            _may_give(caller, key.permissions)  # who gets the value can do all that the key can
            detail = {"name": key.name, "overlap": overlap}
            audit.note(connection, caller, "key.rotated", key_id, tenant_id=key.tenant_id, now=now, detail=detail)
            return keys.rotate(connection, key, value, now + overlap * SECOND)

        key = await self._database.write(change)
        self._forget()
        return key, value

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
        self._forget()

    def _forget(self) -> None:
        self._by_digest.forget()
        self._by_id.forget()

    def _scope(self, caller: Caller, tenant: Tenant | None) -> int | None:
        if tenant is None and not caller.is_installation_wide:
            raise Denied("Only a key of the whole installation can manage such keys.")
        return tenant.id if tenant else None

    def _note_use(self, key: Key) -> None:
        """Once a minute, in whatever transaction comes next; nobody waits for it."""
        now, use = self._clock(), (key.id, key.by_previous)
        if now >= self._noted.get(use, 0) + 60:
            self._noted[use] = now
            noted = self._database.fold(keys.note_uses, Use(*use))
            noted.add_done_callback(lambda future: future.exception())

    async def _look_up_digest(self, digest: str) -> Key | None:
        return await self._database.read(lambda connection: keys.by_digest(connection, digest))

    async def _look_up_id(self, key_id: str) -> Key | None:
        return await self._database.read(lambda connection: keys.by_id(connection, key_id))

    async def _look_up_tenant(self, slug: str) -> Tenant | None:
        return await self._database.read(lambda connection: tenants.find(connection, slug))


def _may_give(caller: Caller, permissions: frozenset[Permission]) -> None:
    """Raises Denied: nobody gets by a key of others what their own has not."""
    if not permissions <= caller.permissions:
        missing = ", ".join(sorted(permissions - caller.permissions))
        raise Denied(f"A key can't give more than it has: {missing}.", caller.name)
