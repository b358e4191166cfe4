"""Room on the disk that SQLite is on.

When it gets scarce no new mail is taken, early enough for what was taken to be delivered and written down. Should the
disk fill up all the same, a file that was kept for this (the ballast) is given up. Without it mail would go out and
nothing could be recorded: every one would be sent again (`research/security-reliability.md` M12).
"""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import URL

from postroom import log
from postroom.domain.problems import Unavailable

MIB = 2**20
EVERY = 1.0  # seconds between looks
RETRY_AFTER = 30  # seconds


class DiskFull(Unavailable):
    """SQLite could not write; nothing of the transaction was kept."""

    def __init__(self) -> None:
        super().__init__("The disk is full, so nothing can be written: try again later.", RETRY_AFTER)


class Space:
    """`least` and `weight` (the ballast's) are octets. A twentieth of the disk is kept free, of a large one 2 GiB: that
    is room for what was taken to be written down, however much larger the disk is. A disk of less than 1 GiB is
    measured by its own size."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        total = shutil.disk_usage(directory).total
        self.least = min(max(total // 20, min(256 * MIB, total // 4)), 2048 * MIB)
        self.weight = min(16 * MIB, total // 16)
        self._directory = directory
        self._ballast = directory / "ballast"
        self._clock = clock
        self._looked_at = float("-inf")
        self._is_low = False
        self.look()

    @property
    def is_low(self) -> bool:
        if self._clock() - self._looked_at >= EVERY:
            self.look()
        return self._is_low

    @property
    def free(self) -> int:
        """Octets."""
        return shutil.disk_usage(self._directory).free

    def require(self) -> None:
        """Raises Unavailable where new mail had better not be taken."""
        if self.is_low:
            raise Unavailable(
                "The disk is nearly full, so no new mail is taken until there is room again.", RETRY_AFTER
            )

    def look(self) -> None:
        self._looked_at = self._clock()
        free = self.free
        if (free < self.least) is not self._is_low:
            self._is_low = not self._is_low
            if self._is_low:
                log.disk_low(free, self.least)
            else:
                log.disk_well(free)
        if free > self.least + 2 * self.weight and not self._ballast.exists():
            self._take_ballast()

    def drop_ballast(self) -> bool:
        """Whether there was any to give up."""
        try:
            self._ballast.unlink()
        except OSError:
            return False
        log.ballast_dropped(self.weight)
        return True

    def _take_ballast(self) -> None:
        try:
            with self._ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.weight)
        except OSError:  # no matter: it is tried again, and full is full
            with suppress(OSError):
                self._ballast.unlink()


def space_of(url: URL) -> Space | None:
    """None for a database that is not on a disk of ours."""
    return Space(Path(url.database or "").parent) if url.get_backend_name() == "sqlite" else None
