"""/profiles: made from a preset, edited, overtaken, paused, deleted"""

import json
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from postroom.domain.profile import Profile
from postroom.store.schema import revision
from postroom.web.pages.presets import PRESETS
from serving import ADMIN_KEY, House
from web.reading import Page, read

RELAY = {
    "host": "relay.example", "port": 587, "security": "starttls", "auth": "password", "username": "mailer",
    "password": "canary-stored", "sender_address": "noreply@company.example",
}  # fmt: skip


async def sign_in(house: House, key: str = ADMIN_KEY) -> None:
    assert (await house.client.post("/sign-in", data={"key": key})).status_code == 303


async def put(house: House, settings: dict[str, Any], tenant: str = "default") -> dict[str, Any]:
    there = house.admin | {"x-postroom-tenant": tenant}
    answer = await house.client.put("/v1/profiles/default", json=settings, headers=there)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def page(house: House, path: str, status: int = 200) -> Page:
    answer = await house.client.get(path)
    assert answer.status_code == status, answer.text
    return read(answer.text)


async def send(house: House, path: str, form: dict[str, str], status: int) -> httpx2.Response:
    answer = await house.client.post(path, data=form)
    assert answer.status_code == status, answer.text
    return answer


async def profile(house: House, number: int = 1) -> dict[str, Any]:
    return dict((await house.client.get(f"/v1/profiles/{number}", headers=house.admin)).json())


async def test_a_form_sent_back_as_it_came_changes_nothing(house: House):
    pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
    everything = RELAY | {
        "recipient_filter": "*@a.example, b@*", "ca_certificates": pem, "server_name": "mx.example", "failover": None,
        "limit_per_hour": 10, "tls_minimum": "1.3", "mechanism": "PLAIN", "reply_to_name": 'A "B" <c>',
    }  # fmt: skip
    before = await put(house, everything)
    await sign_in(house)
    shown = await page(house, "/profiles/1")
    assert shown.fields["reply_to_name"] == 'A "B" <c>'
    assert shown.fields["password"] == ""
    sent = shown.fields | {"ca_certificates": shown.fields["ca_certificates"].replace("\n", "\r\n")}
    answer = await send(house, "/profiles/1", sent, 303)
    assert answer.headers["location"] == "/profiles/1?done=unchanged"
    assert (await profile(house))["revision"] == before["revision"]
    assert "Nothing was different" in (await page(house, answer.headers["location"])).text


async def test_what_is_typed_is_saved_as_a_revision_of_the_console(house: House):
    await put(house, RELAY)
    await sign_in(house)
    form = (await page(house, "/profiles/1")).fields
    typed = form | {"name": "Main", "sender_name": "Company", "limit_per_minute": "30", "verify_certificate": "no",
                    "password": "canary-typed"}  # fmt: skip
    answer = await send(house, "/profiles/1", typed, 303)
    assert answer.headers["location"].endswith("done=saved")
    saved = await profile(house)
    assert (saved["name"], saved["sender_name"], saved["limit_per_minute"]) == ("Main", "Company", 30)
    assert (saved["verify_certificate"], saved["dialect"]) == (False, "console")
    cleared = (await page(house, "/profiles/1")).fields | {"limit_per_minute": "", "sender_name": " "}
    await send(house, "/profiles/1", cleared, 303)
    assert ((await profile(house))["limit_per_minute"], (await profile(house))["sender_name"]) == (None, None)


@pytest.mark.parametrize(
    ("field", "typed"),
    [("host", ""), ("host", "no host"), ("port", "x"), ("port", "70000"), ("port", ""), ("name", " "), ("username", ""),
     ("sender_address", "nobody"), ("recipient_filter", "everyone"), ("limit_per_hour", "-1"), ("security", "magic"),
     ("verify_certificate", "perhaps"), ("failover", "77"), ("mechanism", "MAGIC"), ("ca_certificates", "ü")],
)  # fmt: skip
async def test_a_mistake_is_told_at_its_field_and_what_was_typed_stays(house: House, field: str, typed: str):
    await put(house, RELAY)
    await sign_in(house)
    form = (await page(house, "/profiles/1")).fields | {"sender_name": "<i>Typed</i>", "password": "canary-typed"}
    answer = await send(house, "/profiles/1", form | {field: typed}, 400)
    shown = read(answer.text)
    assert (shown.wrong, shown.focus) == ({field}, [field])
    assert shown.fields["sender_name"] == "<i>Typed</i>"
    assert "<i>" not in answer.text
    assert "canary" not in answer.text
    assert (await profile(house))["sender_name"] is None


