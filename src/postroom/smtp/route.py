"""Everything that is needed to talk to one relay, in one frozen value."""

from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from postroom.domain.profile import Profile
from postroom.domain.secret import Secret
from postroom.smtp.reach import Network, Reach


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
    usually given for networks (`plaintext_networks`), and holds once the relay's address is known to be in one."""

    profile: Profile
    password: Secret | None
    reach: Reach
    ehlo_name: str
    allow_plaintext_auth: bool = False
    plaintext_networks: tuple[Network, ...] = ()
    timeouts: Timeouts = field(default=Timeouts())

    def at(self, address: str) -> "Route":
        """The route once it is known which address was dialled."""
        here = ip_address(address.partition("%")[0])
        allowed = self.allow_plaintext_auth or any(here in network for network in self.plaintext_networks)
        return replace(self, allow_plaintext_auth=allowed)
