"""Limits, pauses, probes and failover of lanes; which profile an attempt went through."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name in ("per_minute", "per_hour", "per_day", "most_connections", "pace"):
        op.add_column("lane", sa.Column(name, sa.Integer(), nullable=True))
    for name in ("spent_until", "paused_at"):
        op.add_column("lane", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("lane", sa.Column("about", sa.String(length=16), nullable=True))
    op.add_column("lane", sa.Column("probe", sa.String(length=26), nullable=True))
    op.add_column("lane", sa.Column("failover", ID, nullable=True))
    op.add_column("lane", sa.Column("stands_in", sa.Boolean(), nullable=False, server_default=sa.false()))
    # A lane that rests just now probes and starts slowly, too.
    op.execute("UPDATE lane SET about = 'relay', pace = 1 WHERE failures > 0")
    _partial_index("ix_lane_failover", "failover")
    _partial_index("ix_lane_probe", "probe")
    op.create_table(
        "spent",
        sa.Column("lane", ID, nullable=False, autoincrement=False),
        sa.Column("span", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("slot", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("claimed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "span", "slot", name="pk_spent"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "seat",
        sa.Column("lane", ID, nullable=False, autoincrement=False),
        sa.Column("worker", sa.String(length=26), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "worker", name="pk_seat"),
        sqlite_with_rowid=False,
    )
    op.add_column("attempt", sa.Column("profile_id", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("attempt", "profile_id")
    op.drop_table("seat")
    op.drop_table("spent")
    op.drop_index("ix_lane_probe", "lane")
    op.drop_index("ix_lane_failover", "lane")
    for name in (
        "stands_in", "failover", "probe", "about", "paused_at", "spent_until", "pace", "most_connections",
        "per_day", "per_hour", "per_minute",
    ):  # fmt: skip
        op.drop_column("lane", name)


def _partial_index(name: str, column: str) -> None:
    where = sa.text(f"{column} IS NOT NULL")
    op.create_index(name, "lane", [column], unique=False, sqlite_where=where, postgresql_where=where)
