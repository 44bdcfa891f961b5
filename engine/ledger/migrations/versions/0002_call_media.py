"""Keep with a call what its media was like: codec, encryption, loss, jitter, round trip, opinion score.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ("branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _columns() -> tuple[sa.Column[int] | sa.Column[float] | sa.Column[str], ...]:
    return (
        sa.Column("packets_late", sa.Integer),
        sa.Column("packets_discarded", sa.Integer),
        sa.Column("jitter_ms", sa.Float),
        sa.Column("round_trip_ms", sa.Float),
        sa.Column("mos", sa.Float),
        sa.Column("codec", sa.String(16)),
        sa.Column("srtp", sa.String(48)),
    )


def upgrade() -> None:
    """Add the columns."""
    for column in _columns():
        op.add_column("calls", column)


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("calls") as table:
        for column in _columns():
            table.drop_column(column.name)
