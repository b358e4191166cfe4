"""`postroom send`: hand in a mail, and if asked follow it to its end."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.status import Status

from postroom.cli.connection import Connection, at
from postroom.cli.draft import Draft
from postroom.cli.exits import Exit
from postroom.cli.invocation import AsJson, talk
from postroom.cli.messages import tell_delivery, tell_message
from postroom.cli.output import facts, marked, note, show, watching
from postroom.cli.spread import spread
from postroom.domain.delivery import FINAL, State
from postroom.domain.problems import Unavailable

OVER = FINAL | {State.HELD}  # held is for a person to decide
FIRST_LOOK, LONGEST_PAUSE = 0.05, 2.0  # seconds


@spread(Draft)
def send(
    ctx: typer.Context,
    draft: Draft,
    stdin: Annotated[str | None, typer.Argument(metavar="[-]", help="- reads the text from stdin.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key and mail: sent once.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until each delivery is over.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a mail. It is kept durably before this returns; --wait tells what became of it."""
    body = _with_stdin(draft, stdin).body()
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else {}

    async def conversation(connection: Connection) -> Any:
        if not wait:
            return await _hand_in(connection, body, headers)
        require_a_worker(connection)
        return await _follow(connection, (await _hand_in(connection, body, headers))["id"])

    found = talk(ctx, conversation)
    show(found, tell_message if wait else _receipt, as_json=as_json)
    if wait and not _all_sent(found):
        raise typer.Exit(Exit.NOT_ALL_SENT)


def _with_stdin(draft: Draft, stdin: str | None) -> Draft:
    if stdin is None:
        return draft
    if stdin != "-" or draft.text_file is not None:
        raise typer.BadParameter("only - may stand alone: it reads the text from stdin.")
    return replace(draft, text_file="-")


async def _hand_in(connection: Connection, body: object, headers: dict[str, str]) -> Any:
    receipt = await connection.ask("POST", "messages", body, headers=headers)
    if not connection.delivers:
        note(
            "No server runs on this data directory: the mail is kept, and waits until `postroom serve` does.", "yellow"
        )
    return receipt


def require_a_worker(connection: Connection) -> None:
    """Raises Unavailable where nothing is at work on what is handed in."""
    if not connection.delivers:
        raise Unavailable(
            "No server runs on this data directory, so there is nothing to wait for and nothing was handed in: "
            "start `postroom serve`, or leave this option out."
        )


async def _follow(connection: Connection, message_id: str) -> Any:
    """The message once each of its deliveries is over."""
    pause = FIRST_LOOK
    told: dict[str, str] = {}
    with watching(f"Message {message_id} …") as status:
        while True:
            message = await connection.ask("GET", at("messages", message_id))
            _tell_changes(message, told, status)
            if all(each["state"] in OVER for each in message["deliveries"]):
                return message
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)


def _tell_changes(message: Any, told: dict[str, str], status: Status | None) -> None:
    """On stderr: where things stand, moving in a terminal, else a line for each change."""
    for delivery in message["deliveries"]:
        line = tell_delivery(delivery)
        if told.get(delivery["id"]) != line:
            told[delivery["id"]] = line
            if status is None:
                note(line)
    if status is not None:
        status.update(_standing(message))


def _standing(message: Any) -> str:
    counted = Counter(each["state"] for each in message["deliveries"])
    return f"Message {message['id']}: {', '.join(f'{count} {state}' for state, count in counted.items())}"


def _receipt(receipt: Any) -> None:
    facts((("message", receipt["id"]), ("state", receipt["state"])))
    for each in receipt["deliveries"]:
        marked(each["state"], f"{each['recipient']}  {each['state']}")


def _all_sent(message: Any) -> bool:
    return all(each["state"] in (State.SENT, State.FILTERED) for each in message["deliveries"])
