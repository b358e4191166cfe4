"""How long each page of the console takes to answer, with many messages and tenants.

    python bench/pages.py [--messages 100000] [--tenants 1000] [--share 1.0] [--rounds 20] [--json]

The messages were handed in evenly over the last day, `--share` of them by the tenant whose pages are asked for: all, at
worst. The application is asked in this process, without a network; the first time a page is asked for is told apart:
nothing of it is remembered then.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import machine
import rounds
from sqlalchemy import Connection, insert, text

from postroom.app import opened
from postroom.config import Config
from postroom.store.ids import new_id
from postroom.store.schema import delivery, message, queue, tenant

KEY = "a-key-for-a-bench-0123456789"
DAY = 86_400_000_000  # microseconds
PAGES = (
    "/", "/profiles", "/profiles/new", "/profiles/new?preset=microsoft365", "/profiles/1", "/profiles/1/as/keycloak",
    "/profiles/1/revisions", "/profiles/1/revisions/1",
)  # fmt: skip
STATES = {"sent": 90.0, "refused": 5.0, "waiting": 3.0, "expired": 1.9, "held": 0.1}


def fill(connection: Connection, messages: int, tenants: int, share: float, now: int) -> None:
    """One profile and lane a tenant, as the first tenant has them."""
    connection.execute(
        insert(tenant), [{"slug": f"t{n}", "name": f"Tenant {n}", "created_at": now} for n in range(2, tenants + 1)]
    )
    for statement in _PROFILES:
        connection.execute(text(statement))
    for rows in _rows(messages, tenants, share, now):
        connection.execute(insert(message), [each[0] for each in rows])
        connection.execute(insert(delivery), [each[1] for each in rows])
        waiting = [each[2] for each in rows if each[1]["state"] == "waiting"]
        connection.execute(insert(queue), waiting or [rows[0][2]])


_PROFILES = (
    "INSERT INTO lane (id, ready, vt, failures) SELECT id, ready, 0, 0 FROM"
    " (SELECT t.id, l.ready FROM tenant t, lane l WHERE t.id > 1 AND l.id = 1)",
    "INSERT INTO profile (tenant_id, id, name, is_default, revision, lane, created_at)"
    " SELECT t.id, 1, p.name, p.is_default, 1, t.id, 0 FROM tenant t, profile p WHERE t.id > 1 AND p.tenant_id = 1",
    "INSERT INTO revision (tenant_id, profile_id, number, settings, changes, changed_at, author, dialect)"
    " SELECT t.id, 1, 1, r.settings, '{}', 0, 'bench', 'native' FROM tenant t, revision r"
    " WHERE t.id > 1 AND r.tenant_id = 1",
)


def _rows(messages: int, tenants: int, share: float, now: int, at_once: int = 10_000) -> Iterator[list[Any]]:
    dice = random.Random(1)
    for begin in range(0, messages, at_once):
        rows = []
        for n in range(begin, min(begin + at_once, messages)):
            at = now - DAY + n * DAY // messages
            id_, whose = new_id(at), 1 if dice.random() < share else dice.randint(1, tenants)
            state = dice.choices(list(STATES), list(STATES.values()))[0]
            rows.append((_message(id_, whose, at), _delivery(id_, state, at), _queued(id_, whose, at)))
        yield rows


def _message(id_: str, whose: int, at: int) -> dict[str, Any]:
    return {"id": id_, "tenant_id": whose, "profile_id": 1, "queued_at": at, "expires_at": at + DAY, "key_id": "k",
            "hold_in_doubt": False, "envelope_sender": "post@company.example", "subject": "An offer for you", "size": 9,
            "header_from": "post@company.example"}  # fmt: skip


def _delivery(id_: str, state: str, at: int) -> dict[str, Any]:
    return {"id": f"{id_}.1", "message_id": id_, "recipient": "somebody@customer.example", "state": state,
            "attempts": 1, "updated_at": at, "note": "The relay took it."}  # fmt: skip


def _queued(id_: str, whose: int, at: int) -> dict[str, Any]:
    return {"lane": whose, "due_at": at + DAY, "id": f"{id_}.1", "message_id": id_, "attempt": 1, "crashes": 0,
            "recipient": "somebody@customer.example", "expires_at": at + 2 * DAY, "hold_in_doubt": False,
            "in_doubt": False}  # fmt: skip


async def measure(directory: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds by page, the first answer first."""
    async with opened(Config(data_dir=directory, admin_key=KEY)) as postroom:
        now = time.time_ns() // 1000
        await postroom.database.write(
            lambda connection: fill(connection, options.messages, options.tenants, options.share, now)
        )
        transport = httpx2.ASGITransport(app=postroom.site)
        async with httpx2.AsyncClient(transport=transport, base_url="http://postroom.bench") as client:
            await client.post("/sign-in", data={"key": KEY})
            return {path: [await _asked(client, path) for _ in range(options.rounds + 1)] for path in PAGES}


async def _asked(client: httpx2.AsyncClient, path: str) -> float:
    since = time.perf_counter()
    answer = await client.get(path)
    took = (time.perf_counter() - since) * 1000
    answer.raise_for_status()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_options(parser, rounds=20)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--share", type=float, default=1.0, help="of the messages, that are the tenant's looked at")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as name:
        about = machine.described(Path(name))
        seen = asyncio.run(measure(Path(name), options))
    if options.json:
        print(json.dumps({"machine": about, "milliseconds": seen}, indent=1))
        return
    print(f"{about}\n{options.messages:,} messages, {options.tenants:,} tenants; milliseconds")
    print(f"{'':36} {'first':>8} {'median':>8} {'longest':>8}")
    for path, took in seen.items():
        print(f"{path:36} {took[0]:8.1f} {rounds.median(took[1:]):>8} {max(took[1:]):8.1f}")


if __name__ == "__main__":
    main()
