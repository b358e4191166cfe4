"""The canonical SMTP settings: what every dialect is translated to and from.

A `Profile` that exists is valid: building one checks it. Its secrets are not part of it; they live in the vault, bound
to its destination (`destination.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from postroom.domain.address import Address, domain_name
from postroom.domain.host import ehlo_name, host_name
from postroom.domain.limits import LIMIT_FIELDS, check_limit
from postroom.domain.problems import Invalid
from postroom.domain.recipients import RecipientFilter
from postroom.domain.secret import Secret
from postroom.domain.text import LONGEST_TEXT, one_line
from postroom.domain.token_endpoint import TokenEndpoint

LARGEST_ID = 999_999_999  # of a profile: more than anyone has, and every database's integer holds it
LONGEST_AUTHORITIES = 200_000  # the whole of a system's bundle is about as long


class Security(StrEnum):
    """How the connection to the relay is protected. Only one mode is opportunistic, and no dialect's flag means it
    (design section 3, rule 6)."""

    NONE = "none"
    STARTTLS_IF_OFFERED = "starttls-if-offered"  # without it the mail goes out unencrypted, but no login does
    STARTTLS = "starttls"  # required: no TLS, no mail (RFC 3207)
    TLS = "tls"  # from the first byte (RFC 8314 section 3.3, port 465)


class TlsVersion(StrEnum):
    """The oldest version of TLS that will do (RFC 8996 took 1.0 and 1.1 out of use)."""

    V1_2 = "1.2"
    V1_3 = "1.3"


class Auth(StrEnum):
    """How to log in at the relay."""

    NONE = "none"
    PASSWORD = "password"  # noqa: S105  the best of the offered password mechanisms
    NTLM = "ntlm"  # user name as DOMAIN\\user or user@domain
    OAUTH2 = "oauth2"  # an access token from a token endpoint, shown by XOAUTH2 or OAUTHBEARER


class TokenGrant(StrEnum):
    """What an access token is given for."""

    CLIENT_CREDENTIALS = "client_credentials"  # RFC 6749 4.4: the client's own secret
    REFRESH_TOKEN = "refresh_token"  # noqa: S105  RFC 6749 6: what a person's sign-in left to the client


class ClientAuth(StrEnum):
    """How the client shows its secret to the token endpoint (RFC 6749 2.3.1)."""

    BODY = "body"
    BASIC = "basic"


# The mechanisms (RFC 4422) of each kind of login, by the names that relays offer them under.
MECHANISMS: Final[Mapping[Auth, tuple[str, ...]]] = MappingProxyType(
    {
        Auth.NONE: (),
        Auth.PASSWORD: ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"),
        Auth.NTLM: ("NTLM",),
        Auth.OAUTH2: ("XOAUTH2", "OAUTHBEARER"),
    }
)


@dataclass(frozen=True, slots=True)
class Profile:
    """One set of SMTP settings. Raises Invalid, naming the field, when it would make no sense.

    Fields marked `harmless` don't change where a secret goes or to whom it proves something; every other field is part
    of the destination that the stored secret is bound to. A field added later counts until someone marks it.
    """

    host: str
    port: int = 25
    security: Security = Security.NONE
    verify_certificate: bool = True
    ca_certificates: str | None = None  # PEM; None trusts the system's authorities
    server_name: str | None = None  # the name that the certificate must carry; None means the host
    tls_minimum: TlsVersion = TlsVersion.V1_2  # of the connection to the relay
    auth: Auth = Auth.NONE
    mechanism: str | None = None  # exactly this one of the auth's kind; None means the best that the relay offers
    username: str | None = None  # with OAUTH2 the mailbox to send as; None means the sender's address
    token_url: str | None = None  # OAUTH2: where the access token is asked for
    token_grant: TokenGrant = TokenGrant.CLIENT_CREDENTIALS  # OAUTH2
    token_client_auth: ClientAuth = ClientAuth.BODY  # OAUTH2
    client_id: str | None = None  # OAUTH2; its client secret, if it has one, is the profile's password
    token_scope: str | None = None  # OAUTH2
    token_audience: str | None = None  # OAUTH2
    envelope_sender: str | None = None  # MAIL FROM; None means the sender's address
    sender_address: str | None = field(default=None, metadata={"harmless": True})
    sender_name: str | None = field(default=None, metadata={"harmless": True})
    reply_to_address: str | None = field(default=None, metadata={"harmless": True})
    reply_to_name: str | None = field(default=None, metadata={"harmless": True})
    recipient_filter: str | None = field(default=None, metadata={"harmless": True})
    ehlo_name: str | None = field(default=None, metadata={"harmless": True})  # None means this machine's own
    limit_per_minute: int | None = field(default=None, metadata={"harmless": True})  # deliveries; None: no limit
    limit_per_hour: int | None = field(default=None, metadata={"harmless": True})
    limit_per_day: int | None = field(default=None, metadata={"harmless": True})
    most_connections: int | None = field(default=None, metadata={"harmless": True})  # of all workers; None: 20
    # Another profile of the tenant, with a secret of its own, that mail goes through while this one's relay is away.
    failover: int | None = field(default=None, metadata={"harmless": True})
    # What one dialect can say and no other: kept so that its GET gives back what was PUT. By dialect, then by field.
    extras: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: MappingProxyType({}), metadata={"harmless": True}, hash=False
    )

    def __post_init__(self) -> None:
        for name in TEXT_FIELDS:
            _check_text(name, getattr(self, name))
        object.__setattr__(self, "host", host_name(self.host))
        if isinstance(self.port, bool) or not 1 <= self.port <= 65535:
            raise Invalid("port", "The port must be a number from 1 to 65535 (usually 25, 465 or 587).")
        if self.server_name is not None:
            object.__setattr__(self, "server_name", domain_name(self.server_name, "server_name"))
        _check_authorities(self.ca_certificates)
        if self.ehlo_name is not None:
            object.__setattr__(self, "ehlo_name", ehlo_name(self.ehlo_name))
        for name in ("sender_address", "reply_to_address", "envelope_sender"):
            _canonical_address(self, name)
        self._check_login()
        RecipientFilter.parse(self.recipient_filter)
        _check_filter_says_something(self.recipient_filter)
        for name in LIMIT_FIELDS:
            check_limit(name, getattr(self, name))
        check_limit("most_connections", self.most_connections, most=1000)
        check_limit("failover", self.failover, most=LARGEST_ID)

    def _check_login(self) -> None:
        if self.mechanism is not None:
            object.__setattr__(self, "mechanism", _mechanism(self.mechanism, self.auth))
        if self.auth in (Auth.PASSWORD, Auth.NTLM) and not self.username:
            raise Invalid("username", "To log in at the relay a user name is needed; give one or switch login off.")
        if self.token_url is not None:
            TokenEndpoint.parse(self.token_url)
        if self.auth is Auth.OAUTH2:
            for name in ("token_url", "client_id"):
                if not getattr(self, name):
                    raise Invalid(name, "To log in with OAuth 2 the token endpoint and the client's id are needed.")

    @property
    def mail_from(self) -> str | None:
        """The envelope sender in force (RFC 5321 4.1.1.2)."""
        return self.envelope_sender or self.sender_address


TEXT_FIELDS: Final = (
    "host", "server_name", "mechanism", "username", "token_url", "client_id", "token_scope", "token_audience",
    "envelope_sender",
    "sender_address", "sender_name", "reply_to_address", "reply_to_name", "ehlo_name", "recipient_filter",
)  # fmt: skip


SecretField = Literal["password", "refresh_token"]
SECRET_FIELDS: Final[tuple[SecretField, ...]] = ("password", "refresh_token")


class Keep(Enum):
    """The patch's way to say: leave this field as it is. (None is a value: it clears a field.)

    Not a StrEnum: a user whose name is "keep" would equal it.
    """

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True, slots=True)
class Patch:
    """A change to a profile: only what somebody had words for. Everything left at KEEP survives.

    The secrets: a Secret sets it, None clears it, KEEP leaves it, as far as the destination rule allows.
    """

    host: str | Keep = KEEP
    port: int | Keep = KEEP
    security: Security | Keep = KEEP
    verify_certificate: bool | Keep = KEEP
    ca_certificates: str | Keep | None = KEEP
    server_name: str | Keep | None = KEEP
    tls_minimum: TlsVersion | Keep = KEEP
    auth: Auth | Keep = KEEP
    mechanism: str | Keep | None = KEEP
    username: str | Keep | None = KEEP
    token_url: str | Keep | None = KEEP
    token_grant: TokenGrant | Keep = KEEP
    token_client_auth: ClientAuth | Keep = KEEP
    client_id: str | Keep | None = KEEP
    token_scope: str | Keep | None = KEEP
    token_audience: str | Keep | None = KEEP
    envelope_sender: str | Keep | None = KEEP
    sender_address: str | Keep | None = KEEP
    sender_name: str | Keep | None = KEEP
    reply_to_address: str | Keep | None = KEEP
    reply_to_name: str | Keep | None = KEEP
    recipient_filter: str | Keep | None = KEEP
    ehlo_name: str | Keep | None = KEEP
    limit_per_minute: int | Keep | None = KEEP
    limit_per_hour: int | Keep | None = KEEP
    limit_per_day: int | Keep | None = KEEP
    most_connections: int | Keep | None = KEEP
    failover: int | Keep | None = KEEP
    extras: Mapping[str, Mapping[str, Any]] | Keep = KEEP
    password: Secret | Keep | None = KEEP
    refresh_token: Secret | Keep | None = KEEP  # OAUTH2 with REFRESH_TOKEN

    def settings(self) -> dict[str, Any]:
        """What it says about the profile proper, by field name, without the secrets."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in SECRET_FIELDS}
        return {name: value for name, value in said.items() if value is not KEEP}

    def without(self, shown: "Patch") -> "Patch":
        """The mirror rule (design section 3, rule 4): a field that comes back as it was shown is not a change."""
        same = {name: KEEP for name, value in self.settings().items() if getattr(shown, name) == value}
        return replace(self, **same)


