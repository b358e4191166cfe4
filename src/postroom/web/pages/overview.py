"""/: what state everything is in, and what needs somebody."""

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.web.pages.visit import Visit, page


def routes() -> list[BaseRoute]:
    return [Route("/", page(_overview))]


async def _overview(visit: Visit) -> Response:
    profiles = await visit.room.profiles.every(visit.caller, visit.tenant)
    return visit.show("overview.html", profiles=profiles)
