"""Sign-ins that were left to us as refresh tokens; what reports a message asks of its relay."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "sign_in",
        sa.Column("id", ID, nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("entered", sa.String(length=64), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sign_in"),
    )
    with op.batch_alter_table("revision") as batch:
        batch.add_column(sa.Column("sign_in_id", ID, nullable=True))
        batch.create_foreign_key("fk_revision_sign_in", "sign_in", ["sign_in_id"], ["id"])
    with op.batch_alter_table("message") as batch:
        batch.add_column(sa.Column("dsn", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("message") as batch:
        batch.drop_column("dsn")
    with op.batch_alter_table("revision") as batch:
        batch.drop_constraint("fk_revision_sign_in", type_="foreignkey")
        batch.drop_column("sign_in_id")
    op.drop_table("sign_in")
