"""Inline parts: pictures that the HTML shows, where mail programs look for them (RFC 2387, RFC 2392)."""

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.domain.address import Address
from postroom.domain.message import Attachment, Draft, Mailbox
from postroom.domain.problems import Invalid
from postroom.smtp.compose import compose

BOB = Mailbox(Address.parse("bob@good.example"), "Bob")
LOGO = Attachment("logo.png", "image/png", b"\x89PNG logo", "logo.png")
PHOTO = Attachment("photo.jpg", "image/jpeg", b"\xff\xd8 photo", "photo@company.example")
PDF = Attachment("report.pdf", "application/pdf", b"%PDF")
HTML = '<img src="cid:logo.png"> <img src="cid:photo@company.example">'


def parsed(draft: Draft) -> EmailMessage:
    mail = compose(draft, sender=BOB, reply_to=None, message_id="<a@good.example>", date=1_709_214_245_000_000)
    message = message_from_bytes(mail, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert [defect for part in message.walk() for defect in part.defects] == []
    return message


def tree(part: EmailMessage) -> object:
    if not part.is_multipart():
        return part.get_content_type()
    return {part.get_content_type(): [tree(each) for each in part.iter_parts()]}


def test_the_whole_tree_is_the_one_that_mail_programs_expect():
    message = parsed(Draft(to=(BOB,), text="Hi", html=HTML, attachments=(PDF, LOGO, PHOTO)))
    assert tree(message) == {
        "multipart/mixed": [
            {"multipart/related": [{"multipart/alternative": ["text/plain", "text/html"]}, "image/png", "image/jpeg"]},
            "application/pdf",
        ]
    }


def test_what_is_not_needed_is_left_out():
    assert tree(parsed(Draft(to=(BOB,), html=HTML, attachments=(LOGO,)))) == {
        "multipart/related": ["text/html", "image/png"]
    }
    assert tree(parsed(Draft(to=(BOB,), text="Hi", html=HTML, attachments=(PDF,)))) == {
        "multipart/mixed": [{"multipart/alternative": ["text/plain", "text/html"]}, "application/pdf"]
    }


@pytest.mark.parametrize("text", [None, "Hi"])
def test_the_type_of_the_root_is_named(text: str | None):
    related = parsed(Draft(to=(BOB,), text=text, html=HTML, attachments=(LOGO,)))
    assert related["Content-Type"].params["type"] == next(related.iter_parts()).get_content_type()


def test_an_inline_part_says_so_and_has_its_id_and_content():
    part = list(parsed(Draft(to=(BOB,), html=HTML, attachments=(LOGO, PHOTO))).iter_parts())[2]
    assert part["Content-ID"] == "<photo@company.example>"
    assert part.get_content_disposition() == "inline"
    assert part.get_filename() == "photo.jpg"
    assert part.get_content() == PHOTO.content


def test_a_reader_finds_html_and_text():
    message = parsed(Draft(to=(BOB,), text="Hi", html=HTML, attachments=(LOGO, PDF)))
    for kind, said in (("html", HTML), ("plain", "Hi")):
        body = message.get_body((kind,))
        assert body is not None
        assert body.get_content().strip() == said


@pytest.mark.parametrize(
    "content_id",
    [
        "",
        " ",
        "<logo>",
        "a b",
        "a@b@c",
        "@b",
        "a@",
        "a\r\nBcc: x",
        "a>b",
        "lögo",
        "a%20b",
        "a/b",
        'a"',
        "x" * 129,
        "a\n",
    ],
)
def test_an_ill_formed_id_is_refused_and_named(content_id: str):
    bad = Attachment("a", "image/png", b"", content_id)
    with pytest.raises(Invalid) as refused:
        parsed(Draft(to=(BOB,), html=HTML, attachments=(PDF, bad)))
    assert refused.value.field == "attachments[1].content_id"


def test_an_inline_part_needs_html_to_belong_to():
    with pytest.raises(Invalid) as refused:
        parsed(Draft(to=(BOB,), text="Hi", attachments=(LOGO,)))
    assert (refused.value.field, "html" in refused.value.message) == ("attachments[0].content_id", True)


@pytest.mark.parametrize("other", ["logo.png", "LOGO.PNG"])
def test_an_id_is_given_once(other: str):
    with pytest.raises(Invalid) as refused:
        parsed(Draft(to=(BOB,), html=HTML, attachments=(LOGO, PDF, Attachment("x", "image/png", b"", other))))
    assert refused.value.field == "attachments[2].content_id"


IDS = st.from_regex(r"[A-Za-z0-9._~+$-]{1,60}(@[A-Za-z0-9.-]{1,60})?", fullmatch=True)


@given(
    st.lists(st.tuples(IDS, st.binary(max_size=300)), unique_by=lambda each: each[0].lower(), max_size=4),
    st.lists(st.binary(max_size=300), max_size=3),
    st.booleans(),
)
def test_any_set_of_parts_reads_back(inline: list[tuple[str, bytes]], attached: list[bytes], with_text: bool):
    parts = [Attachment("i", "image/png", content, known) for known, content in inline]
    parts += [Attachment("a", "application/pdf", content) for content in attached]
    message = parsed(Draft(to=(BOB,), text="Hi" if with_text else None, html="<p>", attachments=tuple(parts)))
    leaves = [part for part in message.walk() if part.get_filename()]
    # Not part["Content-ID"]: the library reads some ids, two dots in one, as broken.
    found = [(str(dict(part.raw_items()).get("Content-ID", "")).strip(), part.get_content()) for part in leaves]
    assert found == [(f"<{known}>", content) for known, content in inline] + [("", content) for content in attached]
    boundaries = [part.get_boundary() for part in message.walk() if part.is_multipart()]
    assert len(set(boundaries)) == len(boundaries)
