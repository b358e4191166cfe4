"""/sign-in and /sandbox"""

import time

from postroom.store import caught
from serving import ADMIN_KEY, House


async def catch(house: House, subject: str) -> str:
    mail = caught.NewCaught(
        time.time_ns() // 1000, "a@b.example", ("c@d.example",), subject,
        f"Subject: {subject}\r\nFrom: a@b.example\r\n\r\nHello <script>alert(1)</script>\r\n".encode(),
    )  # fmt: skip
    return await house.postroom.database.fold(caught.Keeping(house.postroom.vault), mail)


async def test_without_a_session_the_sandbox_asks_to_sign_in(house: House):
    answer = await house.client.get("/sandbox")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fsandbox")


async def test_a_wrong_key_is_refused_and_not_echoed(house: House):
    answer = await house.client.post("/sign-in", data={"key": "canary-55"})
    assert answer.status_code == 401
    assert "canary-55" not in answer.text
    assert "set-cookie" not in answer.headers


async def test_after_signing_in_the_caught_mail_is_shown_as_text(house: House):
    mail = await catch(house, "<b>Hi</b>")
    signed_in = await house.client.post("/sign-in", data={"key": ADMIN_KEY})
    assert signed_in.status_code == 303
    cookie = signed_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert ADMIN_KEY not in cookie
    listed = await house.client.get("/sandbox")
    assert "&lt;b&gt;Hi&lt;/b&gt;" in listed.text
    shown = await house.client.get(f"/sandbox/{mail}")
    assert "&lt;script&gt;" in shown.text
    assert "<script>" not in shown.text


async def test_an_empty_sandbox_says_how_to_fill_it(house: House):
    await house.client.post("/sign-in", data={"key": ADMIN_KEY})
    assert "./run send" in (await house.client.get("/sandbox")).text


async def test_another_tenants_caught_mail_is_not_there(house: House):
    mail = await catch(house, "Secret")
    await house.tenant("acme")
    await house.client.post("/sign-in", data={"key": await house.key(tenant="acme")})
    assert (await house.client.get(f"/sandbox/{mail}")).status_code == 404
    assert "Secret" not in (await house.client.get("/sandbox")).text
    assert (await house.client.get("/sandbox?tenant=default")).status_code == 404
