"""Keep with an open payment how its application wants to be told its end, for the case that the engine is killed.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ("branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade")

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("payments", sa.Column("reply_to", sa.Text))


def downgrade() -> None:
    """Drop it."""
    with op.batch_alter_table("payments") as batch:
        batch.drop_column("reply_to")
