"""Logging in (RFC 4422, RFC 4954): mechanisms as objects that answer challenges.

A mechanism is tried once; there is no going on to a weaker one after a no, which would hand the password to whoever
said no. Another mechanism is one more class here and its place in `BEST_FIRST`.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import ClassVar, Protocol

from postroom.domain.secret import Secret

MOST_STEPS = 8  # no mechanism that we know needs more; a relay that asks for ever is not asking


class OutOfStep(Exception):
    """The relay asked for something that the mechanism doesn't have. Holds nothing that was exchanged."""


class Mechanism(Protocol):
    """One exchange: made for one login, used once."""

    name: ClassVar[str]

    def __init__(self, username: str, password: Secret) -> None: ...

    def initial(self) -> bytes | None:
        """The initial response that goes with the AUTH command, or None when the relay speaks first."""

    def respond(self, challenge: bytes, /) -> bytes:
        """The answer to a 334. Raises OutOfStep when the exchange should be over."""


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

    def respond(self, _challenge: bytes) -> bytes:
        self._asked += 1
        match self._asked:
            case 1:
                return self._username.encode()
            case 2:
                return self._password.reveal().encode()
            case _:
                raise OutOfStep


BEST_FIRST: tuple[type[Mechanism], ...] = (Plain, Login)


def choose(offered: Iterable[str]) -> type[Mechanism] | None:
    """The best mechanism that both sides know."""
    names = frozenset(offered)
    return next((mechanism for mechanism in BEST_FIRST if mechanism.name in names), None)


def encoded(response: bytes) -> str:
    """As it goes into a line of its own; an empty one is an empty line (RFC 4954 section 4)."""
    return base64.b64encode(response).decode()


def decoded(challenge: bytes) -> bytes:
    """Strictly. Raises OutOfStep."""
    try:
        return base64.b64decode(challenge, validate=True)
    except binascii.Error:
        raise OutOfStep from None
