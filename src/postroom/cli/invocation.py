"""One call of the program: what was said before the command, and how a command asks its questions."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer

from postroom import config
from postroom.cli.connection import Connection, connected
from postroom.cli.wiring import Wiring

T = TypeVar("T")


@dataclass(slots=True)
class Invocation:
    """`as_json`: the command was asked for JSON, so that errors are to be JSON too."""

    wiring: Wiring
    tenant: str | None = None
    as_json: bool = False


def _remember(ctx: typer.Context, value: bool) -> bool:
    invocation: Invocation = ctx.obj
    invocation.as_json = value
    return value


AsJson = Annotated[
    bool, typer.Option("--json", is_eager=True, callback=_remember, help="Print the API's JSON and nothing else.")
]


def talk(ctx: typer.Context, conversation: Callable[[Connection], Awaitable[T]]) -> T:
    """Have a conversation with the server, or in place. Raises Problem."""
    invocation: Invocation = ctx.obj

    async def conversed() -> T:
        async with connected(invocation.wiring, config.load(), invocation.tenant) as connection:
            return await conversation(connection)

    return asyncio.run(conversed())


def ask(ctx: typer.Context, method: str, path: str, body: object = None, **query: object) -> Any:
    """One question and its answer: the API's JSON, or None where it has nothing to say. Raises Problem."""
    return talk(ctx, lambda connection: connection.ask(method, path, body, query=query))
