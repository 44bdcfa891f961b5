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
)
from sqlalchemy.types import TypeDecorator

__all__ = ("CALLS", "CHARGE_ATTEMPTS", "METADATA", "OUTBOX", "PAYMENTS", "UtcDateTime")


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
    Column("call_id", String(64), primary_key=True),
    Column("sip_call_id", String(255), nullable=False),
    Column("caller", String(128), nullable=False),
    Column("dialled", String(128), nullable=False),
    Column("form", String(128), nullable=False),
    Column("node", String(64), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("cause", String(64)),
    Column("packets_in", Integer),
    Column("packets_lost", Integer),
    Column("packets_late", Integer),
    Column("packets_discarded", Integer),
    Column("jitter_ms", Float),
    Column("round_trip_ms", Float),
    Column("mos", Float),
    Column("codec", String(16)),
    Column("srtp", String(48)),
    Column("direction", String(8)),  # in, out; null in records of before there were calls out: in
    Index("ix_calls_started_at", "started_at"),
)

PAYMENTS = Table(
    "payments",
    METADATA,
    Column("payment_id", String(64), primary_key=True),
    # No foreign key: a call record that could not be written must not stand in the way of a payment.
    Column("call_id", String(64), nullable=False),
    Column("form", String(128), nullable=False),
    Column("operation", String(16), nullable=False),
    Column("method", String(16), nullable=False),
    Column("amount", String(32), nullable=False),
    Column("currency", String(8), nullable=False),
    Column("node", String(64), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("result", String(64)),
    Column("card_number", String(32)),
    Column("card_type", String(32)),
    Column("charge_id", String(255)),
    Column("token_id", String(255)),
    Column("error_code", String(128)),
    Column("error_message", Text),
    Index("ix_payments_started_at", "started_at"),
    Index("ix_payments_call_id", "call_id"),
)

CHARGE_ATTEMPTS = Table(
    "charge_attempts",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    # Unique: the same identity is journalled, and therefore sent by us, once.
    Column("transaction_id", String(64), nullable=False, unique=True),
    Column("payment_id", String(64), ForeignKey("payments.payment_id"), nullable=False),
    Column("connector", String(128), nullable=False),
    Column("operation", String(16), nullable=False),
    Column("method", String(16), nullable=False),
    Column("amount", String(32), nullable=False),
    Column("currency", String(8), nullable=False),
    Column("card_number", String(32), nullable=False),
    Column("card_type", String(32), nullable=False),
    Column("node", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("outcome", String(16)),  # null until known: the request may be under way, or a crash came between
    Column("outcome_at", UtcDateTime),
    Column("reconciled", Boolean, nullable=False),
    Column("charge_id", String(255)),
    Column("token_id", String(255)),
    Column("error_code", String(128)),
    Column("error_message", Text),
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
    Column("next_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime),
    Column("dead_at", UtcDateTime),
    Column("last_error", String(255)),
    Index("ix_outbox_session", "session", "id"),
    Index("ix_outbox_waiting", "delivered_at", "dead_at", "next_at"),
)
