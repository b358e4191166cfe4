"""What lanes with a limit have left, counted where every worker sees it and under the lane's row lock."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, or_, select, text, update

from postroom.domain.limits import SLOTS, Spent, allowance, slot_of
from postroom.store.ids import time_of
from postroom.store.queue.lanes import wake_by
from postroom.store.schema import lane, spent

Limits = Mapping[int, int]  # deliveries by span


def limits_of(lanes: Mapping[int, Row[Any]]) -> dict[int, Limits]:
    """Of these lanes those that have limits, as few do."""
    found: dict[int, Limits] = {}
    for each, row in lanes.items():
        said = ((60, row.per_minute), (3600, row.per_hour), (86_400, row.per_day))
        if own := {span: most for span, most in said if most is not None}:
            found[each] = own
    return found


def left_of(connection: Connection, limits: Mapping[int, Limits], now: int) -> dict[int, int]:
    """How many deliveries of each lane may be claimed now."""
    known = _spent(connection, sorted(limits))
    return {each: allowance(own, known.get(each, ()), now).left for each, own in limits.items()}


def spend(connection: Connection, given: Mapping[int, int], limits: Mapping[int, Limits], lease: str, now: int) -> None:
    """Count what was claimed of these lanes. One that has nothing left is not ready before it has."""
    limited = sorted(limits)
    if not limited:
        return
    at = time_of(lease)  # giving back finds the slot again by it
    rows = [
        {"lane": each, "span": span, "slot": slot_of(span, at), "claimed": given[each]}
        for each in limited if given.get(each) for span in limits[each]
    ]  # fmt: skip
    if rows:
        connection.execute(_SPEND, rows)
        connection.execute(delete(spent).where(spent.c.lane.in_(limited), _is_over(now)))
    known = _spent(connection, limited)
    for each in limited:
        due = allowance(limits[each], known.get(each, ()), now)
        if due.left == 0:
            values = {"ready": False, "spent_until": due.free_at, "wake_at": due.free_at}
            connection.execute(update(lane).where(lane.c.id == each).values(values))


_SPEND = text(
    "INSERT INTO spent (lane, span, slot, claimed) VALUES (:lane, :span, :slot, :claimed)"
    " ON CONFLICT (lane, span, slot) DO UPDATE SET claimed = spent.claimed + excluded.claimed"
)
_REFUND = (
    update(spent)
    .where(spent.c.lane == bindparam("the_lane"), spent.c.span == bindparam("the_span"),
           spent.c.slot == bindparam("the_slot"))
    .values(claimed=spent.c.claimed - bindparam("the_count"))
)  # fmt: skip


def refund(connection: Connection, untried: Iterable[tuple[int, str]]) -> None:
    """What was claimed of a lane (under a lease) did not go out, and costs its lane nothing."""
    counts = Counter(untried)
    lanes = sorted({each for each, _ in counts})
    if not lanes:
        return
    limited = (lane.c.per_minute.is_not(None), lane.c.per_hour.is_not(None), lane.c.per_day.is_not(None))
    ours = set(connection.execute(select(lane.c.id).where(lane.c.id.in_(lanes), or_(*limited))).scalars())
    rows = [
        {"the_lane": each, "the_span": span, "the_slot": slot_of(span, time_of(lease)), "the_count": count}
        for (each, lease), count in sorted(counts.items()) if each in ours for span in SLOTS
    ]  # fmt: skip
    if rows:
        connection.execute(_REFUND, rows)
        for each in sorted(ours):  # in this order everywhere, so that nobody waits crosswise
            connection.execute(update(lane).where(lane.c.id == each).values(spent_until=None))
        wake_by(connection, ((each, 0) for each in sorted(ours)))


def _spent(connection: Connection, lanes: list[int]) -> dict[int, list[Spent]]:
    known: dict[int, list[Spent]] = {}
    if lanes:
        for row in connection.execute(select(spent).where(spent.c.lane.in_(lanes))):
            known.setdefault(row.lane, []).append(Spent(row.span, row.slot, row.claimed))
    return known


def _is_over(now: int) -> Any:
    """Slots that count no more: those so long ago that they would have expired already."""
    return or_(*(and_(spent.c.span == span, spent.c.slot < slot_of(span, now) - span // SLOTS[span]) for span in SLOTS))
