"""What went wrong with the database, in words that say what to do.

Whatever a driver raises becomes a ``LedgerError``: SQLAlchemy's wrappers, SQLite's errors of a new connection,
asyncpg's own errors while connecting (which nobody wraps), the system's. No text repeats a value that was to be
written.
"""

from __future__ import annotations

import sqlite3

from alembic.util.exc import CommandError
from asyncpg import InterfaceError as PgInterfaceError
from asyncpg import PostgresError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from engine.errors import LedgerError

__all__ = ("DATABASE_ERRORS", "EntryRefusedError", "is_conflict", "ledger_error")

DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, PostgresError, PgInterfaceError, CommandError, OSError)
"All that a database, its driver or the way to it raises."

_CONFLICTS = ("40001", "40P01")
"SQLSTATE of a transaction that a server rolled back in favour of another: serialization failure, deadlock."
_REMEDIES = (
    ("locked", "is locked by another process; end what holds it (fuser {where} shows it)"),
    ("unable to open", "cannot be opened; check that its folder exists and is writable"),
    ("readonly", "cannot be written; check owner and mode of the file and its folder"),
    ("read-only", "cannot be written; check owner and mode of the file and its folder"),
    ("attempt to write", "cannot be written; check owner and mode of the file and its folder"),
    ("is full", "the disk is full; free some space"),
    ("No space left", "the disk is full; free some space"),
    ("disk I/O error", "the disk cannot be read or written; look at its space, its limits and the kernel's log"),
    ("malformed", "is damaged; stop the engine, keep the file and restore the last backup (docs/ledger.md)"),
    ("not a database", "is not a database; give ledger.url another file or restore the last backup (docs/ledger.md)"),
)
"What SQLite's message holds, and what it means; the first that fits. `where` is the file."
_SERVER_REMEDIES = {
    "55P03": "a lock was not given in time; end what holds it (pg_locks shows it)",
    "53300": "the server has no connection left; raise its max_connections or end idle clients",
    "53100": "the server's disk is full; free some space there",
    "28P01": "the server refuses the password of ledger.url",
    "28000": "the server refuses the user of ledger.url; look at its pg_hba.conf",
    "3D000": "the database does not exist; create it (createdb)",
    "25006": "the server is read-only, perhaps a standby; give ledger.url the primary",
    "42501": "the user of ledger.url may not do that; grant it the schema (docs/ledger.md)",
}
"SQLSTATE of PostgreSQL (its manual, Appendix A) and what to do."


class EntryRefusedError(LedgerError):
    """An entry breaks a rule of the schema: this one, and no other, cannot be written."""


def ledger_error(error: BaseException, path: str) -> LedgerError:
    """Return what to raise instead of one of ``DATABASE_ERRORS``; ``path`` is SQLite's file, empty for a server."""
    if isinstance(error, IntegrityError):
        return EntryRefusedError(f"the ledger refuses the entry: {_message(error)}")
    if isinstance(error, DataError):
        return EntryRefusedError("the ledger refuses the entry: a value does not fit its column")
    if isinstance(error, DBAPIError):
        return LedgerError(_explain(error, path))
    if isinstance(error, StatementError):
        # Ours (`engine.ledger.columns`, naive times), and what a driver cannot encode.
        reason = str(error.orig) if type(error.orig) is ValueError else type(error.orig).__name__
        return EntryRefusedError(f"the ledger refuses the entry: {reason}")
    if isinstance(error, PoolTimeoutError):
        return LedgerError("the ledger's database is slower than what is to be written; look at its disk")
    if isinstance(error, CommandError):
        return LedgerError(f"the ledger's schema is not ours: {error}; was it made by a newer release?")
    if isinstance(error, sqlite3.Error | PostgresError | PgInterfaceError):
        return LedgerError(_explain(error, path))
    if isinstance(error, OSError):
        reason = error.strerror or "no answer in time"
        return LedgerError(f"the ledger's database cannot be reached: {reason}; check ledger.url and that it runs")
    return LedgerError(f"the ledger's database does not work: {type(error).__name__}")


def is_conflict(error: BaseException) -> bool:
    """Return whether a server rolled a transaction back only because another one was in its way."""
    return _sqlstate(error) in _CONFLICTS


def _explain(error: BaseException, path: str) -> str:
    cause = _message(error)
    where = path or "the ledger's database"
    if not path:
        remedy = _SERVER_REMEDIES.get(_sqlstate(error))
        if remedy is not None:
            return f"{where}: {remedy}"
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return f"{where}: the connection was lost; check that the server runs"
        return f"{where}: {cause}"
    for words, remedy in _REMEDIES:
        if words in cause:
            return f"{where}: {remedy.format(where=where)}"
    return f"{where}: {cause}"


def _sqlstate(error: BaseException | None) -> str:
    while error is not None:
        state = getattr(error, "sqlstate", None)
        if isinstance(state, str):
            return state
        error = getattr(error, "orig", None) or error.__cause__
    return ""


def _message(error: BaseException) -> str:
    """Return the driver's message without the row that a server appends."""
    source: BaseException = getattr(error, "orig", None) or error
    if isinstance(source.__cause__, PostgresError):
        source = source.__cause__
    message = getattr(source, "message", None)
    return message if isinstance(message, str) else str(source)
