"""Tokens made from API keys: short-lived JWTs. They say nothing but whose they are, and nothing of them is stored."""

import secrets
from collections.abc import Callable
from hashlib import sha256

from joserfc import jwt
from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from postroom.actions import claims
from postroom.actions.claims import Unverified
from postroom.domain.problems import Unauthenticated

TOKEN_LIFE = 15 * 60  # seconds
_ALGORITHM = "HS256"  # of the one key that we sign with; what a token says of it must only agree
_OURS = "postroom"  # issuer and audience


class Tokens:
    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        self._key = OctKey.import_key(key)
        self._key_id = sha256(b"key id" + key).hexdigest()[:16]
        self._clock = clock

    def make(self, subject: str) -> str:
        now = int(self._clock())
        said = {
            "iss": _OURS, "aud": _OURS, "sub": subject, "iat": now, "exp": now + TOKEN_LIFE,
            "jti": secrets.token_urlsafe(12),
        }  # fmt: skip
        return jwt.encode({"alg": _ALGORITHM, "kid": self._key_id, "typ": "JWT"}, said, self._key)

    def key_of(self, token: Unverified) -> str:
        """The id of the API key that it was made from. Raises Unauthenticated."""
        is_ours = (token.algorithm, token.key_id) == (_ALGORITHM, self._key_id)
        try:
            if not is_ours or not JWSRegistry.algorithms[_ALGORITHM].verify(token.signed, token.signature, self._key):
                raise ValueError("not signed by us")
            claims.check(token.claims, issuer=_OURS, audience=_OURS, now=self._clock())
        except ValueError:
            raise Unauthenticated("The token is wrong or expired.") from None
        return str(token.claims["sub"])
