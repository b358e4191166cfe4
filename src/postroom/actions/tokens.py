"""Tokens made from API keys: short-lived JWTs. They say nothing but whose they are, and nothing of them is stored."""

import secrets
from collections.abc import Callable

from joserfc import jwt
from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from postroom.actions import claims
from postroom.actions.claims import Unverified
from postroom.domain.problems import Unauthenticated
from postroom.store.vault import Vault

TOKEN_LIFE = 15 * 60  # seconds
_ALGORITHM = "HS256"  # of the one key that we sign with; what a token says of it must only agree
_OURS = "postroom"  # issuer and audience


class Tokens:
    """Signed with a key derived from the vault's in force, which the token names: it outlives a rotation."""

    def __init__(self, vault: Vault, clock: Callable[[], float]) -> None:
        self._vault = vault
        self._clock = clock

    def make(self, subject: str) -> str:
        now, key_id = int(self._clock()), self._vault.key_id
        said = {
            "iss": _OURS, "aud": _OURS, "sub": subject, "iat": now, "exp": now + TOKEN_LIFE,
            "jti": secrets.token_urlsafe(12),
        }  # fmt: skip
        return jwt.encode({"alg": _ALGORITHM, "kid": key_id, "typ": "JWT"}, said, self._key(key_id))

    def key_of(self, token: Unverified) -> str:
        """The id of the API key that it was made from. Raises Unauthenticated."""
        try:
            if token.algorithm != _ALGORITHM or not isinstance(token.key_id, str) or not token.key_id:
                raise ValueError("not one of ours")
            key = self._key(token.key_id)
            if not JWSRegistry.algorithms[_ALGORITHM].verify(token.signed, token.signature, key):
                raise ValueError("not signed by us")
            claims.check(token.claims, issuer=_OURS, audience=_OURS, now=self._clock())
        except (KeyError, ValueError):
            raise Unauthenticated("The token is wrong or expired.") from None
        return str(token.claims["sub"])

    def _key(self, vault_key_id: str) -> OctKey:
        """Raises KeyError."""
        return OctKey.import_key(self._vault.derive("tokens", vault_key_id))
