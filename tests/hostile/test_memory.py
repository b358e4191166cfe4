"""However much a relay says, and however slowly, an attempt and a check stay small (F1): less than 20 MiB each."""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hostile.row import EVERYWHERE
from hostile.table import TABLE
from hostile.test_h01_h40 import over
from smtp.conftest import Certificates
from smtp.moods import Mood, open_relay

MOST = 20 * 1024  # KiB
FLOODS = [row for row in TABLE if row.h in (3, 4, 5, 6)]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured by proc(5)")
@pytest.mark.parametrize("how", ["delivery", "check"])
async def test_memory_stays_small(certificates: Certificates, how: str):
    runs = [(row, security) for row in FLOODS for security in row.over]
    async with AsyncExitStack() as stack:

        async def visit(mood: Mood, security, seconds: float) -> dict[str, object]:
            relay = await stack.enter_async_context(open_relay(over(security, mood, certificates.good)))
            return {
                "how": how, "port": relay.port, "security": security.value, "authorities": certificates.authority,
                "seconds": seconds,
            }  # fmt: skip

        visits = [await visit(Mood(), security, 5) for security in EVERYWHERE]
        visits += [await visit(row.mood, security, 0.5 if row.h == 6 else 5) for row, security in runs]
        growths = (await _growths(visits))[len(EVERYWHERE) :]
    grown = dict(zip([f"{row} {security}" for row, security in runs], growths, strict=True))
    assert {name: kib for name, kib in grown.items() if kib >= MOST} == {}
    print(f"{how}: {len(runs)} visits, the largest growth {max(growths)} KiB")  # noqa: T201  shown with -s


async def _growths(visits: list[dict[str, object]]) -> list[int]:
    paths = os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), *sys.path)))
    visitor = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hostile.visitor", stdin=-1, stdout=-1, env=os.environ | {"PYTHONPATH": paths}
    )
    said, _ = await visitor.communicate(json.dumps(visits).encode())
    assert visitor.returncode == 0
    return [int(each) for each in json.loads(said)]
