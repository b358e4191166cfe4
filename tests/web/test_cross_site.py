"""What pages of other sites can make a browser send (security-reliability.md V17): none of it changes anything."""

from typing import Any

import pytest

from serving import ADMIN_KEY, House

SMTP = "/api/2.0/smtpsettings/smtp"
LOGIN = "/api/2.0/authentication"
SETTINGS = '{"host": "evil.example.com", "port": 25, "senderAddress": "a@evil.example.com", "senderDisplayName": ""}'
COOKIE = {"cookie": f"asc_auth_key={ADMIN_KEY}"}
NAMELESS = {"cookie": ADMIN_KEY}
JSON = {"content-type": "application/json"}
TEXT, FORM, MULTIPART = (
    {"content-type": kind}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b")
)
EVIL = {"origin": "https://evil.example.com"}
CROSS = {"sec-fetch-site": "cross-site"}
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}

# method, path, headers beside the cookie's, body
SHAPES: dict[str, tuple[str, str, dict[str, str], str]] = {
    "form to save": ("POST", SMTP, COOKIE | FORM | EVIL | CROSS, "host=evil.example.com"),
    "form of an old browser": ("POST", SMTP, COOKIE | FORM | EVIL, "host=evil.example.com"),
    "form of a very old browser": ("POST", SMTP, COOKIE | FORM, "host=evil.example.com"),
    "form with JSON in a name": ("POST", SMTP, COOKIE | FORM, SETTINGS),
    "form as text, with JSON": ("POST", SMTP, COOKIE | TEXT | EVIL | CROSS, SETTINGS),
    "form as text of a very old browser": ("POST", SMTP, COOKIE | TEXT, SETTINGS),
    "form in parts": ("POST", SMTP, COOKIE | MULTIPART | EVIL | CROSS, SETTINGS),
    "form in parts of a very old browser": ("POST", SMTP, COOKIE | MULTIPART, SETTINGS),
    "beacon without a type": ("POST", SMTP, COOKIE | EVIL | CROSS, SETTINGS),
    "beacon of a very old browser": ("POST", SMTP, COOKIE, SETTINGS),
    "fetch without CORS": ("POST", SMTP, COOKIE | TEXT | CROSS | {"sec-fetch-mode": "no-cors"}, SETTINGS),
    "fetch with two types": ("POST", SMTP, COOKIE | {"content-type": "text/plain; application/json"}, SETTINGS),
    "fetch of JSON": ("POST", SMTP, COOKIE | JSON | EVIL | CROSS, SETTINGS),
    "fetch of JSON, Origin only": ("POST", SMTP, COOKIE | JSON | EVIL, SETTINGS),
    "fetch of JSON, site only": ("POST", SMTP, COOKIE | JSON | CROSS, SETTINGS),
    "sibling host": ("POST", SMTP, COOKIE | JSON | {"sec-fetch-site": "same-site"}, SETTINGS),
    "sibling host's Origin": ("POST", SMTP, COOKIE | JSON | {"origin": "http://www.postroom.test"}, SETTINGS),
    "parent host's Origin": ("POST", SMTP, COOKIE | JSON | {"origin": "http://test"}, SETTINGS),
    "our name before theirs": ("POST", SMTP, COOKIE | JSON | {"origin": "http://postroom.test.evil.example"}, SETTINGS),
    "our name as their user": ("POST", SMTP, COOKIE | JSON | {"origin": "http://postroom.test@evil.example"}, SETTINGS),
    "our name after theirs": ("POST", SMTP, COOKIE | JSON | {"origin": "http://evilpostroom.test"}, SETTINGS),
    "our name in their path": ("POST", SMTP, COOKIE | JSON | {"origin": "http://evil.example/postroom.test"}, SETTINGS),
    "another port": ("POST", SMTP, COOKIE | JSON | {"origin": "http://postroom.test:8080"}, SETTINGS),
    "another scheme": ("POST", SMTP, COOKIE | JSON | {"origin": "ftp://postroom.test"}, SETTINGS),
    "an extension": ("POST", SMTP, COOKIE | JSON | {"origin": "chrome-extension://abcdef"}, SETTINGS),
    "sandboxed frame": ("POST", SMTP, COOKIE | JSON | {"origin": "null"}, SETTINGS),
    "sandboxed frame that says so": ("POST", SMTP, COOKIE | JSON | {"origin": "null"} | CROSS, SETTINGS),
    "a file": ("POST", SMTP, COOKIE | JSON | {"origin": "file://"}, SETTINGS),
    "no Origin, their Referer": ("POST", SMTP, COOKIE | JSON | {"referer": "https://evil.example.com/x"}, SETTINGS),
    "our Origin, cross-site": ("POST", SMTP, COOKIE | JSON | {"origin": "http://postroom.test"} | CROSS, SETTINGS),
    "their Origin, same-origin": ("POST", SMTP, COOKIE | JSON | EVIL | {"sec-fetch-site": "same-origin"}, SETTINGS),
    "a browser that hides the site": ("POST", SMTP, COOKIE | JSON | {"sec-fetch-mode": "cors"}, SETTINGS),
    "an unknown site": ("POST", SMTP, COOKIE | JSON | {"sec-fetch-site": "elsewhere"}, SETTINGS),
    "two Origins": ("POST", SMTP, COOKIE | JSON | {"origin": "http://postroom.test, https://evil.example"}, SETTINGS),
    "a broken Origin": ("POST", SMTP, COOKIE | JSON | {"origin": "http://[postroom.test"}, SETTINGS),
    "nameless cookie": ("POST", SMTP, NAMELESS | JSON | EVIL, SETTINGS),
    "nameless cookie, as a form": ("POST", SMTP, NAMELESS | FORM, "host=evil.example.com"),
    "reset": ("DELETE", SMTP, COOKIE | EVIL | CROSS, ""),
    "reset from a sibling": ("DELETE", SMTP, COOKIE | {"sec-fetch-site": "same-site"}, ""),
    "override of the method": ("POST", SMTP, COOKIE | FORM | EVIL | {"x-http-method-override": "DELETE"}, ""),
    "picture that starts the test": ("GET", f"{SMTP}/test", COOKIE | CROSS | {"sec-fetch-dest": "image"}, ""),
    "picture in an old browser": ("GET", f"{SMTP}/test", COOKIE | {"referer": "https://evil.example.com/"}, ""),
    "link that starts the test": ("GET", f"{SMTP}/test", COOKIE | CROSS | NAVIGATION | {"sec-fetch-user": "?1"}, ""),
    "link from a sibling": ("GET", f"{SMTP}/test", COOKIE | NAVIGATION | {"sec-fetch-site": "same-site"}, ""),
    "frame that starts the test": ("GET", f"{SMTP}/test", COOKIE | CROSS | {"sec-fetch-dest": "iframe"}, ""),
    "login with their key, as text": ("POST", LOGIN, TEXT | EVIL, '{"password": "' + ADMIN_KEY + '"}'),
    "login with their key, of a browser": ("POST", LOGIN, TEXT | CROSS, '{"password": "' + ADMIN_KEY + '"}'),
    "login with their key, in a frame": ("POST", LOGIN, JSON | {"origin": "null"}, '{"password": "' + ADMIN_KEY + '"}'),
    "sign-in with their key": ("POST", "/sign-in", FORM | EVIL | CROSS, f"key={ADMIN_KEY}"),
    "sign-in with their key, Origin only": ("POST", "/sign-in", FORM | EVIL, f"key={ADMIN_KEY}"),
    "sign-in from a sibling": ("POST", "/sign-in", FORM | {"sec-fetch-site": "same-site"}, f"key={ADMIN_KEY}"),
    "sign-out": ("POST", "/sign-out", FORM | EVIL | CROSS, ""),
    "sign-out, Origin only": ("POST", "/sign-out", FORM | EVIL, ""),
}  # fmt: skip


