"""The audit's chains: what makes it evident that a row was edited, removed, moved or put in. Pure.

Each tenant has a chain, so that its auditor can verify alone, and the installation has one. A row's hash is the SHA-256
of its canonical form, in which the hash of the row before stands; its seal is an HMAC of that hash by a key that only
the vault has, so that whoever has nothing but the database can't compute the chain anew. The head (how many rows, the
last hash, sealed as well) shows when the last rows are missing.

The canonical form, version 1, is this JSON array in ASCII without spaces: version, tenant id or null, number, time in
microseconds, key id, name, address, dialect or null, action, subject, detail (as the text that is stored), hash before.
"""

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

VERSION = 1
START = ""  # what stands for the hash before the first row's


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. Without a number it was written before there were chains."""

    id: int
    tenant_id: int | None
    number: int | None
    at: int
    key_id: str | None
    actor: str
    address: str
    dialect: str | None
    action: str
    subject: str
    detail: str
    previous: str | None = None
    hash: str | None = None
    seal: str | None = None

    def digest(self) -> str:
        """`<version>.<SHA-256>` of the canonical form."""
        canonical = [
            VERSION, self.tenant_id, self.number, self.at, self.key_id, self.actor, self.address, self.dialect,
            self.action, self.subject, self.detail, self.previous,
        ]  # fmt: skip
        text = json.dumps(canonical, separators=(",", ":"), ensure_ascii=True)
        return f"{VERSION}.{hashlib.sha256(text.encode()).hexdigest()}"

    def more(self) -> dict[str, Any]:
        """The detail, read. What somebody has tampered with must still be listed."""
        try:
            said = json.loads(self.detail)
        except ValueError:
            said = self.detail
        return said if isinstance(said, dict) else {"unreadable": self.detail}


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends."""

    count: int
    hash: str
    seal: str = ""

    def __str__(self) -> str:
        """As an operator keeps it elsewhere."""
        return f"{self.count}:{self.hash}"

    def written(self) -> str:
        return f"{self.count} {self.hash} {self.seal}"

    @classmethod
    def read(cls, text: str) -> "Head | None":
        """What `written` wrote, or None."""
        count, _, rest = text.partition(" ")
        known, _, seal = rest.partition(" ")
        return cls(int(count), known, seal) if count.isascii() and count.isdigit() else None


class Sealer:
    """Seals with the vault's key in force. `key_of` gives the key of a key id; None when it is not there."""

    def __init__(self, key_id: Callable[[], str], key_of: Callable[[str], bytes | None]) -> None:
        self._key_id = key_id
        self._key_of = key_of

    def seal_row(self, row_hash: str) -> str:
        return self._seal(f"row {row_hash}")

    def seal_head(self, tenant_id: int | None, head: Head) -> str:
        return self._seal(f"head {tenant_id} {head}")

    def proves_row(self, entry: Entry) -> bool | None:
        """None: it was sealed with a key that is not there."""
        return self._proves(f"row {entry.hash}", entry.seal or "")

    def proves_head(self, tenant_id: int | None, head: Head) -> bool | None:
        return self._proves(f"head {tenant_id} {head}", head.seal)

    def is_of_key_in_force(self, seal: str) -> bool:
        return seal.partition(".")[0] == self._key_id()

    def _seal(self, what: str) -> str:
        key_id = self._key_id()
        key = self._key_of(key_id)
        assert key is not None  # noqa: S101  the one in force
        return f"{key_id}.{_mac(key, what)}"

    def _proves(self, what: str, seal: str) -> bool | None:
        key_id, _, mac = seal.partition(".")
        key = self._key_of(key_id) if key_id else b""
        if key is None:
            return None
        return bool(key) and hmac.compare_digest(mac.encode(), _mac(key, what).encode())


def _mac(key: bytes, what: str) -> str:
    return hmac.new(key, what.encode(), hashlib.sha256).hexdigest()


class Wrong(StrEnum):
    EDITED = "edited"
    REMOVED = "removed"
    REORDERED = "reordered"
    INSERTED = "inserted"
    UNPROVED = "unproved"  # sealed with a key that is not there


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is wrong with a chain. `id` is the row's in the table, `number` its place in the chain."""

    what: Wrong
    message: str
    number: int | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Others:
    """What has to be known of the other rows to say what happened to a bad one."""

    count: int  # in the chain by its head
    with_its_number: int  # rows, this one included
    with_the_number_due: int


def fault_of(entry: Entry, before: Head, sealer: Sealer, others: Callable[[], Others]) -> Fault | None:
    """What is wrong with a row that stands behind `before`, if anything is. `others` is asked only then."""
    genuine = entry.hash == entry.digest() and sealer.proves_row(entry) is not False
    due = before.count + 1
    if genuine and (entry.number, entry.previous) == (due, before.hash):
        return None
    if entry.number is None or entry.number < due:
        return _fault(Wrong.INSERTED, entry, "is in the chain's past, where it was not")
    known = others()
    if not genuine:
        if known.with_its_number > 1 or entry.number > known.count:
            return _fault(Wrong.INSERTED, entry, "was not written by Postroom")
        return _fault(Wrong.EDITED, entry, "was changed after it was written")
    if entry.number > due and known.with_the_number_due:
        return _fault(Wrong.REORDERED, entry, f"stands where row {due} should")
    if entry.number > due:
        return Fault(Wrong.REMOVED, f"Row {due} of the chain is missing: row {entry.number} follows.", due)
    return _fault(Wrong.INSERTED, entry, "is of another history than the row before it")


def fault_of_end(
    tenant_id: int | None, last: Head, head: Head | None, sealer: Sealer, *, is_proved: bool
) -> Fault | None:
    """What is wrong with how a chain ends, if anything is. `is_proved`: the last row's seal was looked at."""
    if head is None:
        return Fault(Wrong.REMOVED, "The chain's head is missing.")
    proved = sealer.proves_head(tenant_id, head)
    if proved is False:
        return Fault(Wrong.EDITED, "The chain's head was changed.")
    if last.count < head.count:
        missing = f"Row {last.count + 1} is" if last.count + 1 == head.count else f"Rows {last.count + 1} and on are"
        return Fault(Wrong.REMOVED, f"{missing} missing: the chain should have {head.count}.", last.count + 1)
    if last.count > head.count:
        return Fault(Wrong.EDITED, f"The chain's head was set back from {last.count} to {head.count}.", head.count)
    if last.hash != head.hash:
        return Fault(Wrong.EDITED, "The chain's head is that of another history.", head.count)
    if proved is None and not is_proved:
        return Fault(Wrong.UNPROVED, "The last rows were sealed with a vault key that is not here.", head.count)
    return None


def _fault(what: Wrong, entry: Entry, says: str) -> Fault:
    name = f"Row {entry.number}" if entry.number is not None else "A row without a number"
    message = f"{name} of the chain ({entry.action} {entry.subject} by {entry.actor}, id {entry.id}) {says}."
    return Fault(what, message, entry.number, entry.id)
