"""An issuer of tokens that the operator trusts beside us, and how its claims are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postroom.domain.access import Permission
from postroom.domain.tenant import is_slug

SKEW = 60.0  # seconds that its clock and ours may differ
# Never HMAC: whoever knows the issuer's public key could sign with it.
ALGORITHMS = ("RS256", "ES256", "EdDSA")


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """`tenant_claim` and `permissions_claim` name members of the token; a dot leads into one (`realm_access.roles`)."""

    issuer: str
    audience: str
    tenant_claim: str = "tenant"
    permissions_claim: str = "scope"

    @property
    def discovery(self) -> str:
        """OpenID Connect Discovery 1.0, section 4."""
        return f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"

    def tenant(self, claims: Mapping[str, Any]) -> str | None:
        """The slug of its tenant. There is no word for the whole installation: only keys of ours have that."""
        said = _find(claims, self.tenant_claim)
        return said if isinstance(said, str) and is_slug(said) else None

    def permissions(self, claims: Mapping[str, Any]) -> frozenset[Permission]:
        """Those it names, in a list or in a text with spaces (RFC 8693 section 4.2); other words mean nothing here."""
        said = _find(claims, self.permissions_claim)
        words = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
        return frozenset(each for each in Permission if each.value in words)


def algorithm(key: Mapping[str, Any]) -> str | None:
    """The one algorithm that a key of the issuer (RFC 7517) is used with here; None for one that is not for
    signatures, too weak, or not in ALGORITHMS. The token has no say in it."""
    match key:
        case {"kty": "RSA", "n": str(modulus)} if len(modulus) >= 342:  # 2048 bits
            fits = "RS256"
        case {"kty": "EC", "crv": "P-256"}:
            fits = "ES256"
        case {"kty": "OKP", "crv": "Ed25519"}:
            fits = "EdDSA"
        case _:
            return None
    may_verify = key.get("use", "sig") == "sig" and "verify" in key.get("key_ops", ["verify"])
    return fits if may_verify and key.get("alg", fits) == fits else None


def _find(claims: Mapping[str, Any], name: str) -> Any:
    """A member by its whole name (names may have dots), else by the way to it."""
    if name in claims:
        return claims[name]
    first, dot, rest = name.partition(".")
    inside = claims.get(first)
    return _find(inside, rest) if dot and isinstance(inside, Mapping) else None
