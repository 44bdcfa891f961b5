"""Group commit: writes that come while another transaction is under way share the next one.

A commit with ``synchronous=FULL`` waits for the disk, and SQLite has one writer: at hundreds of calls a second one
transaction a write would make every call wait for all the others. Here each caller still returns only when its write is
on the disk. A lone write is committed at once; after a commit the next one lets ``GATHER_S`` pass, so that there are at
most some twenty commits a second.

In one group inserts go before updates, and each kind in its order. Whoever needs one write behind another waits for the
first to return.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Insert, Update
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.errors import LedgerError
from engine.ledger.database import Database, EntryRefusedError

__all__ = ("GATHER_S", "MAX_GROUP", "GroupCommit")

GATHER_S = 0.05
"How long writes are gathered after a commit."
MAX_GROUP = 500
"Writes in one transaction: some milliseconds, for which other transactions wait."

_Write = tuple[Insert | Update, Mapping[str, Any], "asyncio.Future[None]"]


class GroupCommit:
    """Writes whose callers want nothing back but the knowledge that they are on the disk."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Write] = []
        self._writer: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def write(self, statement: Insert | Update, values: Mapping[str, Any]) -> None:
        """Execute ``statement`` with ``values`` and return when it is committed; raise ``LedgerError``.

        A caller that is cancelled does not take the write with it.
        """
        if self._closing.is_set():
            raise LedgerError("the ledger is closed")
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        self._waiting.append((statement, values, written))
        if self._writer is None:
            self._writer = loop.create_task(self._work())
        await written

    async def close(self) -> None:
        """Commit what waits; nothing is taken afterwards."""
        self._closing.set()
        if self._writer is not None:
            await self._writer

    async def _work(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
                await self._commit(group)
                if not self._closing.is_set() and len(self._waiting) < MAX_GROUP:
                    try:
                        await asyncio.wait_for(self._closing.wait(), GATHER_S)
                    except TimeoutError:
                        pass
        finally:
            self._writer = None

    async def _commit(self, group: list[_Write]) -> None:
        try:
            await self._database.run(lambda connection: _execute(connection, group))
        except EntryRefusedError as error:
            if len(group) == 1:
                _settle(group, error)
                return
            # One entry is wrong and all were rolled back: each for itself, so that only the wrong one fails.
            for write in group:
                await self._commit([write])
        except LedgerError as error:
            _settle(group, error)
        except Exception as error:
            # Not foreseen; whoever waits must not wait for ever, and the next group is written all the same.
            _settle(group, LedgerError(f"the ledger could not write: {type(error).__name__}"))
        else:
            _settle(group, None)


async def _execute(connection: AsyncConnection, group: list[_Write]) -> None:
    kinds: dict[tuple[bool, int, tuple[str, ...]], tuple[Insert | Update, list[Mapping[str, Any]]]] = {}
    for statement, values, _ in group:
        key = (isinstance(statement, Update), id(statement), tuple(values))
        kinds.setdefault(key, (statement, []))[1].append(values)
    for key in sorted(kinds, key=lambda key: key[0]):
        statement, rows = kinds[key]
        await connection.execute(statement, rows)


def _settle(group: list[_Write], error: LedgerError | None) -> None:
    for _, _, written in group:
        if written.done():
            continue  # its caller was cancelled
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(LedgerError(str(error)))
