"""`postroom serve` and `postroom worker`."""

import asyncio
from typing import Annotated

import typer

from postroom import config
from postroom.cli.wiring import Wiring


def add(app: typer.Typer, wiring: Wiring) -> None:
    @app.command()
    def serve(
        worker: Annotated[bool, typer.Option(help="Deliver mail in this process too.")] = True,
    ) -> None:
        """Serve HTTP, deliver mail, and run the sandbox relay, until told to stop."""
        asyncio.run(_serve(wiring, with_worker=worker))

    @app.command()
    def worker() -> None:
        """Deliver mail only (on PostgreSQL, beside `serve --no-worker` on other machines)."""
        asyncio.run(_serve(wiring, with_web=False))


async def _serve(wiring: Wiring, *, with_web: bool = True, with_worker: bool = True) -> None:
    await wiring.serve(config.load(), with_web=with_web, with_worker=with_worker)
