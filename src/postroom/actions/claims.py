"""JSON Web Tokens (RFC 7519) as they come in: read strictly, their claims judged. Signatures are checked elsewhere.

Strictly, because two readers that differ in what they read are how a token comes to mean two things: a member that is
there twice, base64 with bits to spare, a number that is none. And `crit` (RFC 7515 section 4.1.11) is always refused.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postroom.domain.problems import Invalid
from postroom.domain.text import one_line

LONGEST_TOKEN = 8192  # octets
_TYPES = (None, "jwt", "at+jwt", "application/at+jwt")  # RFC 9068 section 2.1


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token as it was read. Nothing of it may be believed but through `algorithm` and `key_id`, with which the key is
    found that it has to be signed with."""

    algorithm: str
    key_id: str
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def read(text: str) -> Unverified:
    """Raises ValueError; what is wrong with a token is told to nobody who shows one."""
    if len(text) > LONGEST_TOKEN:
        raise ValueError("too long")
    parts = text.split(".")
    if len(parts) != 3:
        raise ValueError("not three parts")
    header, claims = _object(parts[0]), _object(parts[1])
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not (isinstance(algorithm, str) and isinstance(key_id, str)) or "crit" in header:
        raise ValueError("an unusable header")
    if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
        raise ValueError("a token of another kind")
    return Unverified(algorithm, key_id, claims, f"{parts[0]}.{parts[1]}".encode(), _octets(parts[2]))


def check(
    claims: Mapping[str, Any], *, issuer: str, audience: str, now: float, skew: float = 0.0,
    needs_id: bool = True, many_audiences: bool = False,
) -> None:  # fmt: skip
    """Judge the claims; `now` and `skew` in seconds. Raises ValueError."""
    if not _moment(claims, "exp") + skew > now:
        raise ValueError("expired")
    if _moment(claims, "iat") - skew > now or ("nbf" in claims and _moment(claims, "nbf") - skew > now):
        raise ValueError("not yet valid")
    if claims.get("iss") != issuer:
        raise ValueError("of another issuer")
    said = claims.get("aud")
    for_us = said == audience or (many_audiences and isinstance(said, list) and audience in said)
    if not for_us:
        raise ValueError("for another audience")
    for name in ("sub", "jti") if needs_id else ("sub",):
        value = claims.get(name)
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"without {name}")
        try:
            one_line(name, value)  # it is written to the audit
        except Invalid as problem:
            raise ValueError(problem.message) from None


def _moment(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < 1e12
        or not math.isfinite(value)
    ):
        raise ValueError(f"{name} is no time")
    return value


def _octets(text: str) -> bytes:
    """base64url without padding (RFC 7515 section 2), of which there is only one spelling."""
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64url") from None
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != text.encode():
        raise ValueError("not base64url as it is written")
    return octets


def _object(text: str) -> dict[str, Any]:
    try:
        said = json.loads(_octets(text).decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(said, dict):
        raise ValueError("no object")
    return said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) != len(pairs):
        raise ValueError("a member twice")
    return said


def _no_number(_text: str) -> Any:
    raise ValueError("not a number of JSON")
