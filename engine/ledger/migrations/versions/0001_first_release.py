"""Create the tables of the first release: calls, payments, charge attempts, outbox.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ("branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "calls",
        sa.Column("call_id", sa.String(64), primary_key=True),
        sa.Column("sip_call_id", sa.String(255), nullable=False),
        sa.Column("caller", sa.String(128), nullable=False),
        sa.Column("dialled", sa.String(128), nullable=False),
        sa.Column("form", sa.String(128), nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("cause", sa.String(64)),
        sa.Column("packets_in", sa.Integer),
        sa.Column("packets_lost", sa.Integer),
    )
    op.create_index("ix_calls_started_at", "calls", ["started_at"])
    _create_payments()
    _create_charge_attempts()
    _create_outbox()


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("payment_id", sa.String(64), primary_key=True),
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("form", sa.String(128), nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("amount", sa.String(32), nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("result", sa.String(64)),
        sa.Column("card_number", sa.String(32)),
        sa.Column("card_type", sa.String(32)),
        sa.Column("charge_id", sa.String(255)),
        sa.Column("token_id", sa.String(255)),
        sa.Column("error_code", sa.String(128)),
        sa.Column("error_message", sa.Text),
    )
    op.create_index("ix_payments_started_at", "payments", ["started_at"])
    op.create_index("ix_payments_call_id", "payments", ["call_id"])


def _create_charge_attempts() -> None:
    op.create_table(
        "charge_attempts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("transaction_id", sa.String(64), nullable=False, unique=True),
        sa.Column("payment_id", sa.String(64), sa.ForeignKey("payments.payment_id"), nullable=False),
        sa.Column("connector", sa.String(128), nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("amount", sa.String(32), nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("card_number", sa.String(32), nullable=False),
        sa.Column("card_type", sa.String(32), nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("outcome_at", sa.DateTime(timezone=True)),
        sa.Column("reconciled", sa.Boolean, nullable=False),
        sa.Column("charge_id", sa.String(255)),
        sa.Column("token_id", sa.String(255)),
        sa.Column("error_code", sa.String(128)),
        sa.Column("error_message", sa.Text),
    )
    op.create_index("ix_charge_attempts_payment_id", "charge_attempts", ["payment_id"])
    op.create_index("ix_charge_attempts_outcome", "charge_attempts", ["outcome"])


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("session", sa.String(64), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("content_type", sa.String(128), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("key_env", sa.String(128), nullable=False),
        sa.Column("allow_insecure", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("dead_at", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.String(255)),
    )
    op.create_index("ix_outbox_session", "outbox", ["session", "id"])
    op.create_index("ix_outbox_waiting", "outbox", ["delivered_at", "dead_at", "next_at"])


def downgrade() -> None:
    """Drop everything."""
    for table in ("outbox", "charge_attempts", "payments", "calls"):
        op.drop_table(table)
