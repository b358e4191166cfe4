"""/: what state everything is in, and what needs somebody."""

from dataclasses import replace

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.actions.overview import SOON, Overview
from postroom.web.pages import live
from postroom.web.pages.chart import chart
from postroom.web.pages.standing import standing
from postroom.web.pages.visit import Visit, page

PATIENCE = 0.05  # seconds that the page waits for the count of its day; what is live brings it then
LONG_WAIT = 15 * 60 * 1_000_000  # microseconds that mail may wait before somebody should know


def routes() -> list[BaseRoute]:
    return [Route("/", page(_overview)), Route("/live/overview", page(_follow))]


async def _overview(visit: Visit) -> Response:
    found = await visit.room.overviews.of(visit.caller, visit.tenant, PATIENCE)
    return visit.show(
        "overview.html", found=found, standing=standing, chart=chart(found.hours) if found.hours else None,
        live=visit.link("/live/overview", mark=live.mark(_less_its_time(found))), ending=_ending(found),
        waits_long=found.oldest is not None and found.now - found.oldest > LONG_WAIT,
    )  # fmt: skip


async def _follow(visit: Visit) -> Response:
    async def look() -> Overview:
        return _less_its_time(await visit.room.overviews.of(visit.caller, visit.tenant))

    return live.follow(visit, look)


def _less_its_time(found: Overview) -> Overview:
    """That it was looked at later is no change."""
    return replace(found, now=0)


def _ending(found: Overview) -> list[tuple[str, int]]:
    """Relays whose certificate ends soon, and when."""
    ends = {
        f"{each.stored.settings.host}:{each.stored.settings.port}": each.certificate_ends
        for each in found.states or ()
        if each.certificate_ends is not None and each.certificate_ends - found.now < SOON
    }
    return sorted(ends.items())
