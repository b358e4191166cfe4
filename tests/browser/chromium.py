"""Debian's Chromium, under Playwright's hands."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

PATH = shutil.which("chromium")
MISSING = "There is no chromium here: .ci/packages installs it (as root, on Debian)."


@asynccontextmanager
async def running() -> AsyncIterator[Browser]:
    """Without a way to any name but this machine's, whoever asks."""
    arguments = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-gpu"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PATH, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()
