"""A secret shows itself in one way only."""

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest

from postroom.domain.profile import Patch
from postroom.domain.secret import Secret

SECRET = Secret("correct horse")


@pytest.mark.parametrize("show", [str, repr, ascii, "{}".format, "{!r}".format, lambda s: f"{s}", lambda s: f"{[s]}"])
def test_no_way_of_printing_shows_it(show: Callable[[object], str]):
    assert "horse" not in show(SECRET)
    assert "horse" not in show(Patch(password=SECRET))


@pytest.mark.parametrize("write", [pickle.dumps, json.dumps, copy.copy, copy.deepcopy])
def test_no_way_of_writing_it_away_works(write: Callable[[object], object]):
    with pytest.raises(TypeError):
        write(SECRET)


def test_neither_a_log_nor_a_traceback_shows_it(caplog: pytest.LogCaptureFixture):
    logging.getLogger("test").warning("got %s %r", SECRET, {"password": SECRET})
    try:
        raise ValueError(SECRET)
    except ValueError:
        assert "horse" not in traceback.format_exc() + caplog.text


def test_it_is_revealed_to_who_asks():
    assert SECRET.reveal() == "correct horse"


def test_equal_secrets_are_equal_and_others_are_not():
    same, other = Secret("correct horse"), Secret("correct")
    assert same == SECRET
    assert hash(same) == hash(SECRET)
    assert other != SECRET
    assert SECRET.reveal() != SECRET


def test_an_empty_secret_is_none_at_all():
    assert not Secret("")
    assert Secret(" ")
