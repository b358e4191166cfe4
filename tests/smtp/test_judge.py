"""The last look at a header, and the headers that pass it: on the wire is what was meant, as `email` reads it.

`./test -m campaign tests/smtp/test_judge.py` makes a hundred thousand headers.
"""

from email import message_from_bytes, policy
from email.utils import getaddresses
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.domain.address import Address
from postroom.domain.message import LONGEST_NAME, Draft, Mailbox
from postroom.smtp import header
from postroom.smtp.compose import compose
from postroom.smtp.judge import HeaderUnsafe, judged, judged_people

from .test_compose import any_header_text, names, parsed, people, raw_value

ANN, BOB = Mailbox(Address.parse("ann@good.example"), "Ann"), Mailbox(Address.parse("bob@good.example"))

# What readers of headers trip over, and what a header is mostly made of.
TRICKY = [
    *'abc :;,=?<>@"\\()[]%.\'_-', "=?utf-8?q?", "=?utf-8?b?", "?=", "=0d=0a", "=2C", "Bcc:", "é", "😀", "日本", "  ",
    "\xa0", "\u202e", "\u200b", "Ann ", "Example ", "eve@evil.example", "<eve@evil.example>", "x" * 70, "aGVsbG8=",
    "ß ", "\\\"",
]  # fmt: skip
ATOMS = [*"abcxyz0189#$&'*+-/?^_`{|}~ABC", "a.b", "é", "日"]
DOMAINS = ["good.example", "b.example", "localhost", "bücher.example", "x-1.y2.good.example"]
OWN_NAMES = ["X-A", "List-Unsubscribe", "References", "X-Long-Name-Of-A-Header", "Auto-Submitted"]

LOCAL = st.from_regex(r"[A-Za-z0-9#$&'*+\-/=?^_`{|}~é日]{1,12}(\.[A-Za-z0-9#$&'*+\-/=^_`{|}~]{1,8})?", fullmatch=True)
DOMAIN = st.sampled_from(DOMAINS)
MAILBOX = st.builds(
    Mailbox,
    st.builds("{}@{}".format, LOCAL.filter(lambda local: "=?" not in local), DOMAIN).map(Address.parse),
    st.none() | any_header_text.map(lambda text: text[:LONGEST_NAME]),
)
MAILBOXES = st.lists(MAILBOX, max_size=4).map(tuple)
OWN = st.dictionaries(st.sampled_from(OWN_NAMES), any_header_text, max_size=3)
DRAFT = st.fixed_dictionaries(
    {"to": MAILBOXES, "cc": MAILBOXES, "bcc": MAILBOXES, "subject": any_header_text, "headers": OWN}
).map(lambda said: Draft(**said))


def on_the_wire_is_what_was_meant(draft: Draft, sender: Mailbox, reply_to: Mailbox | None) -> None:
    content = compose(draft, sender=sender, reply_to=reply_to, message_id="<a@good.example>", date=10**15)
    message = parsed(content)
    shown = {"From": (sender,), "Reply-To": (reply_to,) if reply_to else (), "To": draft.to, "Cc": draft.cc}
    nobody = not draft.to and not draft.cc
    meant = [name for name, boxes in shown.items() if boxes or (nobody and name == "To")]
    fixed = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
    assert names(content) == ["Date", *meant, "Message-ID", "Subject", *draft.headers, *fixed]
    assert names(content) == message.keys()
    for name, boxes in shown.items():
        if boxes:
            expected = [((box.name or "").strip(" "), str(box.address)) for box in boxes]
            assert people(content, name) == expected
            if content.isascii():
                assert [each.addr_spec for each in message[name].addresses] == [address for _, address in expected]
    assert message["Subject"] == draft.subject.strip(" ")
    for name, value in draft.headers.items():
        assert str(message[name]).strip(" ") == value.strip(" ")
    head = content.partition(b"\r\n\r\n")[0]
    assert head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n")


@settings(deadline=None)
@given(DRAFT, MAILBOX, st.none() | MAILBOX)
def test_any_header_is_what_was_meant(draft: Draft, sender: Mailbox, reply_to: Mailbox | None):
    on_the_wire_is_what_was_meant(draft, sender, reply_to)


