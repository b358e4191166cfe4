"""Finding a message and reading what became of it."""

from collections.abc import Awaitable, Callable

from playwright.async_api import expect

from smtp.moods import Mood, Relay

from .conftest import Tenant
from .visitor import Visitor

MAIL = {"to": ["bob@customer.example"], "subject": "Your invoice", "text": "See the attachment."}


async def test_a_refused_message_is_found_and_its_transcript_read(
    visitor: Visitor, tenant: Tenant, relays: Callable[[Mood], Awaitable[Relay]]
):
    relay = await relays(Mood({"RCPT": b"550 5.1.1 There is no Bob here\r\n"}))
    tenant.settings(host="127.0.0.1", port=relay.port, sender_address="post@company.example")
    tenant.api("POST", "/messages", **MAIL)
    tenant.api("POST", "/messages", **(MAIL | {"subject": "Another"}))
    await visitor.signs_in(tenant.key)
    page = visitor.page
    await visitor.goes_to("Messages")
    await page.get_by_label("Subject or Message-ID").fill("invoice")
    await page.get_by_label("State").select_option(label="Refused")
    await page.get_by_role("button", name="Find").click()
    found = page.get_by_role("row").filter(has_text="Your invoice")
    await expect(found).to_be_visible()  # maybe a moment later: the list is live
    await expect(page.get_by_role("row").filter(has_text="Another")).to_have_count(0)

    await found.get_by_role("link").click()
    await visitor.sees("550 5.1.1 There is no Bob here", "See the attachment.")
    transcript = page.get_by_role("group").filter(has_text="Transcript")
    await expect(transcript.locator("pre")).to_be_hidden()
    await transcript.get_by_text("Transcript").click()
    await expect(transcript.locator("pre")).to_contain_text("RCPT TO:<bob@customer.example>")
    await expect(transcript.locator("pre")).to_contain_text("550 5.1.1 There is no Bob here")


async def test_what_is_handed_in_shows_by_itself_and_can_be_cancelled(
    visitor: Visitor, tenant: Tenant, relays: Callable[[Mood], Awaitable[Relay]]
):
    relay = await relays(Mood({"RCPT": b"450 4.2.0 Come back later\r\n"}))
    tenant.settings(host="127.0.0.1", port=relay.port, sender_address="post@company.example")
    await visitor.signs_in(tenant.key)
    page = visitor.page
    await visitor.goes_to("Messages")
    await visitor.sees("No mail yet")

    tenant.api("POST", "/messages", **MAIL)

    await page.get_by_role("link", name="Your invoice").click()
    await visitor.sees("450 4.2.0 Come back later", "It is tried again in")
    await visitor.confirms("Cancel")
    await visitor.sees("Cancelled. What had not left yet stays here.")
    await expect(page.locator("#message .state").first).to_have_text("cancelled")
