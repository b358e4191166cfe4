"""Answers kept for a moment, so that a busy caller does not cost a look into the database per request."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST = 10_000


class Remembered(Generic[K, V]):
    """Asks at most once in `seconds` per key, and once for all who want to know at the same time. `forget()` after
    every change made here; a change made by another machine is seen when the answer is that old."""

    def __init__(self, ask: Callable[[K], Awaitable[V]], seconds: float = 1.0) -> None:
        self._ask = ask
        self._seconds = seconds
        self._answers: dict[K, tuple[float, V]] = {}
        self._asking: dict[K, asyncio.Task[V]] = {}
        self._changes = 0

    async def get(self, key: K) -> V:
        known = self._answers.get(key)
        if known and time.monotonic() < known[0]:
            return known[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._find_out(key))
            asking.add_done_callback(lambda task: self._asked(key, task))
        return await asyncio.shield(asking)  # one who goes away takes the answer from nobody

    async def _find_out(self, key: K) -> V:
        changes, now = self._changes, time.monotonic()
        answer = await self._ask(key)
        if changes == self._changes:  # else it may be from before the change
            if len(self._answers) >= MOST:
                self._answers.clear()
            self._answers[key] = (now + self._seconds, answer)
        return answer

    def _asked(self, key: K, task: "asyncio.Task[V]") -> None:
        if self._asking.get(key) is task:
            del self._asking[key]
        if not task.cancelled():
            task.exception()  # those who still wait get it; if nobody does, it is no news

    def forget(self) -> None:
        self._changes += 1
        self._answers.clear()
        self._asking.clear()  # who comes from now on must not be told what was
