"""Reading mails for the eye: their parts by number, their images in place, and nothing of it out of proportion."""

import base64
import time
from email.message import EmailMessage

from hypothesis import given
from hypothesis import strategies as st

from postroom.smtp.reading import MOST_IMAGES, file, header, html_with_images, read

PNG = b"\x89PNG" + bytes(range(200))


def a_mail(html: str, *images: tuple[str, str, bytes]) -> bytes:
    """With images of these subtypes, ids and contents."""
    mail = EmailMessage()
    mail["Subject"] = "x"
    mail.set_content(html, subtype="html")
    for subtype, cid, content in images:
        mail.add_related(content, "image", subtype, cid=cid)
    return mail.as_bytes()


def test_a_mails_own_images_stand_in_its_html():
    shown = html_with_images(a_mail('<img src="cid:a%40b"><p style="background:url(CID:a@b)">', ("png", "<a@b>", PNG)))
    assert shown is not None
    assert shown.count(f"data:image/png;base64,{base64.b64encode(PNG).decode()}") == 2
    assert "cid:" not in shown.lower()


def test_what_is_no_image_of_a_known_kind_does_not():
    for subtype in ("svg+xml", "x-evil"):
        shown = html_with_images(a_mail('<img src="cid:a">', (subtype, "<a>", b"<svg onload=x>")))
        assert shown is not None
        assert 'src="cid:a"' in shown


def test_an_image_that_is_shown_a_thousand_times_does_not_fill_the_memory():
    image = b"x" * 1_000_000
    shown = html_with_images(a_mail('<img src="cid:a">' * 1000, ("png", "<a>", image)))
    assert shown is not None
    assert len(shown) < MOST_IMAGES * 4 // 3 + 100_000
    assert "data:image/png" in shown
    assert "cid:a" in shown


def test_a_mail_without_html_has_none():
    assert html_with_images(b"Subject: x\r\n\r\n<b>words</b>") is None


def test_files_have_the_places_that_reading_lists():
    mail = EmailMessage()
    mail.set_content("words")
    names = ["a.txt", "Bericht f\u00fcr M\u00e4rz.csv", "../../etc/passwd", "two\nlines"]
    for number, name in enumerate(names[:3]):
        mail.add_attachment(b"%d" % number, "application", "x-y", filename=name)
    content = mail.as_bytes()
    listed = read(content).attachments
    assert [each[0] for each in listed] == names[:3]
    for number, (name, kind, size) in enumerate(listed):
        found = file(content, number)
        assert found is not None
        assert (found.filename, found.content_type, len(found.content)) == (name, kind, size)
        assert found.content == b"%d" % number
    assert file(content, 3) is None
    assert file(content, -1) is None


def test_every_field_of_the_header_is_shown_decoded_on_one_line():
    content = b"Subject: =?utf-8?q?M=C3=A4rz?=\r\nX-A: one\r\n two\r\nX-A: three\r\n\r\nX-B: body\r\n"
    assert header(content) == (("Subject", "M\u00e4rz"), ("X-A", "one two"), ("X-A", "three"))


def test_what_would_take_too_long_is_not_read():
    content = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 200_000
    started = time.monotonic()
    assert html_with_images(content) is None
    assert file(content, 0) is None
    assert time.monotonic() - started < 5


@given(st.binary(max_size=2000))
def test_any_bytes_can_be_read(content: bytes):
    for raw in (content, b"Content-Type: text/html; charset=" + content, b"Content-Type: multipart/mixed;" + content):
        header(raw)
        html_with_images(raw)
        for number in range(len(read(raw).attachments)):
            assert file(raw, number) is not None
