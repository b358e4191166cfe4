"""Secrets at rest: sealed with AES-256-GCM and bound to where they belong.

What was sealed for one tenant, profile and field opens nowhere else: the place is authenticated data. A sealed value
reads `<key id>.<nonce and ciphertext>`, so that a later key ring can hold several keys. There is no default key: the
first start makes one, in a file that only its owner can read.
"""

import base64
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from postroom.domain.problems import Invalid, Unavailable
from postroom.domain.secret import Secret

KEY_OCTETS = 32
_NONCE_OCTETS = 12


class Vault:
    """Seals and opens; derives the keys of other purposes from the same master key."""

    def __init__(self, master: bytes) -> None:
        if len(master) != KEY_OCTETS:
            raise Invalid("vault_key", f"The vault key must be {KEY_OCTETS} octets, written in base64.")
        self._master = master
        self._cipher = AESGCM(self.derive("secrets"))
        self.key_id = hashlib.sha256(self.derive("key id")).hexdigest()[:8]

    def seal(self, secret: Secret, place: tuple[object, ...]) -> str:
        """Encrypt for `place`, for example (tenant id, profile id, "password")."""
        nonce = os.urandom(_NONCE_OCTETS)
        sealed = nonce + self._cipher.encrypt(nonce, secret.reveal().encode(), self._bound_to(place))
        return f"{self.key_id}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, place: tuple[object, ...]) -> Secret:
        """Decrypt. Raises Unavailable, never answers "no secret", when the key is another or the value was moved."""
        key_id, _, text = sealed.partition(".")
        try:
            raw = base64.urlsafe_b64decode(text)
            return Secret(
                self._cipher.decrypt(raw[:_NONCE_OCTETS], raw[_NONCE_OCTETS:], self._bound_to(place)).decode()
            )
        except (InvalidTag, ValueError):
            raise Unavailable(
                f"The stored secret can't be opened: it was sealed with vault key {key_id}, this is {self.key_id}. "
                "Restore the vault key, or enter the secret again."
            ) from None

    def derive(self, purpose: str) -> bytes:
        """A key of its own for `purpose` (RFC 5869)."""
        return HKDF(hashes.SHA256(), KEY_OCTETS, salt=b"postroom", info=purpose.encode()).derive(self._master)

    def _bound_to(self, place: tuple[object, ...]) -> bytes:
        return "\x1f".join((self.key_id, *map(str, place))).encode()


def vault_from(key: Secret | None, data_dir: Path) -> Vault:
    """The vault of the configured key, else of the data directory's `vault.key`, made if there is none.

    Raises Invalid when the key is not one.
    """
    if key is not None:
        return Vault(_decoded(key.reveal()))
    path = data_dir / "vault.key"
    if not path.exists():
        _write_privately(path, base64.b64encode(secrets.token_bytes(KEY_OCTETS)).decode())
    return Vault(_decoded(path.read_text()))


def _decoded(text: str) -> bytes:
    try:
        master = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raise Invalid("vault_key", f"The vault key must be {KEY_OCTETS} random octets in base64.") from None
    if len(set(master)) < 8:  # a placeholder such as 32 times the same letter
        raise Invalid("vault_key", "The vault key is not random. Make one with: openssl rand -base64 32")
    return master


def _write_privately(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(handle)
