"""Keep with a payment what an operator needs to compare it with a gateway's books, with an attempt who settled it.

Also when a caller's data was erased. Older payments get connector, identity, outcome and number of their attempts.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ("branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade")

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _payments() -> tuple[sa.Column, ...]:  # type: ignore[type-arg]  # of several types
    return (
        sa.Column("direction", sa.String(8)),
        sa.Column("token_type", sa.String(32)),
        sa.Column("account_number", sa.String(32)),
        sa.Column("account_type", sa.String(32)),
        sa.Column("profile_id", sa.String(255)),
        sa.Column("connector", sa.String(128)),
        sa.Column("transaction_id", sa.String(64)),
        sa.Column("outcome", sa.String(16)),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("erased_at", sa.DateTime(timezone=True)),
    )


def _attempts() -> tuple[sa.Column, ...]:  # type: ignore[type-arg]  # of several types
    return (
        sa.Column("settled_by", sa.String(128)),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("settle_note", sa.Text),
    )


def upgrade() -> None:
    """Add the columns and fill in what the attempts know."""
    op.add_column("calls", sa.Column("erased_at", sa.DateTime(timezone=True)))
    for column in _payments():
        op.add_column("payments", column)
    for column in _attempts():
        op.add_column("charge_attempts", column)
    of_payment = "FROM charge_attempts a WHERE a.payment_id = payments.payment_id"
    last = f"{of_payment} ORDER BY a.id DESC LIMIT 1"
    op.execute(
        "UPDATE payments SET"
        f" attempts = (SELECT count(*) {of_payment}),"
        f" connector = (SELECT a.connector {last}),"
        f" transaction_id = (SELECT a.transaction_id {last}),"
        f" outcome = (SELECT a.outcome {last})"
        f" WHERE EXISTS (SELECT 1 {of_payment})"
    )


def downgrade() -> None:
    """Drop them."""
    for table, columns in (("charge_attempts", _attempts()), ("payments", _payments())):
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column.name)
    with op.batch_alter_table("calls") as batch:
        batch.drop_column("erased_at")
