"""Visits relays and says by how much its memory grew, so that the relay's own is not counted.

`python -m hostile.visitor` reads its visits as JSON from stdin and writes the growth of each in KiB as JSON to stdout.
Linux only (proc(5)).
"""

import asyncio
import gc
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from postroom.domain.profile import Security
from postroom.smtp.check import check
from postroom.smtp.route import Route, Timeouts
from postroom.smtp.send import send
from smtp.conftest import CONTENT, ENVELOPE, route_to


@dataclass(frozen=True)
class Visit:
    """`how`: delivery or check."""

    how: str
    port: int
    security: Security
    authorities: str
    seconds: float  # for an attempt

    async def make(self) -> None:
        timeouts = Timeouts(connect=2, reply=self.seconds, dot=self.seconds, attempt=self.seconds)
        route = route_to(self.port, security=self.security, ca_certificates=self.authorities, timeouts=timeouts)
        await _deliver(route) if self.how == "delivery" else await _check(route)


async def _deliver(route: Route) -> None:
    await send(route, ENVELOPE, CONTENT)


async def _check(route: Route) -> None:
    async for _ in check(route, recipient=ENVELOPE.recipients[0]):
        pass


async def _visit_all(visits: list[Visit]) -> list[int]:
    """The first is to a good relay and not counted: what is loaded once is no growth."""
    growths = []
    for visit in visits:
        gc.collect()
        _forget_peak()
        before = _kib("VmRSS")
        await visit.make()
        growths.append(_kib("VmHWM") - before)
    return growths


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _kib(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def main() -> None:
    visits = [Visit(**each | {"security": Security(each["security"])}) for each in json.load(sys.stdin)]
    json.dump(asyncio.run(_visit_all(visits)), sys.stdout)


if __name__ == "__main__":
    main()
