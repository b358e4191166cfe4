"""/messages: find mail that was handed in, and see what became of each."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.domain.access import Caller
from postroom.domain.delivery import State
from postroom.domain.problems import Conflict, NotFound, SecretLost
from postroom.domain.profile import LARGEST_ID
from postroom.domain.tenant import Tenant
from postroom.smtp import reading
from postroom.store.messages import MessageRead, Search
from postroom.store.profiles import StoredProfile
from postroom.web.pages import live, message_life, times
from postroom.web.pages.visit import Visit, page

PAGE = 50
LONGEST_FILTER = 320
_FILTERS = ("state", "to", "text", "profile", "since", "until")  # from the fourth on they are folded away
# Ours is <the message's id@the sender's domain>; the id alone is what the API and the log call it.
MESSAGE_ID = re.compile(r"<?([0-9a-hjkmnp-tv-z]{26})(?:@[^\s<>]*)?>?")


def routes() -> list[BaseRoute]:
    return [
        Route("/messages", page(_list)),
        Route("/live/messages", page(_follow_list)),
        Route("/live/messages/{message}", page(_follow)),
        Route("/messages/{message}", page(_show)),
        Route("/messages/{message}/retry", page(_retry), methods=["POST"]),
        Route("/messages/{message}/cancel", page(_cancel), methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the filters say: as they were typed, as they are understood, and by field what is wrong with them."""

    typed: Mapping[str, str]
    search: Search
    wrong: Mapping[str, str]

    @property
    def is_filtered(self) -> bool:
        return bool(self.typed)


def asked(typed: Mapping[str, str], before: str | None) -> Asked:
    """The filters of the page's form. A wrong one filters nothing, and is named."""
    wrong: dict[str, str] = {}
    since, until = (times.read(typed.get(name), name, wrong) for name in ("since", "until"))
    if since is not None and until is not None and since >= until:
        wrong["until"] = "This must be later than the beginning."
    text = typed.get("text")
    named = MESSAGE_ID.fullmatch(text.lower()) if text else None
    search = Search(
        state=_state(typed.get("state"), wrong), to=typed.get("to"), profile_id=_number(typed.get("profile"), wrong),
        since=since, until=until, id=named[1] if named else None, subject=None if named else text,
        before=before, limit=PAGE,
    )  # fmt: skip
    return Asked(typed, search, wrong)


async def _list(visit: Visit) -> Response:
    wanted = _asked(visit)
    found = await visit.room.mail.look(visit.caller, visit.tenant, wanted.search)
    names = await _profile_names(visit)
    query = {**wanted.typed}
    return visit.show(
        "messages.html", 400 if wanted.wrong else 200, found=found, names=names, asked=wanted, states=list(State),
        more=not wanted.typed.keys().isdisjoint(_FILTERS[3:]),
        is_first=wanted.search.before is None, query=query, counts=message_life.counts,
        live=visit.link("/live/messages", **query, mark=live.mark(found)),
    )  # fmt: skip


async def _follow_list(visit: Visit) -> Response:
    search = replace(_asked(visit).search, before=None)
    return live.follow(visit, lambda: visit.room.mail.look(visit.caller, visit.tenant, search))


async def _show(visit: Visit) -> Response:
    return await _shown(visit)


async def _follow(visit: Visit) -> Response:
    wanted = visit.part("message")
    return live.follow(visit, lambda: visit.room.mail.show(visit.caller, visit.tenant, wanted))


async def _retry(visit: Visit) -> Response:
    return await _done(visit, visit.room.mail.retry, "retried")


async def _cancel(visit: Visit) -> Response:
    return await _done(visit, visit.room.mail.cancel, "cancelled")


async def _done(visit: Visit, action: Callable[[Caller, Tenant, str], Awaitable[MessageRead]], word: str) -> Response:
    message = visit.part("message")
    try:
        await action(visit.caller, visit.tenant, message)
    except Conflict as problem:
        return await _shown(visit, problem.message)
    return visit.to(f"/messages/{message}", done=word)


async def _shown(visit: Visit, problem: str | None = None) -> Response:
    """`problem`: why what was asked for can't be done as things stand."""
    wanted = visit.part("message")
    read = await visit.room.mail.show(visit.caller, visit.tenant, wanted)
    said, lost = await _content(visit, wanted)
    profile = await _profile(visit, read.profile_id)
    return visit.show(
        "message.html", 409 if problem else 200, read=read, problem=problem, said=said, lost=lost, profile=profile,
        names=await _profile_names(visit), tries=message_life.tries(read), counts=message_life.counts(read.deliveries),
        next=message_life.next_step(read, profile, visit.now), can_try_again=message_life.can_try_again(read),
        can_be_cancelled=message_life.can_be_cancelled(read),
        live=visit.link(f"/live/messages/{read.id}", mark=live.mark(read)),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """What a message says, for the eye."""

    header: tuple[tuple[str, str], ...]
    reading: reading.Reading


async def _content(visit: Visit, message: str) -> tuple[Said | None, str | None]:
    """None where it is no longer kept; and why it can't be opened, where it can't."""
    try:
        content = await visit.room.mail.content(visit.caller, visit.tenant, message)
    except SecretLost as problem:
        return None, problem.message
    if content is None:
        return None, None
    return await asyncio.to_thread(lambda: Said(reading.header(content), reading.read(content))), None


async def _profile(visit: Visit, profile_id: int) -> StoredProfile | None:
    """None where it was deleted, or the key may not see it."""
    if not visit.may("settings:read"):
        return None
    try:
        return await visit.room.profiles.find(visit.caller, visit.tenant, profile_id)
    except NotFound:
        return None


async def _profile_names(visit: Visit) -> dict[int, str]:
    if not visit.may("settings:read"):
        return {}
    return {each.id: each.name for each in await visit.room.profiles.every(visit.caller, visit.tenant)}


def _asked(visit: Visit) -> Asked:
    said = {name: (visit.query(name) or "").strip()[:LONGEST_FILTER] for name in _FILTERS}
    return asked({name: value for name, value in said.items() if value}, visit.query("before"))


def _state(text: str | None, wrong: dict[str, str]) -> State | None:
    try:
        return State(text) if text else None
    except ValueError:
        wrong["state"] = "There is no such state."
        return None


def _number(text: str | None, wrong: dict[str, str]) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= LARGEST_ID):
        wrong["profile"] = "There is no such profile."
        return None
    return int(text)
