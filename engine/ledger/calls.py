"""Records of calls one by one and page by page, for the REST interface.

A page begins behind the last record of the one before (`Mark`), so that it costs the same wherever it is and a call
that comes meanwhile moves none. What a call's status is, is decided where its name is known (``dialects.twilio``): here
it is a condition on the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, exists, func, or_, select

from engine.ledger.database import Database
from engine.ledger.schema import CALLS

__all__ = ("CallFilter", "CallRecord", "CallRecords", "Mark")

MAX_OFFSET = 100_000
"Records that may be skipped without a mark."
MAX_LIVE = 10_000
"Identities in one condition."
_COLUMNS = tuple(
    CALLS.c[name]
    for name in (
        *("call_id", "caller", "dialled", "direction", "started_at", "answered_at", "ended_at", "cause", "parent_id"),
        *("node", "form"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """A call as its record has it."""

    call_id: str
    caller: str
    dialled: str
    direction: str
    "``in`` or ``out``."
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    cause: str
    "Of its end; empty while there is none."
    parent_id: str
    label: str
    "What ran on it: the name of a form or an application."
    is_ours: bool
    "Whether this engine had it, not another node."


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls are wanted; what is empty or None does not matter."""

    caller: str = ""
    dialled: str = ""
    parent_id: str = ""
    label: str = ""
    "Calls on which this ran, and those that their programs made."
    together: Sequence[str] | None = None
    "These calls, and those whose programs made them."
    started: tuple[datetime | None, datetime | None] = (None, None)
    "From, and before."
    ended: tuple[datetime | None, datetime | None] = (None, None)
    live_ids: Sequence[str] | None = None
    "Of calls of this engine that are not over: the only ones of its own that are wanted."
    open_elsewhere: bool | None = None
    "With ``live_ids``: also calls of other nodes that are not over, answered (True) or not (False)."
    answered: bool | None = None
    "Calls that are over, and were answered or not."
    completed: bool | None = None
    "Calls that are over, and are calls in or were answered; or calls out that nobody answered."
    causes: Sequence[str] = ()
    "With ``answered`` or ``completed``: of these causes."
    other_causes: Sequence[str] = ()
    "With ``answered`` or ``completed``: of none of these."


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a page begins: behind the call of this time and identity, in the order of the list."""

    started_at: datetime
    call_id: str


class CallRecords:
    """Queries of a ledger; every one raises ``LedgerError`` when the database does not let it."""

    def __init__(self, database: Database, *, node: str) -> None:
        self._database = database
        self._node = node

    async def find(self, call_id: str) -> CallRecord | None:
        """Return a call's record; None when there is none."""
        rows = await self._database.rows(select(*_COLUMNS).where(CALLS.c.call_id == call_id))
        return self._record(rows[0]) if rows else None

    async def page(
        self,
        wanted: CallFilter,
        size: int,
        *,
        behind: Mark | None = None,
        before: Mark | None = None,
        offset: int = 0,
        newest_first: bool = True,
    ) -> list[CallRecord]:
        """Return at most ``size`` calls, the newest first: those behind a mark, those right before one, or from the
        ``offset`` on (at most ``MAX_OFFSET``); without a mark also the oldest first."""
        time, identity = CALLS.c.started_at, CALLS.c.call_id
        statement = select(*_COLUMNS).where(*self._conditions(wanted)).limit(size)
        if before is not None:
            mark = or_(time > before.started_at, and_(time == before.started_at, identity < before.call_id))
            rows = await self._database.rows(statement.where(mark).order_by(time, identity.desc()))
            rows.reverse()
            return [self._record(row) for row in rows]
        if behind is not None:
            statement = statement.where(
                or_(time < behind.started_at, and_(time == behind.started_at, identity > behind.call_id))
            )
        order = (time.desc(), identity) if newest_first or behind is not None else (time, identity.desc())
        statement = statement.order_by(*order).offset(min(offset, MAX_OFFSET) if offset else None)
        return [self._record(row) for row in await self._database.rows(statement)]

    async def count(self, wanted: CallFilter) -> int:
        """Return how many calls there are, at most ``MAX_OFFSET``."""
        found = select(CALLS.c.call_id).where(*self._conditions(wanted)).limit(MAX_OFFSET).subquery()
        rows = await self._database.rows(select(func.count()).select_from(found))
        return int(rows[0][0])

    async def remove(self, call_id: str) -> bool:
        """Delete the record of a call that is over, out of the database's files too; return whether there was one.

        Its payments and recordings stay: they are deleted in their own time (docs/ledger.md).
        """
        over = and_(CALLS.c.call_id == call_id, or_(CALLS.c.ended_at.is_not(None), CALLS.c.node == self._node))
        n = await self._database.execute(delete(CALLS).where(over))
        if n:
            await self._database.forget_deleted()
        return bool(n)

    def _conditions(self, wanted: CallFilter) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = [
            column == value
            for column, value in (
                (CALLS.c.caller, wanted.caller),
                (CALLS.c.dialled, wanted.dialled),
                (CALLS.c.parent_id, wanted.parent_id),
            )
            if value
        ]
        if wanted.label:
            parent = CALLS.alias()
            is_child = exists().where(parent.c.call_id == CALLS.c.parent_id, parent.c.form == wanted.label)
            conditions.append(or_(CALLS.c.form == wanted.label, is_child))
        if wanted.together is not None:
            ids = wanted.together[:MAX_LIVE]
            conditions.append(or_(CALLS.c.call_id.in_(ids), CALLS.c.parent_id.in_(ids)))
        for column, (since, until) in ((CALLS.c.started_at, wanted.started), (CALLS.c.ended_at, wanted.ended)):
            if since is not None:
                conditions.append(column >= since)
            if until is not None:
                conditions.append(column < until)
        if wanted.live_ids is not None:
            conditions.append(self._is_open(wanted.live_ids[:MAX_LIVE], wanted.open_elsewhere))
        if wanted.answered is not None or wanted.completed is not None:
            conditions += self._is_over(wanted)
        return conditions

    def _is_open(self, ids: Sequence[str], elsewhere: bool | None) -> ColumnElement[bool]:
        ours: ColumnElement[bool] = CALLS.c.call_id.in_(ids)
        if elsewhere is None:
            return ours
        answered = CALLS.c.answered_at.is_not(None) if elsewhere else CALLS.c.answered_at.is_(None)
        return or_(ours, and_(CALLS.c.node != self._node, CALLS.c.ended_at.is_(None), answered))

    def _is_over(self, wanted: CallFilter) -> list[ColumnElement[bool]]:
        answered = CALLS.c.answered_at
        conditions: list[ColumnElement[bool]] = [CALLS.c.ended_at.is_not(None)]
        if wanted.answered is not None:
            conditions.append(answered.is_not(None) if wanted.answered else answered.is_(None))
        if wanted.completed is not None:
            unanswered = and_(answered.is_(None), CALLS.c.direction == "out")
            is_in = or_(CALLS.c.direction.is_(None), CALLS.c.direction != "out")
            conditions.append(or_(answered.is_not(None), is_in) if wanted.completed else unanswered)
        if wanted.causes:
            conditions.append(CALLS.c.cause.in_(wanted.causes))
        if wanted.other_causes:
            conditions.append(CALLS.c.cause.not_in(wanted.other_causes))
        return conditions

    def _record(self, row: Row[Any]) -> CallRecord:
        return CallRecord(
            call_id=row.call_id,
            caller=row.caller,
            dialled=row.dialled,
            direction=row.direction or "in",
            started_at=row.started_at,
            answered_at=row.answered_at,
            ended_at=row.ended_at,
            cause=row.cause or "",
            parent_id=row.parent_id or "",
            label=row.form,
            is_ours=row.node == self._node,
        )
