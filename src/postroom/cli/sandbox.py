"""`postroom sandbox`: the mails that the sandbox relay caught instead of sending them."""

from typing import Annotated, Any

import typer

from postroom.cli.connection import at
from postroom.cli.invocation import AsJson, ask
from postroom.cli.output import facts, note, say, show, table

commands = typer.Typer(no_args_is_help=True, help="The sandbox: mail that was caught instead of sent.")


@commands.command("list")
def every(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(help="At most so many, 1 to 200.")] = 50,
    before: Annotated[str | None, typer.Option(metavar="ID", help="Those before this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """What it caught, newest first."""
    show(ask(ctx, "GET", "sandbox/messages", limit=limit, before=before), _table, as_json=as_json)


@commands.command("show")
def one(
    ctx: typer.Context,
    mail: Annotated[str, typer.Argument(metavar="ID")],
    source: Annotated[bool, typer.Option("--source", help="As it came over the wire.")] = False,
    as_json: AsJson = False,
) -> None:
    """One of them, as a reader would see it."""
    found = ask(ctx, "GET", at("sandbox/messages", mail))
    show(found, _source if source else _mail, as_json=as_json)


@commands.command()
def empty(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Throw away all that it caught."""
    show(ask(ctx, "DELETE", "sandbox/messages"), _emptied, as_json=as_json)


def _table(answer: Any) -> None:
    rows = [
        (each["id"], each["received_at"], each["envelope_sender"], each["recipients"], each["subject"])
        for each in answer["messages"]
    ]
    table(("id", "received", "from", "to", "subject"), rows, empty="The sandbox is empty.")
    if answer["next"]:
        note(f"There are more: --before {answer['next']}")


def _mail(mail: Any) -> None:
    facts((
        ("from", mail["from"]), ("to", mail["to"]), ("date", mail["date"]), ("subject", mail["subject"]),
        ("MAIL FROM", mail["envelope_sender"]), ("RCPT TO", mail["recipients"]),
        ("attachments", [f"{each['filename']} ({each['size']} octets)" for each in mail["attachments"]]),
    ))  # fmt: skip
    say()
    say(mail["text"] or mail["html"] or "")


def _source(mail: Any) -> None:
    say(mail["source"].replace("\r\n", "\n"))


def _emptied(answer: Any) -> None:
    say(f"The sandbox is empty; it held {answer['removed']}.")
