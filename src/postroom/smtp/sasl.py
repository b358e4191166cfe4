"""Logging in (RFC 4422, RFC 4954): mechanisms as objects that answer challenges.

A mechanism is tried once; there is no going on to a weaker one after a no, which would hand the password to whoever
said no. Another mechanism is one more class here and its place in `BEST_FIRST`.
"""

import base64
import binascii
import logging
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Protocol

from postroom.domain.profile import Auth
from postroom.domain.secret import Secret

if TYPE_CHECKING:
    import spnego

MOST_STEPS = 8  # no mechanism that we know needs more; a relay that asks for ever is not asking


class OutOfStep(Exception):
    """The relay asked for something that the mechanism doesn't have. Holds nothing that was exchanged."""


class Mechanism(Protocol):
    """One exchange: made for one login, used once."""

    name: ClassVar[str]

    def __init__(self, username: str, secret: Secret, /) -> None: ...

    def initial(self) -> bytes | None:
        """The initial response that goes with the AUTH command, or None when the relay speaks first."""

    def respond(self, challenge: bytes, /) -> bytes:
        """The answer to a 334, whose text is given as it came. Raises OutOfStep when the exchange should be over."""


class Plain:
    """RFC 4616: both in one go; the authorisation identity is left to the relay."""

    name: ClassVar[str] = "PLAIN"

    def __init__(self, username: str, password: Secret) -> None:
        self._username = username
        self._password = password

    def initial(self) -> bytes | None:
        return f"\0{self._username}\0{self._password.reveal()}".encode()

    def respond(self, _challenge: bytes) -> bytes:
        raise OutOfStep


class Login:
    """Never standardised (draft-murchison-sasl-login): first the name, then the password, whatever the prompts say."""

    name: ClassVar[str] = "LOGIN"

    def __init__(self, username: str, password: Secret) -> None:
        self._username = username
        self._password = password
        self._asked = 0

    def initial(self) -> bytes | None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        decoded(challenge)  # a prompt; a relay that can't even write one is out of order
        self._asked += 1
        match self._asked:
            case 1:
                return self._username.encode()
            case 2:
                return self._password.reveal().encode()
            case _:
                raise OutOfStep


class Ntlm:
    """MS-SMTPNTLM over MS-NLMP: NTLMv2 and nothing older, because what v1 sends is cracked in hours (A11).

    The user name is `DOMAIN\\user`, `user@domain` or bare.
    """

    name: ClassVar[str] = "NTLM"

    def __init__(self, username: str, password: Secret) -> None:
        self._username = username
        self._password = password
        self._context: spnego.ContextProxy | None = None

    def initial(self) -> bytes | None:
        # MS-SMTPNTLM 2.2.1: Exchange takes the first message only after its prompt.
        return None

    def respond(self, challenge: bytes) -> bytes:
        if self._context is None:
            # The prompt is "NTLM supported" in plain words (MS-SMTPNTLM 2.2.2), or nothing at all.
            self._context = _ntlm_context(self._username, self._password)
            return self._context.step() or b""
        if self._context.complete:
            raise OutOfStep
        return _only_version_2(_step(self._context, decoded(challenge)))


def _ntlm_context(username: str, password: Secret) -> "spnego.ContextProxy":
    import spnego  # here, because loading it takes longer than everything else that opens a connection

    # At DEBUG it would write the exchange, from which the password can be guessed.
    logging.getLogger("spnego").setLevel(logging.INFO)
    options = spnego.NegotiateOptions.use_ntlm  # not what the system may have
    return spnego.client(username, password.reveal(), protocol="ntlm", options=options)


def _step(context: "spnego.ContextProxy", challenge: bytes) -> bytes:
    try:
        return context.step(challenge) or b""
    except Exception:  # a hostile challenge ends it in many ways: SpnegoError, struct.error, ValueError, ...
        raise OutOfStep from None


def _only_version_2(message: bytes) -> bytes:
    """The environment can talk pyspnego into version 1 (LM_COMPAT_LEVEL): its response has 24 bytes, no more."""
    # MS-NLMP 2.2.1.3: the length of NtChallengeResponse is at offset 20.
    if int.from_bytes(message[20:22], "little") <= 24:
        raise OutOfStep
    return message


class XOauth2:
    """Google's and Microsoft's own, from before RFC 7628 and still what they document."""

    name: ClassVar[str] = "XOAUTH2"
    regret: ClassVar[bytes] = b""

    def __init__(self, username: str, token: Secret) -> None:
        self._username = username
        self._token = token
        self._failed = False

    def initial(self) -> bytes | None:
        return f"user={self._username}\x01auth=Bearer {self._token.reveal()}\x01\x01".encode()

    def respond(self, _challenge: bytes) -> bytes:
        """A challenge is JSON that says why it failed; it takes an answer before the reply that ends it."""
        if self._failed:
            raise OutOfStep
        self._failed = True
        return self.regret


class OAuthBearer(XOauth2):
    """RFC 7628; host and port (section 3.1) are for schemes that sign them."""

    name: ClassVar[str] = "OAUTHBEARER"
    regret: ClassVar[bytes] = b"\x01"  # section 3.2.3

    def initial(self) -> bytes | None:
        name = self._username.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 section 4: saslname
        return f"n,a={name},\x01auth=Bearer {self._token.reveal()}\x01\x01".encode()


BEST_FIRST: Mapping[Auth, tuple[type[Mechanism], ...]] = MappingProxyType(
    {Auth.NONE: (), Auth.PASSWORD: (Plain, Login), Auth.NTLM: (Ntlm,), Auth.OAUTH2: (XOauth2, OAuthBearer)}
)


def choose(offered: Iterable[str], auth: Auth) -> type[Mechanism] | None:
    """The best mechanism of this kind that both sides know; never one of another kind."""
    names = frozenset(offered)
    return next((mechanism for mechanism in BEST_FIRST[auth] if mechanism.name in names), None)


def encoded(response: bytes) -> str:
    """As it goes into a line of its own; an empty one is an empty line (RFC 4954 section 4)."""
    return base64.b64encode(response).decode()


def decoded(challenge: bytes) -> bytes:
    """Strictly. Raises OutOfStep."""
    try:
        return base64.b64decode(challenge, validate=True)
    except binascii.Error:
        raise OutOfStep from None
