"""The ledger's tables.

Only masked values are stored: no column can hold a security code, and card numbers come in masked. The tables are made
by the migrations in ``engine/ledger/migrations``; a test compares both.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    and_,
)
from sqlalchemy.types import TypeDecorator

from engine.ledger.columns import ErrorText, ExactText, PeerText

__all__ = ("CALLS", "CHARGE_ATTEMPTS", "METADATA", "OUTBOX", "PAYMENTS", "RECORDINGS", "UtcDateTime")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC, also on databases that keep no zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times: nobody knows which zone they mean."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the ledger takes aware times only")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back to what was stored without one."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA = MetaData()

CALLS = Table(
    "calls",
    METADATA,
    Column("call_id", ExactText(64), primary_key=True),
    Column("sip_call_id", PeerText(255), nullable=False),
    Column("caller", PeerText(128), nullable=False),
    Column("dialled", PeerText(128), nullable=False),
    Column("form", PeerText(128), nullable=False),
    Column("node", PeerText(64), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("cause", PeerText(64)),
    Column("packets_in", Integer),
    Column("packets_lost", Integer),
    Column("packets_late", Integer),
    Column("packets_discarded", Integer),
    Column("jitter_ms", Float),
    Column("round_trip_ms", Float),
    Column("mos", Float),
    Column("codec", PeerText(16)),
    Column("srtp", PeerText(48)),
    Column("direction", ExactText(8)),  # in, out; null in records of before there were calls out: in
    Column("erased_at", UtcDateTime),  # when the caller's data was replaced on request
    Column("answered_at", UtcDateTime),  # null: nobody answered, or a record of before this was noted
    Column("parent_id", ExactText(64)),  # the call whose program made this one; null: none did
    Index("ix_calls_started_at", "started_at"),
    Index("ix_calls_parent_id", "parent_id"),
)

RECORDINGS = Table(
    "recordings",
    METADATA,
    Column("recording_id", ExactText(64), primary_key=True),
    # No foreign key: a call record that could not be written must not stand in the way.
    Column("call_id", ExactText(64), nullable=False),
    Column("source", ExactText(32), nullable=False),  # who asked for it: record-verb, dial-verb, outbound-api, ...
    Column("channels", Integer, nullable=False),
    Column("file", Text, nullable=False),  # below the recordings' directory
    Column("node", PeerText(64), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),  # null: under way, or a crash came between
    Column("duration_ms", Integer),
    Column("paused_ms", Integer),  # of the duration, silence because a payment was being captured (D-28)
    Column("status", ExactText(16), nullable=False),  # in-progress, completed, failed, absent
    Column("error", ErrorText),
    Index("ix_recordings_call_id", "call_id"),
    Index("ix_recordings_started_at", "started_at"),
)

PAYMENTS = Table(
    "payments",
    METADATA,
    Column("payment_id", ExactText(64), primary_key=True),
    # No foreign key: a call record that could not be written must not stand in the way of a payment.
    Column("call_id", ExactText(64), nullable=False),
    Column("form", PeerText(128), nullable=False),
    Column("operation", ExactText(16), nullable=False),
    Column("method", ExactText(16), nullable=False),
    Column("amount", ExactText(32), nullable=False),
    Column("currency", ExactText(8), nullable=False),
    Column("node", PeerText(64), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("result", PeerText(64)),
    Column("card_number", PeerText(32)),
    Column("card_type", PeerText(32)),
    Column("charge_id", PeerText(255)),
    Column("token_id", PeerText(255)),
    Column("error_code", PeerText(128)),
    Column("error_message", ErrorText),
    Column("direction", ExactText(8)),  # of the call; null in older records
    Column("token_type", PeerText(32)),  # when tokenizing: reusable, one-time, payment-method
    Column("account_number", PeerText(32)),  # bank debits: all but the last two masked
    Column("account_type", PeerText(32)),
    Column("profile_id", PeerText(255)),  # the customer at the connector, where it has such
    # Of the last attempt, kept true by whatever writes the attempt, so that a list needs no join.
    Column("connector", PeerText(128)),
    Column("transaction_id", ExactText(64)),
    Column("outcome", ExactText(16)),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("erased_at", UtcDateTime),
    Column("reply_to", Text),  # until its application was told of its end: how it wants to be told (JSON)
    Index("ix_payments_started_at", "started_at"),
    Index("ix_payments_call_id", "call_id"),
)

CHARGE_ATTEMPTS = Table(
    "charge_attempts",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    # Unique: the same identity is journalled, and therefore sent by us, once.
    Column("transaction_id", ExactText(64), nullable=False, unique=True),
    Column("payment_id", ExactText(64), ForeignKey("payments.payment_id"), nullable=False),
    Column("connector", PeerText(128), nullable=False),
    Column("operation", ExactText(16), nullable=False),
    Column("method", ExactText(16), nullable=False),
    Column("amount", ExactText(32), nullable=False),
    Column("currency", ExactText(8), nullable=False),
    Column("card_number", PeerText(32), nullable=False),
    Column("card_type", PeerText(32), nullable=False),
    Column("node", PeerText(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("outcome", ExactText(16)),  # null until known: the request may be under way, or a crash came between
    Column("outcome_at", UtcDateTime),
    Column("reconciled", Boolean, nullable=False),
    Column("charge_id", PeerText(255)),
    Column("token_id", PeerText(255)),
    Column("error_code", PeerText(128)),
    Column("error_message", ErrorText),
    # By whom, when and why an outcome that nobody knew was settled after a look into the gateway's books.
    Column("settled_by", PeerText(128)),
    Column("settled_at", UtcDateTime),
    Column("settle_note", ErrorText),
    Index("ix_charge_attempts_payment_id", "payment_id"),
    Index("ix_charge_attempts_outcome", "outcome"),
)

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),  # also the order within a session
    Column("session", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("content_type", String(128), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("key_env", String(128), nullable=False),  # name of the variable that holds the signing key, never the key
    Column("allow_insecure", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # Of a session's oldest open webhook alone; null in all others, which wait for it, and once it is settled.
    Column("next_at", UtcDateTime),
    Column("delivered_at", UtcDateTime),
    Column("dead_at", UtcDateTime),
    Column("last_error", String(255)),
    Column("node", String(64), nullable=False, server_default=""),  # the engine that delivers it
    Column("receiver", String(255), nullable=False, server_default=""),  # scheme, host and port of the URL
    Column("method", String(8), nullable=False, server_default="POST"),
    Column("headers", Text, nullable=False, server_default=""),  # of the dialect, a JSON object; empty: none
    Column("signature", String(16), nullable=False, server_default="none"),
    Column("claims", Text, nullable=False, server_default=""),  # what a JWT says besides, a JSON object; empty: none
    Column("policy", String(16), nullable=False, server_default="status"),  # status or result
    Column("give_up_at", UtcDateTime),  # null in records of before there was a limit
    sqlite_autoincrement=True,  # the id goes out with the delivery: a deleted one must never come again
)
# Both hold open webhooks alone, so that what is settled and kept costs nothing. The outbox asks for what is due, which
# is found without a look at what waits behind it, and for the oldest of a session.
Index(
    "ix_outbox_due",
    OUTBOX.c.node,
    OUTBOX.c.next_at,
    OUTBOX.c.id,
    OUTBOX.c.receiver,
    sqlite_where=OUTBOX.c.next_at.is_not(None),
    postgresql_where=OUTBOX.c.next_at.is_not(None),
)
_OPEN = and_(OUTBOX.c.delivered_at.is_(None), OUTBOX.c.dead_at.is_(None))
Index("ix_outbox_open", OUTBOX.c.session, OUTBOX.c.id, sqlite_where=_OPEN, postgresql_where=_OPEN)
Index("ix_outbox_delivered", OUTBOX.c.delivered_at)
Index("ix_outbox_dead", OUTBOX.c.dead_at, OUTBOX.c.id)
