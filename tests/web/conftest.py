"""A Postroom in a fresh data directory, asked without a socket."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from postroom.app import opened
from postroom.config import Config

ADMIN = "an admin key for the tests"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with opened(Config(data_dir=tmp_path, admin_key=SecretStr(ADMIN))) as postroom:
        transport = httpx2.ASGITransport(app=postroom.site)
        headers = {"authorization": f"Bearer {ADMIN}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://test/v1", headers=headers) as client:
            yield client
