"""Templates are compiled once, where that can be kept."""

import sys
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment

from postroom.web.pages.render import CompiledTemplates


def said(directory: Path, source: str = "Hello, {{ name }}.") -> str:
    environment = Environment(  # a new one for each, as each process has its own
        autoescape=True, loader=DictLoader({"hello.html": source}), bytecode_cache=CompiledTemplates(str(directory))
    )
    return environment.get_template("hello.html").render(name="Ann")


def test_what_was_compiled_is_found_by_the_next_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert said(tmp_path / "new") == "Hello, Ann."
    (kept,) = (tmp_path / "new").iterdir()
    first = kept.stat()
    assert said(tmp_path / "new") == "Hello, Ann."
    assert [kept] == list((tmp_path / "new").iterdir())
    assert kept.stat().st_ino == first.st_ino  # what is compiled once more is written to a new file


def test_a_changed_template_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    said(tmp_path)
    assert said(tmp_path, "Good bye, {{ name }}.") == "Good bye, Ann."


def test_nothing_is_written_where_python_is_told_to_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert said(tmp_path) == "Hello, Ann."
    assert not list(tmp_path.iterdir())


def test_a_place_that_can_not_be_written_to_is_no_trouble(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert said(Path("/proc/nothing/is/made/here")) == "Hello, Ann."
