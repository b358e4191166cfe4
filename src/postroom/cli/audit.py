"""`postroom audit`: who did what, and whether anybody has rewritten it."""

import json
from typing import Annotated, Any

import typer

from postroom.cli.connection import INSTALLATION
from postroom.cli.exits import Exit
from postroom.cli.invocation import AsJson, Invocation, ask
from postroom.cli.output import marked, note, show, table

commands = typer.Typer(no_args_is_help=True, help="The audit: who did what, when.")

Everything = Annotated[
    bool, typer.Option("--installation", help="Of all tenants and the installation itself, instead of one tenant.")
]


@commands.command("list")
def every(
    ctx: typer.Context,
    action: Annotated[str | None, typer.Option(help="Such as profile.saved, or profile for all about them.")] = None,
    subject: Annotated[str | None, typer.Option(help="What it was done to: a profile's number, a key's id.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Such as 2026-01-31T00:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Not included.")] = None,
    before: Annotated[int | None, typer.Option(metavar="ID", help="The page after the entry with this id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    installation: Everything = False,
    as_json: AsJson = False,
) -> None:
    """The newest first."""
    _choose(ctx, installation)
    query = {"action": action, "subject": subject, "since": since, "until": until, "before": before, "limit": limit}
    show(ask(ctx, "GET", "audit", **query), _table, as_json=as_json)


@commands.command()
def verify(
    ctx: typer.Context,
    head: Annotated[
        str | None, typer.Option(metavar="HEAD", help="One that an earlier verification told: it must still hold.")
    ] = None,
    installation: Everything = False,
    as_json: AsJson = False,
) -> None:
    """Whether anything in it was edited, removed, reordered or inserted. Tells each chain's head: keep it elsewhere."""
    _choose(ctx, installation)
    answer = ask(ctx, "GET", "audit/verification", head=head)
    show(answer, _chains, as_json=as_json)
    if not answer["ok"]:
        raise typer.Exit(Exit.AUDIT_REWRITTEN)


def _choose(ctx: typer.Context, installation: bool) -> None:
    if installation:
        invocation: Invocation = ctx.obj
        invocation.tenant = INSTALLATION


def _table(answer: Any) -> None:
    rows = [
        (each["id"], each["at"], each["tenant"] or "(installation)", each["key"], each["address"], each["dialect"],
         each["action"], each["subject"], _said(each["detail"]))
        for each in answer["entries"]
    ]  # fmt: skip
    titles = ("id", "at", "tenant", "key", "from", "dialect", "action", "subject", "detail")
    table(titles, rows, empty="There is no such entry.")
    if answer["next"]:
        note(f"There are more: --before {answer['next']}")


def _said(detail: Any) -> str:
    return json.dumps(detail, ensure_ascii=False) if detail else ""


def _chains(answer: Any) -> None:
    for each in answer["chains"]:
        whose = each["tenant"] or "(installation)"
        fault = each["fault"]
        if fault is None:
            marked("ok", f"{whose}: {each['rows']} rows, head {each['head']}")
        else:
            marked("failed", f"{whose}: {fault['what']}. {fault['message']} The {each['rows']} before it are well.")
