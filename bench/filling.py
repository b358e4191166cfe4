"""A queue with a great many deliveries waiting, in seconds: the product takes one in, the database multiplies its rows.

Nine in ten wait in the first lane, the others in turn. Whatever columns the tables have are copied from the one row;
but what a message says is sealed to it, and so done one by one.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Table, insert, select, text

from postroom.domain.delivery import State
from postroom.domain.message import OnDoubt
from postroom.store import bodies
from postroom.store.queue.accept import Acceptance, Accepting, NewDelivery, NewMessage
from postroom.store.queue.lanes import wake_by
from postroom.store.rows import insert_rows
from postroom.store.schema import body, delivery, lane, message, queue
from postroom.store.vault import Vault

NOW = 1_700_000_000_000_000  # microseconds since 1970
AT_ONCE = 100_000
_FIRST = 10_000_000_000
_ID = f"('000000000000000' || CAST({_FIRST} + i AS text))"  # of the i-th message, in the order in which they came


TENANT = 1
CONTENT = b"From: <post@company.example>\r\nSubject: Hello\r\n\r\n" + (b"Hello. " * 11 + b"\r\n") * 12


def a_message(message_id: str, its_lane: int) -> NewMessage:
    return NewMessage(
        id=message_id, tenant_id=TENANT, profile_id=1, lane=its_lane, queued_at=NOW, expires_at=NOW * 2,
        on_doubt=OnDoubt.RETRY, envelope_sender="post@company.example", header_from="post@company.example",
        subject="Hello", content=CONTENT, key_id="key", deliveries=(NewDelivery("one@good.example", State.WAITING),),
    )  # fmt: skip


def make_lanes(connection: Connection, count: int) -> list[int]:
    connection.execute(insert(lane), [{"ready": False, "vt": 0, "failures": 0}] * count)
    return list(connection.execute(select(lane.c.id).order_by(lane.c.id)).scalars())


def seed(connection: Connection, vault: Vault, lanes: Sequence[int]) -> None:
    """The first one; its id is before all others."""
    Accepting(lambda _: NOW, vault)(connection, [Acceptance((a_message("0" * 26, lanes[0]),))])


def fill(connection: Connection, vault: Vault, lanes: Sequence[int], first: int, last: int) -> None:
    """Those from the first to the last (counted from 1), at most AT_ONCE of them. The lanes are numbered in a row."""
    others = f"{min(lanes[1:])} + (i / 10) % {len(lanes) - 1}" if len(lanes) > 1 else f"{lanes[0]}"
    of_lane = f"CASE WHEN i % 10 = 0 THEN {others} ELSE {lanes[0]} END"
    _multiply(connection, message, {"id": _ID}, first, last)
    names = [f"{_FIRST + i:026d}" for i in range(first, last + 1)]
    insert_rows(connection, body, [(name, bodies.seal(vault, CONTENT, TENANT, name)) for name in names])
    _multiply(connection, delivery, {"id": f"{_ID} || '.1'", "message_id": _ID}, first, last)
    in_queue = {"id": f"{_ID} || '.1'", "message_id": _ID, "lane": of_lane, "due_at": f"{NOW} + i"}
    _multiply(connection, queue, in_queue, first, last)
    wake_by(connection, ((each, NOW) for each in lanes))


def _multiply(connection: Connection, table: Table, new: dict[str, str], first: int, last: int) -> None:
    key = "message_id" if "message_id" in table.columns else "id"
    names = [column.name for column in table.columns]
    values = ", ".join(new.get(name, f"seed.{name}") for name in names)
    connection.execute(
        text(
            f"INSERT INTO {table.name} ({', '.join(names)})"  # noqa: S608  all of it is ours
            " WITH RECURSIVE number (i) AS (SELECT CAST(:first AS bigint) UNION ALL SELECT i + 1 FROM number"
            f" WHERE i < :last), seed AS (SELECT * FROM {table.name} WHERE {key} = :seed LIMIT 1)"  # once, not for each
            f" SELECT {values} FROM seed CROSS JOIN number"
        ),
        {"first": first, "last": last, "seed": "0" * 26},
    )
