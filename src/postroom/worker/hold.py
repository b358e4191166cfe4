"""How much content a worker holds at once. Claims are small, but what they send may be 40 MiB each.

What does not fit is given back, the oldest kept; its lane is not claimed from until something large has left. Small
contents always fit, so that one tenant's large mail to a slow relay is in no way of another's notifications.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from postroom.domain.problems import SecretLost
from postroom.store.queue.claim import Claim, Kept, contents, sizes
from postroom.store.vault import Vault

MIB = 1024 * 1024
MOST_OCTETS = 192 * MIB  # of large contents in hand, over all lanes
SMALL = 32 * 1024  # as many of these as deliveries may be in flight (loop.py) are another 64 MiB

Parcel = list[Claim]  # deliveries of one message in one lane: one SMTP transaction
Contents = dict[str, Kept | SecretLost]  # by message


@dataclass(slots=True)
class Hold:
    """`full`: the lanes that had something turned away."""

    most: int = MOST_OCTETS
    full: set[int] = field(default_factory=set)
    _used: int = 0
    _large: dict[tuple[str, str, int], list[int]] = field(default_factory=dict)  # claims left and octets, by parcel

    @property
    def room(self) -> int:
        return self.most - self._used

    def take(self, parcel: Parcel, content: bytes) -> None:
        if len(content) > SMALL:
            self._used += len(content)
            self._large[_name(parcel[0])] = [len(parcel), len(content)]

    def turn_away(self, lanes: set[int]) -> None:
        """Call it after `take`: when nothing large is in hand any more, nothing would ever call the lanes back."""
        if self._large:
            self.full |= lanes

    def give(self, claim: Claim) -> bool:
        """Whether there is room for more of what is large."""
        parcel = self._large.get(_name(claim))
        if parcel is None:
            return False
        parcel[0] -= 1
        if parcel[0]:
            return False
        self._used -= self._large.pop(_name(claim))[1]
        self.full.clear()
        return True


def take_in(
    connection: Connection, vault: Vault, parcels: Iterable[Parcel], room: int, most: int
) -> tuple[Contents, set[int]]:
    """Contents, oldest first, as far as there is room; and the lanes of which something was left behind."""
    waiting = sorted((parcel[0] for parcel in parcels), key=lambda claim: claim.message_id)
    chosen, full = _choose(waiting, sizes(connection, [claim.message_id for claim in waiting]), room, most)
    return contents(connection, vault, chosen), full


def _choose(waiting: list[Claim], octets: dict[str, int], room: int, most: int) -> tuple[list[str], set[int]]:
    """What fits. One that is alone always does: else it could never be sent."""
    chosen: list[str] = []
    full: set[int] = set()
    for claim in waiting:
        size = octets.get(claim.message_id, 0)
        large = size if size > SMALL else 0
        if claim.through in full or (large > room and room != most):
            full.add(claim.through)
        else:
            room -= large
            chosen.append(claim.message_id)
    return chosen, full


def parcels_of(claims: Sequence[Claim]) -> list[Parcel]:
    """By message and the lane that it goes through: its own, or one that stands in for that."""
    parcels: dict[tuple[str, int], Parcel] = {}
    for claim in claims:
        parcels.setdefault((claim.message_id, claim.through), []).append(claim)
    return list(parcels.values())


def _name(claim: Claim) -> tuple[str, str, int]:
    return claim.message_id, claim.lease, claim.through
