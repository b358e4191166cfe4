"""The commands together, and what is common to all: options, problems, exit codes."""

import sys

import typer
from rich.console import Console

from postroom.cli import serve
from postroom.cli.wiring import Wiring
from postroom.domain.problems import Problem
from postroom.domain.secret import Secret


def run(wiring: Wiring) -> None:
    """Parse the command line and do it."""
    app = typer.Typer(name="postroom", no_args_is_help=True, pretty_exceptions_enable=False)
    serve.add(app, wiring)
    try:
        app()
    except Problem as problem:
        Console(stderr=True).print(f"[bold red]error:[/] {problem.message}")
        sys.exit(1)


def greet(url: str, first_key: Secret | None) -> None:
    """Say where we are, the admin key if it was just drawn, and what to try."""
    key = first_key.reveal() if first_key else "$POSTROOM_KEY"
    out = Console()
    out.print(f"\nPostroom is at {url}")
    if first_key:
        out.print(f"Admin key (shown this once): {key}")
    out.print(f"\nTry:\n  curl -H 'Authorization: Bearer {key}' {url}/v1/profiles/default", soft_wrap=True)
