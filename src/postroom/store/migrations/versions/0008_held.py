"""An index of the deliveries that wait for a person: they are few among very many, and asked for on each overview."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_INDEX = "ix_delivery_held"


def upgrade() -> None:
    where = sa.text("state = 'held'")
    op.create_index(_INDEX, "delivery", ["message_id"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_index(_INDEX, "delivery")
