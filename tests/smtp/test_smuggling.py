"""SMTP smuggling: whatever a mail says, each relay sees one message, and it is the one that was composed.

Every way to end a message that some server ever took (CVE-2023-51764 and its family), in every place that a caller can
write to, sent by the real session to a relay that we did not write and to one that keeps each octet.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from aiosmtpd.smtp import Envelope as Received

from postroom.domain.address import Address
from postroom.domain.delivery import Sent
from postroom.domain.message import Attachment, Draft, Envelope, Mailbox
from postroom.domain.problems import Invalid
from postroom.smtp.body import on_the_wire
from postroom.smtp.compose import compose
from postroom.smtp.pool import Pool
from postroom.smtp.route import Timeouts
from postroom.smtp.session import CHUNK

from .conftest import route_to, yes
from .recorder import Recorder, a_recorder, unstuffed

ENDS = [
    "\r\n.\r\n", "\n.\n", "\r.\r", "\r\n.\n", "\n.\r\n", "\r\n.\r", "\r.\r\n", "\n.\r", "\r.\n", "\r\n\0.\r\n",
    "\r\n.\0\r\n", "\0\r\n.\r\n", "\r\n.\r\0\n", "\r\r\n.\r\r\n", "\n\n.\n\n", "\r\n..\r\n", "\r\n.\r\n.\r\n",
]  # fmt: skip
FORGED = "MAIL FROM:<evil@evil.example>\r\nRCPT TO:<victim@good.example>\r\nDATA\r\nSubject: forged\r\n\r\nhi\r\n.\r\n"
PLACES: dict[str, Callable[[str], str]] = {
    "start": lambda end: f"{end}{FORGED}",
    "middle": lambda end: f"first{end}{FORGED}last",
    "end": lambda end: f"last{end}",
}
BOB = Mailbox(Address.parse("bob@good.example"))
FIELDS: dict[str, Callable[[str], Draft]] = {
    "text": lambda said: Draft(to=(BOB,), text=said),
    "html": lambda said: Draft(to=(BOB,), text=said, html=said),
    "attachment": lambda said: Draft(to=(BOB,), attachments=(Attachment("a", "a/b", said.encode()),)),
}
LINES: dict[str, Callable[[str], Draft]] = {
    "subject": lambda said: Draft(to=(BOB,), subject=said),
    "headers.X-A": lambda said: Draft(to=(BOB,), headers={"X-A": said}),
    "to[0].name": lambda said: Draft(to=(Mailbox(BOB.address, said),)),
    "attachments[0].filename": lambda said: Draft(to=(BOB,), attachments=(Attachment(said, "a/b", b""),)),
    "attachments[0].content_type": lambda said: Draft(to=(BOB,), attachments=(Attachment("a", f"a/b{said}", b""),)),
    "attachments[0].content_id": lambda said: Draft(
        to=(BOB,), html="", attachments=(Attachment("a", "a/b", b"", f"a{said}"),)
    ),
}
TO = Envelope("from@example.com", ("one@example.com",))


def written(draft: Draft) -> bytes:
    return compose(draft, sender=BOB, reply_to=None, message_id="<a@good.example>", date=1_709_214_245_000_000)


def mails() -> list[bytes]:
    return [written(field(place(end))) for field in FIELDS.values() for place in PLACES.values() for end in ENDS]


@dataclass
class Taken:
    port: int = 0
    contents: list[bytes | str | None] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Received) -> str:
        self.contents.append(envelope.content)
        return "250 2.0.0 taken"


@pytest.fixture
async def taken() -> AsyncIterator[Taken]:
    handler = Taken()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(handler, hostname="x.test"), "127.0.0.1", 0)
    handler.port = server.sockets[0].getsockname()[1]
    yield handler
    server.close()


@asynccontextmanager
async def a_pool(port: int) -> AsyncIterator[Pool]:
    pool = Pool(route_to(port, timeouts=Timeouts()), most_connections=1)
    try:
        yield pool
    finally:
        await pool.close()


async def send_all(port: int, contents: list[bytes]) -> None:
    """One after the other, so that a message too many would be somebody else's."""
    async with a_pool(port) as pool:
        for content in contents:
            attempt = await pool.send(TO, content, yes)
            assert all(isinstance(outcome, Sent) for outcome in attempt.outcomes.values()), content


