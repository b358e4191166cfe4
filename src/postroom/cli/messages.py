"""`postroom messages`: what became of the mail that was handed in."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from postroom.cli.connection import at
from postroom.cli.invocation import AsJson, ask
from postroom.cli.output import facts, marked, note, say, show, table
from postroom.domain.delivery import State

commands = typer.Typer(no_args_is_help=True, help="Messages: find them, look at their deliveries, cancel, retry.")

Id = Annotated[str, typer.Argument(metavar="ID", help="As `send` and `messages list` show it.")]


@commands.command("list")
def every(
    ctx: typer.Context,
    state: Annotated[State | None, typer.Option(help="Those with a delivery in this state.")] = None,
    recipient: Annotated[str | None, typer.Option(metavar="ADDRESS")] = None,
    profile: Annotated[int | None, typer.Option(metavar="ID")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, 1 to 200.")] = 50,
    before: Annotated[str | None, typer.Option(metavar="ID", help="Those before this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find messages, newest first."""
    wanted = {"recipient": recipient, "profile": profile, "limit": limit, "before": before}
    show(ask(ctx, "GET", "messages", state=state.value if state else None, **wanted), _table, as_json=as_json)


@commands.command("show")
def one(
    ctx: typer.Context,
    message: Id,
    transcript: Annotated[bool, typer.Option("--transcript", help="What was said at each attempt.")] = False,
    as_json: AsJson = False,
) -> None:
    """One message, its deliveries and their attempts."""

    def tell(found: Any) -> None:
        tell_message(found)
        _tell_attempts(found, transcript)

    show(ask(ctx, "GET", at("messages", message)), tell, as_json=as_json)


@commands.command()
def cancel(ctx: typer.Context, message: Id, as_json: AsJson = False) -> None:
    """Take back what is not yet under way."""
    show(ask(ctx, "POST", at("messages", message, "cancel")), tell_message, as_json=as_json)


@commands.command()
def retry(ctx: typer.Context, message: Id, as_json: AsJson = False) -> None:
    """Try again now what waits or has failed."""
    show(ask(ctx, "POST", at("messages", message, "retry")), tell_message, as_json=as_json)


def tell_message(message: Any) -> None:
    """The message and one line for each delivery."""
    facts((
        ("message", message["id"]), ("state", message["state"]), ("subject", message["subject"]),
        ("from", message["from"]), ("queued", message["queued_at"]), ("expires", message["expires_at"]),
        ("profile", message["profile"]), ("size", f"{message['size']} octets"),
    ))  # fmt: skip
    for delivery in message["deliveries"]:
        marked(delivery["state"], tell_delivery(delivery))


def tell_delivery(delivery: Any) -> str:
    """Its recipient, state, why, and when it is tried again."""
    told = f"{delivery['recipient']}  {delivery['state']}"
    if delivery["note"]:
        told += f": {delivery['note']}"
    if delivery["state"] == State.WAITING and delivery["next_attempt_at"]:
        told += f" (next attempt {delivery['next_attempt_at']})"
    return told


def _table(answer: Any) -> None:
    rows = [
        (each["id"], each["state"], each["queued_at"], [one["recipient"] for one in each["deliveries"]],
         each["subject"])
        for each in answer["messages"]
    ]  # fmt: skip
    table(("id", "state", "queued", "to", "subject"), rows, empty="There is no such message.")
    if answer["next"]:
        note(f"There are more: --before {answer['next']}")


def _tell_attempts(message: Any, transcript: bool) -> None:
    for recipient, attempt in _attempts(message):
        say(f"\nAttempt {attempt['number']} for {recipient}", "bold")
        facts((
            ("outcome", f"{attempt['outcome']} at {attempt['stage']} ({attempt['code']})"),
            ("what", attempt["message"]), ("reply", attempt["reply"]), ("relay", attempt["relay"]),
            ("tls", attempt["tls"] or "none"), ("started", attempt["started_at"]),
            ("took", f"{attempt['seconds']:.3f} s"), ("revision", attempt["revision"]),
        ))  # fmt: skip
        if transcript:
            say(f"\n{attempt['transcript'] or '(kept only where something went wrong)'}", "dim")


def _attempts(message: Any) -> Iterable[tuple[str, Any]]:
    return ((each["recipient"], attempt) for each in message["deliveries"] for attempt in each["tries"] or ())
