"""The sandbox relay, spoken to by hand, and the reading of whatever it caught."""

import asyncio
import base64
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.domain.address import Address
from postroom.domain.message import Attachment, Draft, Mailbox
from postroom.smtp.compose import compose
from postroom.smtp.reading import MOST_READ, Reading, read, subject
from postroom.smtp.sandbox import Caught, Sandbox

PASSWORD = "correct-horse"
PLAIN = base64.b64encode(f"\0user\0{PASSWORD}".encode()).decode()
ENVELOPE = ["EHLO me.example", "MAIL FROM:<a@good.example>", "RCPT TO:<b@good.example>", "DATA"]


class Dialogue:
    """A client that says lines and reads replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def reply(self) -> str:
        lines = []
        while True:
            line = (await asyncio.wait_for(self._reader.readline(), 5)).decode()
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    async def say(self, *lines: str) -> str:
        """Says each line after the reply to the one before; returns the last reply."""
        answer = ""
        for line in lines:
            self._writer.write(line.encode() + b"\r\n")
            answer = await self.reply()
        return answer

    async def is_let_go(self) -> bool:
        return await asyncio.wait_for(self._reader.read(), 5) == b""


@asynccontextmanager
async def dialogue(keep: Callable[[Caught], Awaitable[None]], most_bytes: int = 100_000) -> AsyncIterator[Dialogue]:
    sandbox = Sandbox(keep, hostname="sandbox.example", most_bytes=most_bytes)
    reader, writer = await asyncio.open_connection(*await sandbox.start("127.0.0.1", 0))
    try:
        talk = Dialogue(reader, writer)
        assert (await talk.reply()).startswith("220 sandbox.example")
        yield talk
    finally:
        writer.close()
        await sandbox.close()


class Shelf:
    """Keeps what was caught."""

    def __init__(self) -> None:
        self.mails: list[Caught] = []

    async def keep(self, caught: Caught) -> None:
        self.mails.append(caught)


async def test_a_mail_is_kept_byte_for_byte_with_its_envelope():
    shelf = Shelf()
    async with dialogue(shelf.keep) as talk:
        await talk.say(*ENVELOPE[:3], "RCPT TO:<c@good.example>", "DATA")
        answer = await talk.say("Subject: Hi\r\n\r\n..dot\r\nend\r\n.")
    (mail,) = shelf.mails
    assert answer == f"250 2.0.0 Caught as {mail.short_id}"
    assert mail.content == b"Subject: Hi\r\n\r\n.dot\r\nend\r\n"
    assert (mail.envelope_sender, mail.recipients) == ("a@good.example", ("b@good.example", "c@good.example"))
    assert mail.peer == "127.0.0.1"
    assert mail.received_at > 1_700_000_000_000_000


async def test_the_client_hears_250_only_after_the_mail_was_kept():
    handed_over, durable = asyncio.Event(), asyncio.Event()

    async def keep(_: Caught) -> None:
        handed_over.set()
        await durable.wait()

    async with dialogue(keep) as talk:
        await talk.say(*ENVELOPE)
        answer = asyncio.create_task(talk.say("Subject: Hi\r\n\r\nhi\r\n."))
        await handed_over.wait()
        done, _ = await asyncio.wait([answer], timeout=0.05)
        assert not done
        durable.set()
        assert (await answer).startswith("250 2.0.0 Caught as ")


async def test_a_mail_that_could_not_be_kept_is_answered_with_451_and_the_next_one_is_taken():
    shelf, broken = Shelf(), True

    async def keep(caught: Caught) -> None:
        if broken:
            raise OSError("disk full at /secret/place")
        await shelf.keep(caught)

    async with dialogue(keep) as talk:
        await talk.say(*ENVELOPE)
        answer = await talk.say("Subject: Hi\r\n\r\nhi\r\n.")
        assert answer.startswith("451 4.3.0 ")
        assert "secret" not in answer
        broken = False
        assert (await talk.say(*ENVELOPE[1:], "Subject: Hi\r\n\r\nhi\r\n.")).startswith("250 2.0.0")
    assert len(shelf.mails) == 1


@pytest.mark.parametrize(
    "lines",
    [
        [f"AUTH PLAIN {PLAIN}"],
        ["AUTH PLAIN", PLAIN],
        ["AUTH LOGIN", base64.b64encode(b"user").decode(), base64.b64encode(PASSWORD.encode()).decode()],
        [f"AUTH LOGIN {base64.b64encode(b'user').decode()}", base64.b64encode(PASSWORD.encode()).decode()],
    ],
)
async def test_everyone_may_log_in_and_the_password_is_nowhere(lines: list[str], caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    shelf = Shelf()
    async with dialogue(shelf.keep) as talk:
        assert "AUTH" in await talk.say("EHLO me.example")
        assert (await talk.say(*lines)).startswith("235 2.7.0")
        assert (await talk.say(*ENVELOPE[1:], "Subject: Hi\r\n\r\nhi\r\n.")).startswith("250 2.0.0")
    written = caplog.text + repr(shelf.mails)
    assert not [secret for secret in (PASSWORD, PLAIN, lines[-1].split()[-1]) if secret in written]


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["AUTH PLAIN", "*"], "501"),
        (["AUTH PLAIN", "correct-horse!"], "501"),
        (["AUTH LOGIN", "*"], "501"),
        (["AUTH"], "501"),
        (["AUTH CRAM-MD5"], "504"),
        ([f"AUTH PLAIN {PLAIN}", f"AUTH PLAIN {PLAIN}"], "503"),
    ],
)
async def test_a_login_that_is_no_login_is_refused_and_not_logged(
    lines: list[str], answer: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    async with dialogue(Shelf().keep) as talk:
        await talk.say("EHLO me.example")
        assert (await talk.say(*lines)).startswith(answer)
        assert (await talk.say("NOOP")).startswith("250")
    assert PASSWORD not in caplog.text


async def test_a_mail_over_the_limit_is_refused_before_and_after_it_was_sent():
    shelf = Shelf()
    async with dialogue(shelf.keep, most_bytes=2000) as talk:
        assert "SIZE 2000" in await talk.say("EHLO me.example")
        assert (await talk.say("MAIL FROM:<a@good.example> SIZE=2001")).startswith("552")
        await talk.say(*ENVELOPE[1:])
        assert (await talk.say("\r\n".join(["x" * 70] * 50) + "\r\n.")).startswith("552")
    assert shelf.mails == []


async def test_a_nul_in_an_address_becomes_text_that_every_database_takes():
    shelf = Shelf()
    async with dialogue(shelf.keep) as talk:
        await talk.say("EHLO me.example", 'MAIL FROM:<"a\x00b"@good.example>', "RCPT TO:<b@good.example>")
        await talk.say("MAIL FROM:<a@good.example>", 'RCPT TO:<"c\x00d"@good.example>', "RCPT TO:<b@good.example>")
        await talk.say("DATA", "Subject: Hi\r\n\r\nhi\r\n.")
    (mail,) = shelf.mails
    assert "\0" not in "".join((mail.envelope_sender, *mail.recipients))


async def test_addresses_beyond_ascii_are_taken_and_broken_ones_become_text():
    shelf = Shelf()
    async with dialogue(shelf.keep) as talk:
        assert "SMTPUTF8" in await talk.say("EHLO me.example")
        await talk.say("MAIL FROM:<jörg@good.example> BODY=8BITMIME SMTPUTF8", "RCPT TO:<b@good.example>")
        talk._writer.write(b"RCPT TO:<\xff@good.example>\r\n")
        await talk.reply()
        await talk.say("DATA", "Subject: Grüße\r\n\r\nhi\r\n.")
    (mail,) = shelf.mails
    assert mail.envelope_sender == "jörg@good.example"
    assert all(recipient.encode() for recipient in mail.recipients)
    assert read(mail.content).subject == "Grüße"


async def test_closing_lets_everyone_go_and_frees_the_port():
    sandbox = Sandbox(Shelf().keep, hostname="sandbox.example")
    host, port = await sandbox.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(host, port)
    talk = Dialogue(reader, writer)
    await talk.reply()
    await sandbox.close()
    assert await talk.is_let_go()
    writer.close()
    again = Sandbox(Shelf().keep, hostname="sandbox.example")
    assert await again.start(host, port) == (host, port)
    await again.close()
    await again.close()


def test_two_mails_caught_at_two_times_have_two_ids():
    one = Caught(1, "", "a@b", (), b"x")
    assert one.short_id == Caught(1, "other", "", (), b"x").short_id
    assert one.short_id != Caught(2, "", "a@b", (), b"x").short_id
    assert one.short_id != Caught(1, "", "a@b", (), b"y").short_id


def test_what_we_compose_is_read_as_it_was_meant():
    grüße = Attachment("Grüße.pdf", "application/pdf", b"x" * 1000)
    box = Mailbox(Address.parse("b@good.example"), "Bücher, Büro & Co.")
    draft = Draft(to=(box,), subject="Grüße an alle " * 9, text="Höflich\n", html="<p>Höflich", attachments=(grüße,))
    mail = compose(draft, sender=box, reply_to=None, message_id="<1@good.example>", date=0)
    assert read(mail) == Reading(
        subject="Grüße an alle " * 8 + "Grüße an alle",
        from_="Bücher, Büro & Co. <b@good.example>",
        to="Bücher, Büro & Co. <b@good.example>",
        date="Thu, 01 Jan 1970 00:00:00 +0000",
        message_id="<1@good.example>",
        text="Höflich\r\n",
        html="<p>Höflich\r\n",
        attachments=(("Grüße.pdf", "application/pdf", 1000),),
    )


@given(st.binary(max_size=2000))
def test_no_bytes_at_all_make_reading_fail(content: bytes):
    assert isinstance(read(content), Reading)


_HEADS = [
    b"Subject: =?utf-8?b?!!!?=",
    b"Subject: =?no-such-charset?q?x?=",
    b"Subject: \xff\xfe",
    b"Subject: =?utf-8?q?a=0d=0ab?=",
    b"Content-Type: multipart/mixed; boundary=b",
    b"Content-Type: multipart/mixed",
    b"Content-Type: multipart/mixed; boundary=",
    b"Content-Type: message/rfc822",
    b"Content-Type: text/plain; charset=no-such",
    b"Content-Type: text/html; charset*=x'y'%ff",
    b"Content-Type: text/plain; charset=\xff",
    b"Content-Type: ;;;=;",
    b"Content-Type: a/b; name*0*=x'y; name*5=z",
    b"Content-Transfer-Encoding: base64",
    b"Content-Transfer-Encoding: uuencode",
    b"Content-Transfer-Encoding: \x00",
    b'Content-Disposition: attachment; filename="=?utf-8?b?x?="',
    b"Content-Disposition: \xff;;",
    b'From: "',
    b"To: a <b",
    b"",
    b"--b",
    b"--b--",
    b"begin 644 x",
    b"\x00",
    b" folded",
    b"broken",
    b"a\rb",
    b"aGk",
    b"=ZZ",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
]


@given(st.lists(st.sampled_from(_HEADS), max_size=25), st.sampled_from([b"\r\n", b"\n", b"\r"]))
def test_no_broken_mail_makes_reading_fail_or_gives_text_that_cannot_be_shown(lines: list[bytes], line_break: bytes):
    reading = read(line_break.join(lines))
    shown = [reading.subject, reading.from_, reading.to, reading.date, reading.message_id]
    shown += [text for name, kind, _ in reading.attachments for text in (name, kind)]
    assert not any(character in text for text in shown for character in "\r\n\x00")
    for text in [*shown, reading.text or "", reading.html or ""]:
        text.encode()


def test_a_mail_without_a_header_has_a_text():
    assert read(b"\r\njust text\r\n").text == "just text\r\n"


@pytest.mark.parametrize(
    "content",
    [
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2000)),
        b"Content-Type: message/rfc822\r\n\r\n" * 5000,
        b"Subject: deep\r\nContent-Type: a/b" + b';x="' * 200_000,
        b"Subject: " + b"=?a?q?" * 200_000,
        b"Content-Type: text/plain; charset=utf-8" + b"\r\n ;a=b" * 100_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 2000,
        b"x" * (MOST_READ + 1),
        b"\r\n" + b"x\r\n" * 100_000,
    ],
)
def test_mails_made_to_be_slow_are_read_in_part(content: bytes):
    started = time.monotonic()
    read(content)
    assert time.monotonic() - started < 3


def test_a_mail_that_was_not_read_to_its_end_says_so():
    assert read(b"Subject: a\r\n\r\nb").complete
    assert not read(b"Subject: a\r\n\r\n" + b"x" * MOST_READ).complete
    nested = b"Subject: a\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 99
    assert (read(nested).subject, read(nested).complete) == ("a", False)


def test_a_mail_of_very_many_parts_is_shown_by_its_header_only():
    parts = b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n" * 50_000
    content = b"Subject: Crowd\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + parts
    started = time.process_time()
    reading = read(content)
    assert time.process_time() - started < 1
    assert (reading.subject, reading.text, reading.complete) == ("Crowd", None, False)


def test_the_subject_alone_is_the_one_that_is_read():
    content = b"From: a@b.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n Ann\r\n\r\nSubject: no\r\n"
    assert subject(content) == read(content).subject
    assert subject(b"") == ""
