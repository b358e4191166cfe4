"""The reply grammar: strict, bounded, and the same however the bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.smtp.reply import LONGEST_LINE, LONGEST_REPLY, MOST_LINES, ProtocolError, Reply, ReplyReader


def read(*pieces: bytes) -> list[Reply | str]:
    """Every reply, and at the end "error" if it came to that."""
    reader = ReplyReader()
    found: list[Reply | str] = []
    for piece in pieces:
        reader.feed(piece)
        try:
            while (reply := reader.next()) is not None:
                found.append(reply)
        except ProtocolError:
            return [*found, "error"]
    return found


def one(data: bytes) -> Reply:
    (reply,) = read(data)
    assert isinstance(reply, Reply)
    return reply


def test_a_reply_of_one_line():
    assert one(b"250 ok\r\n") == Reply(250, (b"ok",))


def test_a_reply_of_several_lines_with_and_without_text():
    assert one(b"250-first\r\n250-\r\n250\r\n") == Reply(250, (b"first", b"", b""))


def test_a_line_may_end_with_a_bare_line_feed():
    assert one(b"250-a\n250 b\n") == Reply(250, (b"a", b"b"))


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"25\r\n",
        b"2500 ok\r\n",
        b"250\tok\r\n",
        b"150 no\r\n",
        b"650 no\r\n",
        b"ok\r\n",
        b" 250 ok\r\n",
        b"+OK\r\n",
        b"2\x0050 ok\r\n",
        b"550-no\r\n250 yes\r\n",
        "２５０ ok\r\n".encode(),
    ],
)
def test_what_is_no_reply_is_an_error(data):
    assert read(data) == ["error"]


def test_replies_before_an_error_still_count():
    assert read(b"250 ok\r\n354 go\r\ngarbage\r\n250 ok\r\n") == [Reply(250, (b"ok",)), Reply(354, (b"go",)), "error"]


def test_the_limits_hold_and_what_is_just_inside_them_is_read():
    fits = b"250 " + b"x" * (LONGEST_LINE - 6) + b"\r\n"
    assert len(fits) == LONGEST_LINE
    assert isinstance(read(fits)[0], Reply)
    assert read(b"250 " + b"x" * (LONGEST_LINE - 5) + b"\r\n") == ["error"]
    assert read(b"x" * LONGEST_LINE) == ["error"]
    assert isinstance(read(b"250-x\r\n" * (MOST_LINES - 1) + b"250 x\r\n")[0], Reply)
    assert read(b"250-x\r\n" * MOST_LINES + b"250 x\r\n") == ["error"]
    assert read((b"250-" + b"x" * 2000 + b"\r\n") * (LONGEST_REPLY // 2000 + 1)) == ["error"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"550 5.1.1 nobody\r\n", "5.1.1"),
        (b"550 5.1.1\r\n", "5.1.1"),
        (b"550 4.1.1 another class\r\n", None),
        (b"550 5.1.1nobody\r\n", None),
        (b"550 5.1 short\r\n", None),
        (b"354 3.0.0 no such class\r\n", None),
    ],
)
def test_an_enhanced_code_counts_only_if_it_agrees_with_the_reply(text, code):
    assert one(text).enhanced == code


def test_shown_text_is_printable_and_short():
    shown = one(b"550 \x1b[2J\x00\xe2\x80\xae" + b"\xff" * 1000 + b"\r\n").shown()
    assert shown.text.startswith("\\x1B[2J\\x00\\xE2\\x80\\xAE\\xFF")
    assert len(shown.text) == 512


REPLYISH = st.lists(
    st.one_of(
        st.sampled_from([b"250 ok\r\n", b"250-a\r\n", b"250 b\n", b"550 5.1.1 x\r\n", b"354\r\n", b"\r", b"\n", b"25"]),
        st.binary(max_size=20),
        st.just(b"250-" + b"y" * 2045),
    ),
    max_size=30,
).map(b"".join)


@given(REPLYISH, st.lists(st.integers(1, 50), max_size=60))
def test_any_cutting_into_pieces_gives_the_same(data, sizes):
    pieces, rest = [], data
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    assert read(*pieces, rest) == read(data)


@given(REPLYISH)
def test_nothing_that_is_read_breaks_the_limits_or_the_grammar(data):
    for reply in read(data):
        if isinstance(reply, Reply):
            assert 200 <= reply.code <= 599
            assert 1 <= len(reply.lines) <= MOST_LINES
            assert len(reply.cleaned()) <= 512
            assert all(" " <= c <= "~" for c in reply.cleaned())


WORDS = st.sampled_from(
    [b"250 ok\r\n", b"354 go\r\n", b"550 no\r\n", b"250-a\r\n", b"250 ok\n", b"250 q1\r\r\n", b"zz\r\n"]
)


@given(st.lists(st.lists(WORDS, max_size=5), max_size=8), st.integers(0, 9))
def test_what_is_recognised_as_a_group_is_what_would_have_been_read(chunks, cut):
    """One reader is asked for groups first, the other never; both hear everything twice, cut in the same places."""
    quick, slow = ReplyReader(), ReplyReader()
    for chunk in map(b"".join, chunks * 2):
        for piece in (chunk[:cut], chunk[cut:]):
            quick.feed(piece)
            slow.feed(piece)
            heard, wrong = rest_of(quick, groups=True)
            assert (heard, wrong) == rest_of(slow, groups=False)
            assert quick.has_rest == slow.has_rest
            if wrong:
                return


def rest_of(reader: ReplyReader, *, groups: bool) -> tuple[list[Reply], str]:
    found: list[Reply] = []
    try:
        while more := (reader.group() if groups else ()) or tuple(filter(None, [reader.next()])):
            found += more
    except ProtocolError as error:
        return found, str(error)
    return found, ""


def test_what_was_heard_before_is_a_group():
    reader = ReplyReader()
    for _ in range(2):
        reader.feed(b"250 ok\r\n354 go\r\n")
        while reader.next():
            pass
    reader.feed(b"250 ok\r\n354 go\r\n")
    assert reader.group() == (Reply(250, (b"ok",)), Reply(354, (b"go",)))
    assert not reader.has_rest
