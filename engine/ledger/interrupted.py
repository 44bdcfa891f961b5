"""Payments that an engine left open, or untold, when it went away: found at the next start, concluded, and closed.

A payment whose last attempt succeeded is a success, every other one is ``internal-error``, and one with an attempt that
nobody knows of says so. What is found is what `Interrupted.close` writes down, so that applications can be told between
the two: who is told and not closed is told again at the next start, which the last webhook shows. A payment that has
its result, and still owes it to its application, keeps that result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.ledger.database import Database
from engine.ledger.schema import CALLS, CHARGE_ATTEMPTS, OUTBOX, PAYMENTS
from engine.pay.submission import Outcome

__all__ = ("INTERRUPTED", "Interrupted", "InterruptedPayment")

INTERRUPTED = "internal-error"
"Result of a payment whose engine went away in the middle (`dialects.md` §1.8)."
_RESULT_COLUMNS = ("result", "error_code", "card_number", "card_type", "charge_id", "token_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptedPayment:
    """One payment, as it will be closed."""

    payment_id: str
    call_id: str
    form: str
    method: str
    result: str
    error_code: str
    "``interrupted``, or ``unknown`` where money may have moved; empty for a success."
    outcome: Outcome | None
    "The last attempt's; None when there was none, or none that is known."
    card_number: str
    "Masked."
    card_type: str
    charge_id: str
    token_id: str
    reply_to: Mapping[str, str]
    "How its application wants to be told, as ``start_payment`` got it; empty: not at all."
    last_webhook: bytes
    "Body of the last webhook that was put in for it; empty: none was."
    had_ended: bool = False
    "Whether it had its result, and only its application was not told."


class Interrupted:
    """What an engine left open; only at start, after reconciling. Every method raises ``LedgerError``."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime], node: str) -> None:
        self._database = database
        self._clock = clock
        self._node = node

    async def payments(self) -> list[InterruptedPayment]:
        """Return this node's payments that are open or untold, the oldest first."""

        async def work(connection: AsyncConnection) -> list[InterruptedPayment]:
            return [await self._one(connection, row) for row in await self._open(connection)]

        return await self._database.run(work, read_only=True)

    async def close(self) -> int:
        """Close this node's open payments and calls, and take the untold ones for told; return how many payments."""
        now = self._clock()

        async def work(connection: AsyncConnection) -> int:
            await connection.execute(
                update(CALLS)
                .where(CALLS.c.ended_at.is_(None), CALLS.c.node == self._node)
                .values(ended_at=now, cause="engine-stopped")
            )
            rows = await self._open(connection)
            for row in rows:
                values: dict[str, Any] = {"reply_to": None}
                if row.result is None:
                    conclusion = _conclusion(await _last_attempt(connection, row.payment_id))
                    values |= {"finished_at": now, **conclusion}
                statement = update(PAYMENTS).where(PAYMENTS.c.payment_id == row.payment_id)
                await connection.execute(statement.values(**values))
            return len(rows)

        return await self._database.run(work)

    async def _open(self, connection: AsyncConnection) -> list[Row[Any]]:
        statement = (
            select(PAYMENTS)
            .where(or_(PAYMENTS.c.result.is_(None), PAYMENTS.c.reply_to.is_not(None)), PAYMENTS.c.node == self._node)
            .order_by(PAYMENTS.c.started_at, PAYMENTS.c.payment_id)
        )
        return list((await connection.execute(statement)).all())

    async def _one(self, connection: AsyncConnection, row: Row[Any]) -> InterruptedPayment:
        attempt = await _last_attempt(connection, row.payment_id)
        last = select(func.max(OUTBOX.c.id)).where(OUTBOX.c.session == row.payment_id).scalar_subquery()
        webhook = (await connection.execute(select(OUTBOX.c.body).where(OUTBOX.c.id == last))).scalar()
        nothing = dict.fromkeys(("card_number", "card_type", "charge_id", "token_id"), "")
        ended = row.result is not None
        conclusion = {name: getattr(row, name) for name in _RESULT_COLUMNS} if ended else _conclusion(attempt)
        known = {name: value or "" for name, value in conclusion.items()}
        return InterruptedPayment(
            payment_id=row.payment_id,
            call_id=row.call_id,
            form=row.form,
            method=row.method,
            outcome=None if attempt is None or attempt.outcome is None else Outcome(attempt.outcome),
            reply_to=json.loads(row.reply_to or "{}"),
            last_webhook=bytes(webhook or b""),
            had_ended=ended,
            **(nothing | known),
        )


async def _last_attempt(connection: AsyncConnection, payment_id: str) -> Row[Any] | None:
    statement = (
        select(CHARGE_ATTEMPTS)
        .where(CHARGE_ATTEMPTS.c.payment_id == payment_id)
        .order_by(CHARGE_ATTEMPTS.c.id.desc())
        .limit(1)
    )
    return (await connection.execute(statement)).one_or_none()


def _conclusion(attempt: Row[Any] | None) -> dict[str, str]:
    """Return how a payment ended, by the columns of its row."""
    values = {"result": INTERRUPTED, "error_code": "interrupted"}
    if attempt is None:
        return values
    values |= {"card_number": attempt.card_number, "card_type": attempt.card_type}
    if attempt.outcome == Outcome.SUCCEEDED:
        values |= {"result": "success", "error_code": "", "charge_id": attempt.charge_id, "token_id": attempt.token_id}
    elif attempt.outcome in (None, Outcome.UNKNOWN):
        values["error_code"] = "unknown"
    return values
