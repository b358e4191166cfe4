"""/keys: a value is shown once; nobody makes, rotates or revokes what is not theirs."""

import html
import re

import pytest

from serving import ADMIN_KEY, House

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def filled(house: House, path: str = "/keys/new") -> dict[str, str]:
    """The form as it comes, with a name."""
    page = (await house.client.get(path)).text
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    return hidden | {"name": "scanner", "email": "", "life": "", "mail:send": "on"}


async def make(house: House, **typed: str) -> str:
    """A key by the form; its id."""
    await house.client.post("/keys", data=await filled(house) | typed)
    listed = (await house.client.get("/v1/keys", headers=house.admin)).json()["keys"]
    return str(listed[-1]["id"])


async def test_a_keys_value_is_shown_once_and_the_form_makes_one_key(house: House):
    await house.sign_in()
    form = await filled(house)
    made = await house.client.post("/keys", data=form | {"email": "anna@home.example", "life": str(90 * 86_400)})
    assert (made.status_code, str(made.url.path)) == (200, "/keys")
    value = UUID.search(made.text)[0]  # type: ignore[index]
    assert made.text.count(value) == 1
    assert 'data-copy="#value"' in made.text
    assert made.headers["cache-control"] == "no-store"
    sent = await house.client.get("/v1/messages", headers={"authorization": f"Bearer {value}"})
    assert sent.status_code == 403  # it may send, not read
    again = await house.client.post("/keys", data=form)
    assert (again.status_code, again.headers["location"]) == (303, "/keys?done=key_made")
    for path in ("/keys", "/keys?done=key_made", f"/keys/{form['once']}", "/audit", "/audit?scope=all"):
        shown = await house.client.get(path)
        assert shown.status_code == 200
        assert not UUID.search(shown.text), path
    listed = (await house.client.get("/v1/keys", headers=house.admin)).json()["keys"]
    assert [(each["name"], each["email"], each["permissions"]) for each in listed] == [
        ("scanner", "anna@home.example", ["mail:send"])
    ]


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [({"name": " "}, "name", "Give it a name"), ({"name": "a\ab"}, "name", "one line"),
     ({"email": "nobody"}, "email", ""), ({"life": "7"}, "life", "Choose one"),
     ({"name": "x" * 300}, "name", "longer")],
)  # fmt: skip
async def test_a_mistake_is_said_at_its_field_and_the_rest_stays(
    house: House, typed: dict[str, str], field: str, words: str
):
    await house.sign_in()
    shown = await house.client.post("/keys", data=await filled(house) | {"email": "a@b.example"} | typed)
    assert shown.status_code == 400
    line = next(line for line in shown.text.splitlines() if f'id="{field}"' in line)
    assert f'autofocus aria-describedby="{field}-said"' in line
    assert words in next(line for line in shown.text.splitlines() if f'id="{field}-said"' in line)
    assert 'name="mail:send" checked' in shown.text
    assert (await house.client.get("/v1/keys", headers=house.admin)).json()["keys"] == []


async def test_a_key_without_permissions_is_a_mistake_too(house: House):
    await house.sign_in()
    form = {name: value for name, value in (await filled(house)).items() if name != "mail:send"}
    shown = await house.client.post("/keys", data=form)
    assert shown.status_code == 400
    assert "Choose at least one thing" in shown.text


async def test_a_form_that_chooses_the_id_of_another_key_changes_nothing(house: House):
    await house.sign_in()
    key = await make(house)
    before = (await house.client.get("/v1/keys", headers=house.admin)).json()
    answer = await house.client.post("/keys", data=await filled(house) | {"once": key, "name": "other"})
    assert answer.status_code == 303
    assert (await house.client.get("/v1/keys", headers=house.admin)).json() == before
    for wrong in ("", "x", "*" * 26, "0" * 27, "<script>"):
        answer = await house.client.post("/keys", data=await filled(house) | {"once": wrong})
        assert answer.status_code == 400, wrong


