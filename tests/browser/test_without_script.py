"""Where script is off, or did not arrive: everything but what is live still works."""

import re

import pytest_asyncio
from playwright.async_api import expect

from .conftest import Opens, Tenant
from .visitor import Visitor


@pytest_asyncio.fixture(loop_scope="session")
async def plain(visitors: Opens, tenant: Tenant) -> Visitor:
    visitor = await visitors(java_script_enabled=False)
    await visitor.signs_in(tenant.key)
    return visitor


async def test_settings_are_checked_mended_and_saved(plain: Visitor, tenant: Tenant):
    page = plain.page
    await plain.opens("/profiles/new?preset=sandbox")
    await page.get_by_label("Encryption").select_option(label="TLS from the start (465)")
    await page.get_by_role("button", name="Check these settings").click()

    failed = page.locator("#ladder [data-status=failed]")  # the page has come back with the whole ladder
    await expect(failed.locator(".stage")).to_have_text("Encryption (TLS)")
    await expect(page.locator("#check-said")).to_contain_text("It fails at: Encryption (TLS).")
    await failed.get_by_role("button", name="Use this").click()
    await plain.sees("Filled in, not saved yet")
    await expect(page.get_by_label("Encryption")).to_have_value("none")
    await page.get_by_role("button", name="Check these settings").click()
    await expect(page.locator("#check-said")).to_have_text("All is well with these settings.")

    await page.get_by_role("button", name="Make the profile").click()
    await plain.sees("Created.")
    await page.get_by_label("Port").fill("many")
    plain.expects(400)
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("[aria-invalid=true]")).to_have_id("port")
    assert tenant.api("GET", "/profiles/default")["revision"] == 1


async def test_a_key_is_made_and_revoked(plain: Visitor, tenant: Tenant):
    page = plain.page
    await plain.goes_to("Keys")
    await page.get_by_role("link", name="Make a key").first.click()
    await page.get_by_label("Name").fill("A script")
    await page.get_by_role("button", name="Make the key").click()
    await expect(page.locator("#value")).to_have_text(re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"))
    await plain.goes_to("Keys")
    await page.get_by_role("link", name="A script").click()
    await page.get_by_role("button", name="Revoke it").click()
    await plain.sees("Revoked. Whoever uses this key is refused from now on.")
    assert {each["name"]: bool(each["revoked_at"]) for each in tenant.api("GET", "/keys")["keys"]}["A script"]
