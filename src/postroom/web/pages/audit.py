"""/audit: who did what, and whether anybody has rewritten it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.domain.problems import Invalid
from postroom.domain.tenant import Tenant
from postroom.store.audit import AuditSearch, Verified
from postroom.store.audit_chain import Entry
from postroom.web.pages import times
from postroom.web.pages.visit import Visit, page

PAGE = 50
MOST_CHAINS = 200  # shown of those that hold
LONGEST_FILTER = 255
LARGEST = 2**53
ALL = "all"  # what ?scope= says for the installation and all tenants together
NOUNS = ("profile", "key", "message", "tenant", "vault", "audit")  # what stands before the dot of an action


def routes() -> list[BaseRoute]:
    return [Route("/audit", page(_list)), Route("/audit/verification", page(_verify))]


@dataclass(frozen=True, slots=True)
class Line:
    """An entry, its detail read."""

    entry: Entry
    tenant: str | None
    changes: tuple[tuple[str, str, str], ...]  # field, what was, what is
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
    """Walks every row of the chain, or of all chains: the page takes as long as that does."""
    head = (visit.query("head") or "").strip()[:LONGEST_FILTER] or None
    verified: list[Verified] = []
    wrong: dict[str, str] = {}
    try:
        verified = await visit.room.audit.verify(visit.caller, _scope(visit), head)
    except Invalid as problem:
        wrong["head"] = problem.message
    slugs = await _slugs(visit)
    return visit.show(
        "verification.html", 400 if wrong else 200, chains=_worst_first(verified, slugs), count=len(verified),
        faults=sum(each.fault is not None for each in verified), head=head, wrong=wrong, scope=_said(visit),
    )  # fmt: skip


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
    detail = _detail(entry.detail)
    changes = detail.pop("changes", {})
    shown = tuple((field, *_was_and_is(each)) for field, each in changes.items()) if isinstance(changes, dict) else ()
    return Line(entry, slugs.get(entry.tenant_id), shown, tuple((name, _text(each)) for name, each in detail.items()))


def _detail(text: str) -> dict[str, Any]:
    """What somebody has tampered with must still be listed."""
    try:
        said = json.loads(text)
    except ValueError:
        said = text
    return said if isinstance(said, dict) else {"unreadable": text}


def _was_and_is(change: Any) -> tuple[str, str]:
    """Of a secret only that it was changed."""
    if isinstance(change, list) and len(change) == 2:
        return _text(change[0]), _text(change[1])
    return "", _text(change)


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
