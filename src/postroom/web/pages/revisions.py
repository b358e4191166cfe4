"""/profiles/{id}/revisions: what was changed, when and by whom, and the way back."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.domain.problems import Conflict, Invalid, Stale
from postroom.domain.profile import SECRET_FIELDS
from postroom.store.profiles import StoredProfile
from postroom.store.revisions import StoredRevision
from postroom.web.pages import profile_form
from postroom.web.pages.editor import DIALECT, number
from postroom.web.pages.profile_form import as_text
from postroom.web.pages.visit import Visit, page

PAGE = 30


def routes() -> list[BaseRoute]:
    return [
        Route("/profiles/{profile}/revisions", page(_list)),
        Route("/profiles/{profile}/revisions/{number}", page(_show)),
        Route("/profiles/{profile}/revisions/{number}/restore", page(_restore), methods=["POST"]),
    ]


async def _list(visit: Visit) -> Response:
    stored = await visit.room.profiles.show(visit.caller, visit.tenant, number(visit))
    before = _number(visit.query("before") or "") if visit.query("before") else None
    found = await visit.room.revisions.page(visit.caller, visit.tenant, stored.id, before, PAGE)
    told = [(each, changes(each)) for each in found]
    more = found[-1].number if len(found) == PAGE else None
    return visit.show("revisions.html", stored=stored, revisions=told, more=more, before=before)


async def _show(visit: Visit) -> Response:
    stored = await visit.room.profiles.show(visit.caller, visit.tenant, number(visit))
    return await _page(visit, stored, _number(visit.part("number")))


async def _restore(visit: Visit) -> Response:
    """Settings and secrets as they were. Where a secret can't be opened nothing changes, and the page says so."""
    profile, wanted = number(visit), _number(visit.part("number"))
    stored = await visit.room.profiles.show(visit.caller, visit.tenant, profile)
    try:
        base = _number(visit.form.get("revision", ""))
        restored = await visit.room.revisions.restore(
            visit.caller, visit.tenant, profile, wanted, dialect=DIALECT, if_revision=base
        )
    except Stale as problem:
        return await _page(visit, stored, wanted, problem.message, 412)
    except (Conflict, Invalid) as problem:
        return await _page(visit, stored, wanted, problem.message, 409)
    return visit.to(f"/profiles/{profile}", done="unchanged" if restored.revision == base else "restored")


async def _page(visit: Visit, stored: StoredProfile, wanted: int, problem: str = "", status: int = 200) -> Response:
    found = await visit.room.revisions.show(visit.caller, visit.tenant, stored.id, wanted)
    return visit.show(
        "revision.html", status, stored=stored, revision=found, changes=changes(found), problem=problem,
        back=_against(stored, found), settings=profile_form.shown(found.settings),
    )  # fmt: skip


def changes(revision: StoredRevision) -> list[tuple[str, str, str]]:
    """Field by field what was and what became; of a secret only that it changed."""
    return [_told(name, change) for name, change in revision.changes.items()]


def _told(name: str, change: Any) -> tuple[str, str, str]:
    if name in SECRET_FIELDS or not isinstance(change, list) or len(change) != 2:
        return name, "", str(change)
    return name, _line(change[0]), _line(change[1])


def _line(value: Any) -> str:
    """What a product said beyond our fields is kept by dialect; it is many things at once."""
    return (
        ", ".join(f"{name}: {_line(each)}" for name, each in value.items())
        if isinstance(value, Mapping)
        else as_text(value)
    )


def _against(stored: StoredProfile, old: StoredRevision) -> list[tuple[str, str, str]]:
    """What rolling back would change, field by field: in force now, and then."""
    now, then = profile_form.shown(stored.settings), profile_form.shown(old.settings)
    return [(name, now[name], then[name]) for name in now if now[name] != then[name]]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 9):
        raise Invalid("revision", "A revision is named by its number.")
    return int(text)