async def test_where_a_secret_has_to_be_given_again_its_field_says_so(house: House):
    await put(house, RELAY)
    await sign_in(house)
    form = (await page(house, "/profiles/1")).fields | {"host": "other.example"}
    shown = read((await send(house, "/profiles/1", form, 400)).text)
    assert shown.wrong == {"password"}
    assert "Give the password again: host changed" in shown.text
    await send(house, "/profiles/1", form | {"password": "canary-again"}, 303)
    assert (await profile(house))["host"] == "other.example"


async def test_a_secret_can_be_removed(house: House):
    await put(house, RELAY)
    await sign_in(house)
    assert "is set" in (await page(house, "/profiles/1")).text
    form = (await page(house, "/profiles/1")).fields | {"auth": "none", "password_clear": "yes"}
    await send(house, "/profiles/1", form, 303)
    assert (await profile(house))["password_set"] is False
    assert "is set" not in (await page(house, "/profiles/1")).text


async def test_where_the_stored_secret_is_lost_the_form_says_so_and_takes_another(house: House):
    await put(house, RELAY)
    damaged = update(revision).where(revision.c.number == 2).values(sealed_password="00000000.x")
    await house.postroom.database.write(lambda connection: connection.execute(damaged))
    await sign_in(house)
    shown = await page(house, "/profiles/1")
    assert "trouble" in shown.text
    again = read((await send(house, "/profiles/1", shown.fields | {"sender_name": "Typed"}, 503)).text)
    assert again.fields["sender_name"] == "Typed"
    assert "vault key" in again.text
    await send(house, "/profiles/1", again.fields | {"password": "canary-new"}, 303)
    assert (await profile(house))["sender_name"] == "Typed"


async def test_who_was_overtaken_sees_what_changed_and_decides(house: House):
    await put(house, RELAY | {"sender_name": "Was", "reply_to_name": "Was"})
    await sign_in(house)
    mine = (await page(house, "/profiles/1")).fields | {"sender_name": "Mine"}
    await put(house, RELAY | {"sender_name": "Theirs", "reply_to_name": "Theirs"})
    shown = read((await send(house, "/profiles/1", mine, 412)).text)
    assert "Nothing was saved" in shown.text
    assert (shown.fields["sender_name"], shown.fields["reply_to_name"]) == ("Mine", "Theirs")
    assert (await profile(house))["sender_name"] == "Theirs"
    await send(house, "/profiles/1", shown.fields, 303)
    after = await profile(house)
    assert (after["sender_name"], after["reply_to_name"]) == ("Mine", "Theirs")


@pytest.mark.parametrize("preset", [each.name for each in PRESETS])
async def test_each_preset_fills_in_what_makes_a_profile(house: House, preset: str):
    await sign_in(house)
    shown = await page(house, f"/profiles/new?preset={preset}")
    told = {"host": "own.example", "username": "u", "client_id": "c"}
    typed = {name: value for name, value in told.items() if not shown.fields[name]}
    need = {"password": "p"} if shown.fields["auth"] != "none" else {}
    answer = await send(house, f"/profiles/new?preset={preset}", shown.fields | typed | need, 303)
    assert answer.headers["location"] == "/profiles/2?done=created"
    made = await profile(house, 2)
    assert (made["security"], made["port"]) == ("starttls", 587)
    assert made["host"] == shown.fields["host"] or made["host"] == "own.example"


def test_what_a_preset_says_is_said_of_fields_that_there_are():
    names = {"name", "password", "refresh_token", *Profile.__dataclass_fields__}
    for preset in PRESETS:
        assert {*preset.settings, *preset.hints} <= names, preset.name


async def test_a_preset_by_region(house: House):
    await sign_in(house)
    shown = await page(house, "/profiles/new?preset=ses&region=eu-west-1")
    assert shown.fields["host"] == "email-smtp.eu-west-1.amazonaws.com"
    assert (await page(house, "/profiles/new?preset=ses&region=moon")).fields["host"].startswith("email-smtp.us-")


async def test_a_new_profile_with_a_mistake_is_shown_again(house: House):
    await sign_in(house)
    shown = await page(house, "/profiles/new?preset=sandbox")
    again = read((await send(house, "/profiles/new?preset=sandbox", shown.fields | {"port": "x"}, 400)).text)
    assert (again.wrong, again.fields["host"]) == ({"port"}, "127.0.0.1")


