"""One timer for a whole connection, cheap to set again for every message."""

import asyncio
from collections.abc import Callable


class Alarm:
    """Rings once, `seconds` after it was last set. A timer that would ring too early only looks again."""

    __slots__ = ("_due", "_loop", "_ring", "_rings_at", "_timer")

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0  # when there is a timer

    def set(self, seconds: float) -> None:
        self.set_to(self._loop.time() + seconds)

    def set_to(self, due: float) -> None:
        """By the loop's clock, which is `time.monotonic`."""
        self._due = due
        if self._timer is None or self._rings_at > due:
            self._start()

    def stop(self) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._due is not None:
            self._rings_at = self._due
            self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._start()
        else:
            self._due = None
            self._ring()
