"""/: what state everything is in, and what needs somebody."""

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.actions.overview import SOON, Overview
from postroom.web.pages.chart import chart
from postroom.web.pages.standing import standing
from postroom.web.pages.visit import Visit, page

LONG_WAIT = 15 * 60 * 1_000_000  # microseconds that mail may wait before somebody should know


def routes() -> list[BaseRoute]:
    return [Route("/", page(_overview))]


async def _overview(visit: Visit) -> Response:
    found = await visit.room.overviews.of(visit.caller, visit.tenant)
    return visit.show(
        "overview.html", found=found, standing=standing, chart=chart(found.hours) if found.hours else None,
        ending=_ending(found), waits_long=found.oldest is not None and found.now - found.oldest > LONG_WAIT,
    )  # fmt: skip


def _ending(found: Overview) -> list[tuple[str, int]]:
    """Relays whose certificate ends soon, and when."""
    ends = {
        f"{each.stored.settings.host}:{each.stored.settings.port}": each.certificate_ends
        for each in found.states or ()
        if each.certificate_ends is not None and each.certificate_ends - found.now < SOON
    }
    return sorted(ends.items())
