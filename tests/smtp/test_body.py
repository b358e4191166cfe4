"""Content on the wire: whole line ends, stuffed dots, and exactly one end of message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.smtp.body import END, on_the_wire
from postroom.smtp.session import CHUNK

ENDS_OF_MESSAGE = [
    b"\r\n.\r\n",
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r\n\0.\r\n",
]
TRICKY = st.lists(
    st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"..", b"a", b"\0", b"QUIT\r\n", *ENDS_OF_MESSAGE]), max_size=40
).map(b"".join)


def unstuffed(wire: bytes) -> bytes:
    """As a relay reads it (RFC 5321 4.5.2)."""
    lines = wire.split(b"\r\n")
    return b"\r\n".join(line.removeprefix(b".") for line in lines)


def normal(content: bytes) -> bytes:
    plain = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return plain + b"\r\n" if plain and not plain.endswith(b"\r\n") else plain


def octet_by_octet(content: bytes) -> bytes:
    """The same said as plainly as it can be: the reference."""
    wire, at_start, ends = bytearray(), True, True  # `ends`: the last thing written was a line end
    at = 0
    while at < len(content):
        octet = content[at]
        at += 1
        if octet in b"\r\n":
            if octet == 13 and content[at : at + 1] == b"\n":
                at += 1
            wire += b"\r\n"
            at_start = ends = True
            continue
        if octet == 46 and at_start:
            wire += b"."
        wire.append(octet)
        at_start = ends = False
    return bytes(wire if ends else wire + b"\r\n")


def test_a_content_in_order_goes_out_as_it_is():
    assert on_the_wire(b"a: b\r\n\r\nc\r\n") == b"a: b\r\n\r\nc\r\n"


def test_dots_at_the_start_of_lines_are_doubled():
    assert on_the_wire(b".a\r\n..b\r\nc.\r\n.\r\n") == b"..a\r\n...b\r\nc.\r\n..\r\n"


def test_an_unfinished_last_line_is_finished():
    assert on_the_wire(b"a") == b"a\r\n"
    assert on_the_wire(b"a\r") == b"a\r\n"
    assert on_the_wire(b"") == b""


@pytest.mark.parametrize("end", ENDS_OF_MESSAGE)
def test_no_end_of_message_can_be_smuggled_in(end):
    wire = on_the_wire(b"Subject: x\r\n\r\nfirst" + end + b"MAIL FROM:<evil@x.test>\r\n")
    for reader in (b"\r\n.\r\n", b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r"):
        assert reader not in b"\r\n" + wire


@given(TRICKY)
def test_whatever_goes_in_one_message_comes_out(content):
    wire = on_the_wire(content)
    whole = b"\r\n" + wire + END
    assert whole.count(b"\r\n.\r\n") == 1
    assert whole.replace(b"\r\n", b"").count(b"\r") == whole.replace(b"\r\n", b"").count(b"\n") == 0
    assert unstuffed(wire) == normal(content)


@given(TRICKY)
def test_it_is_what_the_plain_reference_makes(content):
    assert on_the_wire(content) == octet_by_octet(content)


@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n."]), max_size=12).map(b"".join), st.integers(-20, 20))
def test_where_a_chunk_ends_makes_no_difference(tricky, off):
    content = b"x" * (CHUNK + off) + tricky + b"x" * CHUNK + tricky
    assert on_the_wire(content) == octet_by_octet(content)
