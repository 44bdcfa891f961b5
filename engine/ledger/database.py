"""The ledger's database: opening, migrating, one transaction at a time.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit that returned survives a crash of the process and of the
machine, which is what the journal of charges is for. PostgreSQL comes by URL (``postgresql+asyncpg://``), same code.

The laws:

1. Whatever goes wrong is a ``LedgerError`` that says what to do (``engine.ledger.failures``), and the next transaction
   begins afresh: nothing has to be restarted when the cause is gone.
2. Nothing is written into a file that is no longer at its place: it would be gone with the last one who has it open.
3. Nobody waits for ever: for a lock as long as the busy timeout, before that for a connection about as long.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Executable, Row, Select, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, StaticPool

from engine.errors import LedgerError
from engine.ledger.claim import Claim, FileClaim, SessionClaim
from engine.ledger.failures import DATABASE_ERRORS, EntryRefusedError, is_conflict, ledger_error
from engine.ledger.upgrade import MigrationNeededError, check_schema, upgrade

__all__ = ("BUSY_TIMEOUT_S", "Database", "EntryRefusedError")

BUSY_TIMEOUT_S = 5.0
"How long a statement waits for a lock that another process holds; on a server a transaction for a connection too."
QUEUE_TIMEOUT_S = 5.0
"How long a transaction waits for those before it on SQLite's one connection."
SERVER_CONNECTIONS = 10
"Most connections to a server, besides the one of the claim."
CONFLICT_REPEATS = 3
READ_ONLY = "paytone_read_only"
NO_TRANSACTION = "paytone_no_transaction"
MEMORY = ":memory:"

_T = TypeVar("_T")


class Database:
    """An open database with a current schema."""

    def __init__(self, engine: AsyncEngine, path: str, claim: Claim | None) -> None:
        self._engine = engine
        self._path = path
        self._file = _identity(path)
        self._running: set[asyncio.Task[Any]] = set()
        self._claim = claim
        self._claimed = False
        self._closed = False

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        node: str = "",
        migrate: bool = True,
        read_only: bool = False,
    ) -> Database:
        """Open ``url`` and bring its schema up to date; raise ``LedgerError`` with what to do when it can't be.

        Without ``migrate`` a schema that is not the newest is an error, and nothing is created. ``read_only`` is that,
        and refuses to write. ``node`` is whom ``claim`` speaks for.
        """
        parsed = _parsed(url)
        migrate = migrate and not read_only
        is_sqlite = parsed.get_backend_name() == "sqlite"
        path = (parsed.database or MEMORY) if is_sqlite else ""
        claim: Claim | None = None
        try:
            if is_sqlite:
                engine = _sqlite_engine(parsed, path, busy_timeout_s, create=migrate, read_only=read_only)
                if path != MEMORY:
                    claim = FileClaim(path)
            else:
                engine = _server_engine(parsed, busy_timeout_s, read_only=read_only)
                alone = _server_engine(parsed, busy_timeout_s, poolclass=NullPool, isolation_level="AUTOCOMMIT")
                claim = SessionClaim(alone, node)
        except (ImportError, SQLAlchemyError) as error:
            raise LedgerError(f"the ledger's driver cannot be loaded: {error}; check ledger.url") from None
        database = cls(engine, path, claim)
        try:
            await database._prepare(parsed, migrate=migrate)
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file (or memory) and not a server."""
        return bool(self._path)

    async def claim(self) -> None:
        """Make this process the only engine here; raise ``LedgerError`` when another one runs.

        On SQLite the only one on the file, on a server the only one with the node's name.
        """
        if self._claim is not None:
            await self._claim.hold()
        self._claimed = True

    async def check_claim(self) -> None:
        """Make sure that a claim once made still holds; raise ``LedgerError`` when somebody else has it."""
        if self._claimed:
            await self.claim()

    async def run(self, work: Callable[[AsyncConnection], Awaitable[_T]], *, read_only: bool = False) -> _T:
        """Run ``work`` in one transaction; raise ``LedgerError`` when it can't be.

        A caller that is cancelled does not take the transaction with it: it goes on, and ``close`` waits for it. A
        server that prefers another transaction (deadlock, serialization) has ``work`` run again from its beginning.
        """
        if self._closed:
            raise LedgerError("the ledger is closed")
        task = asyncio.get_running_loop().create_task(self._repeated(work, read_only))
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def execute(self, statement: Executable) -> int:
        """Execute one statement in a transaction of its own; return how many rows it touched."""

        async def work(connection: AsyncConnection) -> int:
            return int((await connection.execute(statement)).rowcount)

        return await self.run(work)

    async def rows(self, statement: Select[Any]) -> list[Row[Any]]:
        """Return what a query finds."""

        async def work(connection: AsyncConnection) -> list[Row[Any]]:
            return list((await connection.execute(statement)).all())

        return await self.run(work, read_only=True)

    async def forget_deleted(self) -> None:
        """Take what was deleted or replaced out of SQLite's journal file too; ``secure_delete`` did so in the file.

        Others who read keep it from happening now; then the next one, or the engine's end, does it.
        """
        if not self.is_sqlite or self._path == MEMORY:
            return
        try:
            async with self._engine.connect() as connection:
                await connection.execution_options(**{NO_TRANSACTION: True})
                await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        except DATABASE_ERRORS as error:
            raise ledger_error(error, self._path) from None

    async def close(self) -> None:
        """Wait for running transactions, close all connections, give up the claim; nothing is written afterwards."""
        self._closed = True
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
        await self._engine.dispose()
        if self._claim is not None:
            await self._claim.release()

    async def _prepare(self, url: URL, *, migrate: bool) -> None:
        try:
            await self.run(lambda connection: connection.run_sync(check_schema), read_only=True)
        except MigrationNeededError:
            if not migrate:
                raise
            await self._migrate(url)

    async def _migrate(self, url: URL) -> None:
        if self.is_sqlite:
            await self.run(lambda connection: connection.run_sync(upgrade))
            return
        # A connection of its own: a large table takes longer than any statement of a call may.
        engine = _server_engine(url, None, poolclass=NullPool)
        patient = Database(engine, "", None)
        try:
            await patient.run(lambda connection: connection.run_sync(upgrade))
        finally:
            await patient.close()

    async def _repeated(self, work: Callable[[AsyncConnection], Awaitable[_T]], read_only: bool) -> _T:
        for _ in range(CONFLICT_REPEATS):
            try:
                return await self._transaction(work, read_only)
            except DATABASE_ERRORS as error:
                if not is_conflict(error):
                    raise ledger_error(error, self._path) from None
        raise LedgerError("the ledger's database prefers other transactions to ours again and again; look at its load")

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[_T]], read_only: bool) -> _T:
        self._check_file()
        async with self._engine.connect() as connection:
            await connection.execution_options(**{READ_ONLY: read_only})
            async with connection.begin():
                return await work(connection)

    def _check_file(self) -> None:
        if self._file is not None and _identity(self._path) != self._file:
            raise LedgerError(
                f"{self._path} was removed or replaced while it was open; put it back, or restart the engine to work on"
                " what is there now"
            )

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved: whoever was cancelled while waiting will not ask for it


