"""How often something may happen: token buckets, one per name, in a table that can't grow.

Kept in memory of one process: several machines allow as many times as much, which is still a bound.
"""

from collections.abc import Hashable
from dataclasses import dataclass

MOST = 10_000  # names in a table


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and then one more each time that `every` seconds have passed."""

    at_once: int
    every: float


class Buckets:
    """A bucket is known by when it will be full again: one number, which only moves when something is taken.

    The caller gives the time in seconds, from any clock. One that was set back makes nobody wait longer than an
    empty bucket does.
    """

    def __init__(self, rate: Rate, most: int = MOST) -> None:
        self._every = rate.every
        self._span = rate.at_once * rate.every
        self._most = most
        self._full_at: dict[Hashable, float] = {}

    def wait(self, name: Hashable, now: float) -> float:
        """Seconds until one may be taken: 0 when it may be now. Takes none."""
        full_at = self._full_at.get(name)
        if full_at is None or full_at <= now:
            return 0.0
        wait = min(full_at - now, self._span) + self._every - self._span
        return wait if wait > 1e-6 else 0.0

    def take(self, name: Hashable, now: float) -> float:
        """Take one; 0, or without taking one the seconds until there is one."""
        wait = self.wait(name, now)
        if wait:
            return wait
        full_at = self._full_at.get(name, now)
        if len(self._full_at) >= self._most and name not in self._full_at:
            self._make_room(now)
        self._full_at[name] = max(now, min(full_at, now + self._span)) + self._every
        return 0.0

    def __len__(self) -> int:
        return len(self._full_at)

    def _make_room(self, now: float) -> None:
        """Full ones are as good as forgotten ones. Where too few are, those go that have been taken least from: who
        makes up names to be forgotten among them is kept."""
        live = [(full_at, name) for name, full_at in self._full_at.items() if full_at > now]
        live.sort(key=lambda each: each[0])
        self._full_at = {name: full_at for full_at, name in live[-(self._most * 3 // 4) :]}
