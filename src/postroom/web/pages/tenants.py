"""/tenants: all that there are, for keys of the whole installation; make one, go to its pages."""

from collections.abc import Mapping

from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from postroom.domain.problems import Conflict, Invalid
from postroom.web.pages.visit import Visit, page

PAGE = 100
LONGEST_FILTER = 255


def routes() -> list[BaseRoute]:
    return [
        Route("/tenants", page(_list), methods=["GET"]),
        Route("/tenants", page(_create), methods=["POST"]),
    ]


async def _list(visit: Visit) -> Response:
    return await _shown(visit, {}, {})


async def _create(visit: Visit) -> Response:
    typed = {name: visit.form.get(name, "").strip() for name in ("slug", "name")}
    try:
        made = await visit.room.tenants.create(visit.caller, typed["slug"], typed["name"])
    except Invalid as problem:
        return await _shown(visit, typed, {problem.field: problem.message}, 400)
    except Conflict as problem:
        return await _shown(visit, typed, {"slug": problem.message}, 409)
    return RedirectResponse(f"/?tenant={made.slug}&done=tenant", 303)


async def _shown(visit: Visit, typed: Mapping[str, str], wrong: Mapping[str, str], status: int = 200) -> Response:
    text, after = (visit.query("text") or "").strip()[:LONGEST_FILTER] or None, visit.query("after")
    found = await visit.room.tenants.page(visit.caller, text, after, PAGE)
    return visit.show(
        "tenants.html", status, tenants=found, more=found[-1].slug if len(found) == PAGE else None, text=text,
        is_first=after is None, typed=typed, wrong=wrong,
    )  # fmt: skip
