"""The program as a whole: help, version, completion, the greeting, and what reaches a terminal."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import typer

from postroom import cli
from postroom.cli import output
from postroom.cli.duration import seconds
from postroom.cli.exits import MEANINGS, Exit
from postroom.domain.secret import Secret

from .conftest import Cli, Terminal

NOWHERE = Cli({"POSTROOM_DATA_DIR": "/nonexistent"})


def test_without_arguments_it_shows_its_help():
    done = NOWHERE()
    assert "Usage: postroom" in done.out
    assert done.code == 2


def test_help_has_the_table_of_exit_codes():
    shown = " ".join(NOWHERE("--help").out.split())
    for code, meaning in MEANINGS.items():
        assert f"{code.value} {meaning}" in shown
    assert set(MEANINGS) == set(Exit)


def test_the_version_needs_no_data_directory():
    assert NOWHERE("--version").out.startswith("postroom ")
    assert NOWHERE("version", "--json").json["version"] in NOWHERE("version").out


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("-t", "x"), ("profile", "set", "--port", "many"), ("key", "revoke")]
)
def test_what_cannot_be_understood_is_2(arguments: tuple[str, ...]):
    assert NOWHERE(*arguments).code == 2


def test_a_shell_can_complete_it():
    asked = {"_POSTROOM_COMPLETE": "complete_bash", "COMP_WORDS": "postroom pro", "COMP_CWORD": "1"}
    assert NOWHERE(**asked).out.split() == ["profile"]
    assert "_POSTROOM_COMPLETE=complete_bash" in NOWHERE(_POSTROOM_COMPLETE="source_bash").out


@pytest.mark.parametrize(("text", "meant"), [("90d", 7_776_000), ("12h", 43_200), ("30m", 1800), ("45s", 45)])
def test_durations_are_a_number_and_a_unit(text: str, meant: int):
    assert seconds(text) == meant


@pytest.mark.parametrize("text", ["", "90", "d", "1.5h", "-1h", "1w", "٣d"])
def test_anything_else_is_no_duration(text: str):
    with pytest.raises(typer.BadParameter):
        seconds(text)


def greeting(key: str | None, data_dir: Path, kind: type[io.StringIO] = io.StringIO) -> str:
    with redirect_stdout(kind()) as out:
        cli.greet("http://127.0.0.1:8025", Secret(key) if key else None, data_dir)
    return out.getvalue()


def test_the_greeting_has_three_commands_each_on_one_line(tmp_path: Path):
    key = "0b5f0b5e-0000-4000-8000-[bold]000000"
    lines = [line.strip() for line in greeting(key, tmp_path / ("long" * 50)).splitlines()]
    path = "http://127.0.0.1:8025/threadfix/rest/latest/systemsettings/email"
    assert f'curl -H "Authorization: APIKEY {key}" {path}' in lines
    assert sum(" send --to you@example.com " in line and line.endswith("--wait") for line in lines) == 1
    assert "http://127.0.0.1:8025/sandbox" in lines


def test_the_greeting_speaks_of_a_key_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    said = greeting(None, Path("data"), Terminal)
    assert '"Authorization: APIKEY $POSTROOM_KEY"' in said
    assert "Admin key" not in said
    assert "    postroom send " in said


def test_what_others_wrote_cannot_steer_the_terminal():
    assert output.printable("a\x1b[2Jb\x9bc\u202ed\ne") == "a\ufffd[2Jb\ufffdc\ufffdd\ne"


def test_a_table_is_drawn_for_people_and_plain_in_a_pipe():
    def drawn(kind: type[io.StringIO]) -> str:
        with redirect_stdout(kind()) as out:
            output.table(("name", "state"), [("[red]x\x1b", "sent")], empty="")
        return out.getvalue()

    assert drawn(io.StringIO) == "name     state\n[red]x\ufffd  sent\n"
    assert "─" in drawn(Terminal)
    assert "[red]x\ufffd" in drawn(Terminal)
