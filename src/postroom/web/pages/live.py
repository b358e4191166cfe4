"""What makes a page live: a stream that says `changed` as soon as what the page would show is not what it shows."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from hashlib import sha256

from starlette.responses import Response

from postroom.domain.problems import Problem
from postroom.web.events import Event, stream
from postroom.web.pages.visit import Visit, caller_of

EVERY = 1.0  # seconds between two looks …
SHARE = 20  # … or longer: looking may take a twentieth of the time of whoever is asked

Look = Callable[[], Awaitable[object]]


def mark(shown: object) -> str:
    """What stands for what a page shows; another one when that is different in anything."""
    return sha256(repr(shown).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def follow(visit: Visit, look: Look) -> Response:
    """The stream for a page that has said by `?mark=` what it shows. It ends, with a word, when the session does."""
    return stream(visit.request, _changes(visit, look))


async def _changes(visit: Visit, look: Look) -> AsyncGenerator[Event, None]:
    shown = visit.query("mark")
    while True:
        started = time.monotonic()
        try:
            await caller_of(visit.request)  # who lost the key, or whose session has ended, sees no more
            seen = mark(await look())
        except Problem:
            yield Event("end", {})
            return
        if seen != shown:
            shown = seen
            yield Event("changed", {})
        await asyncio.sleep(max(EVERY, SHARE * (time.monotonic() - started)))
