"""A key is made, used, and taken away."""

from playwright.async_api import expect

from .conftest import Opens, Tenant


async def test_a_key_is_shown_once_and_whoever_has_it_is_out_when_it_is_revoked(visitors: Opens, tenant: Tenant):
    ada, bob = await visitors(), await visitors()
    await ada.signs_in(tenant.key)
    await ada.goes_to("Keys")
    await ada.page.get_by_role("link", name="Make a key").first.click()
    await ada.page.get_by_label("Name").fill("Bob's script")
    await ada.page.get_by_label("mail:read").check()
    await ada.page.get_by_role("button", name="Make the key").click()
    value = await ada.page.locator("#value").inner_text()
    assert len(value) == 36

    await ada.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await ada.page.get_by_role("button", name="Copy").click()
    await expect(ada.page.get_by_role("button", name="Copied")).to_be_visible()
    assert await ada.page.evaluate("navigator.clipboard.readText()") == value

    await ada.page.reload()  # the browser sends the form again: no second key, and not the value again
    await expect(ada.page.get_by_text(value)).to_have_count(0)
    await ada.goes_to("Keys")
    await expect(ada.page.get_by_role("link", name="Bob's script")).to_have_count(1)

    await bob.signs_in(value)
    await expect(bob.page.get_by_role("link", name="Keys")).to_have_count(0)  # not one of its permissions
    await bob.goes_to("Messages")
    await bob.sees("No mail yet")

    await ada.page.get_by_role("link", name="Bob's script").click()
    await ada.confirms("Revoke it")
    await ada.sees("Revoked. Whoever uses this key is refused from now on.")

    await bob.sees("This page no longer shows what happens")  # said by itself, the page being live
    await bob.goes_to("Overview")
    await expect(bob.page.get_by_role("heading", name="Sign in")).to_be_visible()
    bob.expects(401)
    await bob.page.get_by_label("API key").fill(value)
    await bob.page.get_by_role("button", name="Sign in").click()
    await expect(bob.page.get_by_role("alert")).to_be_visible()
