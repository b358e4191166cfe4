"""Statements for whole batches of rows, written out by hand for what every single mail goes through.

One statement takes all rows, and its text is made once per number of rows, so that the driver knows it already. Built
anew by SQLAlchemy each time, a statement for a handful of rows costs more than the database's work for them, and a
driver's `executemany` gives the interpreter lock away once per row (`docs/performance.md`).

In a text, `?` stands for a value, and `{rows}` for `(?, ?), (?, ?), …`.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table

MOST_ROWS = 100  # in one statement; SQLite takes 32,766 values

Values = Sequence[object]


def ask(connection: Connection, text: str, values: Values) -> list[Any]:
    """Run it as it stands; returns the rows that it returns, as tuples."""
    return _execute(connection, _spelt(text, connection.dialect.name), tuple(values))


def run(
    connection: Connection, text: str, rows: Sequence[Values], *, before: Values = (), after: Values = ()
) -> list[Any]:
    """Run it for all rows, in several statements if they are many. `before` and `after` are the values that stand on
    either side of the rows."""
    returned: list[Any] = []
    for at in range(0, len(rows), MOST_ROWS):
        some = rows[at : at + MOST_ROWS]
        statement = _written_out(text, len(some), len(some[0]), connection.dialect.name)
        returned += _execute(connection, statement, (*before, *chain.from_iterable(some), *after))
    return returned


def insert_rows(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Each row has the table's columns in their order."""
    run(connection, _insertion(table), rows)


def _execute(connection: Connection, statement: str, values: tuple[object, ...]) -> list[Any]:
    result = connection.exec_driver_sql(statement, values)
    if not result.returns_rows:
        return []
    # The driver's own tuples: SQLAlchemy's rows would cost as much again as the statement.
    found = list(result.cursor.fetchall())
    result.close()
    return found


@lru_cache
def _insertion(table: Table) -> str:
    columns = ", ".join(column.name for column in table.columns)
    return f"INSERT INTO {table.name} ({columns}) VALUES {{rows}}"  # noqa: S608  names from schema.py


@lru_cache(maxsize=4096)
def _written_out(text: str, rows: int, width: int, database: str) -> str:
    row = f"({', '.join('?' * width)})"
    return _spelt(text.format(rows=", ".join([row] * rows)), database)


@lru_cache(maxsize=1024)
def _spelt(text: str, database: str) -> str:
    return text.replace("?", "%s") if database == "postgresql" else text
