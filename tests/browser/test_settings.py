"""From a preset to mail that arrives; from a check that fails to one that is green; and back to how it was."""

import ssl
from collections.abc import Awaitable, Callable

import pytest
import trustme
from playwright.async_api import Page, expect

from smtp.moods import OFFERS, Mood, Relay, knows

from .conftest import Opens, Tenant
from .visitor import Visitor

AUTHORITY = trustme.CA()


@pytest.fixture
def secure() -> Mood:
    """Offers STARTTLS, and after it a login that it knows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    after = (*OFFERS, "AUTH PLAIN LOGIN")
    return Mood({"AUTH": knows("post", "correct-horse")}, (*OFFERS, "STARTTLS"), after, tls=context)


async def checks(page: Page, button: str = "Check these settings") -> None:
    """Asks for a check and waits for its verdict."""
    await page.get_by_role("button", name=button).click()
    await expect(page.locator("#check-said")).not_to_contain_text("Checking")


async def test_a_preset_becomes_settings_whose_test_mail_arrives(visitor: Visitor, tenant: Tenant):
    await visitor.signs_in(tenant.key)
    page = visitor.page
    await visitor.goes_to("Profiles")
    await page.get_by_role("link", name="Make the first profile").click()
    await page.get_by_role("link", name="The sandbox").click()
    await page.get_by_label("Name", exact=True).fill("Trying out")
    await page.get_by_role("button", name="Make the profile").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Trying out")

    watching = await visitor.context.new_page()  # the mailbox is open all the time, and shows by itself what comes
    await watching.goto(f"{visitor.url}/sandbox")
    await expect(watching.get_by_role("heading", name="No mail yet")).to_be_visible()

    await page.get_by_label("Recipient (optional)").fill("ann@customer.example")
    await checks(page, "Send a test mail")
    await expect(page.locator("#check-said")).to_have_class("note good")

    caught = watching.get_by_role("row").filter(has_text="ann@customer.example")
    await expect(caught).to_be_visible()
    await caught.get_by_role("link").click()
    await expect(watching.get_by_text("ann@customer.example").first).to_be_visible()
    await watching.get_by_role("link", name="Source").click()
    await expect(watching.get_by_text("Message-ID:")).to_be_visible()


async def test_a_failing_check_names_the_step_and_proposes_what_then_is_green(
    visitor: Visitor, tenant: Tenant, relays: Callable[[Mood], Awaitable[Relay]], secure: Mood
):
    relay = await relays(secure)
    await visitor.signs_in(tenant.key)
    page = visitor.page
    await visitor.opens("/profiles/new?preset=postfix")
    await page.get_by_label("Host").fill("127.0.0.1")
    await page.get_by_label("Port").fill(str(relay.port))
    await page.get_by_label("Encryption").select_option(label="TLS from the start (465)")
    await page.get_by_label("Kind of login").select_option(label="User name and password")
    await page.get_by_label("User name").fill("post")
    await page.get_by_label("Password, or client secret").fill("correct-horse")
    await page.get_by_label("Sender's address").fill("post@company.example")
    await page.locator("summary", has_text="More about the connection").click()
    await page.get_by_label("Trusted authorities").fill(AUTHORITY.cert_pem.bytes().decode())

    await checks(page)
    failed = page.locator("#ladder [data-status=failed]")
    await expect(failed).to_have_count(1)
    await expect(failed.locator(".stage")).to_have_text("Encryption (TLS)")
    await expect(failed).to_contain_text("STARTTLS")
    await expect(page.locator("#ladder > li").last).to_have_attribute("data-status", "failed")  # nothing after it

    await failed.get_by_role("button", name="Use this").click()
    await expect(page.get_by_label("Encryption")).to_have_value("starttls")
    await expect(page.locator("#check-said")).to_contain_text("not saved yet")
    await checks(page)
    await expect(page.locator("#check-said")).to_have_text("All is well with these settings.")

    await page.get_by_role("button", name="Make the profile").click()
    await visitor.sees("Created.")
    assert tenant.api("GET", "/profiles/default")["security"] == "starttls"
    await checks(page)  # by the stored settings and their sealed password
    await expect(page.locator("#check-said")).to_have_text("All is well with these settings.")
    await expect(page.locator("#ladder").get_by_text("correct-horse")).to_have_count(0)


async def test_a_changed_profile_is_rolled_back(visitor: Visitor, tenant: Tenant):
    await visitor.signs_in(tenant.key)
    page = visitor.page
    await visitor.opens("/profiles/new?preset=sandbox")
    await page.get_by_role("button", name="Make the profile").click()
    await page.get_by_label("Sender's name").fill("Somebody else")
    await page.get_by_role("button", name="Save").click()
    await visitor.sees("Saved as a new revision.")

    await page.get_by_role("link", name="Revisions").click()
    await page.get_by_role("link", name="Revision 1", exact=True).click()
    await expect(page.get_by_role("row").filter(has_text="Somebody else")).to_contain_text("Postroom")
    await visitor.confirms("Roll back to this")

    await visitor.sees("Rolled back.")
    await expect(page.get_by_label("Sender's name")).to_have_value("Postroom")
    assert tenant.api("GET", "/profiles/default")["revision"] == 3


async def test_who_was_overtaken_sees_what_somebody_else_changed(visitors: Opens, tenant: Tenant):
    first, second = await visitors(), await visitors()
    for each in (first, second):
        await each.signs_in(tenant.key)
    await first.opens("/profiles/new?preset=sandbox")
    await first.page.get_by_role("button", name="Make the profile").click()
    await first.sees("Created.")
    await second.opens("/profiles/1")
    await second.page.get_by_label("Sender's name").fill("Second")
    await first.page.get_by_label("Recipient filter").fill("*@company.example")
    await first.page.get_by_role("button", name="Save").click()
    await first.sees("Saved as a new revision.")

    second.expects(412)
    await second.page.get_by_role("button", name="Save").click()

    await second.sees("Nothing was saved")
    await expect(second.page.get_by_role("row").filter(has_text="Recipient filter")).to_contain_text("taken over")
    await expect(second.page.get_by_label("Sender's name")).to_have_value("Second")
    await second.page.get_by_role("button", name="Save").click()
    await second.sees("Saved as a new revision.")
    profile = tenant.api("GET", "/profiles/default")
    assert (profile["sender_name"], profile["recipient_filter"]) == ("Second", "*@company.example")
