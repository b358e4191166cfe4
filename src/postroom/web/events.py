"""Server-sent events (HTML standard, section 9.2): an answer that goes on as things happen.

A stream ends when its source does, when whoever reads it goes away, and at once when the server is told to stop.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response, StreamingResponse

MEDIA_TYPE = "text/event-stream"
STILL_HERE = 15.0  # seconds of silence after which a comment keeps proxies from closing the connection
_HEADERS = {"x-accel-buffering": "no"}  # nginx would keep it back until it is whole


@dataclass(frozen=True, slots=True)
class Event:
    """`data` is told as JSON on one line."""

    name: str
    data: Any

    def written(self) -> bytes:
        return f"event: {self.name}\ndata: {json.dumps(self.data)}\n\n".encode()


class Streams:
    """Those that are open in this process."""

    def __init__(self) -> None:
        self._ending = asyncio.Event()

    def end(self) -> None:
        """All of them, now and from now on."""
        self._ending.set()

    async def until_end(self) -> None:
        await self._ending.wait()


def is_wanted(connection: HTTPConnection) -> bool:
    """Whether the client asks for events rather than for one document."""
    return MEDIA_TYPE in connection.headers.get("accept", "").lower()


def stream(connection: HTTPConnection, source: AsyncGenerator[Event, None]) -> Response:
    """The answer that tells each event as soon as `source` gives it. What `source` raises ends the stream."""
    streams: Streams = connection.app.state.streams
    return StreamingResponse(_written(source, streams), media_type=MEDIA_TYPE, headers=_HEADERS)


async def _written(source: AsyncGenerator[Event, None], streams: Streams) -> AsyncIterator[bytes]:
    ending: asyncio.Future[Any] = asyncio.ensure_future(streams.until_end())
    coming: asyncio.Future[Any] = asyncio.ensure_future(_next(source))
    try:
        while True:
            done, _ = await asyncio.wait({ending, coming}, timeout=STILL_HERE, return_when=asyncio.FIRST_COMPLETED)
            if ending in done:
                return
            if coming not in done:
                yield b": still here\n\n"
                continue
            if (event := coming.result()) is None:
                return
            yield event.written()
            coming = asyncio.ensure_future(_next(source))
    finally:
        for task in (ending, coming):
            task.cancel()
        await asyncio.gather(ending, coming, return_exceptions=True)
        await source.aclose()


async def _next(source: AsyncGenerator[Event, None]) -> Event | None:
    return await anext(source, None)
