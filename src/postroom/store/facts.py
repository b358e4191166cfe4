"""Single facts about the installation."""

from sqlalchemy import Connection, select, text, update

from postroom.store.schema import fact


def recall(connection: Connection, name: str) -> str | None:
    return connection.execute(select(fact.c.value).where(fact.c.name == name)).scalar()


def remember(connection: Connection, name: str, value: str) -> str:
    """Write it down once; returns what stands, for an installation's facts don't change. A machine that remembers the
    same at the same time waits here until it is known who was first."""
    statement = text("INSERT INTO fact (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING")
    connection.execute(statement, {"name": name, "value": value})
    return recall(connection, name) or value


def change(connection: Connection, name: str, value: str) -> None:
    """Of the few facts that do change."""
    connection.execute(update(fact).where(fact.c.name == name).values(value=value))
