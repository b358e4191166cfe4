"""`postroom vault`: the keys that secrets and mail are sealed with."""

from typing import Annotated, Any

import typer

from postroom.cli.connection import Connection, at
from postroom.cli.invocation import AsJson, ask, talk
from postroom.cli.output import note, say, show, table, watching

commands = typer.Typer(no_args_is_help=True, help="The vault's keys: see them, rotate, retire.")


@commands.command("list")
def every(ctx: typer.Context, as_json: AsJson = False) -> None:
    """The keys that may have sealed something, the one that seals first."""
    show(ask(ctx, "GET", "vault"), _table, as_json=as_json)


@commands.command()
def rotate(
    ctx: typer.Context,
    resume: Annotated[bool, typer.Option(help="Make no new key, only go on sealing anew.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have a new key seal from now on, and seal everything anew with it, while mail flows. It may be stopped anywhere:
    --resume goes on."""
    show(talk(ctx, lambda connection: _rotate(connection, resume)), _told, as_json=as_json)


@commands.command()
def retire(ctx: typer.Context, key: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """Take a key out of use. Refused while something is sealed with it. A configured key is then to be taken out of
    POSTROOM_VAULT_KEY, too."""
    ask(ctx, "DELETE", at("vault/keys", key))
    note(f"{key} is out of use. If it stands in POSTROOM_VAULT_KEY, take it out there on every machine.")


async def _rotate(connection: Connection, resume: bool) -> dict[str, Any]:
    made = None if resume else (await connection.ask("POST", "vault/rotate"))["made"]
    if made:
        note(f"{made} seals from now on. Back the key file up.")
    counts: dict[str, int] = {}
    lost, after = 0, None
    with watching("Sealing anew …") as status:
        while True:
            lot = await connection.ask("POST", "vault/reseal", {"after": after})
            counts[lot["kind"]] = counts.get(lot["kind"], 0) + lot["sealed"]
            lost, after = lost + lot["lost"], lot["after"]
            if after is None:
                return {"made": made, "sealed": {kind: count for kind, count in counts.items() if count}, "lost": lost}
            if status is not None:
                status.update(f"Sealing anew: {_listed(counts)}")


def _told(answer: Any) -> None:
    say(f"Sealed anew: {_listed(answer['sealed'])}.")
    if answer["lost"]:
        note(f"{answer['lost']} could not be opened, and stay as they are: a vault key is missing.", "yellow")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "nothing"


def _table(answer: Any) -> None:
    rows = [(each["id"], each["seals"], each["is_here"]) for each in answer["keys"]]
    table(("key", "seals", "here"), rows, empty="There is no key.")