async def test_a_key_is_rotated_once_with_an_overlap(house: House):
    await house.sign_in()
    key = await make(house)
    form = {"turn": (await filled(house, f"/keys/{key}"))["turn"], "overlap": "3600"}
    turned = await house.client.post(f"/keys/{key}/rotate", data=form)
    assert turned.status_code == 200
    assert len(set(UUID.findall(turned.text))) == 1
    assert "The old value is good until" in turned.text
    again = await house.client.post(f"/keys/{key}/rotate", data=form)
    assert (again.status_code, again.headers["location"]) == (303, f"/keys/{key}?done=turned")
    shown = (await house.client.get(f"/keys/{key}")).text
    assert "not used since the rotation" in shown
    assert not UUID.search(shown)
    assert (await house.client.post(f"/keys/{key}/rotate", data=form | {"overlap": "5"})).status_code == 400


async def test_a_revoked_key_is_refused_and_listed_apart(house: House):
    await house.sign_in()
    value = await house.key("keys:manage", name="old script")
    key = next(each["id"] for each in (await house.client.get("/v1/keys", headers=house.admin)).json()["keys"])
    shown = (await house.client.get(f"/keys/{key}")).text
    assert 'data-confirm="Revoke' in shown
    gone = await house.client.post(f"/keys/{key}/revoke")
    assert gone.headers["location"] == "/keys?done=revoked"
    assert (await house.client.get("/v1/keys", headers={"authorization": f"Bearer {value}"})).status_code == 401
    listed = (await house.client.get("/keys")).text
    assert "Expired and revoked (1)" in listed
    assert "Rotate" not in (await house.client.get(f"/keys/{key}")).text


async def test_a_key_gives_no_more_than_it_has(house: House):
    await house.sign_in("keys:manage", "mail:read")
    page = (await house.client.get("/keys/new")).text
    assert 'name="mail:read"' in page
    assert 'name="mail:send"' not in page
    answer = await house.client.post("/keys", data=await filled(house))
    assert answer.status_code == 403
    assert "can't give more than it has" in html.unescape(answer.text)


async def test_who_may_not_manage_keys_sees_none(house: House):
    key = (await house.client.post("/v1/keys", json={"name": "x"}, headers=house.admin)).json()["id"]
    await house.sign_in("mail:read")
    for path in ("/keys", "/keys/new", f"/keys/{key}"):
        assert (await house.client.get(path)).status_code == 403
    assert ">Keys</a>" not in (await house.client.get("/messages")).text


async def test_a_tenants_key_sees_neither_the_installations_keys_nor_another_tenants(house: House):
    listed = (await house.client.get("/v1/keys", headers=house.admin | {"x-postroom-tenant": "*"})).json()["keys"]
    admin = listed[0]["id"]
    other = (await house.client.post("/v1/keys", json={"name": "theirs"}, headers=house.admin)).json()["id"]
    await house.tenant("acme")
    await house.sign_in(tenant="acme")
    assert "Of the whole installation" not in (await house.client.get("/keys")).text
    assert (await house.client.get("/keys?scope=installation")).status_code == 403
    assert (await house.client.get("/keys?tenant=default")).status_code == 404
    for key in (admin, other):
        for method, path in (("GET", ""), ("POST", "/rotate"), ("POST", "/revoke")):
            form = {"overlap": "0", "turn": ""} if path == "/rotate" else {}
            answer = await house.client.request(method, f"/keys/{key}{path}", data=form)
            assert answer.status_code == 404, path
            assert "theirs" not in answer.text


async def test_the_installations_own_keys_have_a_list_of_their_own(house: House):
    await house.sign_in()
    await make(house)
    shown = (await house.client.get("/keys?scope=installation")).text
    assert "this session" in shown
    assert "scanner" not in shown
    form = await filled(house, "/keys/new?scope=installation")
    made = await house.client.post("/keys?scope=installation", data=form | {"name": "second admin"})
    assert made.status_code == 200
    assert ADMIN_KEY not in made.text
    assert "second admin" in (await house.client.get("/keys?scope=installation")).text
    assert "second admin" not in (await house.client.get("/keys")).text


async def test_names_are_escaped(house: House):
    await house.sign_in()
    key = await make(house, name='<b>"x"</b>')
    for path in ("/keys", f"/keys/{key}"):
        shown = (await house.client.get(path)).text
        assert "<b>" not in shown
        assert "&lt;b&gt;&#34;x&#34;&lt;/b&gt;" in shown
