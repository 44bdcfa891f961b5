"""The ledger's database: opening, migrating, one transaction at a time, errors that say what to do.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit that returned survives a crash of the process and of the
machine, which is what the journal of charges is for. PostgreSQL comes by URL (``postgresql+asyncpg://``), same code.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util.exc import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from engine.errors import LedgerError

__all__ = ("BUSY_TIMEOUT_S", "Database", "EntryRefusedError")

BUSY_TIMEOUT_S = 5.0
"How long a statement waits for a lock that another process holds on a SQLite file."
MIGRATIONS = Path(__file__).parent / "migrations"
READ_ONLY = "paytone_read_only"

_T = TypeVar("_T")


class EntryRefusedError(LedgerError):
    """An entry breaks a rule of the schema: this one, and no other, cannot be written."""


class Database:
    """An open database with a current schema."""

    def __init__(self, engine: AsyncEngine, path: str) -> None:
        self._engine = engine
        self._path = path
        self._running: set[asyncio.Task[Any]] = set()
        self._claim: int | None = None
        self._closed = False

    @classmethod
    async def open(cls, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Database:
        """Open ``url`` and bring its schema up to date; raise ``LedgerError`` with what to do when it can't be."""
        parsed = _parsed(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        path = (parsed.database or ":memory:") if is_sqlite else ""
        try:
            engine = _sqlite_engine(parsed, path, busy_timeout_s) if is_sqlite else _server_engine(parsed)
        except (ImportError, SQLAlchemyError) as error:
            raise LedgerError(f"the ledger's driver cannot be loaded: {error}; check ledger.url") from None
        database = cls(engine, path)
        try:
            await database.run(lambda connection: connection.run_sync(_upgrade))
        except BaseException:
            await database.close()
            raise
        return database

    def claim(self) -> None:
        """Make this process the only engine on a SQLite file; raise ``LedgerError`` when another one runs.

        Reconciling while another engine's charge is under way would call that charge failed. The lock goes with the
        process, however it ends. On a server, engines tell their attempts apart by their node's name.
        """
        if not self._path or self._path == ":memory:" or self._claim is not None:
            return
        name = f"{self._path}.lock"
        try:
            handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerError(f"cannot create {name}: {error.strerror}; check owner and mode of its folder") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise LedgerError(
                f"another engine works on {self._path}; stop it (fuser {name} shows it) or give ledger.url another file"
            ) from None
        self._claim = handle

    async def run(self, work: Callable[[AsyncConnection], Awaitable[_T]], *, read_only: bool = False) -> _T:
        """Run ``work`` in one transaction; raise ``LedgerError`` when it can't be.

        A caller that is cancelled does not take the transaction with it: it goes on, and ``close`` waits for it.
        """
        if self._closed:
            raise LedgerError("the ledger is closed")
        task = asyncio.get_running_loop().create_task(self._transaction(work, read_only))
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for running transactions, close all connections, give up the claim; nothing is written afterwards."""
        self._closed = True
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
        await self._engine.dispose()
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[_T]], read_only: bool) -> _T:
        try:
            async with self._engine.connect() as connection:
                await connection.execution_options(**{READ_ONLY: read_only})
                async with connection.begin():
                    return await work(connection)
        except IntegrityError as error:
            raise EntryRefusedError(f"the ledger refuses the entry: {error.orig}") from None
        except DBAPIError as error:
            raise LedgerError(self._explain(str(error.orig))) from None
        except sqlite3.Error as error:  # from the pragmas of a new connection, which nobody wraps
            raise LedgerError(self._explain(str(error))) from None
        except PoolTimeoutError:
            raise LedgerError("the ledger's database is slower than what is to be written; look at its disk") from None
        except SQLAlchemyError as error:
            raise LedgerError(f"the ledger's database does not work: {type(error).__name__}") from None
        except CommandError as error:
            raise LedgerError(f"the ledger's schema is not ours: {error}; was it made by a newer release?") from None
        except OSError as error:
            raise LedgerError(f"the ledger's database cannot be reached: {error.strerror or error}") from None

    def _explain(self, cause: str) -> str:
        where = self._path or "the database"
        if "locked" in cause:
            return f"{where} is locked by another process; end what holds it (fuser {where} shows it)"
        if "unable to open" in cause:
            return f"{where} cannot be opened; check that its folder exists and is writable"
        if "readonly" in cause or "read-only" in cause:
            return f"{where} cannot be written; check owner and mode of the file and its folder"
        if "full" in cause:
            return f"{where}: the disk is full; free some space"
        return f"{where}: {cause}"

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved: whoever was cancelled while waiting will not ask for it


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        # The text may hold a password: it is not repeated.
        raise LedgerError("ledger.url is no database URL; write sqlite+aiosqlite:///var/paytone.sqlite3") from None


def _sqlite_engine(url: URL, path: str, busy_timeout_s: float) -> AsyncEngine:
    if path == ":memory:":
        # One connection for good: every new one would be another, empty database.
        engine = create_async_engine(url, hide_parameters=True, poolclass=StaticPool)
    else:
        # One connection: SQLite has one writer anyway, and transactions never meet each other's locks.
        engine = create_async_engine(url, hide_parameters=True, pool_size=1, max_overflow=0)
        _restrict(path)  # after the driver was found, or a misspelt URL would leave an empty file

    @event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, _record: ConnectionPoolEntry) -> None:
        # Transactions are begun by us: the driver's own rule begins them at the first write, and a reader
        # that becomes a writer gets "locked" at once, without the busy timeout.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(busy_timeout_s * 1000)}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _restrict(path: str) -> None:
    """Create the file for its owner only; its journal files inherit the mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be opened: {error.strerror}; check that its folder exists and is writable"
        ) from None


def _server_engine(url: URL) -> AsyncEngine:
    return create_async_engine(url, hide_parameters=True, pool_pre_ping=True)


def _upgrade(connection: Connection) -> None:
    """Run the migrations up to the newest one."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
