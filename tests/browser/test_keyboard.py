"""Whoever has no mouse: everything by Tab, Enter, Space, arrows and Escape."""

from playwright.async_api import expect

from .conftest import Tenant
from .visitor import Visitor

MOST_STOPS = 80  # on the way to something


async def test_signing_in_and_saving_settings_needs_no_mouse(visitor: Visitor, tenant: Tenant):
    page, keyboard = visitor.page, visitor.page.keyboard
    await visitor.opens("/sign-in")
    await expect(page.get_by_label("API key")).to_be_focused()
    await keyboard.type(tenant.key)
    await keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Acme")

    await tab_to(visitor, "Profiles")
    await keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Profiles")
    await keyboard.press("Tab")  # what comes first leads past the navigation
    await keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await tab_to(visitor, "New profile")
    await keyboard.press("Enter")
    await tab_to(visitor, "The sandbox")
    await keyboard.press("Enter")

    await tab_to(visitor, "Sender's name")
    await keyboard.press("Control+A")
    await keyboard.type("Typed")
    await tab_to(visitor, "Make the profile")
    await keyboard.press("Enter")
    await visitor.sees("Created.")
    assert tenant.api("GET", "/profiles/default")["sender_name"] == "Typed"

    await tab_to(visitor, "Encryption")
    await keyboard.press("ArrowUp")  # from "None" to "STARTTLS if offered"
    await tab_to(visitor, "Check these settings")
    await keyboard.press("Enter")
    await expect(page.locator("#check-said")).to_have_text("All is well with these settings.")
    await tab_to(visitor, "Save", backwards=True)
    await keyboard.press("Space")
    await visitor.sees("Saved as a new revision.")
    assert tenant.api("GET", "/profiles/default")["security"] == "starttls-if-offered"


async def test_what_asks_back_takes_escape_for_no(visitor: Visitor, tenant: Tenant):
    tenant.settings(host="127.0.0.1", port=25, sender_address="post@company.example")
    await visitor.signs_in(tenant.key)
    await visitor.opens("/profiles/1")
    await tab_to(visitor, "Delete")
    await visitor.page.keyboard.press("Enter")
    await expect(visitor.page.get_by_role("dialog")).to_be_visible()
    await expect(visitor.page.get_by_role("button", name="No, leave it")).to_be_focused()

    await visitor.page.keyboard.press("Escape")

    await expect(visitor.page.get_by_role("dialog")).to_have_count(0)
    await expect(visitor.page.get_by_role("button", name="Delete")).to_be_focused()
    assert len(tenant.api("GET", "/profiles")["profiles"]) == 1


async def tab_to(visitor: Visitor, name: str, *, backwards: bool = False) -> None:
    """Presses Tab until what is called so has the focus."""
    for _ in range(MOST_STOPS):
        await visitor.page.keyboard.press("Shift+Tab" if backwards else "Tab")
        focused = visitor.page.locator(":focus")
        if await focused.count() and await focused.evaluate(_NAME) == name:
            return
    raise AssertionError(f"Tab never comes to {name!r} on {visitor.page.url}")


_NAME = "at => (at.labels?.[0] ?? at).innerText.trim()"
