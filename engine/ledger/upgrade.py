"""The schema's migrations: which one a database is at, and bringing it to the newest.

Engines that start at once on one database migrate it once: SQLite's write lock, or an advisory lock on a server, makes
the second one wait, and it then finds nothing to do.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from engine.errors import LedgerError
from engine.ledger.claim import advisory_key

__all__ = ("MigrationNeededError", "check_schema", "upgrade")

MIGRATIONS = Path(__file__).parent / "migrations"


class MigrationNeededError(LedgerError):
    """The database is empty, or its schema is that of an older release."""


def check_schema(connection: Connection) -> None:
    """Return when the schema is the newest; raise ``MigrationNeededError``, or ``LedgerError`` when it is not ours."""
    scripts = ScriptDirectory.from_config(_config())
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise LedgerError(
            f"the ledger's schema {current} is not ours: it was made by a newer release; run that one, or restore the"
            " backup from before its first start"
        )
    raise MigrationNeededError(
        "the ledger's schema is that of an older release, or empty; start the engine once (paytone serve), which"
        " migrates it"
    )


def upgrade(connection: Connection) -> None:
    """Run the migrations up to the newest one, in the connection's transaction: all of them, or none."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": advisory_key("migration")})
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