async def test_a_profile_is_paused_resumed_made_default_and_deleted(house: House):
    await sign_in(house)
    made = await house.client.post("/v1/profiles", json=RELAY | {"name": "Second"}, headers=house.admin)
    assert made.json()["id"] == 2
    for what, done in (("pause", "paused"), ("resume", "resumed"), ("default", "default")):
        answer = await send(house, f"/profiles/2/{what}", {}, 303)
        assert answer.headers["location"] == f"/profiles/2?done={done}"
        if what == "pause":
            assert "paused" in (await page(house, "/profiles")).text
            assert (await profile(house, 2))["paused_at"]
    assert (await profile(house, 2))["default"]
    assert (await send(house, "/profiles/2/delete", {}, 303)).headers["location"] == "/profiles?done=deleted"
    await page(house, "/profiles/2", 404)


async def test_without_profiles_the_page_says_what_to_do(house: House):
    await house.tenant("acme")
    await sign_in(house, await house.key(tenant="acme"))
    shown = await page(house, "/profiles")
    assert "No settings yet" in shown.text
    assert "/profiles/new" in shown.links


async def test_who_may_only_look_can_change_nothing(house: House):
    await put(house, RELAY)
    await sign_in(house, await house.key("settings:read"))
    shown = await page(house, "/profiles/1")
    assert "lacks the permission settings:write" in shown.text
    assert "host" not in shown.fields, "the fields are to be disabled"
    assert not [each for each in shown.actions if each not in ("/sign-out", "/profiles/1")]
    for path in ("/profiles/1", "/profiles/1/pause", "/profiles/1/delete", "/profiles/1/default"):
        form = {"revision": "2", "name": "x", "host": "x.example"}
        assert (await house.client.post(path, data=form)).status_code == 403
    await sign_in(house, await house.key("mail:read"))
    await page(house, "/profiles", 403)


async def test_another_tenants_profile_is_not_there(house: House):
    await put(house, RELAY)
    await house.tenant("acme")
    await put(house, RELAY | {"host": "acme.example"}, "acme")
    await sign_in(house, await house.key(tenant="acme"))
    assert "relay.example" not in (await page(house, "/profiles")).text
    assert (await page(house, "/profiles/1")).fields["host"] == "acme.example"
    assert (await house.client.get("/profiles/1?tenant=default")).status_code == 404
    await sign_in(house)
    shown = await page(house, "/profiles/1?tenant=acme")
    assert shown.fields["host"] == "acme.example"
    ours = [each for each in (*shown.links, *shown.actions) if each.startswith("/profiles")]
    assert all("tenant=acme" in each for each in ours), ours


async def test_another_sites_form_is_refused(house: House):
    await put(house, RELAY)
    await sign_in(house)
    form = (await page(house, "/profiles/1")).fields
    answer = await house.client.post("/profiles/1", data=form, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403


async def test_what_products_say_of_a_profile_and_what_they_would_lose(house: House):
    await put(house, RELAY | {"recipient_filter": "*@company.example", "limit_per_hour": 5})
    await sign_in(house)
    assert (await house.client.get("/profiles/1/as")).headers["location"] == "/profiles/1/as/threadfix"
    shown = await page(house, "/profiles/1/as/keycloak")
    assert '"host": "relay.example"' in shown.text
    assert "canary" not in shown.text
    assert "Recipient filter" in shown.text
    assert "/auth/admin/realms/{tenant}" in shown.text
    await page(house, "/profiles/1/as/nothing", 404)


async def test_every_page_can_be_used_by_everyone(house: House):
    """Labels, ids, the order of headings, and nothing that the content security policy would stop."""
    await put(house, RELAY)
    await sign_in(house)
    for path in ("/", "/profiles", "/profiles/new", "/profiles/new?preset=microsoft365", "/profiles/1",
                 "/profiles/1/as/onlyoffice", "/profiles/1/revisions", "/profiles/1/revisions/1"):  # fmt: skip
        shown = await page(house, path)
        assert shown.inline == [], path
        assert len(shown.ids) == len(set(shown.ids)), path
        assert shown.headings.count(1) == 1, path
        steps = zip(shown.headings, shown.headings[1:], strict=False)
        assert all(after - before <= 1 for before, after in steps), (path, shown.headings)
        unnamed = set(shown.fields) - shown.labelled - {"revision"}
        assert not unnamed, (path, unnamed)


async def test_no_page_has_a_secret(house: House):
    settings = RELAY | {"auth": "oauth2", "token_url": "https://login.example/token", "client_id": "us",
                        "token_grant": "refresh_token", "refresh_token": "canary-refresh"}  # fmt: skip
    await put(house, settings)
    await sign_in(house)
    for path in ("/", "/profiles", "/profiles/1", "/profiles/1/as/keyfactor", "/profiles/1/revisions/2"):
        answer = await house.client.get(path)
        assert "canary" not in answer.text, path
    assert json.dumps(await profile(house)).count("canary") == 0
