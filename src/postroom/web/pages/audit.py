"""/audit: who did what, and whether anybody has rewritten it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.actions.audit import Progress
from postroom.domain.problems import Invalid
from postroom.domain.tenant import Tenant
from postroom.store.audit import AuditSearch, Verified
from postroom.store.audit_chain import Entry
from postroom.web.pages import render, times
from postroom.web.pages.visit import Visit, page

PAGE = 50
MOST_CHAINS = 200  # shown of those that hold
LONGEST_FILTER = 255
LARGEST = 2**53
TELL_EVERY = 0.2  # seconds, how far a verification is
ALL = "all"  # what ?scope= says for the installation and all tenants together
NOUNS = ("profile", "key", "message", "tenant", "vault", "audit")  # what stands before the dot of an action


def routes() -> list[BaseRoute]:
    return [Route("/audit", page(_list)), Route("/audit/verification", page(_verify))]


@dataclass(frozen=True, slots=True)
class Line:
    """An entry, its detail read."""

    entry: Entry
    tenant: str | None
    changes: tuple[tuple[str, str | None, str | None], ...]  # field, what was, what is; None where nothing was or is
    more: tuple[tuple[str, str], ...]


async def _list(visit: Visit) -> Response:
    wrong: dict[str, str] = {}
    typed = {
        name: (visit.query(name) or "").strip()[:LONGEST_FILTER] for name in ("action", "subject", "since", "until")
    }
    since, until = (times.read(typed[name], name, wrong) for name in ("since", "until"))
    before = visit.query("before")
    search = AuditSearch(typed["action"] or None, typed["subject"] or None, since, until, _id(before), PAGE)
    found = await visit.room.audit.page(visit.caller, _scope(visit), search)
    slugs = await _slugs(visit)
    return visit.show(
        "audit.html", 400 if wrong else 200, lines=[_line(each, slugs) for each in found], typed=typed, wrong=wrong,
        more=found[-1].id if len(found) == PAGE else None, is_first=before is None, nouns=NOUNS, scope=_said(visit),
        query={name: value for name, value in typed.items() if value},
    )  # fmt: skip


async def _verify(visit: Visit) -> Response:
    """Walks every row of the chain, or of all chains: the page is there at once, and tells how far that is."""
    head = (visit.query("head") or "").strip()[:LONGEST_FILTER] or None
    progress, said = Progress(), {"head": head, "scope": _said(visit)}
    try:
        verifying = visit.room.audit.verifying(visit.caller, _scope(visit), head, progress)
    except Invalid as problem:
        return visit.show("verification.html", 400, wrong={"head": problem.message}, **said)
    return visit.grow("verification.html", _verified(visit, verifying, progress), wrong={}, **said)


async def _verified(
    visit: Visit, verifying: Awaitable[list[Verified]], progress: Progress
) -> AsyncGenerator[str, None]:
    """How far it is from time to time, then what became of it."""
    task = asyncio.ensure_future(verifying)
    try:
        while not (await asyncio.wait({task}, timeout=TELL_EVERY))[0]:
            yield render.text("verifying.html", progress=progress)
        verified = task.result()
        yield render.text(
            "verified.html", chains=_worst_first(verified, await _slugs(visit)), count=len(verified),
            faults=sum(each.fault is not None for each in verified),
        )  # fmt: skip
    finally:
        progress.is_abandoned = True
        task.cancel()


def _worst_first(verified: list[Verified], slugs: Mapping[int | None, str]) -> list[tuple[str | None, Verified]]:
    """Those that don't hold, and so many others."""
    ordered = sorted(verified, key=lambda each: each.fault is None)
    return [(slugs.get(each.tenant_id), each) for n, each in enumerate(ordered) if each.fault or n < MOST_CHAINS]


def _scope(visit: Visit) -> Tenant | None:
    return None if _said(visit) else visit.tenant


def _said(visit: Visit) -> str | None:
    return ALL if visit.query("scope") == ALL else None


async def _slugs(visit: Visit) -> Mapping[int | None, str]:
    """Of the tenants that are shown."""
    if not _said(visit):
        return {visit.tenant.id: visit.tenant.slug}
    return {each.id: each.slug for each in await visit.room.tenants.visible(visit.caller)}


def _id(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= LARGEST):
        raise Invalid("before", "There is no such page of the audit.")
    return int(text)


def _line(entry: Entry, slugs: Mapping[int | None, str]) -> Line:
    detail = entry.more()
    changes = detail.pop("changes", {})
    both = ((field, *_was_and_is(each)) for field, each in changes.items()) if isinstance(changes, dict) else ()
    more = ((name, _text(each)) for name, each in detail.items())
    shown = tuple((name, was, now) for name, was, now in both if was != now)
    return Line(entry, slugs.get(entry.tenant_id), shown, tuple((name, said or "nothing") for name, said in more))


def _was_and_is(change: Any) -> tuple[str | None, str | None]:
    """Of a secret only that it was changed."""
    if isinstance(change, list) and len(change) == 2:
        return _text(change[0]), _text(change[1])
    return None, _text(change)


def _text(value: Any) -> str | None:
    if value is None or value == {}:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
