"""What is written holds passwords, keys and mail; an exception's text reaches the log."""

import traceback

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from .room import Room


async def test_a_failing_statement_does_not_tell_what_it_was_given(room: Room):
    def fail(connection: Connection) -> None:
        statement = text("INSERT INTO fact (name, value) VALUES (:name, :canary)")
        connection.execute(statement, {"name": None, "canary": "canary-of-a-row"})

    with pytest.raises(DBAPIError) as failure:
        await room.database.write(fail)
    assert "canary-of-a-row" not in "".join(traceback.format_exception(failure.value))
