"""One message over a connection of its own: for checks, for tests, and for whoever sends seldom."""

import asyncio

from postroom.domain.message import Envelope
from postroom.smtp.attempt import Answer, Attempt, BeforeDot
from postroom.smtp.pool import Pool
from postroom.smtp.route import Route


def _no_objection(answer: Answer) -> None:
    answer(True)


async def send(route: Route, envelope: Envelope, content: bytes, before_dot: BeforeDot = _no_objection) -> Attempt:
    """One attempt, from the look-up to QUIT. Never raises for anything that a relay does."""
    pool = Pool(route, most_connections=1, messages_per_connection=1)
    try:
        return await pool.send(envelope, content, before_dot)
    finally:
        await asyncio.shield(pool.close())
