"""Chromium, one for all; a real server, one for all; and for each test a tenant and a browser profile of its own."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from serving import Server
from smtp.moods import Mood, Relay, open_relay

from . import chromium
from .visitor import Visitor, visiting

PATIENCE = 20_000  # milliseconds until something that should be seen; the machine may be busy

expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            if chromium.PATH is None:
                item.add_marker(pytest.mark.skip(chromium.MISSING))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium.running() as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("console")) as running:
        yield running


@dataclass
class Tenant:
    """One of its own for each test. `key` may do everything in it; `client` asks the API with that key."""

    slug: str
    key: str
    client: httpx2.Client

    def api(self, method: str, path: str, **body: Any) -> Any:
        answer = self.client.request(method, f"/v1{path}", json=body or None)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def settings(self, **settings: Any) -> Any:
        """Its first profile."""
        return self.api("POST", "/profiles", name="main", **settings)


@pytest.fixture
def tenant(server: Server) -> Iterator[Tenant]:
    with new_tenant(server) as made:
        yield made


@pytest.fixture
def other(server: Server) -> Iterator[Tenant]:
    """Another one."""
    with new_tenant(server) as made:
        yield made


@contextmanager
def new_tenant(server: Server) -> Iterator[Tenant]:
    slug = f"acme-{uuid.uuid4().hex[:12]}"
    assert server.client.post("/v1/tenants", json={"slug": slug, "name": "Acme"}).status_code == 201
    made = server.client.post("/v1/keys", json={"name": "console"}, headers={"x-postroom-tenant": slug})
    assert made.status_code == 201, made.text
    key = str(made.json()["key"])
    with httpx2.Client(base_url=server.url, headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
        yield Tenant(slug, key, client)


class Opens(Protocol):
    def __call__(self, **options: Any) -> Awaitable[Visitor]: ...


@pytest_asyncio.fixture(loop_scope="session")
async def visitors(browser: Browser, server: Server) -> AsyncIterator[Opens]:
    """Makes visitors. Those faults that nobody expected fail the test."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> Visitor:
            return await stack.enter_async_context(visiting(browser, server.url, **options))

        yield make


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(visitors: Opens) -> Visitor:
    """With script, on a screen of usual size."""
    return await visitors()


@pytest_asyncio.fixture(loop_scope="session")
async def relays() -> AsyncIterator[Callable[[Mood], Awaitable[Relay]]]:
    """Opens relays of any mood."""
    async with AsyncExitStack() as stack:

        async def make(mood: Mood) -> Relay:
            return await stack.enter_async_context(open_relay(mood))

        yield make
