"""One address, read strictly."""

import pytest
from address_corpus import LEGAL
from hypothesis import given
from hypothesis import strategies as st

from postroom.domain.address import Address, domain_name
from postroom.domain.problems import Invalid


def test_there_are_enough_legal_addresses():
    assert len(set(LEGAL)) >= 120


@pytest.mark.parametrize("text", sorted(set(LEGAL)))
def test_a_legal_address_is_read_and_written_in_one_canonical_form(text: str):
    address = Address.parse(text)
    assert address.local == text.partition("@")[0]
    assert address.domain == address.domain.lower()
    assert address.domain.isascii()
    assert Address.parse(str(address)) == address


def test_a_problem_names_the_field_and_does_not_repeat_the_address():
    with pytest.raises(Invalid) as refused:
        Address.parse("evil!bob@good.example", "to[0]")
    assert refused.value.field == "to[0]"
    assert "evil" not in refused.value.message


@given(st.text(st.characters(), max_size=40))
def test_any_text_is_an_address_or_invalid(text: str):
    for candidate in (text, f"{text}@good.example", f"bob@{text}", f"bob@{text}.example"):
        try:
            address = Address.parse(candidate)
        except Invalid:
            pass
        else:
            assert str(address).count("@") == 1
            assert not set(str(address)) & set(' \t\r\n"(),:;<>[]\\%!\x00')
            assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("bob@GOOD.example", "bob@good.example"),
        ("bob@bücher.example", "bob@xn--bcher-kva.example"),
        ("bob@XN--BCHER-KVA.example", "bob@xn--bcher-kva.example"),
        ("bob@Bücher.example", "bob@xn--bcher-kva.example"),
    ],
)
def test_two_spellings_of_a_domain_are_one_address(text: str, same: str):
    assert str(Address.parse(text)) == same


def test_the_local_part_keeps_its_case_on_the_wire_and_loses_it_in_comparisons():
    assert str(Address.parse("Bob@good.example")) == "Bob@good.example"
    assert Address.parse("Bob@good.example").folded == "bob@good.example"
    assert Address.parse("straße@good.example").folded != Address.parse("strasse@good.example").folded


def test_only_a_local_part_beyond_ascii_needs_smtputf8():
    assert Address.parse("jörg@good.example").needs_smtputf8
    assert not Address.parse("bob@bücher.example").needs_smtputf8


@pytest.mark.parametrize("size", [64, 65])
def test_the_local_part_has_at_most_64_octets(size: int):
    if size == 64:
        assert Address.parse("x" * size + "@good.example")
        assert Address.parse("é" * (size // 2) + "@good.example")
    else:
        with pytest.raises(Invalid, match="64 octets"):
            Address.parse("x" * size + "@good.example")


def test_the_whole_address_has_at_most_254_octets():
    domain = ".".join(["y" * 46] * 4) + ".yz"  # 190 octets
    assert len(str(Address.parse("x" * 63 + "@" + domain))) == 254
    with pytest.raises(Invalid, match="254"):
        Address.parse("x" * 64 + "@" + domain)


@pytest.mark.parametrize(
    "host", ["127.1", "1", "300", "good.1", "a b", "", ".", "-a", "a-", "a_b", "a..b", "a.", "ä" * 60]
)
def test_what_is_no_domain_name_is_refused(host: str):
    with pytest.raises(Invalid) as refused:
        domain_name(host, "server_name")
    assert refused.value.field == "server_name"
