"""What a mechanism is: one side of an exchange."""

import base64
import binascii
from abc import ABC, abstractmethod
from typing import ClassVar

from postroom.domain.secret import Secret

MOST_STEPS = 8  # no mechanism that we know needs more; a relay that asks for ever is not asking


class OutOfStep(Exception):
    """The relay asked for something that the mechanism doesn't have. Holds nothing that was exchanged."""


class Unproved(OutOfStep):
    """The relay was to show that it knows the password too, and showed something else."""


class Mechanism(ABC):
    """One exchange: made for one login, used once. `secret` is the password or the access token."""

    name: ClassVar[str]
    is_laborious: ClassVar[bool] = False  # to answer may take long enough that nobody else should have to wait for it
    hides_challenges: ClassVar[bool] = False  # the password could be guessed from what the relay says

    def __init__(self, username: str, secret: Secret) -> None:
        self._username = username
        self._secret = secret

    @abstractmethod
    def initial(self) -> bytes | None:
        """The initial response that goes with the AUTH command, or None when the relay speaks first."""

    @abstractmethod
    def respond(self, challenge: bytes) -> bytes:
        """The answer to a 334, whose text is given as it came. Raises OutOfStep when the exchange should be over."""

    @property
    def owes_proof(self) -> bool:
        """Whether the relay has yet to show that it knows the password; until then its yes is not believed."""
        return False


def encoded(response: bytes) -> str:
    """As it goes into a line of its own; an empty one is an empty line (RFC 4954 section 4)."""
    return base64.b64encode(response).decode()


def decoded(challenge: bytes) -> bytes:
    """Strictly. Raises OutOfStep."""
    try:
        return base64.b64decode(challenge, validate=True)
    except binascii.Error:
        raise OutOfStep from None
