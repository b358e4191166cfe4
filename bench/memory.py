"""How much memory `postroom serve` has: idle, and delivering while a great many wait.

    python bench/memory.py [--waiting 100000] [--full] [--seconds 20] [--json]

The queue is filled before it is started (`--full`: a million), so what is seen is what keeping and delivering cost, not
taking in. SQLite; memory of its two processes, what they share counted once, looked at ten times a second.
"""

import argparse
import asyncio
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import filling
import machine
import rounds
import sink
from peers import postroom
from sqlalchemy import Connection, select

from postroom.store.database import Database
from postroom.store.key_ring import vault_from
from postroom.store.schema import profile

MIB = 2**20
IDLE = 3.0  # seconds after the start


def idle(server: postroom.Postroom) -> int:
    time.sleep(IDLE)
    return machine.resident(server.process.pid)


def fill(home: Path, waiting: int, progress: rounds.Progress) -> None:
    vault, _ = vault_from(None, home)

    async def work() -> None:
        database = Database.open(f"sqlite:///{home}/postroom.db", data_dir=home)
        lanes = list(await database.read(lambda connection: connection.execute(select(profile.c.lane)).scalars()))
        await database.write(lambda connection: filling.seed(connection, vault, lanes))
        for first in range(1, waiting, filling.AT_ONCE):
            last = min(first + filling.AT_ONCE, waiting) - 1
            progress.now(f"filling: {first - 1:,} of {waiting:,}")
            await database.write(partial(filling.fill, vault=vault, lanes=lanes, first=first, last=last))
        await database.write(live)
        await database.close()

    asyncio.run(work())


def live(connection: Connection) -> None:
    """What waits is worth sending for another day."""
    until = time.time_ns() // 1000 + 86_400_000_000
    for name in ("queue", "message"):
        connection.exec_driver_sql(f"UPDATE {name} SET expires_at = {until}")  # noqa: S608  a number of ours


def delivering(server: postroom.Postroom, target: sink.Sink, seconds: float, progress: rounds.Progress) -> Any:
    before, started, seen = target.count(), time.monotonic(), []
    while time.monotonic() < started + seconds:
        time.sleep(0.1)
        seen.append(machine.resident(server.process.pid))
        progress.now(f"delivering: {seen[-1] / MIB:.0f} MiB")
    return {"most": max(seen), "last": seen[-1], "delivered": target.count() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--full", action="store_true", help="a million")
    parser.add_argument("--seconds", type=float, default=20, help="of delivering")
    parser.add_argument("--dir", type=Path, help="where the data goes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    waiting = 1_000_000 if options.full else options.waiting
    with (
        tempfile.TemporaryDirectory(dir=options.dir, prefix="bench-memory-") as name,
        sink.running() as target,
        rounds.Progress() as progress,
    ):
        home = Path(name) / "postroom"
        progress.now("starting")
        with postroom.serving(home, target.port) as server:
            empty, key = idle(server), server.key
        fill(home, waiting, progress)
        with postroom.serving(home, target.port, settings={"ADMIN_KEY": key}) as server:
            saw = delivering(server, target, options.seconds, progress)
    seen = {"machine": machine.described(), "waiting": waiting, "idle": empty, **saw}
    if options.json:
        print(json.dumps(seen, indent=1))
        return
    more = saw["most"] - empty
    print(
        f"{seen['machine']}\nidle after the start            {empty / MIB:8.0f} MiB"
        f"\ndelivering, {waiting:9,} waiting  {saw['most'] / MIB:8.0f} MiB at most, {saw['last'] / MIB:.0f} at the end"
        f"\n                                {more / waiting:8.0f} octets more for each that waits"
        f"\n                                {saw['delivered']:8,} delivered meanwhile"
    )


if __name__ == "__main__":
    main()
