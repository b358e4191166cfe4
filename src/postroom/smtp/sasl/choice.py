"""Which mechanism it is: the one that the settings name, else the best that the relay offers of their kind."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from postroom.domain.profile import Auth, Profile, Security
from postroom.smtp.sasl.bearer import OAuthBearer, XOauth2
from postroom.smtp.sasl.challenge import CramMd5
from postroom.smtp.sasl.mechanism import Mechanism
from postroom.smtp.sasl.ntlm import Ntlm
from postroom.smtp.sasl.plain import Login, Plain
from postroom.smtp.sasl.scram import ScramSha1, ScramSha256

Kinds = tuple[type[Mechanism], ...]

# Where TLS says who is at the other end, nobody else sees the password, and the relay gets it whichever way its users
# are kept: PLAIN works with every hash that a relay may store. CRAM-MD5 needs them stored in the clear, and many relays
# that offer it have not got them so. SCRAM is first all the same: it tells the relay nothing that it could lose.
_WHERE_THE_RELAY_IS_KNOWN: Final[Mapping[Auth, Kinds]] = MappingProxyType(
    {
        Auth.NONE: (),
        Auth.PASSWORD: (ScramSha256, ScramSha1, Plain, Login, CramMd5),
        Auth.NTLM: (Ntlm,),
        Auth.OAUTH2: (XOauth2, OAuthBearer),
    }
)
# On an open connection that the operator allows, and inside TLS that nobody verifies, somebody may be listening: there
# a password that has to be guessed first is better than one that is told.
_WHERE_ANYONE_MAY_LISTEN: Final[Mapping[Auth, Kinds]] = MappingProxyType(
    {**_WHERE_THE_RELAY_IS_KNOWN, Auth.PASSWORD: (ScramSha256, ScramSha1, CramMd5, Plain, Login)}
)


def candidates(profile: Profile) -> Kinds:
    """What may be used, the best first; never one of another kind than the settings say."""
    known = profile.security in (Security.STARTTLS, Security.TLS) and profile.verify_certificate
    kinds = (_WHERE_THE_RELAY_IS_KNOWN if known else _WHERE_ANYONE_MAY_LISTEN)[profile.auth]
    if profile.mechanism is None:
        return kinds
    return tuple(kind for kind in kinds if kind.name == profile.mechanism)


def choose(offered: Iterable[str], profile: Profile) -> type[Mechanism] | None:
    """The best mechanism that both sides know."""
    names = frozenset(offered)
    return next((kind for kind in candidates(profile) if kind.name in names), None)
