"""Taking out of the ledger what must not stay: what is old, and on request what says who somebody is.

* What is old is deleted, at most ``BATCH`` rows a transaction, so that no call waits for it. A payment goes with its
  attempts, and never while one of them is open or unknown: it is the only trace of money that may have moved.
* A caller's data is replaced, not deleted: number, SIP Call-ID, masked card and account, token and customer at the
  connector, the gateway's words. The facts of money stay: times, amount, currency, result, outcome, connector and
  both sides' identities of the charge, which is what accounting has to keep and what a refund needs.

On SQLite what was deleted or replaced is overwritten in the file (``secure_delete``). On PostgreSQL it is when VACUUM
and the recycling of its log get there. Backups are the operator's (docs/ledger.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.ledger.database import Database
from engine.ledger.schema import CALLS, CHARGE_ATTEMPTS, OUTBOX, PAYMENTS, RECORDINGS
from engine.pay.submission import Outcome

__all__ = ("BATCH", "ERASED", "Erased", "Removal")

BATCH = 500
"Calls or payments of one transaction."
ERASED = "erased"
"What stands where a caller's data was."


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure found."""

    calls: int
    payments: int
    running: tuple[str, ...]
    "Calls that are not over: they were left alone, and can be erased when they are."


class Removal:
    """Deletes and erases; every method raises ``LedgerError`` when the database does not let it."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def delete_calls(self, before: datetime) -> int:
        """Delete at most ``BATCH`` records of calls that began before the given time; return how many."""
        oldest = select(CALLS.c.call_id).where(CALLS.c.started_at < before).order_by(CALLS.c.started_at).limit(BATCH)
        return await self._database.execute(delete(CALLS).where(CALLS.c.call_id.in_(oldest)))

    async def delete_payments(self, before: datetime) -> int:
        """Delete at most ``BATCH`` payments that began before the given time, with their attempts; return how many.

        A payment with an open or unknown attempt stays.
        """
        undecided = (
            select(CHARGE_ATTEMPTS.c.id)
            .where(
                CHARGE_ATTEMPTS.c.payment_id == PAYMENTS.c.payment_id,
                or_(CHARGE_ATTEMPTS.c.outcome.is_(None), CHARGE_ATTEMPTS.c.outcome == Outcome.UNKNOWN.value),
            )
            .exists()
        )
        oldest = (
            select(PAYMENTS.c.payment_id)
            .where(PAYMENTS.c.started_at < before, ~undecided)
            .order_by(PAYMENTS.c.started_at)
            .limit(BATCH)
        )

        async def work(connection: AsyncConnection) -> int:
            payments = list((await connection.execute(oldest)).scalars())
            if payments:
                await connection.execute(delete(CHARGE_ATTEMPTS).where(CHARGE_ATTEMPTS.c.payment_id.in_(payments)))
                await connection.execute(delete(PAYMENTS).where(PAYMENTS.c.payment_id.in_(payments)))
            return len(payments)

        return await self._database.run(work)

    async def erase_call(self, call_id: str) -> Erased:
        """Replace the caller's data of one call, also when its record is gone and only its payments are left."""
        running = await self._running(CALLS.c.call_id == call_id)
        if running:
            return Erased(calls=0, payments=0, running=running)
        calls, payments = await self._erase([call_id])
        await self._database.forget_deleted()
        return Erased(calls=calls, payments=payments, running=())

    async def recordings(self, *, call_id: str = "", caller: str = "") -> list[str]:
        """Return the recordings of one call, or of a caller as `erase_caller` finds them, of calls that are over.

        Their audio is not here: whoever erases deletes it first, then the record (``Ledger.recordings.remove``).
        """
        of_them: ColumnElement[bool] = RECORDINGS.c.call_id == call_id
        if caller:
            over = select(CALLS.c.call_id).where(_calls_of(caller), CALLS.c.ended_at.is_not(None))
            of_them = RECORDINGS.c.call_id.in_(over)
        statement = select(RECORDINGS.c.recording_id).where(of_them, RECORDINGS.c.finished_at.is_not(None))
        return [row.recording_id for row in await self._database.rows(statement)]

    async def erase_caller(self, number: str) -> Erased:
        """Replace the data of everybody who called from, or was called at, ``number``: as written, or with the plus
        sign that is missing or too much.

        Payments whose call record was deleted can only be found by the call's identity.
        """
        theirs = _calls_of(number)
        over = select(CALLS.c.call_id).where(theirs, CALLS.c.ended_at.is_not(None)).limit(BATCH)
        calls = payments = 0
        while batch := [row.call_id for row in await self._database.rows(over)]:
            some_calls, some_payments = await self._erase(batch)
            calls += some_calls
            payments += some_payments
        await self._database.forget_deleted()
        return Erased(calls=calls, payments=payments, running=await self._running(theirs))

    async def _running(self, condition: ColumnElement[bool]) -> tuple[str, ...]:
        rows = await self._database.rows(select(CALLS.c.call_id).where(condition, CALLS.c.ended_at.is_(None)))
        return tuple(row.call_id for row in rows)

    async def _erase(self, call_ids: Sequence[str]) -> tuple[int, int]:
        now = self._clock()

        async def work(connection: AsyncConnection) -> tuple[int, int]:
            calls = await connection.execute(
                update(CALLS).where(CALLS.c.call_id.in_(call_ids)).values(sip_call_id=ERASED, erased_at=now)
            )
            for name, condition in (("dialled", CALLS.c.direction == "out"), ("caller", _is_incoming())):
                await connection.execute(
                    update(CALLS).where(CALLS.c.call_id.in_(call_ids), condition).values({name: ERASED})
                )
            found = await connection.execute(select(PAYMENTS.c.payment_id).where(PAYMENTS.c.call_id.in_(call_ids)))
            payments = list(found.scalars())
            if payments:
                await self._erase_payments(connection, payments, now)
            await connection.execute(
                delete(OUTBOX).where(
                    OUTBOX.c.session.in_([*payments, *call_ids]),
                    or_(OUTBOX.c.delivered_at.is_not(None), OUTBOX.c.dead_at.is_not(None)),
                )
            )
            return int(calls.rowcount), len(payments)

        return await self._database.run(work)

    async def _erase_payments(self, connection: AsyncConnection, payments: Sequence[str], now: datetime) -> None:
        nothing = {"card_number": "", "token_id": "", "error_message": ""}
        await connection.execute(
            update(PAYMENTS)
            .where(PAYMENTS.c.payment_id.in_(payments))
            .values(nothing | {"account_number": "", "profile_id": "", "erased_at": now})
        )
        await connection.execute(
            update(CHARGE_ATTEMPTS)
            .where(CHARGE_ATTEMPTS.c.payment_id.in_(payments))
            .values(nothing | {"settle_note": ""})
        )


def _calls_of(number: str) -> ColumnElement[bool]:
    """Calls from or to a number, as written or with the plus sign that is missing or too much, not erased yet."""
    bare = number.removeprefix("+")
    names = [number, bare, f"+{bare}"]
    return and_(
        or_(CALLS.c.caller.in_(names), and_(CALLS.c.direction == "out", CALLS.c.dialled.in_(names))),
        CALLS.c.erased_at.is_(None),
    )


def _is_incoming() -> ColumnElement[bool]:
    return or_(CALLS.c.direction.is_(None), CALLS.c.direction != "out")
