"""Base64 of attachments: right, encoded once, and bounded."""

import base64
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.smtp.encoded import WORTH_IT, Encoded, base64_lines


@given(st.binary(max_size=1000))
def test_it_is_base64_in_lines_of_76(raw: bytes):
    lines = base64_lines(raw).split(b"\r\n")
    assert lines.pop() == b""
    assert base64.b64decode(b"".join(lines), validate=True) == raw
    assert all(len(line) == 76 for line in lines[:-1])
    assert len(lines[-1]) <= 76
    assert lines[-1] or not raw


def test_the_same_content_is_encoded_once():
    encoded = Encoded()
    first = encoded(b"a" * 5000)
    assert first == base64_lines(b"a" * 5000)
    assert encoded(b"".join([b"a"] * 5000)) is first  # an equal content, another object
    assert encoded(b"b" * 5000) == base64_lines(b"b" * 5000)


def test_it_never_remembers_more_than_it_may():
    encoded = Encoded(most=50_000)
    for n in range(200):
        encoded(bytes([n]) * 10_000)
        assert encoded.octets <= 50_000
    assert encoded.octets > 0


def test_what_was_used_last_is_kept():
    encoded = Encoded(most=50_000)
    often = encoded(b"a" * 10_000)
    for n in range(20):
        encoded(bytes([n]) * 10_000)
        assert encoded(b"a" * 10_000) is often


@pytest.mark.parametrize("size", [0, WORTH_IT - 1, 40_000])
def test_the_small_and_the_huge_are_not_remembered(size: int):
    encoded = Encoded(most=50_000)
    assert encoded(b"a" * size) == base64_lines(b"a" * size)
    assert encoded.octets == 0


def test_many_threads_may_ask_at_once():
    encoded = Encoded(most=50_000)
    contents = [bytes([n % 7]) * 10_000 for n in range(500)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(encoded, contents)) == [base64_lines(each) for each in contents]
    assert encoded.octets <= 50_000
