"""Answers kept for a moment, so that a busy caller does not cost a look into the database per request."""

import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST = 10_000


class Remembered(Generic[K, V]):
    """Asks at most once in `seconds` per key. `forget()` after every change made here; a change made by another machine
    is seen when the answer is that old."""

    def __init__(self, ask: Callable[[K], Awaitable[V]], seconds: float = 1.0) -> None:
        self._ask = ask
        self._seconds = seconds
        self._answers: dict[K, tuple[float, V]] = {}
        self._changes = 0

    async def get(self, key: K) -> V:
        known = self._answers.get(key)
        now = time.monotonic()
        if known and now < known[0]:
            return known[1]
        changes = self._changes
        answer = await self._ask(key)
        if changes == self._changes:  # else it may be from before the change
            if len(self._answers) >= MOST:
                self._answers.clear()
            self._answers[key] = (now + self._seconds, answer)
        return answer

    def forget(self) -> None:
        self._changes += 1
        self._answers.clear()
