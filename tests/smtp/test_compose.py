"""What we write is read back with the standard library's `email`, which nobody here wrote."""

import re
import time
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from hashlib import shake_256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.domain.address import Address
from postroom.domain.message import (
    LONGEST_HEADER,
    LONGEST_NAME,
    LONGEST_SUBJECT,
    MOST_ATTACHMENTS,
    MOST_HEADERS,
    Attachment,
    Draft,
    Mailbox,
)
from postroom.domain.problems import Invalid
from postroom.smtp import header
from postroom.smtp.compose import RESERVED, compose
from postroom.smtp.judge import HeaderUnsafe

ALICE = Mailbox(Address.parse("alice@good.example"))
BOB = Mailbox(Address.parse("bob@good.example"), "Bob Builder")
SECRET = Mailbox(Address.parse("hidden@secret.example"), "Hidden Hand")
SENDER = Mailbox(Address.parse("noreply@company.example"), "Company")
MESSAGE_ID = "<18c2.abc@company.example>"
DATE = 1_709_214_245_123_456  # 2024-02-29 13:44:05 UTC
PLAIN = ["Date", "From", "To", "Message-ID", "Subject", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"]

# Everything that a header may say: no controls, no separators of lines, no surrogates.
header_text = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=200)
ascii_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300)
looking_encoded = st.lists(
    st.sampled_from(["=?utf-8?q?", "?=", "=0d=0a", "Bcc:_x", " ", "=?", "?", "utf-8", "=?utf-8?b?aGk=?=", "ü", '"']),
    max_size=12,
).map("".join)
any_header_text = header_text | ascii_text | looking_encoded
body_text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=400)


def written(draft: Draft, sender: Mailbox = SENDER, reply_to: Mailbox | None = None) -> bytes:
    return compose(draft, sender=sender, reply_to=reply_to, message_id=MESSAGE_ID, date=DATE)


