"""/tenants: for keys of the whole installation."""

import html

import pytest

from serving import House


async def test_a_tenant_is_made_and_its_pages_are_shown(house: House):
    await house.sign_in()
    made = await house.client.post("/tenants", data={"slug": "acme", "name": "Acme & Sons"})
    assert (made.status_code, made.headers["location"]) == (303, "/?tenant=acme&done=tenant")
    listed = (await house.client.get("/tenants")).text
    assert '<a href="/?tenant=acme">Acme &amp; Sons</a>' in listed
    theirs = (await house.client.get("/messages?tenant=acme")).text
    assert "Acme &amp; Sons" in theirs
    assert 'href="/sandbox?tenant=acme"' in theirs  # every link stays with the tenant
    assert '<input type="hidden" name="tenant" value="acme">' in theirs


@pytest.mark.parametrize(
    ("typed", "field", "status"),
    [({"slug": "Big Name", "name": ""}, "slug", 400), ({"slug": "x", "name": "a\ab"}, "name", 400),
     ({"slug": "default", "name": ""}, "slug", 409), ({"slug": "", "name": "x"}, "slug", 400)],
)  # fmt: skip
async def test_a_mistake_is_said_at_its_field(house: House, typed: dict[str, str], field: str, status: int):
    await house.sign_in()
    shown = await house.client.post("/tenants", data=typed)
    assert shown.status_code == status
    line = next(line for line in shown.text.splitlines() if f'id="{field}"' in line)
    assert 'aria-invalid="true" autofocus' in line
    assert f'value="{typed["slug"]}"' in shown.text


async def test_many_are_found_by_name_and_listed_a_hundred_at_a_time(house: House):
    await house.sign_in()
    for n in range(120):
        await house.client.post("/v1/tenants", json={"slug": f"t{n:03}", "name": f"Branch {n}"}, headers=house.admin)
    first = (await house.client.get("/tenants")).text
    assert first.count('href="/?tenant=') == 100
    more = html.unescape(first.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0])
    rest = (await house.client.get(more)).text
    assert rest.count('href="/?tenant=') == 21
    assert "Back to the first" in rest
    found = (await house.client.get("/tenants", params={"text": "BRANCH 77"})).text
    assert found.count('href="/?tenant=') == 1
    assert "Nothing found" in (await house.client.get("/tenants", params={"text": "%"})).text


async def test_a_tenants_key_sees_no_tenants_and_makes_none(house: House):
    await house.tenant("acme")
    await house.sign_in(tenant="acme")
    for answer in (await house.client.get("/tenants"), await house.client.post("/tenants", data={"slug": "x"})):
        assert answer.status_code == 403
        assert "/?tenant=" not in answer.text
    assert ">Tenants</a>" not in (await house.client.get("/messages")).text


async def test_a_key_of_the_installation_without_the_permission_makes_none(house: House):
    said = {"name": "looker", "permissions": ["mail:read"]}
    made = await house.client.post("/v1/keys", json=said, headers=house.admin | {"x-postroom-tenant": "*"})
    await house.client.post("/sign-in", data={"key": made.json()["key"]})
    assert "Make a tenant" not in (await house.client.get("/tenants")).text
    assert (await house.client.post("/tenants", data={"slug": "x", "name": ""})).status_code == 403
