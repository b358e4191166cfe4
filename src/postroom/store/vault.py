"""What is stored sealed: AES-256-GCM under one of several keys, bound to where it belongs.

What was sealed for one tenant, profile and field (or tenant and message) opens nowhere else: the place is
authenticated data. One key of the ring seals, all open; so a new key can take over while mail flows
(`actions/vault.py`). There is no default key (`key_ring.py`).

A sealed secret reads `<key id>.<nonce and ciphertext>`. Sealed content is binary: an octet that no mail begins with,
four of the key id, nonce, ciphertext; a data key of its own for each tenant (security-reliability.md A7). Content that
does not begin so was kept before there was this, and is taken as it is.
"""

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from postroom.domain.problems import Invalid, SecretLost
from postroom.domain.secret import Secret

KEY_OCTETS = 32
SEALED = b"\x01"  # what sealed content begins with; a mail begins with a letter (RFC 5322 2.2)
_NONCE_OCTETS = 12
_HEAD = len(SEALED) + 4
_TENANTS_AT_HAND = 4096  # whose data keys are remembered


class Vault:
    """Seals with the first of its keys, opens with any; derives the keys of other purposes from them. `reread` is asked
    for the ring once more when something was sealed with a key that is not in it: another process may have made one.
    `lost` are the ids of keys of which the operator has said that they are gone for good."""

    def __init__(
        self, *masters: bytes, reread: Callable[[], Iterable[bytes]] | None = None, lost: frozenset[str] = frozenset()
    ) -> None:
        self._keys: Mapping[str, bytes] = {}
        self._reread = reread
        self.lost = lost
        self._secrets = lru_cache(maxsize=64)(self._cipher_for_secrets)
        self._contents = lru_cache(maxsize=_TENANTS_AT_HAND)(self._cipher_for_contents)
        self.use(masters)

    def __reduce__(self) -> tuple[type["Vault"], tuple[bytes, ...]]:
        """For the process that writes: it seals with the keys as they are now, and is told when they change."""
        return type(self), tuple(self._keys.values())

    @property
    def key_id(self) -> str:
        """Of the key that seals."""
        return next(iter(self._keys))

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The one that seals first."""
        return tuple(self._keys)

    def use(self, masters: Iterable[bytes]) -> None:
        """Have these keys from now on, and no others; the first seals. Raises Invalid."""
        keys = {id_of(master): master for master in masters}
        if not keys or any(len(master) != KEY_OCTETS for master in keys.values()):
            raise Invalid("vault_key", f"The vault key must be {KEY_OCTETS} octets, written in base64.")
        self._keys = keys

    # --- secrets

    def seal(self, secret: Secret, place: tuple[object, ...]) -> str:
        """Encrypt for `place`, for example (tenant id, profile id, "password")."""
        key_id, nonce = self.key_id, os.urandom(_NONCE_OCTETS)
        sealed = nonce + self._secrets(key_id).encrypt(nonce, secret.reveal().encode(), _bound_to(key_id, place))
        return f"{key_id}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, place: tuple[object, ...]) -> Secret:
        """Decrypt. Raises SecretLost, never answers "no secret", when its key is not there or it was moved."""
        key_id, _, text = sealed.partition(".")
        try:
            cipher, raw = self._secrets(self._known(key_id)), base64.urlsafe_b64decode(text)
            return Secret(cipher.decrypt(raw[:_NONCE_OCTETS], raw[_NONCE_OCTETS:], _bound_to(key_id, place)).decode())
        except KeyError:
            raise SecretLost(
                f"The stored secret can't be opened: it was sealed with vault key {key_id}, here is "
                f"{', '.join(self.key_ids)}. Restore the vault key, or enter the secret again."
            ) from None
        except (InvalidTag, ValueError):
            raise SecretLost(
                f"The stored secret can't be opened, though vault key {key_id} of {', '.join(self.key_ids)} is there: "
                "it was changed, or is another field's. Restore the database, or enter the secret again."
            ) from None

    # --- contents

    def seal_content(self, content: bytes, tenant_id: int, kind: str, name: str) -> bytes:
        """Encrypt octets that are a tenant's: `kind` and `name` say which."""
        key_id, nonce = self.key_id, os.urandom(_NONCE_OCTETS)
        head = self.sealed_by(key_id)
        return head + nonce + self._contents(key_id, tenant_id).encrypt(nonce, content, _about(kind, tenant_id, name))

    def open_content(self, sealed: bytes, tenant_id: int, kind: str, name: str) -> bytes:
        """Decrypt what `seal_content` made; what was never sealed is answered as it is. Raises SecretLost."""
        if not sealed.startswith(SEALED):
            return sealed
        key_id = sealed[1:_HEAD].hex()
        try:
            cipher = self._contents(self._known(key_id), tenant_id)
            nonce, rest = sealed[_HEAD : _HEAD + _NONCE_OCTETS], sealed[_HEAD + _NONCE_OCTETS :]
            return cipher.decrypt(nonce, rest, _about(kind, tenant_id, name))
        except KeyError:
            raise SecretLost(
                f"The content can't be opened: it was sealed with vault key {key_id}, here is "
                f"{', '.join(self.key_ids)}. Restore that vault key, then retry; or hand the mail in again."
            ) from None
        except (InvalidTag, ValueError):
            raise SecretLost(
                f"The content can't be opened, though vault key {key_id} is there: it was changed, or is another "
                "message's. Restore the database, then retry; or hand the mail in again."
            ) from None

    @staticmethod
    def sealed_by(key_id: str) -> bytes:
        """What content begins with that is sealed with this key."""
        return SEALED + bytes.fromhex(key_id)

    # --- other purposes

    def derive(self, purpose: str, key_id: str | None = None) -> bytes:
        """A key of its own for `purpose` (RFC 5869), from the key that seals or the one that is named. Raises KeyError
        when it is not there."""
        return _derived(self._keys[self._known(key_id or self.key_id)], purpose)

    def _known(self, key_id: str) -> str:
        if key_id not in self._keys and self._reread is not None and (masters := tuple(self._reread())):
            self.use(masters)
        if key_id not in self._keys:
            raise KeyError(key_id)
        return key_id

    def _cipher_for_secrets(self, key_id: str) -> AESGCM:
        return AESGCM(self.derive("secrets", key_id))

    def _cipher_for_contents(self, key_id: str, tenant_id: int) -> AESGCM:
        return AESGCM(self.derive(f"contents of {tenant_id}", key_id))


def id_of(master: bytes) -> str:
    """The name that a key goes by: eight hexadecimal digits, from which nothing can be had."""
    return hashlib.sha256(_derived(master, "key id")).hexdigest()[:8]


def _derived(master: bytes, purpose: str) -> bytes:
    return HKDF(hashes.SHA256(), KEY_OCTETS, salt=b"postroom", info=purpose.encode()).derive(master)


def _bound_to(key_id: str, place: tuple[object, ...]) -> bytes:
    return "\x1f".join((key_id, *map(str, place))).encode()


def _about(kind: str, tenant_id: int, name: str) -> bytes:
    """The key is one of the key id already."""
    return f"{kind}\x1f{tenant_id}\x1f{name}".encode()
