"""/profiles/{id}/as/{dialect}: a profile in a product's words, and what those would lose."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.dialects import ALL, by_name
from postroom.dialects.dialect import Verb
from postroom.web.pages.editor import number
from postroom.web.pages.profile_form import as_text
from postroom.web.pages.visit import Visit, page

_VERBS: Mapping[Verb, str] = {Verb.SHOW: "reads them", Verb.SAVE: "writes them", Verb.TRY: "tries them"}


def routes() -> list[BaseRoute]:
    return [
        Route("/profiles/{profile}/as", page(_first)),
        Route("/profiles/{profile}/as/{dialect}", page(_show)),
    ]


async def _first(visit: Visit) -> Response:
    return visit.to(f"/profiles/{number(visit)}/as/{ALL[0].name}")


async def _show(visit: Visit) -> Response:
    stored = await visit.room.profiles.show(visit.caller, visit.tenant, number(visit))
    speaker = by_name(visit.part("dialect"))
    lost = [(name, as_text(now), as_text(then)) for name, (now, then) in speaker.loss(stored.settings).items()]
    served: dict[str, list[tuple[str, str]]] = {}
    for each in speaker.endpoints:
        if each.verb in _VERBS:
            served.setdefault(each.path, []).append((each.method, _VERBS[each.verb]))
    return visit.show(
        "as_dialect.html", stored=stored, dialects=ALL, speaker=speaker, said=_written(speaker.write(stored.settings)),
        lost=lost, served=served,
    )  # fmt: skip


def _written(said: Mapping[str, Any]) -> str:
    return json.dumps(said, indent=2, ensure_ascii=False)
