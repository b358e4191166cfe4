"""The mechanisms in which both sides prove that they know the password, and neither says it (RFC 5802, RFC 7677).

Without channel binding: the gs2 header is "n,,". A relay whose signature is wrong or missing is not believed, even
when it says 235: whoever sits there does not know the password.
"""

import base64
import hashlib
import hmac
import re
import secrets
from typing import ClassVar

from postroom.domain.secret import Secret
from postroom.smtp.sasl.mechanism import Mechanism, OutOfStep, Unproved, decoded
from postroom.smtp.sasl.saslprep import prepared

FEWEST_ITERATIONS = 4096  # RFC 5802 section 5.1, RFC 7677 section 4: fewer would make guessing cheap
MOST_ITERATIONS = 1_000_000  # about a second of one core, in a thread of its own; OWASP asks for 600,000

_GS2_HEADER = "n,,"
# RFC 5802 section 7, server-first-message: a mandatory extension (m=) is none that we know, others may follow.
_SERVER_FIRST = re.compile(r"r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+={0,2}),i=([1-9][0-9]{0,6})(?:,.*)?", re.ASCII)
_SERVER_FINAL = re.compile(r"v=([A-Za-z0-9+/]+={0,2})(?:,.*)?", re.ASCII)


class Scram(Mechanism):
    """`nonce` is drawn unless a test gives the one of an example."""

    digest: ClassVar[str]
    is_laborious: ClassVar[bool] = True
    hides_challenges: ClassVar[bool] = True  # the relay's signature is as good as ours for guessing

    def __init__(self, username: str, secret: Secret, nonce: str | None = None) -> None:
        super().__init__(username, secret)
        self._nonce = nonce or secrets.token_urlsafe(24)
        name = prepared(username).replace("=", "=3D").replace(",", "=2C")
        self._first = f"n={name},r={self._nonce}"  # client-first-message-bare
        self._expected: bytes | None = None  # the signature that the relay owes us, once we have shown our proof
        self._told = False  # whether it has answered our proof
        self._proved = False

    def initial(self) -> bytes | None:
        return f"{_GS2_HEADER}{self._first}".encode()

    def respond(self, challenge: bytes) -> bytes:
        try:
            text = decoded(challenge).decode()
        except UnicodeDecodeError:
            raise OutOfStep from None
        if self._expected is None:
            return self._prove(text)
        if self._told:
            raise OutOfStep
        self._told = True
        if not text.startswith("e="):  # an error's name: the reply that ends it says it again, in words
            self._verify(text, self._expected)
        return b""

    @property
    def owes_proof(self) -> bool:
        return not self._proved

    def _prove(self, server_first: str) -> bytes:
        """client-final-message, and what the relay must answer to it (RFC 5802 section 3)."""
        nonce, salt, iterations = self._read(server_first)
        without_proof = f"c={_encoded(_GS2_HEADER.encode())},r={nonce}"
        signed = f"{self._first},{server_first},{without_proof}"
        password = prepared(self._secret.reveal()).encode()
        salted = hashlib.pbkdf2_hmac(self.digest, password, salt, iterations)
        client_key = self._hmac(salted, "Client Key")
        signature = self._hmac(hashlib.new(self.digest, client_key).digest(), signed)
        proof = bytes(key ^ sign for key, sign in zip(client_key, signature, strict=True))
        self._expected = self._hmac(self._hmac(salted, "Server Key"), signed)
        return f"{without_proof},p={_encoded(proof)}".encode()

    def _read(self, server_first: str) -> tuple[str, bytes, int]:
        found = _SERVER_FIRST.fullmatch(server_first)
        if found is None:
            raise OutOfStep
        nonce, salt, iterations = found[1], decoded(found[2].encode()), int(found[3])
        # Ours with something of the relay's own behind it: else it could play an old exchange again.
        extends = nonce.startswith(self._nonce) and len(nonce) > len(self._nonce)
        if not extends or not FEWEST_ITERATIONS <= iterations <= MOST_ITERATIONS:
            raise OutOfStep
        return nonce, salt, iterations

    def _verify(self, server_final: str, expected: bytes) -> None:
        found = _SERVER_FINAL.fullmatch(server_final)
        if found is None or not hmac.compare_digest(decoded(found[1].encode()), expected):
            raise Unproved
        self._proved = True

    def _hmac(self, key: bytes, text: str) -> bytes:
        return hmac.digest(key, text.encode(), self.digest)


class ScramSha1(Scram):
    name: ClassVar[str] = "SCRAM-SHA-1"
    digest: ClassVar[str] = "sha1"


class ScramSha256(Scram):
    name: ClassVar[str] = "SCRAM-SHA-256"
    digest: ClassVar[str] = "sha256"


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
