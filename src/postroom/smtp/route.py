"""Everything that is needed to talk to one relay, in one frozen value."""

from dataclasses import dataclass, field

from postroom.domain.profile import Profile
from postroom.domain.secret import Secret
from postroom.smtp.reach import Reach


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. A deadline per whole reply, not per read, so that a slow drip can't stretch it (RFC 5321 4.5.3.2)."""

    connect: float = 30
    reply: float = 60
    dot: float = 600  # RFC 5321 4.5.3.2.6: impatience here makes duplicates
    attempt: float = 900


@dataclass(frozen=True, slots=True)
class Route:
    """`allow_plaintext_auth` is the operator's word, not the tenant's: the password may cross an open connection."""

    profile: Profile
    password: Secret | None
    reach: Reach
    ehlo_name: str
    allow_plaintext_auth: bool = False
    timeouts: Timeouts = field(default=Timeouts())
