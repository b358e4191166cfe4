"""The tree of problems."""

import pytest

from postroom.domain import problems
from postroom.domain.access import EVERYTHING, Caller, Permission
from postroom.domain.problems import Denied, Invalid, Problem, SecretNeeded, Unavailable
from postroom.domain.tenant import slug

ALL = [kind for kind in vars(problems).values() if isinstance(kind, type) and issubclass(kind, Problem)]


def test_every_problem_has_a_code_of_its_own():
    assert len({kind.code for kind in ALL}) == len(ALL)


@pytest.mark.parametrize(
    ("field", "where", "seen"),
    [("to[0]", "[3]", "[3].to[0]"), ("[0]", "to", "to[0]"), ("", "to", "to"), ("name", "to[0]", "to[0].name")],
)
def test_a_field_is_named_as_it_is_seen_from_outside(field: str, where: str, seen: str):
    assert Invalid(field, "No.").inside(where).field == seen


def test_a_needed_secret_stays_one_when_seen_from_outside():
    outside = SecretNeeded("password", "Give it again.").inside("[1]")
    assert isinstance(outside, SecretNeeded)
    assert (outside.field, outside.message) == ("[1].password", "Give it again.")


def test_the_message_is_what_is_printed():
    assert str(Unavailable("Busy.", retry_after=9)) == "Busy."
    assert Unavailable("Busy.", retry_after=9).retry_after == 9


def test_who_lacks_a_permission_is_told_which():
    caller = Caller("k1", "deploy", 1, EVERYTHING - {Permission.MAIL_SEND})
    caller.require(Permission.MAIL_READ)
    with pytest.raises(Denied, match="mail:send"):
        caller.require(Permission.MAIL_SEND)


@pytest.mark.parametrize("text", ["default", "a", "0", "a-b-", "a" * 63])
def test_a_slug_is_taken_as_it_is(text: str):
    assert slug(text) == text


@pytest.mark.parametrize("text", ["", "-a", "A", "a_b", "a.b", "a" * 64, "a\n", "ä", "*"])
def test_anything_else_is_no_slug(text: str):
    with pytest.raises(Invalid) as refused:
        slug(text, "tenant")
    assert refused.value.field == "tenant"
