"""The audit becomes a chain; what is no longer needed can be found to be forgotten.

Rows from before stay without a number: the next start, which has the vault's key, chains them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXTS = {"dialect": 32, "previous": 80, "hash": 80, "seal": 80}


def upgrade() -> None:
    op.add_column("audit", sa.Column("number", sa.Integer(), nullable=True))
    for name, length in TEXTS.items():
        op.add_column("audit", sa.Column(name, sa.String(length=length), nullable=True))
    there = sa.text("transcript_id IS NOT NULL")
    op.create_index(
        "ix_attempt_transcript_id", "attempt", ["transcript_id"], sqlite_where=there, postgresql_where=there
    )


def downgrade() -> None:
    op.drop_index("ix_attempt_transcript_id", "attempt")
    for name in ("number", *TEXTS):
        op.drop_column("audit", name)