def test_there_are_enough_of_them():
    assert len(SHAPES) >= 40


async def state(house: House) -> dict[str, Any]:
    """Settings, and how many test mails were started: a GET starts one."""
    audited = await house.postroom.database.read(_counted)
    return {"profile": await house.profile(), "audited": audited}


def _counted(connection: Any) -> Any:
    from sqlalchemy import text

    return connection.execute(text("SELECT count(*), (SELECT count(*) FROM trial) FROM audit")).one()


@pytest.mark.parametrize("shape", SHAPES)
async def test_another_site_changes_nothing(house: House, shape: str):
    before = await state(house)
    method, path, headers, body = SHAPES[shape]
    answer = await house.client.request(method, path, content=body, headers=headers)
    assert answer.status_code in (403, 415), answer.text
    assert "set-cookie" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    assert await state(house) == before


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"origin": "http://postroom.test"}, {"origin": "http://postroom.test", "sec-fetch-site": "same-origin"},
        {"origin": "https://postroom.test"}, {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, {"referer": "http://postroom.test/portal-settings"},
    ],
    ids=str,
)  # fmt: skip
async def test_pages_of_ours_and_clients_that_are_no_browser_go_on(house: House, headers: dict[str, str]):
    """The same requests, so that the table above is refused for where they come from."""
    for cookie in (COOKIE, NAMELESS):
        saved = await house.client.post(SMTP, content=SETTINGS, headers=cookie | JSON | headers)
        assert saved.status_code == 200
    assert (await house.profile())["host"] == "evil.example.com"
    assert (await house.client.get(f"{SMTP}/test", headers=COOKIE | headers)).status_code == 200
    assert (await house.client.delete(SMTP, headers=COOKIE | headers)).status_code == 200
    login = await house.client.post(LOGIN, json={"password": ADMIN_KEY}, headers=headers)
    assert "set-cookie" in login.headers
    house.client.cookies.clear()
    assert (await house.client.post("/sign-in", data={"key": ADMIN_KEY}, headers=headers)).status_code == 303
    assert (await house.client.get("/sandbox")).status_code == 200
    out = await house.client.post("/sign-out", headers=headers)
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert (await house.client.get("/sandbox")).status_code == 303


async def test_preflights_are_not_answered(house: House):
    headers = EVIL | {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    for path in (SMTP, LOGIN, "/v1/messages", "/sign-in"):
        answer = await house.client.options(path, headers=headers)
        assert answer.status_code >= 400
        assert not [name for name in answer.headers if name.startswith("access-control")]
