"""What commands print. Tables and colour in a terminal, plain lines when piped; what others wrote (subjects, a relay's
words) never reaches the terminal as anything but letters. Answers go to stdout, everything else to stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from postroom.cli.exits import for_problem
from postroom.domain.problems import Invalid, Problem

MARKS = {
    "ok": ("✓", "green"), "failed": ("✗", "bold red"), "skipped": ("–", "dim"),
    "warning": ("!", "yellow"),
    "sent": ("✓", "green"), "refused": ("✗", "bold red"), "expired": ("✗", "bold red"), "held": ("!", "yellow"),
    "cancelled": ("–", "dim"), "filtered": ("–", "dim"),
}  # fmt: skip
UNDER_WAY = ("…", "cyan")


def show(answer: Any, tell: Callable[[Any], None], *, as_json: bool) -> None:
    """The API's JSON as it is, or told for people."""
    if as_json:
        typer.echo(json.dumps(answer, indent=2))  # ASCII: no control character gets through
    else:
        tell(answer)


def say(text: str = "", style: str = "") -> None:
    """A line of the answer."""
    _print(Console(highlight=False), Text(printable(text), style))


def note(text: str, style: str = "") -> None:
    """A remark beside the answer."""
    _print(Console(stderr=True, highlight=False), Text(printable(text), style))


def marked(status: str, text: str) -> None:
    """A line with a mark for how it went."""
    mark, style = MARKS.get(status, UNDER_WAY)
    _print(Console(highlight=False), Text(f"{mark} ", style).append(printable(text), ""))


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """`empty` is said when there are no rows."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        note(empty)
    elif sys.stdout.isatty():
        _draw(titles, cells)
    else:
        _align([list(titles), *cells])


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """What is known of one thing, one fact a line; those without a value are left out."""
    known = [(name, _cell(value)) for name, value in pairs if value is not None and value != ""]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        _print(Console(highlight=False), Text(f"{name:{width}}  ", "bold").append(value, ""))


def watching(text: str) -> AbstractContextManager[Status | None]:
    """Something that moves while we wait, where a person looks on."""
    console = Console(stderr=True)
    return console.status(Text(text)) if console.is_terminal else nullcontext()


def complain(problem: Problem, *, as_json: bool) -> None:
    """One line on stderr: the field, what is wrong, and what to do (the message says both)."""
    field = problem.field if isinstance(problem, Invalid) else ""
    if as_json:
        said = {"code": problem.code, "detail": problem.message, "exit": for_problem(problem).value}
        typer.echo(json.dumps(said | ({"field": field} if field else {})), err=True)
        return
    where = f"{field}: " if field and field not in problem.message else ""
    _print(Console(stderr=True, highlight=False), Text("error: ", "bold red").append(f"{where}{problem.message}", ""))


def printable(text: str) -> str:
    """Without what could steer a terminal or hide in a line."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return " ".join(printable(str(value)).split())


def _draw(titles: Sequence[str], cells: list[list[str]]) -> None:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in titles:
        drawn.add_column(title, overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(cell, MARKS[cell][1] if cell in MARKS else "") for cell in row))
    Console().print(drawn)


def _align(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _print(console: Console, text: Text) -> None:
    """Neither wrapped nor cut, so that what is copied is what was meant."""
    console.print(text, soft_wrap=True)
