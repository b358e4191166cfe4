"""The access tokens that are in use: kept until shortly before they expire, and asked for once, however many wait.

In memory only: a token is as good as a password, and a new one costs one request. Use it inside one event loop.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from postroom.domain.secret import Secret
from postroom.smtp.dialogue import Token
from postroom.smtp.failure import Failure
from postroom.smtp.grant import Grant, Issued
from postroom.smtp.oauth import ask_for_token
from postroom.smtp.reach import Reach

MOST_KEPT = 1000
LONGEST_MARGIN = 60.0  # seconds before its end that a token is not used any more: clocks differ, and a login takes time

Key = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    value: Secret
    host: str
    until: float


class Tokens:
    """One for all routes of a process. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[Key, _Kept] = {}
        self._asking: dict[Key, asyncio.Task[Issued | Failure]] = {}

    async def get(
        self, grant: Grant, reach: Reach, seconds: float, *, instead_of: Token | None = None
    ) -> Token | Failure:
        """A token that can be used now, and that is not the one that turned out to be of no more use."""
        key = grant.key()
        kept = self._kept.get(key)
        if kept is not None and instead_of is not None and kept.value == instead_of.value:
            del self._kept[key]
            kept = None
        if kept is not None and self._clock() < kept.until:
            return Token(kept.value, f"from {kept.host}, kept from before", kept=True)
        issued = await self._issue(key, grant, reach, seconds)
        return issued if isinstance(issued, Failure) else Token(issued.value, f"from {issued.host}")

    async def _issue(self, key: Key, grant: Grant, reach: Reach, seconds: float) -> Issued | Failure:
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.ensure_future(self._ask(key, grant, reach, seconds))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        # Who goes away takes nothing from the others who wait.
        return await asyncio.shield(task)

    async def _ask(self, key: Key, grant: Grant, reach: Reach, seconds: float) -> Issued | Failure:
        asked_at = self._clock()
        issued = await ask_for_token(grant, reach, seconds)
        if isinstance(issued, Issued):
            margin = min(LONGEST_MARGIN, issued.seconds / 2)
            self._keep(key, _Kept(issued.value, issued.host, asked_at + issued.seconds - margin))
        return issued

    def _keep(self, key: Key, kept: _Kept) -> None:
        now = self._clock()
        self._kept = {key: kept for key, kept in self._kept.items() if now < kept.until}
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = kept
