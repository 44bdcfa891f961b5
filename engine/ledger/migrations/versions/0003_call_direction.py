"""Keep with a call who placed it.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ("branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade")

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("calls", sa.Column("direction", sa.String(8)))


def downgrade() -> None:
    """Drop it."""
    with op.batch_alter_table("calls") as table:
        table.drop_column("direction")
