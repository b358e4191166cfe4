"""Tests of settings as jobs; whose a key is."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "trial",
        sa.Column("tenant_id", ID, nullable=False, autoincrement=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_trial_tenant"),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_trial"),
    )
    with op.batch_alter_table("api_key") as batch:
        batch.add_column(sa.Column("email", sa.String(length=254), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("api_key") as batch:
        batch.drop_column("email")
    op.drop_table("trial")
