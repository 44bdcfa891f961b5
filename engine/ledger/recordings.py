"""Which recordings there are: of which call, in which file, and how each ended. The audio is not here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, insert, select, update

from engine.ledger.database import Database
from engine.ledger.schema import RECORDINGS
from engine.redact import redact_text

__all__ = ("RecordingRecord", "RecordingRows")

_MOST_MS = 2**31 - 1
"The largest number of an integer column of PostgreSQL."


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRecord:
    """One recording."""

    recording_id: str
    call_id: str
    source: str
    "Who asked for it, in the dialect's word: RecordVerb, DialVerb, OutboundAPI, ..."
    channels: int
    "1: both sides mixed; 2: the caller left, what they hear right."
    file: str
    "Name below the recordings' directory."
    node: str
    started_at: datetime
    finished_at: datetime | None
    "None: under way, or a crash came between."
    duration_ms: int | None
    paused_ms: int | None
    "Of the duration, silence because keys were captured or somebody paused it."
    status: str
    "in-progress, completed, failed, absent."
    error: str


class RecordingRows:
    """The table of recordings; every method raises ``LedgerError`` when the database does not let it."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime], node: str) -> None:
        self._database = database
        self._clock = clock
        self._node = node

    async def begin(self, recording_id: str, *, call_id: str, source: str, channels: int, file: str) -> None:
        """Note that a recording was begun, before its first frame is on the disk."""
        values = {"recording_id": recording_id, "call_id": call_id, "source": source, "channels": channels}
        values |= {"file": file, "node": self._node, "started_at": self._clock(), "status": "in-progress"}
        await self._database.execute(insert(RECORDINGS).values(values))

    async def finish(
        self, recording_id: str, *, status: str, duration_ms: int = 0, paused_ms: int = 0, error: str = ""
    ) -> bool:
        """Note how a recording ended; return False when there is no such recording (any more)."""
        statement = update(RECORDINGS).where(RECORDINGS.c.recording_id == recording_id)
        count = await self._database.execute(
            statement.values(
                status=status,
                finished_at=self._clock(),
                duration_ms=min(max(0, duration_ms), _MOST_MS),
                paused_ms=min(max(0, paused_ms), _MOST_MS),
                error=redact_text(error),
            )
        )
        return count > 0

    async def get(self, recording_id: str) -> RecordingRecord | None:
        """Return one recording; None when there is no such."""
        rows = await self._database.rows(select(RECORDINGS).where(RECORDINGS.c.recording_id == recording_id))
        return _record(rows[0]) if rows else None

    async def page(
        self,
        *,
        call_id: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        offset: int = 0,
        limit: int = 50,
    ) -> list[RecordingRecord]:
        """Return recordings that began at ``since`` or later and before ``until``, the newest first."""
        conditions: list[ColumnElement[bool]] = []
        if call_id:
            conditions.append(RECORDINGS.c.call_id == call_id)
        if since is not None:
            conditions.append(RECORDINGS.c.started_at >= since)
        if until is not None:
            conditions.append(RECORDINGS.c.started_at < until)
        statement = select(RECORDINGS).where(*conditions)
        statement = statement.order_by(RECORDINGS.c.started_at.desc(), RECORDINGS.c.recording_id)
        return [_record(row) for row in await self._database.rows(statement.offset(offset).limit(limit))]

    async def unfinished(self) -> list[RecordingRecord]:
        """Return this node's recordings that nobody finished, the oldest first: at a start a crash left them."""
        statement = select(RECORDINGS).where(RECORDINGS.c.status == "in-progress", RECORDINGS.c.node == self._node)
        return [_record(row) for row in await self._database.rows(statement.order_by(RECORDINGS.c.started_at))]

    async def older(self, before: datetime, *, limit: int) -> list[RecordingRecord]:
        """Return this node's finished recordings that began before a time, the oldest first."""
        statement = select(RECORDINGS).where(
            RECORDINGS.c.started_at < before, RECORDINGS.c.finished_at.is_not(None), RECORDINGS.c.node == self._node
        )
        statement = statement.order_by(RECORDINGS.c.started_at, RECORDINGS.c.recording_id).limit(limit)
        return [_record(row) for row in await self._database.rows(statement)]

    async def remove(self, recording_id: str) -> bool:
        """Take a recording out of the table; return False when it was not there."""
        return await self._database.execute(delete(RECORDINGS).where(RECORDINGS.c.recording_id == recording_id)) > 0


def _record(row: Row[Any]) -> RecordingRecord:
    values = dict(row._mapping)
    return RecordingRecord(**(values | {"error": values["error"] or ""}))
