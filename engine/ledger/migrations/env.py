"""Run migrations on the connection that ``engine.ledger.database`` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from engine.ledger.schema import METADATA

__all__: tuple[str, ...] = ()

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # SQLite cannot alter most things in place; later revisions copy the table.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