class MadeUp:
    """Headers by the thousand, faster than hypothesis makes them; the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)  # noqa: S311 (nothing secret)

    def text(self) -> str:
        return "".join(self._dice.choices(TRICKY, k=self._dice.randrange(1, 24)))[:LONGEST_NAME]

    def mailbox(self) -> Mailbox:
        address = f"{''.join(self._dice.choices(ATOMS, k=self._dice.randrange(1, 9)))}@{self._dice.choice(DOMAINS)}"
        return Mailbox(Address.parse(address), self._dice.choice([None, self.text()]))

    def mailboxes(self, least: int = 0) -> tuple[Mailbox, ...]:
        return tuple([self.mailbox() for _ in range(self._dice.randrange(least, 4))])

    def draft(self) -> Draft:
        own = {name: self.text() for name in self._dice.sample(OWN_NAMES, self._dice.randrange(3))}
        people = {"to": self.mailboxes(), "cc": self.mailboxes(), "bcc": self.mailboxes()}
        return Draft(**people, subject=self.text(), headers=own)

    def check(self, count: int) -> None:
        for _ in range(count):
            on_the_wire_is_what_was_meant(self.draft(), self.mailbox(), self._dice.choice([None, self.mailbox()]))


def test_two_thousand_headers_are_what_was_meant():
    MadeUp(0).check(2_000)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(1, 11))
def test_ten_thousand_headers_more_are_what_was_meant(seed: int):
    MadeUp(seed).check(10_000)


# The judge alone: given bytes that no writer of ours would write.

GOOD = b"To: Ann <ann@good.example>, bob@good.example\r\n"


def test_a_list_as_it_was_meant_passes():
    assert judged_people(GOOD, "To", (ANN, BOB)) == GOOD
    assert judged_people(GOOD.replace(b", ", b",\r\n "), "To", (ANN, BOB))
    assert judged_people(GOOD.replace(b"Ann <", b'"A, \\"<x@y>\\" nn"\r\n  <'), "To", (ANN, BOB))


@pytest.mark.parametrize(
    "written",
    [
        b"To: Ann <ann@good.example>\r\n",
        b"To: Ann <ann@good.example>, bob@good.example, eve@evil.example\r\n",
        b"To: eve@evil.example, Ann <ann@good.example>, bob@good.example\r\n",
        b"To: bob@good.example, Ann <ann@good.example>\r\n",
        b"To: eve@evil.example <ann@good.example>, bob@good.example\r\n",
        b"To: eve, Ann <ann@good.example>, bob@good.example\r\n",
        b'To: "Ann <ann@good.example>, bob@good.example\r\n',
        b'To: "x" eve@evil.example, Ann <ann@good.example>, bob@good.example\r\n',
        b"To: Ann (eve@evil.example) <ann@good.example>, bob@good.example\r\n",
        b"To: Ann <ann@good.example>, bob@good.example;\r\n",
        b"To: Ann <ann@good.example>, x: bob@good.example;\r\n",
        b"To: Ann <@evil.example:ann@good.example>, bob@good.example\r\n",
        b"To: Ann <ann@good.example, bob@good.example\r\n",
        b"To: Ann ann@good.example>, bob@good.example\r\n",
        b"To: Ann <ann@good.example>, bob@good.example>\r\n",
        b"To: Ann <ann@good.example>,bob@good.example\r\n",
        b"To: Ann <ann@good.example>, bob@good.example,\r\n",
        b"To: Ann <ann@good.example>, bob@good.example",
        b"To: Ann <ann@good.example>, bob@good.example\r\n\r\n",
        b"To: Ann <ann@good.example>, bob@good.example\r\nBcc: eve@evil.example\r\n",
        b"To: Ann\r\nBcc: <ann@good.example>, bob@good.example\r\n",
        b"To: Ann\n <ann@good.example>, bob@good.example\r\n",
        b"To: Ann\r\n \r\n <ann@good.example>, bob@good.example\r\n",
        b"To: \xc3\x84nn <ann@good.example>, bob@good.example\r\n",
        b"Bcc: Ann <ann@good.example>, bob@good.example\r\n",
        b"To:Ann <ann@good.example>, bob@good.example\r\n",
        b"To: " + b"a" * 1000 + b" <ann@good.example>, bob@good.example\r\n",
    ],
)
def test_any_other_list_is_never_sent(written: bytes):
    with pytest.raises(HeaderUnsafe):
        judged_people(written, "To", (ANN, BOB))


@settings(max_examples=500)
@given(
    st.integers(0, len(GOOD)), st.integers(0, 4),
    st.lists(
        st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b",", b"<", b">", b'"', b"(", b")", b"\\", b":", b";", b"@", b"a",
                         b"\0", b"\xff", b"Bcc: ", b"eve@evil.example", b"=?utf-8?q?=2c?="]),
        max_size=5,
    ).map(b"".join),
)  # fmt: skip
def test_what_passes_is_read_by_others_as_the_same_addresses(at: int, gone: int, new: bytes):
    """Octets of a good field are replaced; the judge may let it pass only if `email` reads the same people in it."""
    written = GOOD[:at] + new + GOOD[at + gone :]
    try:
        judged_people(written, "To", (ANN, BOB))
    except HeaderUnsafe:
        return
    message = message_from_bytes(written + b"\r\n", policy=policy.SMTP)
    assert message.keys() == ["To"]
    assert [each.addr_spec for each in message["To"].addresses] == ["ann@good.example", "bob@good.example"]
    assert [address for _, address in getaddresses([raw_value(written + b"\r\n", "To")])] == [
        "ann@good.example",
        "bob@good.example",
    ]


@settings(max_examples=500)
@given(
    st.integers(0, 40), st.integers(0, 4),
    st.lists(
        st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b":", b"Bcc: ", b"X:", b"a", b"\0", b"\x85", b"\t"]), max_size=5
    ).map(b"".join),
)  # fmt: skip
def test_what_passes_is_read_by_others_as_the_same_fields(at: int, gone: int, new: bytes):
    good = b"Message-ID: <a@b>\r\nSubject: hello you\r\n"
    written = good[:at] + new + good[at + gone :]
    try:
        judged(written, ("Message-ID", "Subject"))
    except HeaderUnsafe:
        return
    message = message_from_bytes(written + b"\r\nbody", policy=policy.compat32)
    assert message.keys() == ["Message-ID", "Subject"]
    assert message.get_payload() == "body"
    assert not message.defects


def test_an_address_that_was_not_parsed_is_never_sent():
    for local in ("ann@evil.example,ann", "ann@good.example\nbob", "a b", 'a"', "ann>,<x", "a,b", "a(b)"):
        with pytest.raises(HeaderUnsafe):
            header.mailboxes("To", (Mailbox(Address(local, "good.example")), BOB), "to")
