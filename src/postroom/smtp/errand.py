"""What a dialogue waits for that is no reply: TLS, an access token, work in another thread."""

import asyncio
from collections.abc import Coroutine

from postroom.smtp.dialogue import NeedToken, Work
from postroom.smtp.failure import Failure
from postroom.smtp.line import Line
from postroom.smtp.lockstep import Lockstep
from postroom.smtp.route import Route


def errand_of(dialogue: Lockstep, line: Line, route: Route) -> Coroutine[None, None, None] | None:
    """What is to be run now, and tells the dialogue what came of it."""
    if dialogue.needs_tls:
        return _start_tls(dialogue, line, route)
    if (need := dialogue.token_due) is not None:
        return _get_token(dialogue, route, need)
    if (work := dialogue.work_due) is not None:
        return _do(dialogue, work)
    return None


async def _start_tls(dialogue: Lockstep, line: Line, route: Route) -> None:
    facts = await line.encrypt(route.profile, route.timeouts.reply)
    if isinstance(facts, Failure):
        dialogue.tls_failed(facts)
    else:
        dialogue.tls_started(facts)


async def _get_token(dialogue: Lockstep, route: Route, need: NeedToken) -> None:
    token = await route.tokens.get(route.grant(), route.reach, route.timeouts.reply, instead_of=need.instead_of)
    if isinstance(token, Failure):
        dialogue.token_failed(token)
    else:
        dialogue.token_came(token)


async def _do(dialogue: Lockstep, work: Work) -> None:
    dialogue.work_done(await asyncio.to_thread(work.done))
