"""What is written holds passwords, keys and mail; an exception's text reaches the log."""

import traceback

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from .room import Room

CANARY = "-".join(["canary", "of", "a", "row"])  # so that no line of this file, as a traceback shows it, has it


async def test_a_failing_statement_does_not_tell_what_it_was_given(room: Room):
    def fail(connection: Connection) -> None:
        statement = text("INSERT INTO fact (name, value) VALUES (:name, :canary)")
        connection.execute(statement, {"name": None, "canary": CANARY})

    with pytest.raises(DBAPIError) as failure:
        await room.database.write(fail)
    assert CANARY not in "".join(traceback.format_exception(failure.value))
