"""The tables. Times are integer microseconds since 1970 (UTC), JSON is text, identifiers are ours.

The queue is narrow and clustered by (lane, due_at, id); bodies, history and idempotency keys live apart from it, so
that claiming costs the same with a thousand waiting as with a million (`research/performance.md` section 6).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
)  # fmt: skip

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives ids by itself only to a plain INTEGER key; PostgreSQL wants room for more.
Id = BigInteger().with_variant(Integer(), "sqlite")

fact = Table(  # single facts about the installation, such as which vault key its secrets were sealed with
    "fact",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

tenant = Table(
    "tenant",
    metadata,
    Column("id", Id, primary_key=True),
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("tenant_id", Id),  # null: the whole installation
    Column("name", String(255), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the key, which is never stored
    Column("permissions", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("email", String(254)),  # whose it is
    Column("previous_digest", String(64)),  # of the value before the last rotation …
    Column("previous_until", BigInteger),  # … good until then
    Column("previous_used_at", BigInteger),
    ForeignKeyConstraint(["tenant_id"], ["tenant.id"]),
)

Index(
    "ix_api_key_previous_digest",
    api_key.c.previous_digest,
    unique=True,
    sqlite_where=api_key.c.previous_digest.is_not(None),
    postgresql_where=api_key.c.previous_digest.is_not(None),
)

profile = Table(
    "profile",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("id", Integer, primary_key=True),  # counted per tenant from 1
    Column("name", String(255), nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),  # the one in force
    Column("lane", Id, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
    ForeignKeyConstraint(["tenant_id"], ["tenant.id"]),
)

sign_in = Table(  # a person's, at a provider, left to us as a refresh token
    "sign_in",
    metadata,
    Column("id", Id, primary_key=True),
    Column("sealed", Text, nullable=False),  # the newest: the provider may replace it at any time
    Column("entered", String(64), nullable=False),  # SHA-256 of the one that a person gave
    Column("changed_at", BigInteger, nullable=False),
)

revision = Table(
    "revision",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("profile_id", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("settings", Text, nullable=False),
    Column("sealed_password", Text),
    Column("changes", Text, nullable=False),  # field by field; a secret is only ever "changed"
    Column("changed_at", BigInteger, nullable=False),
    Column("author", String(255), nullable=False),
    Column("key_id", String(26)),
    Column("dialect", String(32), nullable=False),
    Column("sign_in_id", Id),
    ForeignKeyConstraint(["tenant_id", "profile_id"], ["profile.tenant_id", "profile.id"]),
    ForeignKeyConstraint(["sign_in_id"], ["sign_in.id"]),
)

lane = Table(  # one profile's stream of mail: the unit of fairness, rest and limits
    "lane",
    metadata,
    Column("id", Id, primary_key=True),
    Column("ready", Boolean, nullable=False),  # may have something due
    Column("vt", BigInteger, nullable=False),  # virtual time: rows served so far, against the least served
    Column("wake_at", BigInteger),  # when to look again; only claiming writes this and the two above
    Column("rests_until", BigInteger),
    Column("failures", Integer, nullable=False),  # in a row, that were about the relay or the settings
    Column("trouble", Text),  # what the last of them was, as a sentence
    Column("about", String(16)),  # whether that was the relay or the profile
    Column("probe", String(26)),  # the lease of the one delivery that tries whether all is well again
    Column("pace", Integer),  # slow start: at most so many in a worker's hands; null is full speed
    Column("paused_at", BigInteger),  # by a person; until one resumes it
    Column("spent_until", BigInteger),  # a limit is reached
    Column("per_minute", Integer),  # these limits and the two below are the profile's, for those who claim
    Column("per_hour", Integer),
    Column("per_day", Integer),
    Column("most_connections", Integer),
    Column("failover", Id),  # the lane that sends its mail while its relay is away
    Column("stands_in", Boolean, nullable=False, server_default=false()),  # some lane that fails over to it fails
)
# SQLite uses a partial index only when the query says the same words, and SQLAlchemy says "ready = 1" there.
Index("ix_lane_ready_vt", lane.c.vt, sqlite_where=text("ready = 1"), postgresql_where=text("ready"))
Index("ix_lane_wake_at", lane.c.wake_at, sqlite_where=text("wake_at IS NOT NULL"),
      postgresql_where=text("wake_at IS NOT NULL"))  # fmt: skip

Index("ix_lane_failover", lane.c.failover, sqlite_where=text("failover IS NOT NULL"),
      postgresql_where=text("failover IS NOT NULL"))  # fmt: skip
Index("ix_lane_probe", lane.c.probe, sqlite_where=text("probe IS NOT NULL"),
      postgresql_where=text("probe IS NOT NULL"))  # fmt: skip

spent = Table(  # what lanes with a limit had claimed of them, by span and slot (domain/limits.py)
    "spent",
    metadata,
    Column("lane", Id, primary_key=True, autoincrement=False),
    Column("span", Integer, primary_key=True, autoincrement=False),  # seconds
    Column("slot", BigInteger, primary_key=True, autoincrement=False),
    Column("claimed", Integer, nullable=False),
    sqlite_with_rowid=False,
)

seat = Table(  # how many connections of a lane each worker may have; so that together they stay within its limit
    "seat",
    metadata,
    Column("lane", Id, primary_key=True, autoincrement=False),
    Column("worker", String(26), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("until", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

wake = Table(  # "look at this lane by then": everyone adds, claiming takes; so nobody waits for a lane's row
    "wake",
    metadata,
    Column("id", Id, primary_key=True),
    Column("lane", Id, nullable=False),
    Column("at", BigInteger, nullable=False),
)

queue = Table(  # what is still to be sent: one row per delivery, gone when it is over
    "queue",
    metadata,
    Column("lane", Id, primary_key=True, autoincrement=False),
    Column("due_at", BigInteger, primary_key=True, autoincrement=False),  # while claimed: when the lease ends
    Column("id", String(32), primary_key=True),  # the delivery's
    Column("message_id", String(26), nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),  # attempts that ended with the death of their worker
    Column("expires_at", BigInteger, nullable=False),
    Column("hold_in_doubt", Boolean, nullable=False),
    Column("in_doubt", Boolean, nullable=False),  # the final dot may have been sent
    Column("lease", String(26)),
    sqlite_with_rowid=False,
)
Index("uq_queue_id", queue.c.id, unique=True)

message = Table(
    "message",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("tenant_id", Id, nullable=False),
    Column("profile_id", Integer, nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("hold_in_doubt", Boolean, nullable=False),
    Column("envelope_sender", String(320), nullable=False),
    Column("header_from", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("size", Integer, nullable=False),  # octets, as sent
    Column("key_id", String(26), nullable=False),
    Column("dsn", Text),  # what reports it asks of the relay (RFC 3461)
    sqlite_with_rowid=False,
)
Index("ix_message_tenant_id_id", message.c.tenant_id, message.c.id)

body = Table(
    "body",
    metadata,
    Column("message_id", String(26), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", String(32), primary_key=True),  # the message's id, a dot and the recipient's number
    Column("message_id", String(26), nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("note", Text),  # why it is where it is, as a sentence
    sqlite_with_rowid=False,
)
Index("ix_delivery_message_id", delivery.c.message_id)
Index("ix_delivery_held", delivery.c.message_id, sqlite_where=text("state = 'held'"),
      postgresql_where=text("state = 'held'"))  # fmt: skip

attempt = Table(
    "attempt",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("delivery_id", String(32), nullable=False),
    Column("number", Integer, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("duration", BigInteger, nullable=False),  # microseconds
    Column("outcome", String(16), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("code", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("reply_code", Integer),
    Column("reply_enhanced", String(16)),
    Column("reply_text", Text),
    Column("relay", String(64), nullable=False),
    Column("tls", String(128)),
    Column("revision", Integer, nullable=False),
    Column("profile_id", Integer),  # that it went through, with that revision; null is the message's own
    Column("transcript_id", String(26)),
    sqlite_with_rowid=False,
)
Index("ix_attempt_delivery_id", attempt.c.delivery_id)
Index("ix_attempt_transcript_id", attempt.c.transcript_id, sqlite_where=text("transcript_id IS NOT NULL"),
      postgresql_where=text("transcript_id IS NOT NULL"))  # fmt: skip

transcript = Table(  # kept for attempts that did not simply succeed; shared by the recipients of one transaction
    "transcript",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("content", Text, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", String(80), primary_key=True),  # the day, then a digest of tenant and key: ordered by time
    Column("request", String(64), nullable=False),  # digest of the request body
    Column("answer", Text, nullable=False),
    sqlite_with_rowid=False,
)

trial = Table(  # the last test of settings that a tenant started as a job
    "trial",
    metadata,
    Column("tenant_id", Id, primary_key=True, autoincrement=False),
    Column("id", String(26), nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("stage", String(16)),  # how far it is
    Column("code", String(64)),  # once it is over: of the failure, or ""
    Column("message", Text),
    ForeignKeyConstraint(["tenant_id"], ["tenant.id"]),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("tenant_id", Id),
    Column("key_id", String(26)),
    Column("actor", String(255), nullable=False),
    Column("address", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("detail", Text, nullable=False),
    Column("number", Integer),  # in its chain, from 1 (audit_chain.py)
    Column("dialect", String(32)),
    Column("previous", String(80)),  # the hash of the row before
    Column("hash", String(80)),
    Column("seal", String(80)),
)
Index("ix_audit_tenant_id_id", audit.c.tenant_id, audit.c.id)

caught = Table(  # what the sandbox relay took
    "caught",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("tenant_id", Id, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("envelope_sender", String(320), nullable=False),
    Column("recipients", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
Index("ix_caught_tenant_id_id", caught.c.tenant_id, caught.c.id)
