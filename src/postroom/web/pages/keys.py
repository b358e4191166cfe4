"""/keys: API keys: list them, make one (its value is shown this once), give one a new value, revoke one."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.domain.access import Permission
from postroom.domain.problems import Conflict, Invalid, Stale
from postroom.domain.tenant import Tenant
from postroom.store.ids import new_id
from postroom.store.keys import Key
from postroom.web.pages.visit import Visit, page

MOST_ENDED = 100  # shown of those that are expired or revoked
INSTALLATION = "installation"  # what ?scope= says for the keys of no tenant

CAN: Final[Mapping[Permission, str]] = MappingProxyType(
    {
        Permission.SETTINGS_READ: "See settings",
        Permission.SETTINGS_WRITE: "Change settings",
        Permission.SETTINGS_CHECK: "Check settings",
        Permission.MAIL_SEND: "Send mail",
        Permission.MAIL_READ: "Read mail",
        Permission.MAIL_MANAGE: "Cancel and retry mail",
        Permission.AUDIT_READ: "See the audit",
        Permission.KEYS_MANAGE: "Manage keys",
        Permission.TENANTS_MANAGE: "Manage tenants",
    }
)
DAY: Final = 86_400
LIVES: Final = (("", "Never"), (str(DAY), "In a day"), (str(30 * DAY), "In 30 days"), (str(90 * DAY), "In 90 days"),
                (str(365 * DAY), "In a year"))  # fmt: skip
OVERLAPS: Final = (("0", "At once"), ("3600", "In an hour"), (str(DAY), "In a day"), (str(7 * DAY), "In a week"),
                   (str(30 * DAY), "In 30 days"))  # fmt: skip
_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")


def routes() -> list[BaseRoute]:
    return [
        Route("/keys", page(_list), methods=["GET"]),
        Route("/keys", page(_create), methods=["POST"]),
        Route("/keys/new", page(_new)),
        Route("/keys/{key}", page(_show)),
        Route("/keys/{key}/rotate", page(_rotate), methods=["POST"]),
        Route("/keys/{key}/revoke", page(_revoke), methods=["POST"]),
    ]


async def _list(visit: Visit) -> Response:
    room, scope = visit.room, _scope(visit)
    found = await (room.keys.visible(visit.caller, scope) if scope else room.keys.of_installation(visit.caller))
    good = [each for each in found if each.is_valid(visit.now)]
    ended = [each for each in found if not each.is_valid(visit.now)]
    return visit.show(
        "keys.html", keys=good[::-1], ended=ended[: -MOST_ENDED - 1 : -1], hidden=max(0, len(ended) - MOST_ENDED),
        scope=_said(visit), can=can,
    )  # fmt: skip


async def _new(visit: Visit) -> Response:
    visit.caller.require(Permission.KEYS_MANAGE)
    typed = {str(each): "on" for each in (Permission.SETTINGS_READ, Permission.MAIL_SEND, Permission.MAIL_READ)}
    return _form(visit, typed | {"once": new_id(visit.now)}, {})


async def _create(visit: Visit) -> Response:
    form, wrong = visit.form, dict[str, str]()
    name = form.get("name", "").strip()
    if not name:
        wrong["name"] = "Give it a name, such as the program or the person that uses it."
    life, wanted = _choice(form, "life", LIVES, wrong), frozenset(each for each in Permission if str(each) in form)
    if not _ID.fullmatch(form.get("once", "")):
        raise Invalid("once", "This form is not whole: go back, load the page again, and fill it in once more.")
    if not wanted:
        wrong["permissions"] = "Choose at least one thing that it may do."
    if wrong:
        return _form(visit, form, wrong, 400)
    try:
        key, value = await visit.room.keys.create(
            visit.caller, _scope(visit), name, wanted, life, form.get("email", "").strip() or None, form["once"]
        )
    except Invalid as problem:
        return _form(visit, form, {problem.field: problem.message}, 400)
    except Conflict:  # the form was sent again: the page with the value was loaded once more
        return visit.to("/keys", done="key_made", scope=_said(visit))
    return visit.show("key_value.html", key=key, value=value.reveal(), scope=_said(visit), is_new=True)


async def _show(visit: Visit) -> Response:
    key = await visit.room.keys.one(visit.caller, _scope(visit), visit.part("key"))
    return visit.show(
        "key.html", key=key, scope=_said(visit), can=can, overlaps=OVERLAPS, is_good=key.is_valid(visit.now),
        is_mine=key.id == visit.caller.key_id,
    )  # fmt: skip


async def _rotate(visit: Visit) -> Response:
    overlap, key_id = _choice(visit.form, "overlap", OVERLAPS, {}), visit.part("key")
    if overlap is None:
        raise Invalid("overlap", "Choose for how long the old value is good.")
    try:
        key, value = await visit.room.keys.rotate(
            visit.caller, _scope(visit), key_id, overlap, visit.form.get("turn", "")
        )
    except Stale:  # somebody else did, or this page was loaded once more
        return visit.to(f"/keys/{key_id}", done="turned", scope=_said(visit))
    return visit.show("key_value.html", key=key, value=value.reveal(), scope=_said(visit), is_new=False)


async def _revoke(visit: Visit) -> Response:
    await visit.room.keys.revoke(visit.caller, _scope(visit), visit.part("key"))
    return visit.to("/keys", done="revoked", scope=_said(visit))


def can(key: Key) -> list[str]:
    """What it may do, in words."""
    return (
        ["Everything"] if len(key.permissions) == len(CAN) else [CAN[each] for each in CAN if each in key.permissions]
    )


def _form(visit: Visit, typed: Mapping[str, str], wrong: Mapping[str, str], status: int = 200) -> Response:
    offered = {each: words for each, words in CAN.items() if each in visit.caller.permissions}
    return visit.show(
        "new_key.html", status, typed=typed, wrong=wrong, offered=offered, lives=LIVES, scope=_said(visit)
    )


def _scope(visit: Visit) -> Tenant | None:
    """Whose keys: the tenant's whose pages these are, or the installation's."""
    return None if _said(visit) else visit.tenant


def _said(visit: Visit) -> str | None:
    return INSTALLATION if visit.query("scope") == INSTALLATION else None


def _choice(
    form: Mapping[str, str], field: str, options: tuple[tuple[str, str], ...], wrong: dict[str, str]
) -> int | None:
    chosen = form.get(field, "")
    if chosen not in (value for value, _ in options):
        wrong[field] = "Choose one of these."
    return int(chosen) if chosen.isdigit() and field not in wrong else None
