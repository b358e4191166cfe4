"""`postroom check`: try the settings step by step; which one fails, and what to change."""

from typing import Annotated, Any

import typer

from postroom.cli import exits
from postroom.cli.connection import at
from postroom.cli.exits import Exit
from postroom.cli.invocation import AsJson, ask
from postroom.cli.output import marked, say, show, watching
from postroom.cli.profile import DEFAULT, Id


def check(
    ctx: typer.Context,
    profile: Id = DEFAULT,
    recipient: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ask the relay whether it would take mail for this address.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try the settings as delivery would, without sending anything. The exit code says which step failed."""
    with watching("Asking the relay…"):
        found = ask(ctx, "POST", at("profiles", profile, "check"), {"recipient": recipient})
    show(found, _ladder, as_json=as_json)
    raise typer.Exit(_exit(found))


def _ladder(found: Any) -> None:
    for step in found["steps"]:
        marked(step["status"], f"{step['stage']:9}  {step['message']}  ({step['seconds'] * 1000:.1f} ms)")
        if step["status"] == "failed":
            for line in _why(step):
                say(f"             {line}")


def _why(step: Any) -> list[str]:
    reply, advice = step["detail"].get("reply"), step["advice"]
    return [*([f"The relay said: {reply}"] if reply else []), *([f"What to do: {advice}"] if advice else [])]


def _exit(found: Any) -> Exit:
    failed = [step["stage"] for step in found["steps"] if step["status"] == "failed"]
    return exits.for_stage(failed[0]) if failed else Exit.OK
