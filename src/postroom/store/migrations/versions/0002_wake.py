"""The inbox of wake-ups, and an index of ready lanes that SQLite's planner recognises."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "wake",
        sa.Column("id", ID, nullable=False),
        sa.Column("lane", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_wake"),
    )
    _index_ready_lanes("ready = 1")


def downgrade() -> None:
    _index_ready_lanes("ready")
    op.drop_table("wake")


def _index_ready_lanes(sqlite_where: str) -> None:
    op.drop_index("ix_lane_ready_vt", "lane")
    op.create_index(
        "ix_lane_ready_vt",
        "lane",
        ["vt"],
        unique=False,
        sqlite_where=sa.text(sqlite_where),
        postgresql_where=sa.text("ready"),
    )
