"""The refresh tokens of profiles, for whoever asks for access tokens with them (`smtp/sign_in.py`)."""

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection

from postroom import log
from postroom.domain.secret import Secret
from postroom.smtp.sign_in import SignIn
from postroom.store import sign_ins
from postroom.store.database import Database
from postroom.store.profiles import StoredProfile
from postroom.store.vault import Vault


def digest(token: Secret) -> str:
    """What is kept of a token to know it again by; it is long and random, so nobody guesses it from that."""
    return hashlib.sha256(token.reveal().encode()).hexdigest()


class SignIns:
    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    def of(self, stored: StoredProfile) -> SignIn | None:
        """Raises SecretLost now rather than when a token is asked for."""
        if stored.sign_in is None:
            return None
        self._vault.open(stored.sign_in.sealed, sign_ins.place(stored.tenant_id, stored.id))
        return _Kept(self._database, self._vault, stored, stored.sign_in.id)


@dataclass(frozen=True, slots=True)
class _Kept:
    database: Database
    vault: Vault
    profile: StoredProfile
    id: int

    @property
    def name(self) -> str:
        return str(self.id)

    async def newest(self) -> Secret:
        return self._open(await self.database.read(lambda connection: sign_ins.sealed(connection, self.id)))

    async def replace(self, used: Secret, new: Secret) -> None:
        def step(connection: Connection) -> None:
            if self._open(sign_ins.sealed(connection, self.id, to_replace=True)) == used:
                sealed = self.vault.seal(new, self._place)
                sign_ins.replace(connection, self.id, sealed, now=self.database.now(connection))

        await self.database.write(step)
        log.refresh_token_replaced(self.profile.tenant_id, self.profile.id)

    def _open(self, sealed: str) -> Secret:
        return self.vault.open(sealed, self._place)

    @property
    def _place(self) -> tuple[object, ...]:
        return sign_ins.place(self.profile.tenant_id, self.profile.id)


@dataclass(frozen=True, slots=True)
class GivenSignIn:
    """A refresh token that was given to be tried, and is kept nowhere."""

    token: Secret

    @property
    def name(self) -> str:
        return f"given {digest(self.token)}"

    async def newest(self) -> Secret:
        return self.token

    async def replace(self, used: Secret, new: Secret) -> None: ...
