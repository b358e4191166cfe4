"""/audit: who did what, and whether anybody has rewritten it."""

import re

import pytest
from sqlalchemy import Connection, text

from postroom.actions.audit import Abandoned, Progress
from postroom.domain.access import Caller, Permission
from postroom.store import audit
from postroom.web.pages import audit as pages_audit
from serving import House

NOBODY = Caller("nobody", "nobody", None, frozenset(Permission))


async def change(house: House, **settings: object) -> None:
    answer = await house.client.patch("/v1/profiles/default", json=settings, headers=house.admin)
    assert answer.status_code == 200, answer.text


def actions(page: str) -> list[str]:
    return re.findall(r"<code>([a-z]+\.[a-z]+)</code>", page)


async def test_changes_are_shown_field_by_field_and_secrets_only_as_changed(house: House):
    await house.sign_in()
    await change(house, sender_name="<b>Us</b>")
    await change(house, auth="password", username="mailer", password="canary-77")
    shown = (await house.client.get("/audit")).text
    arrow = '<span aria-hidden="true">→</span>'
    assert f"<dt>Sender&#39;s name</dt><dd><del>Postroom</del> {arrow} <ins>&lt;b&gt;Us&lt;/b&gt;</ins>" in shown
    assert f"<dt>Kind of login</dt><dd><del>none</del> {arrow} <ins>password</ins>" in shown
    assert "<dt>Password</dt>" in shown
    assert "canary-77" not in shown


async def test_lines_are_found_by_what_they_are_about_and_when(house: House):
    await house.sign_in()
    await change(house, sender_name="Us")
    await house.key(name="scanner")
    assert actions((await house.client.get("/audit")).text)[:2] == ["key.created", "profile.saved"]
    assert set(actions((await house.client.get("/audit?action=key")).text)) == {"key.created"}
    assert set(actions((await house.client.get("/audit?subject=1")).text)) == {"profile.saved"}
    none = await house.client.get("/audit?until=2000-01-01T00:00")
    assert "Nothing found" in none.text
    wrong = await house.client.get("/audit?since=soon")
    assert wrong.status_code == 400
    assert 'value="soon"' in wrong.text
    assert "Give a date and a time" in wrong.text
    assert (await house.client.get("/audit?before=x")).status_code == 400


async def test_a_chain_that_holds_says_so_and_keeps_its_head(house: House):
    await house.sign_in()
    await change(house, sender_name="Us")
    shown = (await house.client.get("/audit/verification")).text
    assert "The chain holds" in shown
    head = re.search(r"\d+:1\.[0-9a-f]{64}", shown)
    assert head
    await change(house, sender_name="Them")
    assert "The chain holds" in (await house.client.get("/audit/verification", params={"head": head[0]})).text
    other = await house.client.get("/audit/verification", params={"head": head[0][:-1] + "x"})
    assert "does not hold" in other.text
    wrong = await house.client.get("/audit/verification", params={"head": "what"})
    assert wrong.status_code == 400
    assert "A head reads as verifying told it" in wrong.text


async def test_a_long_verification_tells_how_far_it_is(house: House, monkeypatch: pytest.MonkeyPatch):
    await house.sign_in()

    def live(connection: Connection) -> None:
        for n in range(3_000):
            audit.note(connection, NOBODY, "vault.looked", str(n), tenant_id=None, now=n)

    await house.postroom.database.write(live)
    monkeypatch.setattr(pages_audit, "TELL_EVERY", 0.001)
    shown = (await house.client.get("/audit/verification?scope=all")).text
    told = [int(each.replace(",", "")) for each in re.findall(r"([\d,]+) of 3,0\d\d lines are verified", shown)]
    assert told == sorted(told)
    assert any(0 < each < 3_000 for each in told)
    assert shown.index("lines are verified") < shown.index("All 2 chains hold")


async def test_a_verification_that_fails_half_way_says_so_on_its_page(house: House):
    await house.sign_in()
    await house.postroom.database.write(lambda connection: connection.execute(text("DROP TABLE audit")))
    answer = await house.client.get("/audit/verification")
    assert answer.status_code == 200  # it had begun
    assert "Something went wrong here." in answer.text
    assert f"<code>{answer.headers['x-request-id']}</code>" in answer.text
    assert "</html>" in answer.text
    assert "holds" not in answer.text.partition('class="growing"')[2].partition("<form")[0]


async def test_nothing_is_verified_for_somebody_who_has_gone(house: House):
    with pytest.raises(Abandoned):
        await house.postroom.room.audit.verifying(NOBODY, None, None, Progress(is_abandoned=True))


async def test_a_row_that_somebody_rewrote_is_named(house: House):
    await house.sign_in()
    await change(house, sender_name="Us")
    await house.postroom.database.write(
        lambda connection: connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE action = 'profile.saved'"))
    )
    shown = (await house.client.get("/audit/verification")).text
    assert "The chain does not hold" in shown
    assert "edited" in shown
    everything = (await house.client.get("/audit/verification?scope=all")).text
    assert "1 of 2 chains do not hold" in everything


async def test_a_tenants_key_sees_its_own_only(house: House):
    await change(house, sender_name="Secret name")
    await house.tenant("acme")
    await house.sign_in(tenant="acme")
    shown = (await house.client.get("/audit")).text
    assert "Secret name" not in shown
    assert "Of everything" not in shown
    for path in ("/audit?scope=all", "/audit/verification?scope=all"):
        assert (await house.client.get(path)).status_code == 403


async def test_without_the_permission_there_is_no_audit(house: House):
    await house.sign_in("mail:read")
    for path in ("/audit", "/audit/verification"):
        assert (await house.client.get(path)).status_code == 403


async def test_a_key_of_the_installation_sees_everything_with_its_tenant(house: House):
    await house.sign_in()
    await house.tenant("acme")
    await house.key(tenant="acme", name="theirs")
    shown = (await house.client.get("/audit?scope=all")).text
    assert "<td>acme</td>" in shown
    assert "<td>the installation</td>" in shown
