"""That the other tests would notice: each of these must end as a fault."""

import pytest
from playwright.async_api import Browser

from serving import Server

from .visitor import visiting

WRONGS = {
    "console error": "console.error('oh')",
    "console warning": "console.warn('oh')",
    "uncaught": "setTimeout(() => { throw new Error('oh'); })",
    "another origin": "location.href = 'http://elsewhere.example/'",  # the policy would stop fetch before that
    "The policy stopped": "document.body.setAttribute('style', 'color: red')",
}


@pytest.mark.parametrize(("said", "wrong"), WRONGS.items(), ids=list(WRONGS))
async def test_what_must_not_happen_fails_the_test(chromium: Browser, server: Server, said: str, wrong: str):
    with pytest.raises(AssertionError, match=said):
        async with visiting(chromium, server.url) as visitor:
            await visitor.opens("/sign-in")
            await visitor.page.evaluate(wrong)
            await visitor.page.wait_for_function("true")
            await visitor.opens("/sign-in")
