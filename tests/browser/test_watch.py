"""That the other tests would notice: each of these must end as a fault."""

import asyncio

import pytest
from playwright.async_api import Browser

from serving import Server

from .visitor import visiting

WRONGS = {
    "console error": "console.error('oh')",
    "console warning": "console.warn('oh')",
    "uncaught": "setTimeout(() => { throw new Error('oh'); })",
    "another origin": "window.open('http://elsewhere.example/')",  # fetch would be stopped by the policy before
    "The policy stopped": "document.body.setAttribute('style', 'color: red')",
}


@pytest.mark.parametrize(("said", "wrong"), WRONGS.items(), ids=list(WRONGS))
async def test_what_must_not_happen_fails_the_test(browser: Browser, server: Server, said: str, wrong: str):
    with pytest.raises(AssertionError, match=said):
        await visit(browser, server, wrong, said)


async def visit(browser: Browser, server: Server, wrong: str, said: str) -> None:
    async with visiting(browser, server.url) as visitor:
        await visitor.opens("/sign-in")
        await visitor.page.evaluate(wrong)
        async with asyncio.timeout(20):
            while not any(said in each for each in visitor.faults):
                await visitor.page.evaluate("new Promise(setTimeout)")
