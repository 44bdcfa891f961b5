"""Group commit: writes that come while another transaction is under way share the next one.

A commit with ``synchronous=FULL`` waits for the disk, and SQLite has one writer: at hundreds of calls a second one
transaction a write would make every call wait for all the others. Here each caller still returns only when its write is
on the disk. A lone write is committed at once; after a commit the next one lets some time pass, so that there are at
most so many commits a second.

In one group of `GroupCommit` inserts go before updates, and each kind in its order. Whoever needs one write behind
another waits for the first to return.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import Insert, Update
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.errors import LedgerError
from engine.ledger.database import Database, EntryRefusedError

__all__ = ("GATHER_S", "MAX_GROUP", "GroupCommit", "GroupWriter")

GATHER_S = 0.05
"How long writes are gathered after a commit."
MAX_GROUP = 500
"Writes in one transaction: some milliseconds, for which other transactions wait."

_Write = TypeVar("_Write")
_Answer = TypeVar("_Answer")
_Statement = tuple[Insert | Update, Mapping[str, Any]]


class GroupWriter(Generic[_Write, _Answer]):
    """Commits what is written in groups; ``execute`` does so for one group and returns an answer for each write."""

    def __init__(
        self,
        database: Database,
        execute: Callable[[AsyncConnection, Sequence[_Write]], Awaitable[Sequence[_Answer]]],
        *,
        gather_s: float,
        max_group: int,
    ) -> None:
        self._database = database
        self._execute = execute
        self._gather_s = gather_s
        self._max_group = max_group
        self._waiting: list[tuple[_Write, asyncio.Future[_Answer]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def write(self, what: _Write) -> _Answer:
        """Return the write's answer when it is committed; raise ``LedgerError``.

        A caller that is cancelled does not take the write with it.
        """
        if self._closing.is_set():
            raise LedgerError("the ledger is closed")
        loop = asyncio.get_running_loop()
        written: asyncio.Future[_Answer] = loop.create_future()
        self._waiting.append((what, written))
        if self._writer is None:
            self._writer = loop.create_task(self._work())
        return await written

    async def close(self) -> None:
        """Commit what waits; nothing is taken afterwards."""
        self._closing.set()
        if self._writer is not None:
            await self._writer

    async def _work(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[: self._max_group], self._waiting[self._max_group :]
                await self._commit(group)
                if not self._closing.is_set() and len(self._waiting) < self._max_group:
                    try:
                        await asyncio.wait_for(self._closing.wait(), self._gather_s)
                    except TimeoutError:
                        pass
        finally:
            self._writer = None

    async def _commit(self, group: list[tuple[_Write, asyncio.Future[_Answer]]]) -> None:
        writes = [what for what, _ in group]
        try:
            answers = await self._database.run(lambda connection: self._execute(connection, writes))
        except EntryRefusedError as error:
            if len(group) == 1:
                _fail(group, error)
                return
            # One entry is wrong and all were rolled back: each for itself, so that only the wrong one fails.
            for write in group:
                await self._commit([write])
        except LedgerError as error:
            _fail(group, error)
        except Exception as error:
            # Not foreseen; whoever waits must not wait for ever, and the next group is written all the same.
            _fail(group, LedgerError(f"the ledger could not write: {type(error).__name__}"))
        else:
            for (_, written), answer in zip(group, answers, strict=True):
                if not written.done():  # else its caller was cancelled
                    written.set_result(answer)


class GroupCommit:
    """Writes whose callers want nothing back but the knowledge that they are on the disk."""

    def __init__(self, database: Database) -> None:
        self._writer = GroupWriter(database, _execute, gather_s=GATHER_S, max_group=MAX_GROUP)

    async def write(self, statement: Insert | Update, values: Mapping[str, Any]) -> None:
        """Execute ``statement`` with ``values`` and return when it is committed; raise ``LedgerError``.

        A caller that is cancelled does not take the write with it.
        """
        await self._writer.write((statement, values))

    async def close(self) -> None:
        """Commit what waits; nothing is taken afterwards."""
        await self._writer.close()


async def _execute(connection: AsyncConnection, group: Sequence[_Statement]) -> Sequence[None]:
    kinds: dict[tuple[bool, int, tuple[str, ...]], tuple[Insert | Update, list[Mapping[str, Any]]]] = {}
    for statement, values in group:
        key = (isinstance(statement, Update), id(statement), tuple(values))
        kinds.setdefault(key, (statement, []))[1].append(values)
    for key in sorted(kinds, key=lambda key: key[0]):
        statement, rows = kinds[key]
        await connection.execute(statement, rows)
    return [None] * len(group)


def _fail(group: Sequence[tuple[Any, asyncio.Future[Any]]], error: LedgerError) -> None:
    for _, written in group:
        if not written.done():
            written.set_exception(LedgerError(str(error)))