def test_there_are_as_many_ends_as_promised():
    assert len(set(ENDS)) >= 12


async def test_aiosmtpd_sees_each_mail_once_and_as_it_was_composed(taken: Taken):
    contents = mails()
    await send_all(taken.port, contents)
    assert taken.contents == contents


async def test_on_the_wire_there_is_one_end_for_each_mail():
    contents = mails()
    async with a_recorder() as relay:
        await send_all(relay.port, contents)
    assert [unstuffed(each) for each in relay.contents] == contents
    assert_only_these_ends(relay, len(contents))


async def test_a_content_that_was_never_composed_is_one_mail_as_well(taken: Taken):
    """The session trusts nobody: what comes out of the queue is put in order once more."""
    contents = [f"Subject: x\r\n\r\n{place(end)}".encode() for place in PLACES.values() for end in ENDS]
    await send_all(taken.port, contents)
    assert len(taken.contents) == len(contents)
    async with a_recorder() as relay:
        await send_all(relay.port, contents)
    assert_only_these_ends(relay, len(contents))


def assert_only_these_ends(relay: Recorder, count: int) -> None:
    """Nothing in all the octets that any reader has taken for an end, but what ends a mail."""
    assert relay.heard.count(b"\r\n.\r\n") == count
    without = relay.heard.replace(b"\r\n", b"")
    assert b"\r" not in without
    assert b"\n" not in without


@pytest.mark.parametrize("line", LINES)
def test_a_line_with_an_end_of_message_is_refused(line: str):
    for end in ENDS:
        for place in PLACES.values():
            with pytest.raises(Invalid) as refused:
                written(LINES[line](place(end)))
            assert refused.value.field == line


@pytest.mark.parametrize("what", ["\r\n.\r\n", "\r\n..\r\n", "\n.\n", "\r\n."])
async def test_dots_at_the_border_of_two_writes_are_stuffed(what: str):
    """The body is written in chunks; its dots must not depend on where one ends."""
    contents = []
    for off in range(-6, 7):
        start = b"Subject: x\r\n\r\n"
        filling = (b"x" * 70 + b"\r\n") * (CHUNK // 72 + 1)
        contents.append((start + filling)[: CHUNK + off - 1] + b"y" + what.encode() + b"the end\r\n")
    async with a_recorder() as relay:
        await send_all(relay.port, contents)
    normal = [unstuffed(on_the_wire(each)) for each in contents]
    assert [unstuffed(each) for each in relay.contents] == normal
    assert all(each.startswith(was[:CHUNK - 10]) and each.endswith(b"the end\r\n")
               for each, was in zip(normal, contents, strict=True))  # fmt: skip
    assert_only_these_ends(relay, len(contents))


async def test_blind_recipients_are_on_the_wire_as_recipients_only():
    secret = Mailbox(Address.parse("hidden@secret.example"), "Hidden Hand")
    draft = Draft(to=(BOB,), bcc=(secret,), text="Hi", html="Hi", attachments=(Attachment("a", "a/b", b"x"),))
    async with a_recorder() as relay, a_pool(relay.port) as pool:
        await pool.send(Envelope("a@b.example", tuple(map(str, draft.recipients))), written(draft), yes)
    assert relay.heard.count(b"secret") == relay.heard.count(b"RCPT TO:<hidden@secret.example>") == 1
    assert b"hidden hand" not in relay.heard.lower()
    assert b"bcc" not in relay.heard.lower()