def parsed(mail: bytes) -> EmailMessage:
    message = message_from_bytes(mail, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


def header_lines(mail: bytes) -> list[bytes]:
    return mail.partition(b"\r\n\r\n")[0].split(b"\r\n")


def names(mail: bytes) -> list[str]:
    return [line.partition(b":")[0].decode() for line in header_lines(mail) if not line.startswith((b" ", b"\t"))]


def raw_value(mail: bytes, name: str) -> str:
    """The unfolded value, read without `email`."""
    unfolded = mail.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").decode()
    return next(line for line in unfolded.split("\r\n") if line.startswith(f"{name}:"))[len(name) + 1 :].strip(" ")


def people(mail: bytes, name: str) -> list[tuple[str, str]]:
    # Not headerregistry: before Python 3.13 it puts a space between two encoded words of one display name.
    found = getaddresses([raw_value(mail, name)])
    return [(str(make_header(decode_header(shown))), address) for shown, address in found]


def said(text: str) -> str:
    """A body as a mail keeps it: one kind of line break, and the last line ended."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return lines if lines.endswith("\n") else lines + "\n"


def test_a_plain_mail_is_exactly_these_bytes():
    mail = written(Draft(to=(BOB,), cc=(ALICE,), subject="Hello", text="One\nTwo"), reply_to=ALICE)
    assert mail.decode().split("\r\n") == [
        "Date: Thu, 29 Feb 2024 13:44:05 +0000",
        "From: Company <noreply@company.example>",
        "Reply-To: alice@good.example",
        "To: Bob Builder <bob@good.example>",
        "Cc: alice@good.example",
        "Message-ID: <18c2.abc@company.example>",
        "Subject: Hello",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 7bit",
        "",
        "One",
        "Two",
        "",
    ]


def test_the_same_draft_gives_the_same_bytes_each_time():
    draft = Draft(to=(BOB,), text="a", html="b", attachments=(Attachment("x", "a/b", b"c"),))
    assert written(draft) == written(draft)


def test_the_drafts_own_sender_is_not_looked_at():
    assert b"secret" not in written(Draft(to=(BOB,), sender=SECRET, reply_to=SECRET, text=""))


def test_an_empty_draft_is_a_mail_with_an_empty_text():
    message = parsed(written(Draft(to=(BOB,))))
    assert message.get_content_type() == "text/plain"
    assert message.get_content().strip() == ""
    assert message["Subject"] == ""


@given(st.integers(0, 4_000_000_000))
def test_the_date_is_the_instant_given_in_utc(second: int):
    mail = compose(Draft(to=(BOB,)), sender=SENDER, reply_to=None, message_id=MESSAGE_ID, date=second * 1_000_000 + 7)
    assert parsed(mail)["Date"].datetime == datetime.fromtimestamp(second, UTC)


@given(any_header_text)
def test_a_subject_shows_as_it_was_given(subject: str):
    mail = written(Draft(to=(BOB,), subject=subject))
    assert names(mail) == PLAIN
    assert parsed(mail)["Subject"] == subject.strip(" ")


@given(any_header_text)
def test_a_header_of_the_callers_shows_as_it_was_given(value: str):
    mail = written(Draft(to=(BOB,), headers={"X-Anything": value}))
    assert names(mail) == [*PLAIN[:5], "X-Anything", *PLAIN[5:]]
    assert str(parsed(mail)["X-Anything"]).strip(" ") == value.strip(" ")


@given(st.lists(any_header_text.filter(lambda name: len(name) <= LONGEST_NAME), min_size=1, max_size=5))
def test_display_names_show_as_they_were_given_and_add_no_address(shown: list[str]):
    boxes = tuple(Mailbox(Address.parse(f"p{at}@good.example"), name) for at, name in enumerate(shown))
    mail = written(Draft(to=boxes, cc=boxes), sender=boxes[0], reply_to=boxes[-1])
    expected = [(box.name.strip(" ") if box.name else "", str(box.address)) for box in boxes]
    assert people(mail, "To") == people(mail, "Cc") == expected
    assert people(mail, "From") == expected[:1]
    assert people(mail, "Reply-To") == expected[-1:]
    assert [str(a.addr_spec) for a in parsed(mail)["To"].addresses] == [address for _, address in expected]


@given(body_text, body_text)
def test_text_and_html_read_back(text: str, html: str):
    only_text = parsed(written(Draft(to=(BOB,), text=text)))
    only_html = parsed(written(Draft(to=(BOB,), html=html)))
    both = parsed(written(Draft(to=(BOB,), text=text, html=html)))
    assert only_text.get_content_type() == "text/plain"
    assert only_html.get_content_type() == "text/html"
    assert both.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in both.iter_parts()] == ["text/plain", "text/html"]
    plain_part, html_part = both.iter_parts()
    assert said(only_text.get_content()) == said(plain_part.get_content()) == said(text)
    assert said(only_html.get_content()) == said(html_part.get_content()) == said(html)


@given(
    st.lists(
        st.tuples(any_header_text.filter(lambda n: n.strip(" ") and len(n) <= LONGEST_NAME), st.binary()), max_size=4
    ),
    st.booleans(),
)
def test_attachments_read_back(files: list[tuple[str, bytes]], with_html: bool):
    attachments = tuple(Attachment(name, "application/pdf", content) for name, content in files)
    draft = Draft(to=(BOB,), text="See below.", html="<p>See below." if with_html else None, attachments=attachments)
    message = parsed(written(draft))
    # Not get_filename(): it takes quotes and spaces off the decoded name once more.
    found = [
        (part["Content-Disposition"].params["filename"], part.get_content_type(), part.get_content())
        for part in message.iter_attachments()
    ]
    assert found == [(name.strip(" "), "application/pdf", content) for name, content in files]
    spoken = message.get_body(("plain",))
    assert spoken is not None
    assert said(spoken.get_content()) == "See below.\n"


@given(any_header_text, any_header_text, body_text, body_text)
def test_every_byte_is_ascii_and_no_line_is_too_long(subject: str, value: str, text: str, html: str):
    box = Mailbox(BOB.address, subject[:LONGEST_NAME])
    draft = Draft(
        to=(box,) * 3, subject=subject, text=text, html=html, headers={"X-A": value},
        attachments=(Attachment(f"a{value[:200]}", "a/b", text.encode()),),
    )  # fmt: skip
    mail = written(draft, sender=box)
    assert mail.isascii()
    assert b"\x00" not in mail
    assert mail.count(b"\r") == mail.count(b"\n") == mail.count(b"\r\n")
    assert mail.endswith(b"\r\n")
    assert max(map(len, mail.split(b"\r\n"))) <= 998
    assert all(len(line) <= 78 or b" " not in line.strip() for line in header_lines(mail))
    assert not any(line.isspace() for line in header_lines(mail))
    assert all(len(word) <= 75 for word in re.findall(rb"=\?utf-8\?[bq]\?[^? ]*\?=", mail))


@pytest.mark.parametrize(
    "text", ["x" * 998, "x" * 999, "é" * 5000, "日本語" * 2000, "x" * 998 + "\n" + "y" * 998, "a\x00b"]
)
def test_long_lines_and_foreign_letters_travel_in_short_ascii_lines(text: str):
    mail = written(Draft(to=(BOB,), text=text, html=text))
    assert mail.isascii()
    assert b"\x00" not in mail
    assert max(map(len, mail.split(b"\r\n"))) <= 998
    assert said(parsed(mail).get_body(("plain",)).get_content()) == said(text)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain", "7bit"),
        ("Grüße an alle, die dies lesen", "quoted-printable"),
        ("Это письмо", "base64"),
        ("a" * 999, "quoted-printable"),
    ],
)
def test_the_shorter_encoding_is_taken(text: str, encoding: str):
    assert parsed(written(Draft(to=(BOB,), text=text)))["Content-Transfer-Encoding"] == encoding


@pytest.mark.parametrize("line", [".", "..", ".\r\n.", "a\n.\nb", "From me", "--"])
def test_dots_are_left_alone_because_stuffing_is_the_protocols_business(line: str):
    body = written(Draft(to=(BOB,), text=line)).partition(b"\r\n\r\n")[2]
    assert body.decode() == line.replace("\r\n", "\n").replace("\n", "\r\n") + "\r\n"


def test_every_kind_of_line_break_becomes_crlf():
    body = written(Draft(to=(BOB,), text="a\rb\nc\r\nd\n\re")).partition(b"\r\n\r\n")[2]
    assert body == b"a\r\nb\r\nc\r\nd\r\n\r\ne\r\n"


@given(body_text)
def test_blind_recipients_are_nowhere_in_the_bytes(text: str):
    draft = Draft(to=(BOB,), cc=(ALICE,), bcc=(SECRET,), text=text)
    mail = written(draft)
    assert mail == written(draft._replace(bcc=()))
    assert b"bcc" not in mail.partition(b"\r\n\r\n")[0].lower()


def test_a_mail_with_blind_recipients_only_is_addressed_to_nobody():
    mail = written(Draft(to=(), bcc=(SECRET,)))
    assert raw_value(mail, "To") == "undisclosed-recipients:;"
    assert b"secret" not in mail
    assert names(written(Draft(to=(), cc=(ALICE,)))).count("To") == 0


def test_a_hundred_recipients_are_folded():
    boxes = tuple(Mailbox(Address.parse(f"someone.{n}@good.example"), f"Someone, the {n}th") for n in range(100))
    mail = written(Draft(to=boxes))
    assert max(map(len, header_lines(mail))) <= 78
    assert people(mail, "To") == [(box.name, str(box.address)) for box in boxes]


def test_an_address_beyond_ascii_is_written_as_utf8_and_nothing_else_is():
    jörg = Mailbox(Address.parse("jörg@good.example"), "Jörg")
    mail = written(Draft(to=(jörg,), subject="Grüße", text="Grüße"))
    assert "To: =?utf-8?b?SsO2cmc=?= <jörg@good.example>\r\n".encode() in mail
    assert mail.replace("jörg".encode(), b"").isascii()


def test_a_domain_beyond_ascii_is_written_as_a_labels():
    box = Mailbox(Address.parse("a@bücher.example"))
    assert b"To: a@xn--bcher-kva.example\r\n" in written(Draft(to=(box,)))


@pytest.mark.parametrize(
    "text", ["😀" * 80, "é" * 200, "a" + "日" * 300, "=?utf-8?q?x?=" * 20, "x" * 500, "a " * 300 + "é"]
)
def test_each_encoded_word_is_whole_by_itself(text: str):
    mail = written(Draft(to=(BOB,), subject=text))
    words = raw_value(mail, "Subject").split(" ")
    assert len(words) > 1
    shown = [str(make_header(decode_header(word))) for word in words]  # raises when a character was split
    assert "".join(shown) == text.strip()
    assert max(map(len, words)) <= 75


def test_a_boundary_written_into_a_text_is_not_taken_for_one():
    first = written(Draft(to=(BOB,), text="a", html="b"))
    boundary = parsed(first).get_boundary()
    stolen = f"a\r\n--{boundary}--\r\n--{boundary}\r\nContent-Type: text/html\r\n\r\nevil"
    message = parsed(written(Draft(to=(BOB,), text=stolen, html="b")))
    assert [said(part.get_content()) for part in message.iter_parts()] == [said(stolen), "b\n"]


def test_inner_and_outer_boundary_differ_and_none_starts_like_the_other():
    draft = Draft(to=(BOB,), text="a", html="b", attachments=(Attachment("x", "a/b", b""),))
    message = parsed(written(draft))
    outer, inner = message.get_boundary(), next(message.iter_parts()).get_boundary()
    assert outer
    assert inner
    assert not outer.startswith(inner)
    assert not inner.startswith(outer)


@pytest.mark.parametrize(
    "filename",
    ["a.pdf", "my report.pdf", 'say "hi".txt', "back\\slash", "semi;colon", "Grüße.pdf", "日本語.txt", "x" * 255,
     "=?utf-8?q?evil=2Eexe?=", "é" * 255, "per%20cent", "don't", "😀" * 60, "a'b'c%0d", "é'x"],
)  # fmt: skip
def test_a_filename_reads_back_in_both_of_the_places_where_clients_look(filename: str):
    draft = Draft(to=(BOB,), text="", attachments=(Attachment(filename, "application/pdf", b"x"),))
    part = next(parsed(written(draft)).iter_attachments())
    assert part.get_filename() == filename
    old = message_from_bytes(part.as_bytes(policy=policy.compat32)).get_param("name")
    assert isinstance(old, str)
    assert str(make_header(decode_header(re.sub(r"\?=\s+=\?", "?==?", old)))) == filename


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("application/pdf", "application/pdf"),
        ("Text/CSV; charset=utf-8; header=present", "text/csv"),
        ('video/mp4; codecs="avc1.42E01E, mp4a"', "video/mp4"),
        ("application/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
        ("image/svg+xml", "image/svg+xml"),
    ],
)
def test_content_types_with_simple_parameters_are_taken(given: str, kind: str):
    draft = Draft(to=(BOB,), text="", attachments=(Attachment("f", given, b"\r\n.\r\n"),))
    part = next(parsed(written(draft)).iter_attachments())
    assert part.get_content_type() == kind
    assert part.get_payload(decode=True) == b"\r\n.\r\n"


@pytest.mark.parametrize(
    "given",
    ["", "pdf", "application/", "/pdf", "a/b/c", "a b/c", "a/b;", "a/b; c", "a/b; c=", 'a/b; c="', 'a/b; c="\\""',
     "message/rfc822", "MESSAGE/delivery-status", "multipart/mixed", "Multipart/alternative; boundary=x",
     "text/plain; boundary=x", "application/pdf; name=evil.exe", "application/pdf; NAME*0=evil",
     "text/plain\r\nBcc: x@y", "téxt/plain", "a/b; c=ü", 'a/b; c="=?utf-8?q?x?="', "a/" + "b" * 254],
)  # fmt: skip
def test_other_content_types_are_refused(given: str):
    with pytest.raises(Invalid) as refused:
        written(Draft(to=(BOB,), attachments=(Attachment("ok", "a/b", b""), Attachment("f", given, b""))))
    assert refused.value.field == "attachments[1].content_type"


def test_limits_name_the_field_that_is_over():
    one = Attachment("a", "a/b", b"")
    over = {
        "subject": Draft(to=(BOB,), subject="x" * (LONGEST_SUBJECT + 1)),
        "headers.X-A": Draft(to=(BOB,), headers={"X-A": "x" * (LONGEST_HEADER + 1)}),
        "headers": Draft(to=(BOB,), headers={f"X-{n}": "" for n in range(MOST_HEADERS + 1)}),
        "attachments": Draft(to=(BOB,), attachments=(one,) * (MOST_ATTACHMENTS + 1)),
        "attachments[0].filename": Draft(to=(BOB,), attachments=(Attachment("x" * (LONGEST_NAME + 1), "a/b", b""),)),
        "to[1].name": Draft(to=(BOB, Mailbox(ALICE.address, "x" * (LONGEST_NAME + 1)))),
    }
    for field, draft in over.items():
        with pytest.raises(Invalid) as refused:
            written(draft)
        assert refused.value.field == field


def test_what_is_just_within_the_limits_is_taken():
    draft = Draft(
        to=(Mailbox(BOB.address, "x" * LONGEST_NAME),),
        subject="x" * LONGEST_SUBJECT,
        headers={f"X-{n}": "é" * LONGEST_HEADER for n in range(MOST_HEADERS)},
        attachments=(Attachment("x" * LONGEST_NAME, "a/b", b""),) * MOST_ATTACHMENTS,
    )
    message = parsed(written(draft))
    assert message["Subject"] == "x" * LONGEST_SUBJECT
    assert len(list(message.iter_attachments())) == MOST_ATTACHMENTS


@pytest.mark.parametrize(
    ("field", "draft"), [("text", Draft(to=(), text="\ud800")), ("html", Draft(to=(), html="\udfff"))]
)
def test_half_a_character_is_refused_in_a_body(field: str, draft: Draft):
    with pytest.raises(Invalid) as refused:
        written(draft)
    assert refused.value.field == field


# Header injection: everything that someone tried elsewhere, in every string that reaches a header.

_BREAKS = [
    "\r\n", "\n", "\r", "\n\r", "\r\n ", "\r\n\t", "\r\r\n", "\x00", "\x0b", "\x0c", "\x1b[2J", "\x7f", "\x85", "\x9b",
    "\u2028", "\u2029", "\ud80a", "\t", "\x1c", "\x1e", "x\x08", "\r\n\r\n", "\r\n.\r\n", "\x01\r\n",
]  # fmt: skip
_TAILS = ["Bcc: evil@evil.example", "Content-Type: text/html", ".\r\nMAIL FROM:<evil@evil.example>"]
BREAKING = [f"hi{line_break}{tail}" for line_break in _BREAKS for tail in _TAILS]

LITERAL = [
    "=?utf-8?q?hi=0d=0aBcc:_x=40evil.example?=",
    "=?utf-8?b?aGkNCkJjYzogZXZpbEBldmlsLmV4YW1wbGU=?=",
    "=?UTF-8?Q?bob=40evil.example=2c?=",
    "=?utf-8?q?bob=40evil.example=2c?= <a",
    "=?iso-8859-1?q?=0aBcc:?=",
    "=?utf-8?q?a?= =?utf-8?q?b?=",
    "=?utf-8?q?=3Cevil=40evil.example=3E?=",
    "=?utf-7?q?+AA0-?=",
    "x=?utf-8?q?hi=0d=0a?=y",
    "=?unknown?x?y?=",
    "=?utf-8*en?q?hi?=",
    "=?utf-8?q?unfinished",
    "evil@evil.example, bob",
    "evil@evil.example>, <bob",
    "a <evil@evil.example>",
    '"quoted" <evil@evil.example>',
    'end" <evil@evil.example>, "start',
    'end\\" <evil@evil.example>',
    "trailing backslash\\",
    'backslash quote \\"',
    "(comment) evil@evil.example",
    "group: evil@evil.example;",
    "a;b;c=d",
    'x"; filename="evil.exe',
    "x; charset=evil",
    "Bcc: evil@evil.example",
    "%0d%0aBcc: evil@evil.example",
    "%E5%98%8A%E5%98%8DBcc: evil",
    "嘊嘍Bcc: evil@evil.example",
    "\\r\\nBcc: evil@evil.example",
    "&#13;&#10;Bcc: evil",
    "\u200bBcc:\u200devil",
    "\u202egpj.exe",
    "ＢＣＣ： evil@evil.example",
    "utf-8''%0d%0aBcc:%20evil",
    "--boundary--",
]


def _content_type(payload: str) -> Draft:
    return Draft(to=(BOB,), attachments=(Attachment("f", f"a/b; c={payload}", b""),))


FIELDS = {
    "subject": lambda payload: (Draft(to=(BOB,), subject=payload), SENDER, None),
    "to[0].name": lambda payload: (Draft(to=(Mailbox(BOB.address, payload),)), SENDER, None),
    "cc[0].name": lambda payload: (Draft(to=(BOB,), cc=(Mailbox(BOB.address, payload),)), SENDER, None),
    "from.name": lambda payload: (Draft(to=(BOB,)), Mailbox(SENDER.address, payload), None),
    "reply_to.name": lambda payload: (Draft(to=(BOB,)), SENDER, Mailbox(ALICE.address, payload)),
    "headers.List-Id": lambda payload: (Draft(to=(BOB,), headers={"List-Id": payload}), SENDER, None),
    "attachments[0].filename": lambda payload: (
        Draft(to=(BOB,), attachments=(Attachment(payload, "a/b", b""),)), SENDER, None,
    ),
    "attachments[0].content_type": lambda payload: (_content_type(payload), SENDER, None),
}  # fmt: skip


def test_the_corpus_is_as_large_as_promised():
    assert len(set(BREAKING)) + len(set(LITERAL)) >= 60


@pytest.mark.parametrize("field", FIELDS)
def test_what_could_end_a_line_is_refused_and_the_field_is_named(field: str):
    for payload in BREAKING:
        with pytest.raises(Invalid) as refused:
            written(*FIELDS[field](payload))
        assert refused.value.field == field, repr(payload)
        assert "evil" not in refused.value.message


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "attachments[0].content_type"])
@pytest.mark.parametrize("payload", LITERAL)
def test_what_looks_like_a_trick_is_shown_as_the_text_that_it_is(field: str, payload: str):
    draft, sender, reply_to = FIELDS[field](payload)
    mail = written(draft, sender, reply_to)
    message = parsed(mail)
    shown = {
        "subject": lambda: message["Subject"],
        "to[0].name": lambda: people(mail, "To")[0][0],
        "cc[0].name": lambda: people(mail, "Cc")[0][0],
        "from.name": lambda: people(mail, "From")[0][0],
        "reply_to.name": lambda: people(mail, "Reply-To")[0][0],
        "headers.List-Id": lambda: message["List-Id"],
        "attachments[0].filename": lambda: next(message.iter_attachments()).get_filename(),
    }[field]()
    assert shown == payload
    assert set(names(mail)) <= {*PLAIN, "Cc", "Reply-To", "List-Id"}
    everyone = [
        str(a.addr_spec) for n in ("From", "To", "Cc", "Reply-To") for h in message.get_all(n, []) for a in h.addresses
    ]
    assert all(address.endswith(("@good.example", "@company.example")) for address in everyone)


@pytest.mark.parametrize(
    "name", [*sorted(RESERVED), "Content-Type", "content-ID", "Resent-To", "RESENT-BCC", "ARC-Seal"]
)
def test_headers_that_are_not_the_callers_are_refused(name: str):
    for spelling in (name, name.upper(), name.title()):
        with pytest.raises(Invalid) as refused:
            written(Draft(to=(BOB,), headers={spelling: "evil@evil.example"}))
        assert refused.value.field == f"headers.{spelling}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "X A",
        "X:",
        "X-Ä",
        "X\r\nBcc",
        "Bcc ",
        " Bcc",
        "Bcc\t",
        "X\x00",
        "X\x7f",
        "\u2028",
        "X" * 77,
        "Subject:Bcc",
        "X\n",
    ],
)
def test_names_that_are_no_field_names_are_refused(name: str):
    with pytest.raises(Invalid) as refused:
        written(Draft(to=(BOB,), headers={name: "x"}))
    assert refused.value.field == "headers"


@pytest.mark.parametrize(
    "name",
    ["X-Anything", "List-Unsubscribe", "List-Unsubscribe-Post", "Auto-Submitted", "References", "In-Reply-To",
     "Importance", "Precedence", "X-Priority", "Organization", "X" * 76],
)  # fmt: skip
def test_headers_that_are_the_callers_are_written_once_and_in_place(name: str):
    mail = written(Draft(to=(BOB,), headers={name: "value"}))
    assert names(mail) == [*PLAIN[:5], name, *PLAIN[5:]]
    assert raw_value(mail, name) == "value"


def test_long_addresses_of_pages_and_message_ids_stay_in_one_piece():
    page = f"<https://company.example/?{'u' * 800}>"
    references = " ".join(f"<{n}.{'i' * 60}@company.example>" for n in range(50))
    mail = written(Draft(to=(BOB,), headers={"List-Unsubscribe": page, "References": references}))
    assert raw_value(mail, "List-Unsubscribe") == page
    assert raw_value(mail, "References") == references


def test_twenty_thousand_random_headers_add_no_field_and_take_little_time():
    often = [*'abc :;,=?<>@"\\()[]%', "=?utf-8?q?", "?=", "=0d=0a", "Bcc:", "é", "😀", "  "] * 9
    alphabet = [*often, *["\r\n", "\n", "\u2028", "\x00"] * 2]
    dice = iter(shake_256(b"postroom").digest(20_000 * 3 * 25))
    refused, started = 0, time.monotonic()
    for _ in range(20_000):
        one, two, three = (
            "".join([alphabet[next(dice) % len(alphabet)] for _ in range(next(dice) % 24)]) for _ in "123"
        )
        draft = Draft(to=(Mailbox(BOB.address, one),), subject=two, headers={"X-Random": three})
        try:
            mail = written(draft)
        except Invalid:
            refused += 1
            continue
        assert mail.isascii()
        assert names(mail) == [*PLAIN[:5], "X-Random", *PLAIN[5:]]
    assert 1_000 < refused < 19_000  # both ways out were taken
    assert time.monotonic() - started < 8


# The last look at the bytes catches what the checks before it should have.


@pytest.mark.parametrize(
    "fields",
    [
        {"Subject": "a\r\nBcc: evil@evil.example"},
        {"Subject": "a\nBcc: evil@evil.example"},
        {"Subject": "a\rb"},
        {"Subject": "a\r\n\r\nbody"},
        {"Subject": "a\r\n"},
        {"Subject": "a\r\n \r\n b"},
        {"Subject": "a\r\n\tb"},
        {"Subject": "a\x00"},
        {"Subject": "a\r\nno field"},
        {"Subject\r\nBcc": "evil@evil.example"},
        {"Subject:Bcc": "x"},
        {"Sub ject": "x"},
        {"": "x"},
        {"Subject": "x" * 990},
        {"Subject": "a\r\n " + "x" * 998},
        {"A": "b\r\nC: d", "C": "d"},
        {"A": "b\r\n\r\n", "C": "d"},
        {"A\n": "b"},
    ],
)  # fmt: skip
def test_a_header_that_is_not_what_was_meant_is_never_sent(fields: dict[str, str]):
    with pytest.raises(HeaderUnsafe):
        header.fields(fields)


@pytest.mark.parametrize("local", ["a\r\nBcc: evil@evil.example\r\nX", "a\x00"])
def test_an_address_that_was_not_parsed_can_break_no_line(local: str):
    with pytest.raises(HeaderUnsafe):
        written(Draft(to=(Mailbox(Address(local, "good.example")),)))


def test_octets_beyond_ascii_are_sent_only_when_an_address_needs_them():
    with pytest.raises(HeaderUnsafe):
        written(Draft(to=(Mailbox(Address("a", "göod.example")),)))


@pytest.mark.parametrize(
    "message_id", ["", "a@b", "<a>", "<a@b", "<a b@c>", "<a@b>\r\nBcc: x", "<ü@b>", f"<{'x' * 998}@b>"]
)
def test_a_message_id_of_another_form_is_a_fault_of_ours(message_id: str):
    with pytest.raises(HeaderUnsafe):
        compose(Draft(to=(BOB,)), sender=SENDER, reply_to=None, message_id=message_id, date=DATE)


@settings(max_examples=50)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_any_string_at_all_is_composed_or_refused(subject: str, name: str, value: str, filename: str):
    draft = Draft(
        to=(Mailbox(BOB.address, name),), subject=subject, text=value, headers={"X-A": value},
        attachments=(Attachment(filename, "a/b", b""),),
    )  # fmt: skip
    try:
        mail = written(draft)
    except Invalid:
        return
    assert mail.isascii()
    assert [part.get_content_type() for part in parsed(mail).walk()] == ["multipart/mixed", "text/plain", "a/b"]


@pytest.mark.parametrize("char", ["=", "\x01", "\x00", "é", "日"])
def test_no_text_grows_to_more_than_base64_would_make_of_it(char: str):
    text = char * 100_000
    assert len(written(Draft(to=(BOB,), text=text))) < len(text.encode()) * 1.4 + 2_000
