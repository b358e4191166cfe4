"""`postroom key`: the API keys of a tenant, or of the whole installation."""

from typing import Annotated, Any

import typer

from postroom.cli.connection import INSTALLATION, at
from postroom.cli.duration import seconds
from postroom.cli.invocation import AsJson, Invocation, ask
from postroom.cli.output import facts, note, say, show, table
from postroom.domain.access import Permission

commands = typer.Typer(no_args_is_help=True, help="API keys: who may do what.")

ForInstallation = Annotated[
    bool, typer.Option("--installation", help="Of the whole installation instead of one tenant.")
]


@commands.command("list")
def every(ctx: typer.Context, installation: ForInstallation = False, as_json: AsJson = False) -> None:
    """The tenant's keys; with --installation all. Never their values."""
    _choose(ctx, installation)
    show(ask(ctx, "GET", "keys"), _table, as_json=as_json)


@commands.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    permission: Annotated[
        list[Permission] | None, typer.Option(help="Give it several times; without it, all that your own key has.")
    ] = None,
    expires_in: Annotated[
        int | None, typer.Option(parser=seconds, metavar="DURATION", help="For example 90d; else it never expires.")
    ] = None,
    email: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Whose it is: some products send their test mail there.")
    ] = None,
    installation: ForInstallation = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the new key's value and nothing else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its value is shown this once."""
    _choose(ctx, installation)
    permissions = [each.value for each in permission] if permission else None
    made = ask(
        ctx, "POST", "keys", {"name": name, "permissions": permissions, "expires_in": expires_in, "email": email}
    )
    show(made, _value if quiet else _new, as_json=as_json)


@commands.command()
def rotate(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(metavar="ID", help="As `key list` shows it.")],
    overlap: Annotated[
        int, typer.Option(parser=seconds, metavar="DURATION", help="How long the old value stays good: 0s ends it now.")
    ] = "24h",  # type: ignore[assignment]  # parsed
    installation: ForInstallation = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the new value and nothing else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give a key a new value, shown this once. `key list` says whether the old one is still in use."""
    _choose(ctx, installation)
    made = ask(ctx, "POST", at("keys", key, "rotate"), {"overlap": overlap})
    show(made, _value if quiet else _new, as_json=as_json)


@commands.command()
def revoke(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(metavar="ID", help="As `key list` shows it.")],
    installation: ForInstallation = False,
) -> None:
    """Revoke a key, at once. What was made from it (tokens) ends with it."""
    _choose(ctx, installation)
    ask(ctx, "DELETE", at("keys", key))
    say(f"Key {key} is revoked.")


def _choose(ctx: typer.Context, installation: bool) -> None:
    if installation:
        invocation: Invocation = ctx.obj
        invocation.tenant = INSTALLATION


def _table(answer: Any) -> None:
    rows = [
        (each["id"], each["name"], each["tenant"] or "(installation)", _permissions(each), _life(each),
         each["last_used_at"])
        for each in answer["keys"]
    ]  # fmt: skip
    table(("id", "name", "tenant", "permissions", "valid", "last used"), rows, empty="There is no key.")


def _value(made: Any) -> None:
    say(made["key"])


def _new(made: Any) -> None:
    facts((
        ("id", made["id"]), ("name", made["name"]), ("tenant", made["tenant"] or "(the whole installation)"),
        ("permissions", _permissions(made)), ("valid", _life(made)),
    ))  # fmt: skip
    say(f"\n  {made['key']}\n", "bold")
    note("This is shown once and kept nowhere. To use it:")
    note("  on the command line   export POSTROOM_KEY=<the key>")
    note("  over HTTP             Authorization: Bearer <the key>")


def _permissions(key: Any) -> str:
    return "all" if set(key["permissions"]) == set(Permission) else ", ".join(key["permissions"])


def _life(key: Any) -> str:
    if key["revoked_at"]:
        return f"revoked {key['revoked_at']}"
    life = f"until {key['expires_at']}" if key["expires_at"] else "for ever"
    if not key.get("previous_until"):
        return life
    used = f"used {key['previous_used_at']}" if key["previous_used_at"] else "not used"
    return f"{life}; its old value until {key['previous_until']}, {used}"
