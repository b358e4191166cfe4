"""The commands together, and what is common to all: options, problems, exit codes."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from postroom import __version__
from postroom.cli import audit, check, exits, key, messages, output, profile, sandbox, send, serve, tenant, vault
from postroom.cli.invocation import AsJson, Invocation
from postroom.cli.wiring import Wiring
from postroom.domain.problems import Problem

HELP = """Outgoing-mail settings and mail: set, check, send, look up.

Commands speak to POSTROOM_URL with POSTROOM_KEY where that is set, else to the server that runs on POSTROOM_DATA_DIR,
else work on that directory in place."""
NOUNS = (tenant, key, profile, messages, sandbox, audit, vault)
VERBS = (serve.serve, serve.worker, send.send, check.check)


def run(wiring: Wiring, arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and do it; ends the program with an exit code from the table in `exits.py`."""
    invocation = Invocation(wiring)
    try:
        _build()(args=arguments, prog_name="postroom", obj=invocation)
    except Problem as problem:
        output.complain(problem, as_json=invocation.as_json)
        sys.exit(exits.for_problem(problem))


def _build() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=HELP, epilog=exits.table())
    app.callback(invoke_without_command=True)(_before)
    for verb in VERBS:
        app.command()(verb)
    for noun in NOUNS:
        app.add_typer(noun.commands, name=noun.__name__.rpartition(".")[2])
    app.command()(version)
    return app


def _before(
    ctx: typer.Context,
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", metavar="SLUG", help="Whose; else the key's, or `default`.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        output.say(f"postroom {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        raise typer.BadParameter("say what to do: see postroom --help")
    invocation: Invocation = ctx.obj
    invocation.tenant = tenant


def version(as_json: AsJson = False) -> None:
    """Print the version."""
    output.show({"version": __version__}, lambda said: output.say(f"postroom {said['version']}"), as_json=as_json)
