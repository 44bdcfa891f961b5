"""Keep when a call was answered and which call made it, and the list of recordings.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ("branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade")

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("calls", sa.Column("answered_at", sa.DateTime(timezone=True)))
    op.add_column("calls", sa.Column("parent_id", sa.String(64)))
    op.create_index("ix_calls_parent_id", "calls", ["parent_id"])
    op.create_table(
        "recordings",
        sa.Column("recording_id", sa.String(64), primary_key=True),
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("channels", sa.Integer, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("duration_ms", sa.Integer),
        sa.Column("paused_ms", sa.Integer),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_index("ix_recordings_call_id", "recordings", ["call_id"])
    op.create_index("ix_recordings_started_at", "recordings", ["started_at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("recordings")
    op.drop_index("ix_calls_parent_id", "calls")
    with op.batch_alter_table("calls") as batch:
        batch.drop_column("parent_id")
        batch.drop_column("answered_at")
