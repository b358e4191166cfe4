"""The start: tenants, keys, profiles with revisions, the queue with its history, the audit, the sandbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "attempt",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("delivery_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("duration", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("reply_code", sa.Integer(), nullable=True),
        sa.Column("reply_enhanced", sa.String(length=16), nullable=True),
        sa.Column("reply_text", sa.Text(), nullable=True),
        sa.Column("relay", sa.String(length=64), nullable=False),
        sa.Column("tls", sa.String(length=128), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("transcript_id", sa.String(length=26), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_attempt_delivery_id", "attempt", ["delivery_id"], unique=False)
    op.create_table(
        "audit",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", ID, nullable=True),
        sa.Column("key_id", sa.String(length=26), nullable=True),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_tenant_id_id", "audit", ["tenant_id", "id"], unique=False)
    op.create_table(
        "body",
        sa.Column("message_id", sa.String(length=26), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_body"),
    )
    op.create_table(
        "caught",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("envelope_sender", sa.String(length=320), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_caught"),
    )
    op.create_index("ix_caught_tenant_id_id", "caught", ["tenant_id", "id"], unique=False)
    op.create_table(
        "delivery",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=26), nullable=False),
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_delivery_message_id", "delivery", ["message_id"], unique=False)
    op.create_table(
        "fact",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_fact"),
    )
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_idempotency"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lane",
        sa.Column("id", ID, nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("vt", sa.BigInteger(), nullable=False),
        sa.Column("wake_at", sa.BigInteger(), nullable=True),
        sa.Column("rests_until", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_lane"),
    )
    op.create_index(
        "ix_lane_ready_vt",
        "lane",
        ["vt"],
        unique=False,
        sqlite_where=sa.text("ready"),
        postgresql_where=sa.text("ready"),
    )
    op.create_index(
        "ix_lane_wake_at",
        "lane",
        ["wake_at"],
        unique=False,
        sqlite_where=sa.text("wake_at IS NOT NULL"),
        postgresql_where=sa.text("wake_at IS NOT NULL"),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("profile_id", sa.Integer(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("hold_in_doubt", sa.Boolean(), nullable=False),
        sa.Column("envelope_sender", sa.String(length=320), nullable=False),
        sa.Column("header_from", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_message"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_message_tenant_id_id", "message", ["tenant_id", "id"], unique=False)
    op.create_table(
        "queue",
        sa.Column("lane", ID, autoincrement=False, nullable=False),
        sa.Column("due_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=26), nullable=False),
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("hold_in_doubt", sa.Boolean(), nullable=False),
        sa.Column("in_doubt", sa.Boolean(), nullable=False),
        sa.Column("lease", sa.String(length=26), nullable=True),
        sa.PrimaryKeyConstraint("lane", "due_at", "id", name="pk_queue"),
        sqlite_with_rowid=False,
    )
    op.create_index("uq_queue_id", "queue", ["id"], unique=True)
    op.create_table(
        "tenant",
        sa.Column("id", ID, nullable=False),
        sa.Column("slug", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenant"),
        sa.UniqueConstraint("slug", name="uq_tenant_slug"),
    )
    op.create_table(
        "transcript",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_transcript"),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("tenant_id", ID, nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_api_key_tenant"),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.UniqueConstraint("digest", name="uq_api_key_digest"),
    )
    op.create_table(
        "profile",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("lane", ID, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_profile_tenant"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_profile"),
        sa.UniqueConstraint("lane", name="uq_profile_lane"),
    )
    op.create_table(
        "revision",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("profile_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("sealed_password", sa.Text(), nullable=True),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("key_id", sa.String(length=26), nullable=True),
        sa.Column("dialect", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "profile_id"], ["profile.tenant_id", "profile.id"], name="fk_revision_profile"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "profile_id", "number", name="pk_revision"),
    )


def downgrade() -> None:
    for table in (
        "revision",
        "profile",
        "api_key",
        "transcript",
        "tenant",
        "queue",
        "message",
        "lane",
        "idempotency",
        "fact",
        "delivery",
        "caught",
        "body",
        "audit",
        "attempt",
    ):
        op.drop_table(table)
