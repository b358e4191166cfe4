"""Alembic's entry. The connection always comes from `store/database.py`; there is no alembic.ini to keep in step."""

from alembic import context

from postroom.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
