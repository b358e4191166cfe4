"""The mechanisms that hand the password over as it is."""

from typing import ClassVar

from postroom.smtp.sasl.mechanism import Mechanism, OutOfStep, decoded


class Plain(Mechanism):
    """RFC 4616: both in one go; the authorisation identity is left to the relay."""

    name: ClassVar[str] = "PLAIN"

    def initial(self) -> bytes | None:
        return f"\0{self._username}\0{self._secret.reveal()}".encode()

    def respond(self, _challenge: bytes) -> bytes:
        raise OutOfStep


class Login(Mechanism):
    """Never standardised (draft-murchison-sasl-login): first the name, then the password, whatever the prompts say."""

    name: ClassVar[str] = "LOGIN"
    _asked = 0

    def initial(self) -> bytes | None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        decoded(challenge)  # a prompt; a relay that can't even write one is out of order
        self._asked += 1
        match self._asked:
            case 1:
                return self._username.encode()
            case 2:
                return self._secret.reveal().encode()
            case _:
                raise OutOfStep
