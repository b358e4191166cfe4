"""Relays and token endpoints in a loop and a thread of their own, while the test speaks to a server in its own time."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from typing import TypeVar

T = TypeVar("T")


class Elsewhere:
    """`open` enters a context there; it is left when the test is over."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()

    def open(self, context: AbstractAsyncContextManager[T]) -> T:
        return asyncio.run_coroutine_threadsafe(self._stack.enter_async_context(context), self._loop).result(10)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    place = Elsewhere()
    place.start()
    try:
        yield place
    finally:
        place.close()
