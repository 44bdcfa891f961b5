"""Webhooks say who delivers them, how, how long, and how they are signed; only a session's oldest one is due.

Those that wait are the first release's kind: posted, signed as SignalWire does where they name a key, status reports.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

__all__ = ("branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade")

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OPEN = "delivered_at IS NULL AND dead_at IS NULL"
OLDEST = f"id IN (SELECT min(id) FROM outbox WHERE {OPEN} GROUP BY session)"


def _added() -> list[sa.Column[Any]]:
    return [
        sa.Column("node", sa.String(64), nullable=False, server_default=""),
        sa.Column("receiver", sa.String(255), nullable=False, server_default=""),
        sa.Column("method", sa.String(8), nullable=False, server_default="POST"),
        sa.Column("headers", sa.Text, nullable=False, server_default=""),
        sa.Column("signature", sa.String(16), nullable=False, server_default="none"),
        sa.Column("claims", sa.Text, nullable=False, server_default=""),
        sa.Column("policy", sa.String(16), nullable=False, server_default="status"),
        sa.Column("give_up_at", sa.DateTime(timezone=True)),
    ]


def upgrade() -> None:
    """Add the columns, and the indexes that find what is due without a look at what waits behind it."""
    op.drop_index("ix_outbox_session", "outbox")
    op.drop_index("ix_outbox_waiting", "outbox")
    # AUTOINCREMENT: the id goes out with the delivery, and SQLite would give that of a deleted row again.
    with op.batch_alter_table("outbox", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.alter_column("next_at", existing_type=sa.DateTime(timezone=True), nullable=True)
        for column in _added():
            table.add_column(column)
    op.execute("UPDATE outbox SET signature = 'signalwire' WHERE key_env <> ''")
    op.execute(f"UPDATE outbox SET next_at = NULL WHERE NOT ({OPEN} AND {OLDEST})")
    is_due, is_open = sa.text("next_at IS NOT NULL"), sa.text(OPEN)
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["node", "next_at", "id", "receiver"],
        sqlite_where=is_due,
        postgresql_where=is_due,
    )
    op.create_index("ix_outbox_open", "outbox", ["session", "id"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("ix_outbox_delivered", "outbox", ["delivered_at"])
    op.create_index("ix_outbox_dead", "outbox", ["dead_at", "id"])


def downgrade() -> None:
    """Drop them; what waits is due at once."""
    for name in ("ix_outbox_due", "ix_outbox_open", "ix_outbox_delivered", "ix_outbox_dead"):
        op.drop_index(name, "outbox")
    op.execute("UPDATE outbox SET next_at = created_at WHERE next_at IS NULL")
    with op.batch_alter_table("outbox") as table:
        table.alter_column("next_at", existing_type=sa.DateTime(timezone=True), nullable=False)
        for column in _added():
            table.drop_column(column.name)
    op.create_index("ix_outbox_session", "outbox", ["session", "id"])
    op.create_index("ix_outbox_waiting", "outbox", ["delivered_at", "dead_at", "next_at"])
