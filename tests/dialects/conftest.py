from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serving import House, a_house

HOME = "http://postroom.test"  # one product has the tenant before the host that the installation is known by


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, public_url=HOME) as house:
        yield house
