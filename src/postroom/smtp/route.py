"""Everything that is needed to talk to one relay, in one frozen value."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from postroom.domain.delivery import Scope, Stage
from postroom.domain.problems import Problem
from postroom.domain.profile import Profile, TokenGrant
from postroom.domain.secret import Secret
from postroom.smtp.certificates import Certificates
from postroom.smtp.failure import Failure
from postroom.smtp.grant import Grant
from postroom.smtp.reach import Network, Reach
from postroom.smtp.sign_in import SignIn
from postroom.smtp.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. A deadline per whole reply, not per read, so that a slow drip can't stretch it (RFC 5321 4.5.3.2)."""

    connect: float = 30
    reply: float = 60
    dot: float = 600  # RFC 5321 4.5.3.2.6: impatience here makes duplicates
    attempt: float = 900


@dataclass(frozen=True, slots=True)
class Route:
    """`allow_plaintext_auth` is the operator's word, not the tenant's: the password may cross an open connection. It is
    usually given for networks (`plaintext_networks`), and holds once the relay's address is known to be in one.
    `password` may be a reference; `read_secret` reads what it names."""

    profile: Profile
    password: Secret | None
    reach: Reach
    ehlo_name: str
    allow_plaintext_auth: bool = False
    plaintext_networks: tuple[Network, ...] = ()
    timeouts: Timeouts = field(default=Timeouts())
    sign_in: SignIn | None = field(default=None, repr=False, compare=False)  # OAuth 2 by refresh token: whose
    read_secret: Callable[[Secret], Secret] | None = field(default=None, repr=False, compare=False)
    tokens: Tokens = field(default_factory=Tokens, repr=False, compare=False)  # OAuth 2: one for the whole process

    certificates: Certificates = field(default_factory=Certificates, repr=False, compare=False)  # likewise

    def at(self, address: str) -> "Route":
        """The route once it is known which address was dialled."""
        here = ip_address(address.partition("%")[0])
        allowed = self.allow_plaintext_auth or any(here in network for network in self.plaintext_networks)
        return replace(self, allow_plaintext_auth=allowed)

    def fresh(self) -> "Route | Failure":
        """With the password as it is now, for one connection."""
        if self.password is None or self.read_secret is None:
            return self
        try:
            return replace(self, password=self.read_secret(self.password), read_secret=None)
        except Problem as problem:
            return Failure("settings.reference", problem.message, Stage.SETTINGS, Scope.PROFILE)

    def grant(self) -> Grant:
        """OAuth 2: what an access token is asked for with. Only for a profile that logs in so."""
        profile = self.profile
        by_refresh_token = profile.token_grant is TokenGrant.REFRESH_TOKEN
        shown = self.sign_in if by_refresh_token else self.password
        if profile.token_url is None or profile.client_id is None or shown is None:
            raise RuntimeError("the settings speak of no access token")
        return Grant(
            profile.token_url, profile.client_id, self.password, profile.token_scope, profile.token_audience,
            profile.ca_certificates, profile.token_client_auth, self.sign_in if by_refresh_token else None,
        )  # fmt: skip
