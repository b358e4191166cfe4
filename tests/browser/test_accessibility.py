"""Every page, in light and dark, wide and on a phone: WCAG 2.1 A and AA as far as axe-core can judge, an order of focus
that is the order of reading, a focus that is seen, and nothing that has to be scrolled sideways."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from serving import Server, eventually
from smtp.moods import Mood, open_relay

from .conftest import Tenant, new_tenant
from .visitor import Visitor, visiting

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"], "iframes": False}
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

# What it is: where, with what status.
PAGES = {
    "overview": ("/", 200),
    "profiles": ("/profiles", 200),
    "presets": ("/profiles/new", 200),
    "a preset": ("/profiles/new?preset=microsoft365", 200),
    "a profile in trouble": ("/profiles/2", 200),
    "a profile in order": ("/profiles/1", 200),
    "as a product": ("/profiles/1/as/keycloak", 200),
    "revisions": ("/profiles/1/revisions", 200),
    "a revision": ("/profiles/1/revisions/1", 200),
    "messages": ("/messages", 200),
    "nothing found": ("/messages?text=nothing+like+it", 200),
    "a wrong filter": ("/messages?since=yesterday", 400),
    "a sent message": ("/messages/{sent}", 200),
    "a refused message": ("/messages/{refused}", 200),
    "a waiting message": ("/messages/{waiting}", 200),
    "sandbox": ("/sandbox", 200),
    "a caught mail": ("/sandbox/{caught}", 200),
    "its HTML": ("/sandbox/{caught}?view=html", 200),
    "its source": ("/sandbox/{caught}?view=source", 200),
    "its headers": ("/sandbox/{caught}?view=headers", 200),
    "keys": ("/keys", 200),
    "a new key": ("/keys/new", 200),
    "a key": ("/keys/{key}", 200),
    "audit": ("/audit", 200),
    "verification": ("/audit/verification", 200),
    "tenants": ("/tenants", 200),
    "API": ("/docs", 200),
    "not here": ("/nowhere", 404),
}
NOTHING_YET = ("/", "/profiles", "/messages", "/sandbox", "/keys", "/audit")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(server: Server) -> AsyncIterator[dict[str, str]]:
    """A tenant with something on each page; what stands for the names in the addresses."""
    async with open_relay(Mood({"RCPT": b"450 4.2.0 Greylisted, come back later\r\n"})) as greylists:
        with new_tenant(server) as tenant:
            names = {"tenant": tenant.slug, **await asyncio.to_thread(_fill, tenant, server, greylists.port)}
            yield names


def _fill(tenant: Tenant, server: Server, greylists: int) -> dict[str, str]:
    here = {"host": "127.0.0.1", "sender_address": "post@company.example"}
    tenant.api("POST", "/profiles", name="Everyday", port=server.sandbox_port, **here)
    tenant.api("PATCH", "/profiles/1", sender_name="Company", recipient_filter="*@customer.example")
    tenant.api("POST", "/profiles", name="Nobody there", port=9, security="tls", **here)
    tenant.api("POST", "/profiles", name="Greylisting", port=greylists, **here)
    mail = {"subject": "Your invoice", "text": "See below.", "html": "<h1 style='color: navy'>Your invoice</h1>"}

    def sent_to(recipient: str, profile: int) -> str:
        return str(tenant.api("POST", "/messages", to=[recipient], profile=profile, **mail)["id"])

    names = {"sent": sent_to("bob@customer.example", 1), "refused": sent_to("bob@elsewhere.example", 1)}
    names["waiting"] = sent_to("bob@customer.example", 3)
    sent_to("bob@customer.example", 2)
    eventually(
        lambda: tenant.api("GET", f"/messages/{names['waiting']}")["deliveries"][0]["attempts"], what="an attempt"
    )
    eventually(lambda: tenant.api("GET", "/profiles/2")["trouble"], what="trouble")
    caught = eventually(lambda: tenant.api("GET", "/sandbox/messages")["messages"], what="being caught")
    return names | {"caught": caught[0]["id"], "key": tenant.api("GET", "/keys")["keys"][0]["id"]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def admin(browser: Browser, server: Server) -> AsyncIterator[Visitor]:
    """Somebody of the whole installation, who sees every place."""
    async with visiting(browser, server.url, viewport=WIDE) as visitor:
        await visitor.signs_in()
        yield visitor


@pytest.mark.parametrize(("path", "status"), PAGES.values(), ids=list(PAGES))
async def test_a_page_is_for_everybody(admin: Visitor, scene: dict[str, str], path: str, status: int):
    admin.expects(status)
    at = path.format_map(scene)
    answer = await admin.page.goto(f"{admin.url}{at}{'&' if '?' in at else '?'}tenant={quote(scene['tenant'])}")
    assert answer
    assert answer.status == status
    await is_for_everybody(admin.page)


async def test_what_is_empty_is_for_everybody(visitor: Visitor, tenant: Tenant):
    await visitor.signs_in(tenant.key)
    for path in NOTHING_YET:
        await visitor.opens(path)
        await is_for_everybody(visitor.page)


async def test_what_appears_on_a_page_is_for_everybody(visitor: Visitor, tenant: Tenant):
    """The ladder of a check that failed, a question asked back, a key's value, and who is not signed in."""
    page = visitor.page
    await visitor.opens("/sign-in?next=/keys")
    await is_for_everybody(page)
    await visitor.signs_in(tenant.key)
    await visitor.opens("/profiles/new?preset=sandbox")
    await page.get_by_label("Encryption").select_option("tls")
    await page.get_by_role("button", name="Check these settings").click()
    await expect(page.locator("#check-said")).to_have_class("note bad")
    await is_for_everybody(page)
    await visitor.opens("/keys/new")
    await page.get_by_label("Name").fill("A script")
    await page.get_by_role("button", name="Make the key").click()
    await is_for_everybody(page)
    await visitor.goes_to("Keys")
    await page.get_by_role("link", name="A script").click()
    await page.get_by_role("button", name="Revoke it").click()
    assert not (await Axe().run(page, options=RULES)).violations_count  # in a dialog Tab goes around in it


