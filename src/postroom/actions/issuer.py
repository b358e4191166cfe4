"""The keys of an issuer that the operator trusts: fetched, kept, and fetched again when one is shown that is new.

When the issuer can't be reached, the keys that are known go on. A token with a key that is not known is then refused
with Unavailable, not with Unauthenticated: it may be a good one, and who shows it should try again, not give up.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from postroom import log
from postroom.actions import claims
from postroom.actions.claims import Unverified
from postroom.domain.issuer import SKEW, TrustedIssuer, algorithm
from postroom.domain.problems import Unauthenticated, Unavailable
from postroom.smtp.document import fetch
from postroom.smtp.reach import Reach

PAUSE = 60.0  # seconds between two questions to the issuer, however many unknown keys are shown
FRESH = 3600.0  # seconds after which its keys are asked for again, so that one that it withdrew ends
_KINDS: Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RS256": RSAKey, "ES256": ECKey, "EdDSA": OKPKey}


@dataclass(frozen=True, slots=True)
class _Key:
    algorithm: str
    key: RSAKey | ECKey | OKPKey


class Issuer:
    """`clock` is the wall's, in seconds since 1970: claims are compared with it."""

    def __init__(self, trusted: TrustedIssuer, reach: Reach, clock: Callable[[], float] = time.time) -> None:
        self.trusted = trusted
        self._reach = reach
        self._clock = clock
        self._keys: Mapping[str, _Key] = {}
        self._asked_at = self._fetched_at = float("-inf")
        self._is_away = False
        self._asking = asyncio.Lock()
        self._renewal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._renewal.set_result(None)

    async def close(self) -> None:
        self._renewal.cancel()
        await asyncio.gather(self._renewal, return_exceptions=True)

    async def verify(self, token: Unverified) -> None:
        """Raises Unauthenticated, or Unavailable while its key can't be asked for."""
        found = await self._key(token.key_id)
        try:
            if found is None or token.algorithm != found.algorithm or not _is_signed(token, found):
                raise ValueError("not signed by the issuer")
            trusted = self.trusted
            claims.check(
                token.claims, issuer=trusted.issuer, audience=trusted.audience, now=self._clock(), skew=SKEW,
                needs_id=False, many_audiences=True,
            )  # fmt: skip
        except ValueError:
            raise Unauthenticated("The token is wrong, expired or for somebody else.") from None

    async def _key(self, key_id: str) -> _Key | None:
        if key_id not in self._keys:
            await self._ask_again(key_id)
        elif self._clock() - self._fetched_at > FRESH and self._renewal.done():
            self._renewal = asyncio.ensure_future(self._ask_again(None))  # who has a known key need not wait for it
        if key_id not in self._keys and self._is_away:
            raise Unavailable("The issuer of this token can't be asked for its keys just now.", int(PAUSE))
        return self._keys.get(key_id)

    async def _ask_again(self, key_id: str | None) -> None:
        async with self._asking:  # once for all who wait
            now = self._clock()
            if key_id in self._keys or abs(now - self._asked_at) < PAUSE:
                return
            self._asked_at = now
            try:
                self._keys = await self._fetch()
            except Unavailable as problem:
                self._is_away = True
                log.issuer_away(self.trusted.issuer, problem.message)
            else:
                self._is_away, self._fetched_at = False, now

    async def _fetch(self) -> Mapping[str, _Key]:
        document = await fetch(self.trusted.discovery, self._reach)
        if document.get("issuer") != self.trusted.issuer:
            raise Unavailable(f"{self.trusted.discovery} is about another issuer than POSTROOM_OIDC names.")
        where = document.get("jwks_uri")
        if not isinstance(where, str):
            raise Unavailable(f"{self.trusted.discovery} names no jwks_uri.")
        listed = (await fetch(where, self._reach)).get("keys")
        if not isinstance(listed, list):
            raise Unavailable(f"{where} lists no keys.")
        return {key_id: key for key_id, key in map(_usable, listed) if key is not None}


def _usable(listed: Any) -> tuple[str, _Key | None]:
    """A key of the list, if it has an id and is one that we use; others are none of our business."""
    if not isinstance(listed, Mapping) or not isinstance(listed.get("kid"), str):
        return "", None
    try:
        fits = algorithm(listed)
        if fits is None:
            return "", None
        return listed["kid"], _Key(fits, _KINDS[fits].import_key(dict(listed)))
    except (JoseError, ValueError, TypeError, KeyError):
        return "", None


def _is_signed(token: Unverified, found: _Key) -> bool:
    """What is verified are the very octets that were read (joserfc would read the header once more by itself)."""
    try:
        return JWSRegistry.algorithms[found.algorithm].verify(token.signed, token.signature, found.key)
    except JoseError:
        return False
