"""The vault's keys: see them, have a new one take over while mail flows, and take an old one out of use.

A rotation is a new key and then many small lots, one transaction each, that the command line asks for one after the
other: it shows how far it is, can be stopped anywhere, and goes on where something is left.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from postroom import log
from postroom.domain.access import Caller, Permission
from postroom.domain.problems import Conflict, Denied, NotFound
from postroom.store import audit, facts, sealed
from postroom.store.database import Database
from postroom.store.key_ring import KeyFile, new_key
from postroom.store.vault import Vault

FACT = "vault key"  # the ids of all that may have sealed something, the one that seals first
_HOW_TO = (
    "give every machine a second key behind the first (POSTROOM_VAULT_KEY=\"OLD NEW\"; make it with: openssl rand "
    "-base64 32) and start them anew; then the new one first (\"NEW OLD\") and start them anew; then rotate once more."
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeyInUse:
    id: str
    seals: bool
    is_here: bool


@dataclass(frozen=True, slots=True)
class Resealed:
    """One lot. `after` is what to ask for the next one with; None when that was all."""

    kind: str
    sealed: int
    lost: int  # can't be opened, so they stay as they are
    after: str | None


class VaultKeys:
    """`file` is where the ring is, unless it was configured."""

    def __init__(self, database: Database, vault: Vault, file: KeyFile | None, changed: Callable[[], None]) -> None:
        self._database = database
        self._vault = vault
        self._file = file
        self._changed = changed

    async def every(self, caller: Caller) -> list[KeyInUse]:
        _require(caller)
        known = await self._database.read(_in_use)
        here = self._vault.key_ids
        ids = dict.fromkeys((*here, *known))
        return [KeyInUse(each, each == self._vault.key_id, each in here) for each in ids]

    async def rotate(self, caller: Caller) -> str | None:
        """Make a key that seals from now on; its id. None: a new one is in place already, as where there are several
        machines only the operator can give it to all of them before it is used. Raises Conflict when that is to be done
        first."""
        _require(caller)
        if self._file is None or not self._database.is_sqlite:
            if len(self._vault.key_ids) > 1:
                return None
            why = "The key is configured" if self._file is None else "Other machines may share the database"
            raise Conflict(f"{why}, so a new one can't be made here: {_HOW_TO}")
        file, master = self._file, new_key()
        masters, lost = file.read()
        file.write([master, *masters], lost)  # before anything is sealed with it

        def step(connection: Connection) -> None:
            """In the thread that seals: what comes after this is sealed with the new key."""
            self._vault.use([master, *masters])
            remember(connection, self._vault)
            note = {"key": self._vault.key_id}
            now = self._database.now(connection)
            audit.note(connection, caller, "vault.rotated", self._vault.key_id, tenant_id=None, now=now, detail=note)

        await self._database.write(step)
        log.vault_key_made(self._vault.key_id)
        return self._vault.key_id

    async def reseal(self, caller: Caller, after: str | None) -> Resealed:
        """Seal one lot of what is under other keys, or not sealed yet, with the one that seals. Raises Invalid."""
        _require(caller)
        lot = await self._database.read(lambda connection: sealed.next_lot(connection, self._vault.key_id, after))
        if not lot.keys:
            return Resealed("", 0, 0, None)
        done, lost = await self._database.write(lambda connection: sealed.seal_anew(connection, self._vault, lot))
        return Resealed(sealed.KINDS[lot.kind].name, done, lost, lot.after)

    async def retire(self, caller: Caller, key_id: str) -> bool:
        """Take a key out of use that nothing is sealed with any more; whether it is gone from here, too: a configured
        one is only marked. Raises NotFound, Conflict."""
        _require(caller)
        if key_id == self._vault.key_id:
            raise Conflict(f"Vault key {key_id} is the one that seals: rotate first.")
        if key_id not in {each.id for each in await self.every(caller)}:
            raise NotFound("There is no such vault key.")
        held = await self._database.read(lambda connection: sealed.held_by(connection, key_id))
        if held:
            what = ", ".join(f"{count} {name}" for name, count in held.items())
            raise Conflict(
                f"Vault key {key_id} still holds {what}: run `postroom vault rotate --resume` first; what can't be "
                "opened has to be entered again, cancelled or deleted."
            )

        def step(connection: Connection) -> None:
            left = [each for each in _in_use(connection) if each != key_id]
            facts.change(connection, FACT, " ".join(left))
            now = self._database.now(connection)
            audit.begin(connection, now)  # seals the chains' heads with the key in force
            audit.note(connection, caller, "vault.retired", key_id, tenant_id=None, now=now, detail={"key": key_id})

        await self._database.write(step)
        gone = self._file is not None
        if self._file is not None:
            self._drop(self._file, key_id)
            self._changed()
        log.vault_key_retired(key_id)
        return gone

    def _drop(self, file: KeyFile, key_id: str) -> None:
        masters, lost = file.read()
        left = [each for each in masters if Vault(each).key_id != key_id]
        file.write(left, lost - {key_id})
        self._vault.use(left)


def remember(connection: Connection, vault: Vault) -> tuple[str, ...]:
    """Write down that the vault's key seals here from now on; returns all that have, or had before this."""
    known = tuple(facts.remember(connection, FACT, vault.key_id).split())
    if known[0] != vault.key_id:
        ids = dict.fromkeys((vault.key_id, *known))
        facts.change(connection, FACT, " ".join(ids))
    return known


def _in_use(connection: Connection) -> tuple[str, ...]:
    return tuple((facts.recall(connection, FACT) or "").split())


def _require(caller: Caller) -> None:
    """The keys are everybody's, so tenants:manage, which is about all tenants, and a key of the installation."""
    caller.require(Permission.TENANTS_MANAGE)
    if not caller.is_installation_wide:
        raise Denied("Only a key of the whole installation can see to the vault's keys.")
