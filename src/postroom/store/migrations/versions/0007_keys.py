"""Rotating an API key: its previous value, until when it is good, and whether somebody still uses it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INDEX = "ix_api_key_previous_digest"


def upgrade() -> None:
    op.add_column("api_key", sa.Column("previous_digest", sa.String(length=64), nullable=True))
    op.add_column("api_key", sa.Column("previous_until", sa.BigInteger(), nullable=True))
    op.add_column("api_key", sa.Column("previous_used_at", sa.BigInteger(), nullable=True))
    where = sa.text("previous_digest IS NOT NULL")
    op.create_index(_INDEX, "api_key", ["previous_digest"], unique=True, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_index(_INDEX, "api_key")
    for name in ("previous_used_at", "previous_until", "previous_digest"):
        op.drop_column("api_key", name)
