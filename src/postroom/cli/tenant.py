"""`postroom tenant`: the organisations, portals, realms or customers that have settings here."""

from typing import Annotated, Any

import typer

from postroom.cli.invocation import AsJson, ask
from postroom.cli.output import facts, show, table

commands = typer.Typer(no_args_is_help=True, help="Tenants: whose settings and mail they are.")


@commands.command("list")
def every(ctx: typer.Context, as_json: AsJson = False) -> None:
    """The tenants that the key can see."""
    show(ask(ctx, "GET", "tenants"), _table, as_json=as_json)


@commands.command()
def create(
    ctx: typer.Context,
    slug: Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens.")],
    name: Annotated[str, typer.Option(help="What people call it; else the slug.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a tenant. It has no settings yet: go on with `postroom -t SLUG profile set`."""
    show(ask(ctx, "POST", "tenants", {"slug": slug, "name": name}), _facts, as_json=as_json)


def _table(answer: Any) -> None:
    rows = [(each["slug"], each["name"], each["created_at"]) for each in answer["tenants"]]
    table(("tenant", "name", "created"), rows, empty="There is no tenant.")


def _facts(tenant: Any) -> None:
    facts((("tenant", tenant["slug"]), ("name", tenant["name"]), ("created", tenant["created_at"])))
