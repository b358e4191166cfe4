"""The migrations lead to what `schema.py` says, on both engines."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, MetaData, create_engine, inspect, text
from sqlalchemy.pool import NullPool

import postroom.store.database
from postroom.store.database import Database
from postroom.store.engine import migrate
from postroom.store.schema import metadata

MIGRATIONS = Path(postroom.store.database.__file__).parent / "migrations"


def engine_for(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)


def indexes(connection: Connection) -> dict[str, str]:
    """Every index as the engine spells it, its condition included."""
    if connection.dialect.name == "sqlite":
        found = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
    else:
        found = connection.execute(text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"))
    return {name: " ".join(sql.split()) for name, sql in found if "alembic" not in name}


def tables(connection: Connection) -> dict[str, object]:
    inspector = inspect(connection)
    names = sorted(set(inspector.get_table_names()) - {"alembic_version"})
    return {
        name: (
            sorted((each["name"], str(each["type"]), each["nullable"]) for each in inspector.get_columns(name)),
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted(str(each["constrained_columns"]) for each in inspector.get_foreign_keys(name)),
            sorted(str(each["column_names"]) for each in inspector.get_unique_constraints(name)),
        )
        for name in names
    }


def test_migrated_tables_are_those_of_the_schema(empty_url: str) -> None:
    engine = engine_for(empty_url)
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrated_tables_are_spelled_like_freshly_made_ones(empty_url: str) -> None:
    engine = engine_for(empty_url)
    migrate(engine)
    with engine.connect() as connection:
        migrated = tables(connection), indexes(connection)
    with engine.begin() as connection:
        everything = MetaData()
        everything.reflect(connection)
        everything.drop_all(connection)
        metadata.create_all(connection)
    with engine.connect() as connection:
        assert (tables(connection), indexes(connection)) == migrated


def test_the_queue_is_clustered_and_its_indexes_are_partial(empty_url: str) -> None:
    engine = engine_for(empty_url)
    migrate(engine)
    with engine.connect() as connection:
        found = indexes(connection)
        assert "WHERE" in found["ix_lane_ready_vt"]
        assert "WHERE" in found["ix_lane_wake_at"]
        if engine.dialect.name == "sqlite":
            made = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'queue'")).scalar_one()
            assert "WITHOUT ROWID" in made


def test_upgrading_twice_changes_nothing(empty_url: str) -> None:
    engine = engine_for(empty_url)
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO fact (name, value) VALUES ('a', 'kept')"))
        before = tables(connection), indexes(connection)
    migrate(engine)
    with engine.connect() as connection:
        assert (tables(connection), indexes(connection)) == before
        assert connection.execute(text("SELECT value FROM fact")).scalar_one() == "kept"


def test_every_migration_can_be_taken_back_and_done_again(empty_url: str) -> None:
    engine = engine_for(empty_url)
    migrate(engine)
    with engine.connect() as connection:
        before = tables(connection), indexes(connection)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
        assert tables(connection) == {}
    migrate(engine)
    with engine.connect() as connection:
        assert (tables(connection), indexes(connection)) == before


async def test_several_processes_may_bring_a_fresh_postgresql_up_to_date_at_once(
    new_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    url = new_postgresql()
    start = threading.Barrier(4)

    def open_it() -> Database:
        start.wait(10)
        return Database.open(url, data_dir=tmp_path)

    databases = await asyncio.gather(*(asyncio.to_thread(open_it) for _ in range(4)))
    for each in databases:
        await each.close()
