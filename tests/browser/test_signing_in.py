"""Who comes in, who does not, and what is not there for them."""

from playwright.async_api import expect

from serving import Server

from .conftest import Opens, Tenant
from .visitor import Visitor


async def test_whoever_has_a_key_comes_in_and_goes_out_again(visitor: Visitor, tenant: Tenant):
    await visitor.signs_in(tenant.key)
    await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Acme")

    await visitor.page.get_by_role("button", name="Sign out").click()

    await expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    await visitor.opens("/")
    await expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_wrong_key_is_refused_in_words(visitor: Visitor):
    visitor.expects(401)
    await visitor.opens("/sign-in")
    await visitor.page.get_by_label("API key").fill("canary-wrong")
    await visitor.page.get_by_role("button", name="Sign in").click()

    await expect(visitor.page.get_by_role("alert")).to_be_visible()
    assert "canary-wrong" not in await visitor.page.content()


async def test_who_was_signed_out_meanwhile_signs_in_and_is_back(visitor: Visitor, tenant: Tenant):
    await visitor.signs_in(tenant.key)
    await visitor.opens("/keys/new")
    await visitor.context.clear_cookies()

    await visitor.goes_to("Audit")
    await visitor.sees("Sign in to see that page.")
    await visitor.page.get_by_label("API key").fill(tenant.key)
    await visitor.page.get_by_role("button", name="Sign in").click()

    await expect(visitor.page.get_by_role("heading", name="Audit")).to_be_visible()


async def test_what_was_to_be_done_without_a_session_is_not_done_and_that_is_said(visitor: Visitor, tenant: Tenant):
    await visitor.signs_in(tenant.key)
    await visitor.opens("/keys/new")
    await visitor.page.get_by_label("Name").fill("Never made")
    await visitor.context.clear_cookies()

    await visitor.page.get_by_role("button", name="Make the key").click()

    await visitor.sees("Your session had ended, so nothing was done.")
    assert [each["name"] for each in tenant.api("GET", "/keys")["keys"]] == ["console"]


async def test_another_tenants_pages_are_not_there(visitors: Opens, tenant: Tenant, other: Tenant, server: Server):
    other.settings(host="127.0.0.1", port=server.sandbox_port, sender_address="post@other.example")
    theirs = other.api("POST", "/messages", to=["bob@other.example"], subject="Secret plans", text="Of others.")
    visitor = await visitors()
    await visitor.signs_in(tenant.key)
    visitor.expects(404)

    for path in (f"/messages/{theirs['id']}", "/profiles/1", f"/?tenant={other.slug}", "/nowhere"):
        await visitor.opens(path)
        await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Not here")
        assert "Secret plans" not in await visitor.page.content()
        await visitor.page.get_by_role("link", name="To the overview").click()
        await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Acme")