def _identity(path: str) -> tuple[int, int] | None:
    """Return what tells a file from another one at its place; None where there is none."""
    if not path or path == MEMORY:
        return None
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        # The text may hold a password: it is not repeated.
        raise LedgerError("ledger.url is no database URL; write sqlite+aiosqlite:///var/paytone.sqlite3") from None


def _sqlite_engine(url: URL, path: str, busy_timeout_s: float, *, create: bool, read_only: bool) -> AsyncEngine:
    if path == MEMORY:
        # One connection for good: every new one would be another, empty database.
        engine = create_async_engine(url, hide_parameters=True, poolclass=StaticPool)
    else:
        # Never created by the driver: a file that vanished is an error, not a new and empty ledger.
        existing = url.set(database=f"file:{quote(path)}", query={**url.query, "mode": "rw", "uri": "true"})
        # One connection: SQLite has one writer anyway, and transactions never meet each other's locks.
        engine = create_async_engine(
            existing, hide_parameters=True, pool_size=1, max_overflow=0, pool_timeout=QUEUE_TIMEOUT_S
        )
        if create:
            _restrict(path)  # after the driver was found, or a misspelt URL would leave an empty file
        elif not Path(path).exists():
            raise LedgerError(f"{path} does not exist; `paytone serve` makes it, or check ledger.url")

    pragmas = [f"busy_timeout={int(busy_timeout_s * 1000)}"]
    if read_only:
        pragmas += ["query_only=ON"]
    else:
        # What is deleted or erased is overwritten with zeros, not left for whoever reads the file's free pages.
        pragmas += ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"]

    @event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, _record: ConnectionPoolEntry) -> None:
        # Transactions are begun by us: the driver's own rule begins them at the first write, and a reader
        # that becomes a writer gets "locked" at once, without the busy timeout.
        connection.isolation_level = None
        try:
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()
        except BaseException:
            connection.close()  # nobody else would, and its thread would stay for ever
            raise

    @event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get(NO_TRANSACTION, False):
            connection.exec_driver_sql("BEGIN" if options.get(READ_ONLY, False) else "BEGIN IMMEDIATE")

    return engine


def _restrict(path: str) -> None:
    """Create the file for its owner only; its journal files inherit the mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be opened: {error.strerror}; check that its folder exists and is writable"
        ) from None


def _server_engine(url: URL, busy_timeout_s: float | None, *, read_only: bool = False, **pool: Any) -> AsyncEngine:
    """Return an engine for a server; without a timeout its statements may take as long as they take."""
    settings = {"application_name": "paytone"}
    arguments: dict[str, Any] = {"server_settings": settings}
    if read_only:
        settings["default_transaction_read_only"] = "on"
    if busy_timeout_s is not None:
        settings["lock_timeout"] = str(int(busy_timeout_s * 1000))
        # A server that is gone without a word: no answer within this is an error.
        arguments |= {"timeout": busy_timeout_s, "command_timeout": 2 * busy_timeout_s}
        arguments = {name: value for name, value in arguments.items() if name not in url.query}
    if not pool:
        pool = {
            "pool_pre_ping": True,  # connections that a restart of the server broke are replaced unnoticed
            "pool_size": SERVER_CONNECTIONS // 2,
            "max_overflow": SERVER_CONNECTIONS - SERVER_CONNECTIONS // 2,
            "pool_timeout": busy_timeout_s,
        }
    return create_async_engine(url, hide_parameters=True, connect_args=arguments, **pool)