def apply(profile: Profile | None, patch: Patch) -> Profile:
    """The profile after the change. Raises Invalid. Without a profile the patch must at least name a host."""
    said = patch.settings()
    if profile is None:
        if "host" not in said:
            raise Invalid("host", "There are no settings yet: give at least the relay's host.")
        return Profile(**said)
    kind = said.get("auth", profile.auth)
    if kind is not Auth.NONE and profile.mechanism not in MECHANISMS[kind]:
        # Who only has words for another kind of login can't say that its mechanism goes with it.
        said = {"mechanism": None, **said}
    return replace(profile, **said)


def changed_fields(before: Profile | None, after: Profile) -> dict[str, tuple[Any, Any]]:
    """Field by field, what was and what is: the diff that a revision keeps. Secrets are not in it."""
    names = [f.name for f in fields(Profile)]
    old = {name: getattr(before, name) if before else None for name in names}
    new = {name: getattr(after, name) for name in names}
    return {name: (old[name], new[name]) for name in names if old[name] != new[name]}


def _mechanism(text: str, auth: Auth) -> str:
    """One of the kind; without login, of any. Raises Invalid."""
    name = text.strip().upper()
    kinds = [auth] if auth is not Auth.NONE else list(Auth)
    known = [mechanism for kind in kinds for mechanism in MECHANISMS[kind]]
    if name not in known:
        to_log_in = f' to log in by "{auth}"' if auth is not Auth.NONE else ""
        raise Invalid("mechanism", f"The mechanism{to_log_in} must be one of {', '.join(known)}, or left out.")
    return name


def _check_authorities(text: str | None) -> None:
    if text is None:
        return
    if len(text) > LONGEST_AUTHORITIES:
        raise Invalid("ca_certificates", f"This is longer than {LONGEST_AUTHORITIES} characters.")
    if not text.isascii():
        raise Invalid("ca_certificates", "Give certificates as PEM text (-----BEGIN CERTIFICATE-----), or nothing.")


def _check_text(name: str, value: str | None) -> None:
    if value is not None:
        one_line(name, value, LONGEST_TEXT if name != "recipient_filter" else 64 * LONGEST_TEXT)


def _canonical_address(profile: Profile, name: str) -> None:
    value = getattr(profile, name)
    if value is not None:
        object.__setattr__(profile, name, str(Address.parse(value, name)))


def _check_filter_says_something(text: str | None) -> None:
    # A filter that is there but blank would read as "everyone": the one mistake that a filter exists to prevent.
    if text is not None and not text.strip():
        raise Invalid("recipient_filter", "The filter has no usable pattern; leave it out to allow everyone.")
