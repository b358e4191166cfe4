"""/sandbox: every view of a caught mail, and none of them dangerous."""

import time
from email.message import EmailMessage

import pytest

from postroom.store import caught
from serving import House

PNG = b"\x89PNG\r\n\x1a\nnot really"
HTML = (
    '<p style="color:red">Hi</p><img src="cid:logo@x"><img src="cid:unknown"><img src="https://tracker.example/1.png">'
    "<script>alert(1)</script>"
)


def a_mail(subject: str = "Report") -> bytes:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject, "a@b.example", "c@d.example"
    mail.set_content("Plain <b>words</b>")
    mail.add_alternative(HTML, subtype="html")
    parts = mail.get_payload()
    assert isinstance(parts, list)
    parts[1].add_related(PNG, "image", "png", cid="<logo@x>")
    mail.add_attachment(b"<script>alert(2)</script>", "text", "html", filename='evil"\u00e4/../x.html')
    return mail.as_bytes()


async def catch(house: House, content: bytes, subject: str = "Report", to: str = "c@d.example") -> str:
    mail = caught.NewCaught(time.time_ns() // 1000, "a@b.example", (to,), subject, content)
    return await house.postroom.database.fold(caught.Keeping(house.postroom.vault), mail)


async def test_each_view_shows_its_part(house: House):
    mail = await catch(house, a_mail())
    await house.sign_in()
    first = (await house.client.get(f"/sandbox/{mail}")).text
    assert f'<iframe class="mail" src="/sandbox/{mail}/html" sandbox ' in first
    views = {name: (await house.client.get(f"/sandbox/{mail}?view={name}")).text for name in
             ("text", "source", "headers", "attachments")}  # fmt: skip
    assert "Plain &lt;b&gt;words&lt;/b&gt;" in views["text"]
    assert "Content-Type: multipart/mixed" in views["source"]
    assert "<dt>Subject</dt><dd>Report</dd>" in views["headers"]
    assert f"/sandbox/{mail}/attachments/1" in views["attachments"]
    for name, shown in views.items():
        assert "<iframe" not in shown
        assert "<script>alert" not in shown, name
        assert shown.count('aria-current="page"') == 2  # the place and the view


async def test_a_mail_without_html_has_no_such_view(house: House):
    mail = await catch(house, b"Subject: x\r\n\r\nwords\r\n")
    await house.sign_in()
    shown = (await house.client.get(f"/sandbox/{mail}?view=html")).text
    assert "<iframe" not in shown
    assert '<pre tabindex="0">words' in shown
    assert ">HTML</a>" not in shown


async def test_the_frames_document_can_fetch_and_run_nothing(house: House):
    mail = await catch(house, a_mail())
    await house.sign_in()
    shown = await house.client.get(f"/sandbox/{mail}/html")
    policy = shown.headers["content-security-policy"]
    said = {part.split()[0]: part.split()[1:] for part in policy.split(";")}
    assert said == {
        "default-src": ["'none'"], "style-src": ["'unsafe-inline'"], "img-src": ["data:"], "form-action": ["'none'"],
        "base-uri": ["'none'"], "frame-ancestors": ["'self'"], "sandbox": [],
    }  # fmt: skip
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert "data:image/png;base64,iVBORw0KGgpub3QgcmVhbGx5" in shown.text
    assert 'src="cid:unknown"' in shown.text


async def test_only_that_document_may_be_framed(house: House):
    mail = await catch(house, a_mail())
    await house.sign_in()
    for path in ("/sandbox", f"/sandbox/{mail}", f"/sandbox/{mail}/attachments/1", f"/sandbox/{mail}/source", "/keys"):
        answer = await house.client.get(path)
        assert answer.status_code == 200
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path


async def test_attachments_are_saved_and_never_shown(house: House):
    content = a_mail()
    mail = await catch(house, content)
    await house.sign_in()
    saved = await house.client.get(f"/sandbox/{mail}/attachments/1")
    assert saved.content == b"<script>alert(2)</script>"
    assert saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["content-disposition"] == "attachment; filename*=UTF-8''evil%22%C3%A4_.._x.html"
    assert saved.headers["content-security-policy"].endswith("sandbox")
    assert (await house.client.get(f"/sandbox/{mail}/attachments/0")).content == PNG
    assert (await house.client.get(f"/sandbox/{mail}/attachments/2")).status_code == 404
    source = await house.client.get(f"/sandbox/{mail}/source")
    assert source.content == content
    assert source.headers["content-disposition"].startswith("attachment;")


async def test_mail_is_found_by_subject_and_address(house: House):
    await catch(house, b"", "Invoice", "anna@there.example")
    await catch(house, b"", "Other", "bernd@there.example")
    await house.sign_in()
    for text in ("invoice", "ANNA", "anna@there"):
        shown = (await house.client.get("/sandbox", params={"text": text})).text
        assert "Invoice" in shown
        assert "Other" not in shown
    shown = (await house.client.get("/sandbox", params={"text": '"><x'})).text
    assert "Nothing found" in shown
    assert '"><x' not in shown
    assert "&#34;&gt;&lt;x" in shown


async def test_a_mail_leads_to_the_message_that_it_was_sent_as(house: House):
    mail = {"to": ["a@b.example"], "text": "x"}
    sent = (await house.client.post("/v1/messages", json=mail, headers=house.admin)).json()["id"]
    ours = await catch(house, f"Message-ID: <{sent}@home.example>\r\n\r\n".encode())
    others = await catch(house, f"Message-ID: <{sent[::-1]}@home.example>\r\n\r\n".encode())
    await house.sign_in()
    assert f'href="/messages/{sent}"' in (await house.client.get(f"/sandbox/{ours}")).text
    assert "Sent as" not in (await house.client.get(f"/sandbox/{others}")).text


async def test_emptying_needs_the_permission_and_takes_only_the_tenants(house: House):
    mail = await catch(house, b"")
    await house.sign_in("mail:read")
    assert "Empty the sandbox" not in (await house.client.get("/sandbox")).text
    assert (await house.client.post("/sandbox/empty")).status_code == 403
    await house.tenant("acme")
    await house.sign_in(tenant="acme")
    assert (await house.client.post("/sandbox/empty")).status_code == 303
    await house.sign_in()
    shown = (await house.client.get("/sandbox")).text
    assert mail in shown
    assert 'data-confirm="Remove every mail' in shown
    assert (await house.client.post("/sandbox/empty")).headers["location"] == "/sandbox?done=emptied"
    assert "No mail yet" in (await house.client.get("/sandbox?done=emptied")).text


@pytest.mark.parametrize("path", ["", "/html", "/source", "/attachments/0"])
async def test_no_view_of_another_tenants_mail_is_there(house: House, path: str):
    mail = await catch(house, a_mail())
    await house.tenant("acme")
    await house.sign_in(tenant="acme")
    answer = await house.client.get(f"/sandbox/{mail}{path}")
    assert answer.status_code == 404
    assert "Report" not in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
