"""Somebody with a browser, whom nothing escapes: each visit notes what the console must never do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Route, WebError, expect

from serving import ADMIN_KEY

# Runs before anything of a page, and only in pages of ours: Swagger UI has a policy of its own. What it finds it says
# as an error on the console, like the browser itself; there is one place to look.
_WATCH = Path(__file__).with_name("watch.js").read_text()

# What the browser says when a mail that is shown has a script, or we have one for its frame: it does not run.
_STOPPED_IN_A_MAIL = "because the document's frame is sandboxed and the 'allow-scripts' permission is not set"


class Visitor:
    """A fresh browser profile with one page. `faults`: what was done that must not be."""

    def __init__(self, context: BrowserContext, page: Page, url: str) -> None:
        self.context, self.page, self.url = context, page, url
        self.faults: list[str] = []
        self._expected: set[str] = set()

    def expects(self, status: int) -> None:
        """The browser will say that a page came with this status; that is meant."""
        self._expected.add(f"the server responded with a status of {status} ")

    async def opens(self, path: str) -> None:
        await self.page.goto(self.url + path)

    async def signs_in(self, key: str = ADMIN_KEY) -> None:
        """As anybody does, and sees the overview."""
        await self.opens("/sign-in")
        await self.page.get_by_label("API key").fill(key)
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.page.get_by_role("navigation", name="Main")).to_be_visible()

    async def goes_to(self, place: str) -> None:
        """By the navigation."""
        await self.page.get_by_role("navigation", name="Main").get_by_role("link", name=place, exact=True).click()

    async def sees(self, *words: str) -> None:
        """Somewhere on the page."""
        for each in words:
            await expect(self.page.get_by_text(each).first).to_be_visible()

    async def confirms(self, button: str) -> None:
        """Clicks a button that asks back, and says yes."""
        await self.page.get_by_role("button", name=button, exact=True).click()
        await self.page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()

    def _heard(self, message: ConsoleMessage) -> None:
        expected = any(each in message.text for each in (*self._expected, _STOPPED_IN_A_MAIL))
        if message.type in ("error", "warning") and not expected:
            self.faults.append(f"console {message.type} at {message.location.get('url')}: {message.text}")

    def _broke(self, error: WebError) -> None:
        self.faults.append(f"uncaught in {self.page.url}: {error.error}")

    async def _refuse(self, route: Route, request: Request) -> None:
        self.faults.append(f"a request to another origin: {request.method} {request.url}")
        await route.abort()


@asynccontextmanager
async def visiting(browser: Browser, url: str, **options: Any) -> AsyncIterator[Visitor]:
    """A visitor whose faults fail the test at its end. `options` as of a browser context."""
    context = await browser.new_context(**options)
    visitor = Visitor(context, await context.new_page(), url)
    context.on("console", visitor._heard)
    context.on("weberror", visitor._broke)
    await context.route(lambda asked: not asked.startswith((f"{url}/", "data:")), visitor._refuse)
    await context.add_init_script(_WATCH)
    try:
        yield visitor
    finally:
        await context.close()
    assert not visitor.faults, "\n".join(visitor.faults)
