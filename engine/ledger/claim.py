"""The claim: one engine at a time works on a SQLite file, or under a node's name on a server.

Reconciling while another engine's charge is under way would call that charge failed. Both locks go with the process,
however it ends: on SQLite ``flock`` on a file beside the database, on PostgreSQL an advisory lock of a session that
does nothing else. A session that was lost is noticed when the claim is asked for, and taken anew unless somebody else
came.

A pooler in transaction mode (PgBouncer) hands sessions around: the ledger needs a direct connection.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.errors import LedgerError
from engine.ledger.failures import DATABASE_ERRORS, ledger_error

__all__ = ("Claim", "FileClaim", "SessionClaim", "advisory_key")

log = logging.getLogger("engine.ledger")


class Claim(Protocol):
    """What holds a claim."""

    async def hold(self) -> None:
        """Return when the claim is held, taking it if need be; raise ``LedgerError`` when another engine has it."""

    async def release(self) -> None:
        """Give it up."""


class FileClaim:
    """A lock on ``PATH.lock``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._handle: int | None = None

    async def hold(self) -> None:
        """Take the lock, once."""
        if self._handle is not None:
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
        self._handle = handle

    async def release(self) -> None:
        """Unlock it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class SessionClaim:
    """A session advisory lock (PostgreSQL manual, §13.3.5) on a connection of its own; ``engine`` is given away."""

    def __init__(self, engine: AsyncEngine, node: str) -> None:
        self._engine = engine
        self._node = node
        self._connection: AsyncConnection | None = None
        self._turn = asyncio.Lock()

    async def hold(self) -> None:
        """Take the lock, or make sure that the session which holds it still lives."""
        async with self._turn:
            if self._connection is not None and await self._lives(self._connection):
                return
            try:
                await self._take()
            except DATABASE_ERRORS as error:
                raise ledger_error(error, "") from None

    async def release(self) -> None:
        """End the session."""
        async with self._turn:
            await self._drop()
            await self._engine.dispose()

    async def _lives(self, connection: AsyncConnection) -> bool:
        try:
            await connection.execute(text("SELECT 1"))
        except DATABASE_ERRORS:
            log.error("the claim on the ledger was lost with its connection; it is taken anew")
            await self._drop()
            return False
        return True

    async def _take(self) -> None:
        connection = await self._engine.connect()
        try:
            key = advisory_key("node", self._node)
            taken = (await connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key})).scalar_one()
        except BaseException:
            await connection.close()
            raise
        if not taken:
            await connection.close()
            name = f"under the node name {self._node!r}" if self._node else "without a node name"
            raise LedgerError(
                f"another engine works on the ledger's database {name}; stop it or give ledger.node another name"
            )
        self._connection = connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close()
            except DATABASE_ERRORS:
                pass  # it is gone, which is what was wanted


def advisory_key(purpose: str, name: str = "") -> int:
    """Return the 64-bit number under which a lock of ours is known to a server."""
    digest = hashlib.blake2b(f"paytone:{purpose}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
