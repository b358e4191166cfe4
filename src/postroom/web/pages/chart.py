"""A day's mail as bars: where each of them stands in an SVG. Pure; the template draws."""

from collections.abc import Sequence
from dataclasses import dataclass

from postroom.store.overview import Hour

WIDTH, HEIGHT = 720, 112  # of the whole, in units of the drawing
STEP, BAR = 30, 22
FLOOR = 96  # the line that bars stand on; the hours are written below it


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour: for each kind of mail where its part of the bar begins, and how high it is."""

    hour: Hour
    x: int
    parts: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    bars: tuple[Bar, ...]
    highest: int  # deliveries in the fullest hour

    @property
    def total(self) -> Hour:
        hours = [each.hour for each in self.bars]
        return Hour(
            hours[0].start, sum(h.sent for h in hours), sum(h.failed for h in hours), sum(h.waiting for h in hours),
            sum(h.others for h in hours),
        )  # fmt: skip


def chart(hours: Sequence[Hour]) -> Chart:
    highest = max(each.sent + each.failed + each.waiting for each in hours)
    return Chart(tuple(_bar(n, each, highest) for n, each in enumerate(hours)), highest)


def _bar(n: int, hour: Hour, highest: int) -> Bar:
    parts, y = [], float(FLOOR)
    for kind, count in (("sent", hour.sent), ("failed", hour.failed), ("waiting", hour.waiting)):
        if count:
            height = max(2.0, round(count / highest * (FLOOR - 10), 1))  # one mail among thousands is seen, too
            y = round(y - height, 1)
            parts.append((kind, y, height))
    return Bar(hour, n * STEP + (STEP - BAR) // 2, tuple(parts))
