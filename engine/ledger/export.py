"""Lists of what the ledger knows: payments, calls, attempts that need an operator.

Rows come in pages, each a short transaction of its own that begins behind the last row of the one before: a hundred
thousand rows fill no memory, and an engine at work is not held up. A row that is written meanwhile may be missing, none
comes twice. Everything is masked as it is stored.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, and_, or_, select

from engine.ledger.database import Database
from engine.ledger.schema import CALLS, CHARGE_ATTEMPTS, PAYMENTS
from engine.pay.submission import Outcome

__all__ = ("PAGE", "Export")

PAGE = 1000
"Rows of one page."

_PAYMENTS = select(
    *(
        PAYMENTS.c[name]
        for name in (
            *("payment_id", "call_id", "started_at", "finished_at", "direction", "form", "operation", "method"),
            *("amount", "currency", "result", "outcome", "attempts", "connector", "transaction_id", "charge_id"),
            *("token_type", "token_id", "profile_id", "card_type", "card_number", "account_type", "account_number"),
            *("error_code", "error_message"),
        )
    ),
    *(CHARGE_ATTEMPTS.c[name] for name in ("reconciled", "settled_by", "settled_at", "settle_note")),
    *(PAYMENTS.c[name] for name in ("node", "erased_at")),
).select_from(PAYMENTS.outerjoin(CHARGE_ATTEMPTS, CHARGE_ATTEMPTS.c.transaction_id == PAYMENTS.c.transaction_id))
_CALLS = select(
    *(
        CALLS.c[name]
        for name in (
            *("call_id", "sip_call_id", "started_at", "ended_at", "direction", "caller", "dialled", "form", "cause"),
            *("codec", "srtp", "packets_in", "packets_lost", "packets_late", "packets_discarded", "jitter_ms"),
            *("round_trip_ms", "mos", "node", "erased_at"),
        )
    )
)
_ATTEMPTS = select(
    *(
        CHARGE_ATTEMPTS.c[name]
        for name in (
            *("id", "transaction_id", "payment_id", "connector", "operation", "method", "amount", "currency"),
            *("card_type", "card_number", "created_at", "outcome", "outcome_at", "error_code", "error_message", "node"),
        )
    ),
    PAYMENTS.c.call_id,
).join(PAYMENTS, PAYMENTS.c.payment_id == CHARGE_ATTEMPTS.c.payment_id)


class Export:
    """Queries of a ledger; every one raises ``LedgerError`` when the database does not let it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def payments(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        result: str = "",
        call_id: str = "",
        limit: int | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield payments that began at ``since`` or later and before ``until``, the newest first."""
        conditions = _between(PAYMENTS.c.started_at, since, until)
        if result:
            conditions.append(PAYMENTS.c.result == result)
        if call_id:
            conditions.append(PAYMENTS.c.call_id == call_id)
        return self._newest_first(_PAYMENTS.where(*conditions), PAYMENTS.c.started_at, PAYMENTS.c.payment_id, limit)

    def calls(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        call_id: str = "",
        caller: str = "",
        limit: int | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield calls that began at ``since`` or later and before ``until``, the newest first."""
        conditions = _between(CALLS.c.started_at, since, until)
        if call_id:
            conditions.append(CALLS.c.call_id == call_id)
        if caller:
            conditions.append(CALLS.c.caller == caller)
        return self._newest_first(_CALLS.where(*conditions), CALLS.c.started_at, CALLS.c.call_id, limit)

    async def unknown(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        call_id: str = "",
        limit: int | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield attempts of all nodes of which nobody knows whether they charged, the oldest first.

        With an ``outcome`` of None the answer may still come, or the engine that waits for it is gone.
        """
        conditions: list[ColumnElement[bool]] = _between(CHARGE_ATTEMPTS.c.created_at, since, until)
        conditions.append(or_(CHARGE_ATTEMPTS.c.outcome.is_(None), CHARGE_ATTEMPTS.c.outcome == Outcome.UNKNOWN.value))
        if call_id:
            conditions.append(PAYMENTS.c.call_id == call_id)
        statement = _ATTEMPTS.where(*conditions).order_by(CHARGE_ATTEMPTS.c.id)
        last = 0
        while limit is None or limit > 0:
            size = PAGE if limit is None else min(PAGE, limit)
            rows = await self._database.rows(statement.where(CHARGE_ATTEMPTS.c.id > last).limit(size))
            for row in rows:
                record = dict(row._mapping)
                last = record.pop("id")
                yield record
            if len(rows) < size:
                return
            limit = None if limit is None else limit - len(rows)

    async def _newest_first(
        self, statement: Select[Any], time: Column[Any], identity: Column[Any], limit: int | None
    ) -> AsyncIterator[dict[str, Any]]:
        statement = statement.order_by(time.desc(), identity)
        page = statement
        while limit is None or limit > 0:
            size = PAGE if limit is None else min(PAGE, limit)
            rows = [dict(row._mapping) for row in await self._database.rows(page.limit(size))]
            for row in rows:
                yield row
            if len(rows) < size:
                return
            limit = None if limit is None else limit - len(rows)
            at, name = rows[-1][time.name], rows[-1][identity.name]
            page = statement.where(or_(time < at, and_(time == at, identity > name)))


def _between(column: Column[Any], since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if since is not None:
        conditions.append(column >= since)
    if until is not None:
        conditions.append(column < until)
    return conditions
