"""Who may be mailed: the filter, and everything that was ever tried to get past one."""

import time

import pytest
from address_corpus import ATTACKS, GOOD, LEGAL
from hypothesis import given
from hypothesis import strategies as st

from postroom.domain.address import Address
from postroom.domain.problems import Invalid
from postroom.domain.recipients import LONGEST_PATTERN, MOST_PATTERNS, Pattern, RecipientFilter, recipient_filter

ONLY_GOOD = RecipientFilter.parse(f"*@{GOOD}")


def allowed(text: str, recipients: RecipientFilter = ONLY_GOOD) -> bool:
    try:
        return recipients.allows(Address.parse(text))
    except Invalid:
        return False


def oracle(pattern: str, text: str) -> bool:
    """The same question asked of a table: whether a prefix of the pattern fits a prefix of the text."""
    fits = [True] + [False] * len(text)
    for sign in pattern:
        if sign == "*":
            fits = [any(fits[: at + 1]) for at in range(len(fits))]
        else:
            fits = [False] + [before and sign == letter for before, letter in zip(fits, text, strict=False)]
    return fits[-1]


def test_the_corpus_is_as_large_as_promised():
    assert len(ATTACKS) >= 24
    assert len({attack for attacks in ATTACKS.values() for attack in attacks}) >= 250


@pytest.mark.parametrize("kind", ATTACKS)
def test_no_trick_gets_past_the_filter(kind: str):
    assert [attack for attack in ATTACKS[kind] if allowed(attack)] == []


@pytest.mark.parametrize("text", sorted(set(LEGAL)))
def test_the_filter_allows_exactly_the_addresses_of_its_domain(text: str):
    assert allowed(text) == (text.lower().endswith(f"@{GOOD}"))
    assert allowed(text, RecipientFilter())
    assert allowed(text, RecipientFilter.parse("*"))
    assert allowed(text, RecipientFilter.parse("*@*"))


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("bob@good.example", "BOB@good.example", True),
        ("BOB@GOOD.example", "bob@good.example", True),
        ("*.builder@*", "bob.builder@evil.example", True),
        ("*@*.good.example", "bob@sub.good.example", True),
        ("*@*.good.example", "bob@good.example", False),
        ("*@bücher.example", "bob@xn--bcher-kva.example", True),
        ("*@xn--bcher-kva.example", "bob@bücher.example", True),
        ("*@*.bücher.example", "bob@a.bücher.example", True),
        ("*@bücher.*", "bob@xn--bcher-kva.example", True),
        ("jörg@*", "JÖRG@good.example", True),
        ("b*b@good.example", "bob@good.example", True),
        ("b*b@good.example", "b@good.example", False),
        ("**@good.example", "bob@good.example", True),
        ("b?b@good.example", "bob@good.example", False),
        ("b?b@good.example", "b?b@good.example", True),
        ("*good.example@*", "bob@good.example", False),
    ],
)
def test_a_star_is_any_run_of_characters_on_its_side_of_the_at(pattern: str, text: str, fits: bool):
    assert allowed(text, RecipientFilter.parse(pattern)) is fits


def test_any_pattern_of_a_list_is_enough():
    recipients = RecipientFilter.parse(" *@good.example , bob@other.example,*@third.example ")
    assert len(recipients.patterns) == 3
    assert allowed("bob@other.example", recipients)
    assert not allowed("eve@other.example", recipients)


@pytest.mark.parametrize("text", [None, "", "  ", "\n"])
def test_no_filter_allows_everyone(text: str | None):
    assert recipient_filter(text).allows(Address.parse("x@evil.example"))


@pytest.mark.parametrize(
    "text",
    [
        "good.example", "*good.example", "@good.example", "bob@", "*@", "**", "@", "*@good.example,", ",*@good.example",
        ",", "*@good.example,,*@b.example", " , ", "*@a@b", "*@good.example;x", "bob evil@*", "*@good example",
        "<*@good.example>", '"bob"@*', "*@[1.2.3.4]", "*@1.2.3.4", "bob%x@*", "x!y@*", "*@good.example.", "*@b*ücher.x",
        "*@good_.example", "*@good*.example\x00", "*@\u212a*.example", "*@\u212a.example", "bob\\@*", "b(x)@*",
        "*@xn--.example", "*@ｇood.example", "*@?ood.example", "*@?ood.*", "*@[g]ood*.x", "*@a.example\n*@evil.x",
        "x" * LONGEST_PATTERN + "@*", ",".join(["*@good.example"] * (MOST_PATTERNS + 1)), ",".join(["*@a.b"] * 10_000),
    ],
)  # fmt: skip
def test_a_pattern_that_could_be_misread_is_refused_when_it_is_saved(text: str):
    with pytest.raises(Invalid) as refused:
        RecipientFilter.parse(text)
    assert refused.value.field == "recipient_filter"


@given(st.text("ab*", max_size=12), st.text("ab", max_size=16))
def test_matching_agrees_with_a_slow_and_plain_matcher(pattern: str, text: str):
    assert Pattern(pattern, "x").matches(Address(text, "x")) == oracle(pattern, text)


@given(st.text("ab.*-", min_size=1, max_size=12), st.text("ab.-", min_size=1, max_size=16))
def test_a_domain_matches_like_a_local_part(pattern: str, text: str):
    assert Pattern("*", pattern).matches(Address("x", text)) == oracle(pattern, text)


@given(st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=5), st.text("abc", max_size=5))
def test_a_text_that_was_made_from_the_pattern_fits_it(pieces: list[str], filling: str):
    assert Pattern("*".join(pieces), "x").matches(Address(filling.join(pieces), "x"))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a" * 120 + "*b", "a" * 200),
        ("*aaaaaaaab" * 20, "a" * 200),
        ("a*" * 120 + "b", "a" * 200),
        ("*" * 255, "a" * 200),
        ("*" + "a" * 100 + "*" + "a" * 100 + "b*", "a" * 200),
        ("*ab" * 60 + "*", "ab" * 59 + "a" * 80),
    ],
)
def test_matching_takes_linear_time_whatever_the_pattern(pattern: str, text: str):
    filters = RecipientFilter(tuple(Pattern(pattern, pattern) for _ in range(MOST_PATTERNS)))
    started = time.perf_counter()
    filters.allows(Address(text, text))
    assert time.perf_counter() - started < 0.1
    assert Pattern(pattern, "*").matches(Address(text, "x")) == oracle(pattern, text)


def test_ten_times_the_length_takes_about_ten_times_as_long():
    def seconds(size: int) -> float:
        pattern, address = Pattern("*a" * size + "*b", "*"), Address("a" * size * 2, "x")
        times = []
        for _ in range(7):
            started = time.perf_counter()
            pattern.matches(address)
            times.append(time.perf_counter() - started)
        return min(times)

    assert seconds(20_000) < 40 * seconds(2_000)
