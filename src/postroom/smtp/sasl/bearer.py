"""The mechanisms that show an access token."""

from typing import ClassVar

from postroom.smtp.sasl.mechanism import Mechanism, OutOfStep


class XOauth2(Mechanism):
    """Google's and Microsoft's own, from before RFC 7628 and still what they document."""

    name: ClassVar[str] = "XOAUTH2"
    regret: ClassVar[bytes] = b""
    _failed = False

    def initial(self) -> bytes | None:
        return f"user={self._username}\x01auth=Bearer {self._secret.reveal()}\x01\x01".encode()

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
        return f"n,a={name},\x01auth=Bearer {self._secret.reveal()}\x01\x01".encode()
