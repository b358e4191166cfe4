"""What an access token is asked for with, and what the answer means (RFC 6749 sections 4.4, 5 and 6). Pure.

The answer is read strictly, because what is taken for a token goes on to the relay; of an error only what RFC 6749 has
words for is passed on, and never a secret, even if the answer repeats it.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

from postroom.domain.delivery import Scope, Stage
from postroom.domain.profile import ClientAuth
from postroom.domain.secret import Secret
from postroom.smtp.failure import Failure
from postroom.smtp.reply import cleaned
from postroom.smtp.sign_in import SignIn

UNTOLD_LIFETIME = 120.0  # seconds, when the answer says nothing (RFC 6749 5.1 only recommends that it does)
LONGEST_LIFETIME = 24 * 3600.0

_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")  # RFC 6749 A.12 without the space, which could end the SASL message's field
_REFRESH_TOKEN = re.compile(r"[\x20-\x7e]{1,4096}")  # RFC 6749 A.17
_ERRORS = frozenset(  # RFC 6749 5.2; the last two are section 4.1.2.1's, and some give them here too
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
     "invalid_scope", "access_denied", "temporarily_unavailable", "server_error"}
)  # fmt: skip
_PASSING = frozenset({"temporarily_unavailable", "server_error"})
_LONGEST_DESCRIPTION = 300


@dataclass(frozen=True, slots=True)
class Grant:
    """By client credentials, or with a `sign_in` by refresh token; `refresh_token` is the one that is shown this time.
    `secret` None is a public client (RFC 6749 2.1). `authorities` is PEM, beside what the system trusts."""

    url: str
    client_id: str
    secret: Secret | None
    scope: str | None = None
    audience: str | None = None
    authorities: str | None = None
    client_auth: ClientAuth = ClientAuth.BODY
    sign_in: SignIn | None = field(default=None, compare=False)
    refresh_token: Secret | None = None

    def form(self) -> dict[str, str]:
        """RFC 6749 4.4.2 or 6. The client's credentials are in it (2.3.1) unless a header has them."""
        said = {
            "grant_type": "client_credentials" if self.refresh_token is None else "refresh_token",
            "refresh_token": _text(self.refresh_token),
            "client_id": None if self._by_header else self.client_id,
            "client_secret": None if self._by_header else _text(self.secret),
            "scope": self.scope,
            "audience": self.audience,
        }
        return {name: value for name, value in said.items() if value}

    def headers(self) -> dict[str, str]:
        """RFC 6749 2.3.1: HTTP Basic, where the settings ask for it and there is a secret to show."""
        return {"Authorization": f"Basic {self._basic()}"} if self._by_header else {}

    def key(self) -> tuple[str | None, ...]:
        """Whoever has the same may have the same token. No secret itself is in it."""
        who = self.sign_in.name if self.sign_in is not None else None
        return self.url, self.client_id, self.scope, self.audience, self.client_auth, _digest(self.secret), who

    def secrets(self) -> tuple[str, ...]:
        """Everything that must not be repeated, as it was sent."""
        header = self._basic() if self._by_header else None
        return tuple(filter(None, (_text(self.secret), _text(self.refresh_token), header)))

    @property
    def _by_header(self) -> bool:
        return self.client_auth is ClientAuth.BASIC and self.secret is not None

    def _basic(self) -> str:
        # Both are form-encoded first, so that a colon in the id can't move the border between them.
        pair = f"{quote_plus(self.client_id)}:{quote_plus(_text(self.secret) or '')}"
        return base64.b64encode(pair.encode()).decode("ascii")


def _text(secret: Secret | None) -> str | None:
    return secret.reveal() if secret is not None else None


def _digest(secret: Secret | None) -> str | None:
    return hashlib.sha256(secret.reveal().encode()).hexdigest() if secret is not None else None


@dataclass(frozen=True, slots=True)
class Issued:
    """A token as it was given, by whom, and for how many seconds it can be used. `refresh_token` is one that came with
    it, in place of the one that was shown."""

    value: Secret
    host: str
    seconds: float
    refresh_token: Secret | None = None


def failed(code: str, what: str, scope: Scope) -> Failure:
    return Failure(code, what, Stage.AUTH, scope)


def read(grant: Grant, host: str, status: int, body: bytes) -> Issued | Failure:
    """What the token endpoint's answer comes to."""
    said = _json_object(body)
    if status == 200:
        return _issued(grant, host, said)
    error = said.get("error")
    if status in (408, 429) or status >= 500 or error in _PASSING:
        what = f"The token endpoint {host} could not give a token just now ({status})."
        return failed("oauth.temporary", what, Scope.RELAY)
    if grant.refresh_token is not None and error == "invalid_grant":  # RFC 6749 5.2: expired, revoked, another's
        what = f"The token endpoint {host} no longer takes the refresh token ({status}{_explained(grant, said)})."
        return failed("oauth.signed_out", what, Scope.PROFILE)
    if 400 <= status < 500:
        what = f"The token endpoint {host} refused the client ({status}{_explained(grant, said)})."
        return failed("oauth.refused", what, Scope.PROFILE)
    return _malformed(host, f"with a redirection ({status})" if 300 <= status < 400 else f"with {status}")


def _issued(grant: Grant, host: str, said: dict[str, object]) -> Issued | Failure:
    token, kind, seconds = said.get("access_token"), said.get("token_type"), _lifetime(said.get("expires_in"))
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return _malformed(host, "without an access token")
    if not isinstance(kind, str) or kind.lower() != "bearer":  # RFC 6749 5.1: in any case
        return _malformed(host, "with a token that is not a bearer token")
    if seconds is None:
        return _malformed(host, "without saying in a number how long the token can be used")
    # Where no sign-in was shown nobody asked for one (RFC 6749 4.4.3), so there is no place to keep it.
    new = said.get("refresh_token") if grant.refresh_token is not None else None
    if new is None:
        return Issued(Secret(token), host, seconds)
    if not isinstance(new, str) or not _REFRESH_TOKEN.fullmatch(new):
        return _malformed(host, "with a new refresh token that can't be one")
    return Issued(Secret(token), host, seconds, Secret(new))


def _lifetime(said: object) -> float | None:
    if said is None:
        return UNTOLD_LIFETIME
    if isinstance(said, str) and re.fullmatch("[0-9]{1,9}", said):  # Microsoft's v1 endpoints write "3599"
        said = int(said)
    if isinstance(said, bool) or not isinstance(said, int) or said <= 0:
        return None
    return min(float(said), LONGEST_LIFETIME)


def _explained(grant: Grant, said: dict[str, object]) -> str:
    error, description = said.get("error"), said.get("error_description")
    if not isinstance(error, str) or error not in _ERRORS:
        return ""
    words = _without_secret(grant, description)[:_LONGEST_DESCRIPTION] if isinstance(description, str) else ""
    return f", {error}: {words}" if words else f", {error}"


def _without_secret(grant: Grant, text: str) -> str:
    for secret in grant.secrets():
        in_json = (json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False))
        for form in (secret, quote_plus(secret), quote(secret), *in_json):
            text = text.replace(form, "***")
    return cleaned(text.encode("utf-8", "backslashreplace"))


def _json_object(body: bytes) -> dict[str, object]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):  # brackets enough in 64 KiB go deeper than Python does
        return {}
    return said if isinstance(said, dict) else {}


def _malformed(host: str, how: str) -> Failure:
    return failed("oauth.malformed", f"The token endpoint {host} answered {how}.", Scope.PROFILE)
