"""Where the vault's keys come from: the configuration, else the data directory's `vault.key`, made at the first start.

A ring is written as keys in base64, apart by white space or commas, the one that seals first. `lost:<key id>` among
them is the operator's word that a key is gone for good: what it sealed stays shut, and the start is not refused for it.
"""

import base64
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from postroom.domain.problems import Invalid
from postroom.domain.secret import Secret
from postroom.store.vault import KEY_OCTETS, Vault

_LOST = "lost:"


@dataclass(slots=True)
class KeyFile:
    """The ring in a file that only its owner can read; several processes may share it."""

    path: Path
    _seen: tuple[int, int] = field(default=(0, 0))

    def read(self) -> tuple[tuple[bytes, ...], frozenset[str]]:
        """Keys, and the ids of lost ones. Raises Invalid."""
        status = self.path.stat()
        self._seen = status.st_ino, status.st_mtime_ns
        return _ring(self.path.read_text())

    def reread(self) -> tuple[bytes, ...]:
        """The keys if the file is another than the last time; else none."""
        try:
            status = self.path.stat()
            return () if (status.st_ino, status.st_mtime_ns) == self._seen else self.read()[0]
        except (OSError, Invalid):  # whoever wants to know has a sentence for what is missing
            return ()

    def write(self, masters: Iterable[bytes], lost: Iterable[str] = (), *, instead: bool = True) -> None:
        """As a whole or not at all, and durable on return: nothing may be sealed with a key that a crash takes away.
        Not `instead` of a file that is there: whoever was first has made the key."""
        lines = [base64.b64encode(master).decode() for master in masters] + [f"{_LOST}{each}" for each in sorted(lost)]
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(handle)
        if not instead:
            with suppress(FileExistsError):
                os.link(beside, self.path)
            beside.unlink()
        else:
            beside.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def vault_from(key: Secret | None, data_dir: Path) -> tuple[Vault, KeyFile | None]:
    """The vault of the configured ring, else of the data directory's file, made if there is none; then that file is
    answered too.

    Raises Invalid when a key is not one.
    """
    if key is not None:
        masters, lost = _ring(key.reveal())
        return Vault(*masters, lost=lost), None
    file = KeyFile(data_dir / "vault.key")
    if not file.path.exists():
        file.write([new_key()], instead=False)
    masters, lost = file.read()
    return Vault(*masters, reread=file.reread, lost=lost), file


def new_key() -> bytes:
    return secrets.token_bytes(KEY_OCTETS)


def _ring(text: str) -> tuple[tuple[bytes, ...], frozenset[str]]:
    items = re.split(r"[\s,]+", text.strip())
    lost = frozenset(item.removeprefix(_LOST) for item in items if item.startswith(_LOST))
    return tuple(_decoded(item) for item in items if not item.startswith(_LOST)), lost


def _decoded(text: str) -> bytes:
    try:
        master = base64.b64decode(text, validate=True)
    except ValueError:
        raise Invalid("vault_key", f"A vault key must be {KEY_OCTETS} random octets in base64.") from None
    if len(set(master)) < 8:  # a placeholder such as 32 times the same letter
        raise Invalid("vault_key", "The vault key is not random. Make one with: openssl rand -base64 32")
    return master
