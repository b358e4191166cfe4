"""What went wrong has a page: lost ways, missing permissions, ended sessions, our own mistakes."""

import html
from urllib.parse import quote

import pytest
from sqlalchemy import text

from serving import ADMIN_KEY, House

HTML = {"accept": "text/html,application/xhtml+xml"}


@pytest.mark.parametrize("path", ["/nowhere", "/messages/x/y", "/keys/a/b/c", "/favicon.ico"])
async def test_a_lost_person_gets_a_page_and_a_program_json(house: House, path: str):
    page = await house.client.get(path, headers=HTML)
    assert page.status_code == 404
    assert "<h1>Not here</h1>" in page.text
    assert 'href="/"' in page.text
    assert "<nav" not in page.text
    program = await house.client.get(path)
    assert (program.status_code, program.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/v1/nowhere", "/docs/nowhere", "/static/nowhere.js", "/live/nowhere"])
async def test_an_api_answers_in_json_whatever_is_accepted(house: House, path: str):
    answer = await house.client.get(path, headers=HTML)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_whoever_is_signed_in_stays_in_the_console(house: House):
    await house.sign_in("mail:read")
    for path, status, title in (("/nowhere", 404, "Not here"), ("/messages/nope", 404, "Not here"),
                                ("/keys", 403, "Not allowed"), ("/audit?before=1", 403, "Not allowed")):  # fmt: skip
        answer = await house.client.get(path, headers=HTML)
        assert answer.status_code == status
        assert f"<h1>{title}</h1>" in answer.text
        assert 'aria-label="Main"' in answer.text
        assert 'role="alert"' in answer.text


async def test_our_own_mistake_names_the_request_and_nothing_else(house: House):
    await house.sign_in()
    await house.postroom.database.write(lambda c: c.execute(text("ALTER TABLE message RENAME TO gone")))
    answer = await house.client.get("/messages", headers=HTML | {"x-request-id": "abc-1"})
    assert answer.status_code == 500
    assert "<h1>Something went wrong here</h1>" in answer.text
    assert "abc-1" in answer.text
    assert "gone" not in answer.text
    assert "SELECT" not in answer.text


async def test_too_many_requests_are_told_to_wait(house: House):
    for _ in range(70):
        answer = await house.client.post("/sign-in", data={"key": "wrong-key"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert "try again in" in answer.text


async def test_too_many_wrong_sessions_are_told_to_wait_on_a_page(house: House):
    for n in range(70):
        answer = await house.client.get("/messages", headers={"cookie": f"postroom_session=wrong-{n}"})
    assert (answer.status_code, "<h1>Too many requests</h1>" in answer.text) == (429, True)
    assert int(answer.headers["retry-after"]) >= 1


async def test_after_signing_in_the_page_that_was_asked_for_is_shown(house: House):
    asked = await house.client.get("/messages?state=held&text=a%20b")
    assert asked.headers["location"] == "/sign-in?next=" + quote("/messages?state=held&text=a%20b", safe="")
    page = (await house.client.get(asked.headers["location"])).text
    form = html.unescape(page.partition('name="next" value="')[2].partition('"')[0])
    answer = await house.client.post("/sign-in", data={"key": ADMIN_KEY, "next": form})
    assert answer.headers["location"] == "/messages?state=held&text=a%20b"


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)",
     "\\\\evil", "/x\r\nset-cookie: a=b", "evil.example", "/" + "x" * 3000, "/\u2028"],
)  # fmt: skip
async def test_signing_in_leads_to_no_other_site(house: House, elsewhere: str):
    answer = await house.client.post("/sign-in", data={"key": ADMIN_KEY, "next": elsewhere})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert 'name="next"' not in (await house.client.get("/sign-in", params={"next": elsewhere})).text
    wrong = await house.client.post("/sign-in", data={"key": "wrong", "next": elsewhere})
    assert 'name="next"' not in wrong.text


async def test_whoever_was_signed_out_while_on_a_page_is_told_that_nothing_was_done(house: House):
    answer = await house.client.post("/sandbox/empty")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?ended=yes")
    assert "nothing was done" in (await house.client.get("/sign-in?ended=yes")).text


async def test_a_revoked_keys_session_ends_at_once(house: House):
    await house.sign_in("mail:read")
    assert (await house.client.get("/messages")).status_code == 200
    key = (await house.client.get("/v1/keys", headers=house.admin)).json()["keys"][0]["id"]
    await house.client.delete(f"/v1/keys/{key}", headers=house.admin)
    assert (await house.client.get("/messages")).headers["location"] == "/sign-in?next=%2Fmessages"


async def test_the_api_page_is_open_to_all_and_in_the_frame_of_whoever_is_signed_in(house: House):
    page = await house.client.get("/docs")
    assert (page.status_code, "<nav" in page.text) == (200, False)
    assert "/docs/v1/openapi.json" in page.text
    assert "http://postroom.test/v1/messages" in page.text  # what can be copied works from where it is read
    await house.sign_in("mail:read")
    assert 'aria-label="Main"' in (await house.client.get("/docs")).text
    house.client.cookies.clear()
    page = await house.client.get("/docs", headers={"cookie": "postroom_session=gone"})
    assert (page.status_code, "<nav" in page.text) == (200, False)


async def test_an_unknown_tenant_is_not_there(house: House):
    await house.sign_in()
    answer = await house.client.get("/messages?tenant=nobody")
    assert answer.status_code == 404
    assert "There is no such tenant" in answer.text
