"""Single facts about the installation."""

from sqlalchemy import Connection, insert, select

from postroom.store.schema import fact


def recall(connection: Connection, name: str) -> str | None:
    return connection.execute(select(fact.c.value).where(fact.c.name == name)).scalar()


def remember(connection: Connection, name: str, value: str) -> None:
    """Write it down once; an installation's facts don't change."""
    connection.execute(insert(fact).values(name=name, value=value))
