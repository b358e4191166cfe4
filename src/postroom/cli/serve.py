"""`postroom serve` and `postroom worker`."""

from typing import Annotated

import typer

from postroom import config
from postroom.cli.invocation import Invocation


def serve(
    ctx: typer.Context, worker: Annotated[bool, typer.Option(help="Deliver mail in this process too.")] = True
) -> None:
    """Serve HTTP, deliver mail, and run the sandbox relay, until told to stop."""
    _serve(ctx.obj, with_worker=worker)


def worker(ctx: typer.Context) -> None:
    """Deliver mail only (on PostgreSQL, beside `serve --no-worker` on other machines)."""
    _serve(ctx.obj, with_web=False)


def _serve(invocation: Invocation, *, with_web: bool = True, with_worker: bool = True) -> None:
    invocation.wiring.serve(config.load(), with_web=with_web, with_worker=with_worker)