WRONGS = {
    "label": "document.querySelector('label').remove()",
    "color-contrast": "document.querySelector('label').style.color = '#999'",
    "h1": "document.querySelector('h1').style.order = '1'",
    "main": "document.querySelector('main').style.minWidth = '900px'",
    "no focus is seen": "document.querySelector('button').style.outline = 'none'",
}


@pytest.mark.parametrize(("said", "wrong"), WRONGS.items(), ids=list(WRONGS))
async def test_what_is_not_for_everybody_fails_the_test(visitor: Visitor, said: str, wrong: str):
    await visitor.opens("/sign-in")
    await visitor.page.evaluate(wrong)
    with pytest.raises(AssertionError, match=said):
        await is_for_everybody(visitor.page)


async def is_for_everybody(page: Page) -> None:
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for size in (WIDE, PHONE):
            await page.set_viewport_size(size)  # type: ignore[arg-type]
            result = await Axe().run(page, options=RULES)
            assert not result.violations_count, f"{scheme}, {size['width']} wide: {result.generate_report()}"
    assert await page.evaluate(_SIDEWAYS) == []
    assert await page.evaluate(_OUT_OF_ORDER) == []
    await page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    await walks_through(page)


async def walks_through(page: Page) -> None:
    """By Tab, once around: past everything that can be used, in the order of the document, each with a focus that is
    seen. A page may begin at a field that is wrong."""
    wanted = await page.evaluate(_STOPS)
    seen: list[int] = []
    for _ in range(3 * len(wanted)):
        await page.keyboard.press("Tab")
        stop = await page.evaluate(_STOP)
        if stop["is_between"] or seen[-1:] == [stop["number"]]:
            continue
        if stop["number"] in seen:
            break
        assert stop["is_seen"], f"no focus is seen at {stop['what']}"
        seen.append(stop["number"])
    begin = wanted.index(seen[0])
    assert seen == wanted[begin:] + wanted[:begin]


# What is wider than a phone and not in a box that scrolls by itself.
_SIDEWAYS = """() => {
  const root = document.scrollingElement;
  if (root.scrollWidth <= root.clientWidth) return [];
  const isWider = (each) => each.getBoundingClientRect().right > root.clientWidth;
  return [...document.querySelectorAll("body *")].filter(isWider).map((each) => each.outerHTML.slice(0, 120));
}"""

# Where the sheet shows something in another place than the document has it (WCAG 1.3.2 and 2.4.3).
_OUT_OF_ORDER = """() => [...document.querySelectorAll("body, body *")].filter((each) => {
  const style = getComputedStyle(each);
  return style.order !== "0" || style.flexDirection.endsWith("reverse") || each.tabIndex > 0;
}).map((each) => each.outerHTML.slice(0, 120))"""

# Everything that Tab should come to, by its number in the document.
_STOPS = """() => [...document.querySelectorAll("*")].map((each, number) => [each, number])
  .filter(([each]) => each.matches("a[href], button, input, select, textarea, summary, [tabindex='0']"))
  .filter(([each]) => !each.matches(":disabled, [type=hidden], [tabindex='-1']") && each.checkVisibility())
  .map(([, number]) => number)"""

# A table that is wider than its box is a stop of the browser's own, so that arrows can scroll it. Inside a field for a
# moment Tab goes from part to part, each with a mark of the browser's own.
_STOP = """() => {
  const at = document.activeElement, style = getComputedStyle(at);
  return {
    number: [...document.querySelectorAll("*")].indexOf(at),
    what: at.outerHTML.slice(0, 120),
    is_between: at.matches("body, iframe, div.table"),
    is_seen: at.matches("[type=datetime-local]") || style.outlineStyle !== "none" && style.outlineWidth !== "0px",
  };
}"""
