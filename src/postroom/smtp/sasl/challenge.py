"""The mechanism that answers a challenge without handing the password over."""

import hmac
from typing import ClassVar

from postroom.smtp.sasl.mechanism import Mechanism, OutOfStep, decoded


class CramMd5(Mechanism):
    """RFC 2195. Whoever sees the exchange can guess the password at MD5's speed, and the relay proves nothing."""

    name: ClassVar[str] = "CRAM-MD5"
    _answered = False

    def initial(self) -> bytes | None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        text = decoded(challenge)
        if self._answered or not text:  # what every login would answer alike is no challenge
            raise OutOfStep
        self._answered = True
        digest = hmac.new(self._secret.reveal().encode(), text, "md5").hexdigest()
        return f"{self._username} {digest}".encode()
