"""/profiles/{id}/revisions: who changed what, and the way back"""

from sqlalchemy import update

from postroom.store.schema import revision
from serving import House
from web.reading import read
from web.test_pages_profiles import RELAY, page, profile, put, send, sign_in


async def test_revisions_tell_who_changed_what_and_no_secret(house: House):
    await put(house, RELAY)
    await put(house, RELAY | {"host": "two.example", "password": "canary-second", "sender_name": "<b>x</b>"})
    await sign_in(house)
    listed = await page(house, "/profiles/1/revisions")
    assert "relay.example → two.example" in listed.text
    assert "/profiles/1/revisions/3" in listed.links
    one = await house.client.get("/profiles/1/revisions/3")
    shown = read(one.text)
    assert "Password never shown changed" in shown.text
    assert "in force" in shown.text
    assert "&lt;b&gt;" in one.text
    assert "canary" not in one.text + listed.text
    await page(house, "/profiles/1/revisions/77", 404)
    await page(house, "/profiles/77/revisions", 404)


async def test_an_old_revision_is_in_force_again_with_its_secret(house: House):
    await put(house, RELAY)
    await put(house, RELAY | {"host": "two.example", "password": "canary-second"})
    await sign_in(house)
    assert "comes back with them" in (await page(house, "/profiles/1/revisions/2")).text
    answer = await send(house, "/profiles/1/revisions/2/restore", {"revision": "3"}, 303)
    assert answer.headers["location"] == "/profiles/1?done=restored"
    now = await profile(house)
    assert (now["host"], now["revision"], now["password_set"], now["dialect"]) == ("relay.example", 4, True, "console")


async def test_who_was_overtaken_rolls_nothing_back(house: House):
    await put(house, RELAY)
    await put(house, RELAY | {"sender_name": "Other"})
    await sign_in(house)
    shown = read((await send(house, "/profiles/1/revisions/1/restore", {"revision": "2"}, 412)).text)
    assert "Revision 3 is in force, not 2" in shown.text
    await send(house, "/profiles/1/revisions/1/restore", {}, 409)
    assert (await profile(house))["revision"] == 3


async def test_where_the_secret_is_lost_the_page_says_so_and_nothing_changes(house: House):
    await put(house, RELAY)
    await put(house, RELAY | {"host": "two.example", "password": "canary-second"})
    damaged = update(revision).where(revision.c.number == 2).values(sealed_password="00000000.x")
    await house.postroom.database.write(lambda connection: connection.execute(damaged))
    await sign_in(house)
    shown = read((await send(house, "/profiles/1/revisions/2/restore", {"revision": "3"}, 409)).text)
    assert "Revision 2 can't be restored, nothing was changed." in shown.text
    assert (await profile(house))["host"] == "two.example"


async def test_who_may_only_look_is_offered_no_way_back(house: House):
    await put(house, RELAY)
    await sign_in(house, await house.key("settings:read"))
    assert (await page(house, "/profiles/1/revisions/1")).actions == ["/sign-out"]
    await send(house, "/profiles/1/revisions/1/restore", {"revision": "2"}, 403)


async def test_many_revisions_have_pages(house: House):
    for number in range(32):
        await put(house, RELAY | {"sender_name": f"N{number}"})
    await sign_in(house)
    first = await page(house, "/profiles/1/revisions")
    (older,) = [each for each in first.links if "before=" in each]
    last = await page(house, older)
    assert "The first settings." in last.text
    assert "/profiles/1/revisions" in last.links
    assert "No older ones" in (await page(house, "/profiles/1/revisions?before=1")).text
