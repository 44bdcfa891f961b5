"""The ledger: what must survive a crash.

Calls, payments, charge attempts (journalled before the first byte leaves, architecture §6) and the outbox of webhooks.
Each method is one transaction, or takes part in one that others' writes share (``engine.ledger.group``); either way
what it wrote is on the disk when it returns. Every method raises ``LedgerError``, with the remedy in its text, when the
database does not let it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.errors import LedgerError
from engine.ledger.database import BUSY_TIMEOUT_S, Database
from engine.ledger.group import GroupCommit
from engine.ledger.records import AttemptRecord, CallMedia, WebhookRecord
from engine.ledger.schema import CALLS, CHARGE_ATTEMPTS, OUTBOX, PAYMENTS
from engine.pay.submission import ConnectorAnswer, Outcome, Submission
from engine.redact import mask_card, redact_text

__all__ = ("INTERRUPTED", "Ledger")

INTERRUPTED = "internal-error"
"Result of a payment whose engine went away in the middle (`dialects.md` §1.8)."
ERROR_TEXT = 500
"Longest error message that is kept, in characters."

# What every call and every payment writes, made once: to make and compile a statement costs more than to execute it.
_INSERT_CALL = insert(CALLS)
_END_CALL = update(CALLS).where(CALLS.c.call_id == bindparam("call"))
_INSERT_PAYMENT = insert(PAYMENTS)
_END_PAYMENT = update(PAYMENTS).where(PAYMENTS.c.payment_id == bindparam("payment"))
_MEDIA_COLUMNS = tuple(field.name for field in dataclass_fields(CallMedia))


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """An open ledger. Made by ``await Ledger.open(url)``, given back by ``await close()``."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime], node: str) -> None:
        self._database = database
        self._group = GroupCommit(database)
        self._clock = clock
        self._node = node

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Callable[[], datetime] = _utc_now,
        node: str = "",
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> Ledger:
        """Open the database at ``url`` and bring its schema up to date.

        ``clock`` gives aware times. ``node`` names this engine among several on one PostgreSQL database: only its own
        attempts are taken up after a crash. ``busy_timeout_s`` is SQLite's patience with other processes.
        """
        return cls(await Database.open(url, busy_timeout_s=busy_timeout_s), clock=clock, node=node)

    def claim(self) -> None:
        """Make this process the only engine on a SQLite file; see ``Database.claim``."""
        self._database.claim()

    async def close(self) -> None:
        """Finish what is being written and close the database."""
        await self._group.close()
        await self._database.close()

    # -- calls ---------------------------------------------------------------------------------------------------

    async def record_call_start(
        self, call_id: str, *, sip_call_id: str, caller: str, dialled: str, form: str, direction: str = "in"
    ) -> None:
        """Note that a call was answered (``in``), or is being placed (``out``)."""
        await self._group.write(
            _INSERT_CALL,
            {
                "call_id": call_id,
                "sip_call_id": sip_call_id[:255],
                "caller": caller[:128],
                "dialled": dialled[:128],
                "form": form,
                "direction": direction,
                "node": self._node,
                "started_at": self._clock(),
            },
        )

    async def record_call_end(self, call_id: str, *, cause: str, media: CallMedia | None = None) -> None:
        """Note that a call is over; a call whose start was not recorded is passed over."""
        values = {"call": call_id, "ended_at": self._clock(), "cause": cause[:64]}
        await self._group.write(
            _END_CALL, values if media is None else values | {name: getattr(media, name) for name in _MEDIA_COLUMNS}
        )

    # -- payments ------------------------------------------------------------------------------------------------

    async def start_payment(
        self,
        payment_id: str,
        *,
        call_id: str,
        form: str,
        operation: str,
        amount: str,
        currency: str,
        method: str = "credit-card",
    ) -> None:
        """Open a payment; its attempts refer to it. ``amount`` is decimal text, empty when tokenizing."""
        await self._group.write(
            _INSERT_PAYMENT,
            {
                "payment_id": payment_id,
                "call_id": call_id,
                "form": form,
                "operation": operation,
                "method": method,
                "amount": amount,
                "currency": currency,
                "node": self._node,
                "started_at": self._clock(),
            },
        )

    async def finish_payment(
        self,
        payment_id: str,
        *,
        result: str,
        card_number: str = "",
        card_type: str = "",
        charge_id: str = "",
        token_id: str = "",
        error_code: str = "",
        error_message: str = "",
    ) -> None:
        """Close a payment with its result of `dialects.md` §1.8; ``card_number`` is the masked form."""
        await self._group.write(
            _END_PAYMENT,
            {
                "payment": payment_id,
                "finished_at": self._clock(),
                "result": result,
                "card_number": redact_text(card_number)[:32],
                "card_type": card_type,
                "charge_id": charge_id[:255],
                "token_id": token_id[:255],
                "error_code": error_code[:128],
                "error_message": redact_text(error_message)[:ERROR_TEXT],
            },
        )

    async def recent_payments(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest payments first, each with the last attempt's outcome; masked."""
        last = (
            select(CHARGE_ATTEMPTS.c.payment_id, func.max(CHARGE_ATTEMPTS.c.id).label("id"))
            .group_by(CHARGE_ATTEMPTS.c.payment_id)
            .subquery()
        )
        statement = (
            select(
                PAYMENTS,
                CHARGE_ATTEMPTS.c.connector,
                CHARGE_ATTEMPTS.c.transaction_id,
                CHARGE_ATTEMPTS.c.outcome,
                CHARGE_ATTEMPTS.c.reconciled,
            )
            .select_from(PAYMENTS)
            .outerjoin(last, last.c.payment_id == PAYMENTS.c.payment_id)
            .outerjoin(CHARGE_ATTEMPTS, CHARGE_ATTEMPTS.c.id == last.c.id)
            .order_by(PAYMENTS.c.started_at.desc(), PAYMENTS.c.payment_id)
            .limit(limit)
        )
        return [dict(row._mapping) for row in await self._rows(statement)]

    async def close_interrupted(self) -> int:
        """Close payments and calls that an engine left open when it went away; return how many payments.

        Only at start, after reconciling: a payment whose last attempt succeeded is a success, every other one is
        ``internal-error``, and one with an unknown attempt says so.
        """
        now = self._clock()

        async def work(connection: AsyncConnection) -> int:
            await connection.execute(
                update(CALLS)
                .where(CALLS.c.ended_at.is_(None), CALLS.c.node == self._node)
                .values(ended_at=now, cause="engine-stopped")
            )
            open_ones = await connection.execute(
                select(PAYMENTS.c.payment_id).where(PAYMENTS.c.result.is_(None), PAYMENTS.c.node == self._node)
            )
            identities = list(open_ones.scalars())
            for payment_id in identities:
                await self._close_one(connection, payment_id, now)
            return len(identities)

        return await self._database.run(work)

    async def _close_one(self, connection: AsyncConnection, payment_id: str, now: datetime) -> None:
        attempt = (
            await connection.execute(
                select(CHARGE_ATTEMPTS)
                .where(CHARGE_ATTEMPTS.c.payment_id == payment_id)
                .order_by(CHARGE_ATTEMPTS.c.id.desc())
                .limit(1)
            )
        ).one_or_none()
        values: dict[str, Any] = {"result": INTERRUPTED, "error_code": "interrupted", "finished_at": now}
        if attempt is not None:
            values |= {"card_number": attempt.card_number, "card_type": attempt.card_type}
            if attempt.outcome == Outcome.SUCCEEDED:
                values |= {
                    "result": "success",
                    "error_code": "",
                    "charge_id": attempt.charge_id,
                    "token_id": attempt.token_id,
                }
            elif attempt.outcome in (None, Outcome.UNKNOWN):
                values["error_code"] = "unknown"
        await connection.execute(update(PAYMENTS).where(PAYMENTS.c.payment_id == payment_id).values(**values))

    # -- charge attempts -----------------------------------------------------------------------------------------

    async def journal_attempt(self, payment_id: str, submission: Submission, connector: str) -> None:
        """Write down an attempt before its first byte leaves; refuse an id that was journalled before."""
        await self._execute(
            insert(CHARGE_ATTEMPTS).values(
                transaction_id=submission.transaction_id,
                payment_id=payment_id,
                connector=connector,
                operation=submission.operation,
                method=submission.method,
                amount=submission.amount,
                currency=submission.currency,
                card_number=_masked(submission),
                card_type=submission.card_type,
                node=self._node,
                created_at=self._clock(),
                reconciled=False,
            )
        )

    async def record_outcome(self, transaction_id: str, answer: ConnectorAnswer, *, reconciled: bool = False) -> bool:
        """Write down how an attempt ended; return whether something was written.

        The answer to our own request counts over everything. A ``reconciled`` one only fills in what is not known.
        Raise ``LedgerError`` when the attempt was never journalled.
        """
        condition: ColumnElement[bool] = CHARGE_ATTEMPTS.c.transaction_id == transaction_id
        if reconciled:
            unknown = or_(CHARGE_ATTEMPTS.c.outcome.is_(None), CHARGE_ATTEMPTS.c.outcome == Outcome.UNKNOWN)
            condition = and_(condition, unknown)
        count = await self._execute(
            update(CHARGE_ATTEMPTS)
            .where(condition)
            .values(
                outcome=answer.outcome.value,
                outcome_at=self._clock(),
                reconciled=reconciled,
                charge_id=answer.charge_id[:255],
                token_id=answer.token_id[:255],
                error_code=redact_text(answer.error_code)[:128],
                error_message=redact_text(answer.error_message)[:ERROR_TEXT],
            )
        )
        if not count and not reconciled:
            raise LedgerError(f"attempt {transaction_id} was never journalled")
        return bool(count)

    async def open_attempts(self) -> list[AttemptRecord]:
        """Return this node's attempts without an outcome, the oldest first."""
        return await self._attempts(CHARGE_ATTEMPTS.c.outcome.is_(None))

    async def unknown_attempts(self) -> list[AttemptRecord]:
        """Return this node's attempts of which nobody knows whether they charged, the oldest first."""
        return await self._attempts(CHARGE_ATTEMPTS.c.outcome == Outcome.UNKNOWN)

    async def attempt(self, transaction_id: str) -> AttemptRecord | None:
        """Return one attempt; None when it was never journalled."""
        rows = await self._rows(select(CHARGE_ATTEMPTS).where(CHARGE_ATTEMPTS.c.transaction_id == transaction_id))
        return _attempt_record(rows[0]) if rows else None

    async def _attempts(self, condition: ColumnElement[bool]) -> list[AttemptRecord]:
        statement = (
            select(CHARGE_ATTEMPTS)
            .where(condition, CHARGE_ATTEMPTS.c.node == self._node)
            .order_by(CHARGE_ATTEMPTS.c.id)
        )
        return [_attempt_record(row) for row in await self._rows(statement)]

    # -- outbox --------------------------------------------------------------------------------------------------

    async def enqueue_webhook(
        self,
        session: str,
        url: str,
        body: bytes,
        *,
        content_type: str = "application/json",
        key_env: str = "",
        allow_insecure: bool = False,
    ) -> int:
        """Put a webhook at the end of its session's queue; return its id."""
        now = self._clock()
        statement = (
            insert(OUTBOX)
            .values(
                session=session,
                url=url,
                body=body,
                content_type=content_type,
                key_env=key_env,
                allow_insecure=allow_insecure,
                attempts=0,
                created_at=now,
                next_at=now,
            )
            .returning(OUTBOX.c.id)
        )

        async def work(connection: AsyncConnection) -> int:
            return int((await connection.execute(statement)).scalar_one())

        return await self._database.run(work)

    async def due_webhooks(self, now: datetime, limit: int) -> list[WebhookRecord]:
        """Return what is to be delivered now, at most one per session: its oldest that is not settled."""
        heads = _heads()
        statement = (
            select(OUTBOX)
            .join(heads, heads.c.id == OUTBOX.c.id)
            .where(OUTBOX.c.next_at <= now)
            .order_by(OUTBOX.c.id)
            .limit(limit)
        )
        return [
            WebhookRecord(
                id=row.id,
                session=row.session,
                url=row.url,
                content_type=row.content_type,
                body=row.body,
                key_env=row.key_env,
                allow_insecure=row.allow_insecure,
                attempts=row.attempts,
            )
            for row in await self._rows(statement)
        ]

    async def next_webhook_at(self, now: datetime) -> datetime | None:
        """Return when the next delivery after ``now`` is due; None when nothing waits for a time to come."""
        heads = _heads()
        rows = await self._rows(
            select(OUTBOX.c.next_at)
            .join(heads, heads.c.id == OUTBOX.c.id)
            .where(OUTBOX.c.next_at > now)
            .order_by(OUTBOX.c.next_at)
            .limit(1)
        )
        return rows[0].next_at if rows else None

    async def webhook_delivered(self, webhook_id: int) -> None:
        """Settle a webhook that was taken."""
        await self._execute(
            update(OUTBOX)
            .where(OUTBOX.c.id == webhook_id)
            .values(delivered_at=self._clock(), attempts=OUTBOX.c.attempts + 1, last_error=None)
        )

    async def webhook_failed(self, webhook_id: int, reason: str, *, retry_at: datetime | None) -> None:
        """Put a webhook off to ``retry_at``; None gives it up, and the session's next one becomes due."""
        values: dict[str, Any] = {"attempts": OUTBOX.c.attempts + 1, "last_error": redact_text(reason)[:255]}
        values |= {"dead_at": self._clock()} if retry_at is None else {"next_at": retry_at}
        await self._execute(update(OUTBOX).where(OUTBOX.c.id == webhook_id).values(**values))

    async def purge_webhooks(self, before: datetime) -> int:
        """Delete webhooks settled before the given time; return how many."""
        settled = or_(OUTBOX.c.delivered_at < before, OUTBOX.c.dead_at < before)
        return await self._execute(delete(OUTBOX).where(settled))

    # -- plumbing ------------------------------------------------------------------------------------------------

    async def _execute(self, statement: Any) -> int:
        async def work(connection: AsyncConnection) -> int:
            return int((await connection.execute(statement)).rowcount)

        return await self._database.run(work)

    async def _rows(self, statement: Select[Any]) -> list[Row[Any]]:
        def work(connection: AsyncConnection) -> Awaitable[list[Row[Any]]]:
            return _fetch(connection, statement)

        return await self._database.run(work, read_only=True)


async def _fetch(connection: AsyncConnection, statement: Select[Any]) -> list[Row[Any]]:
    return list((await connection.execute(statement)).all())


def _heads() -> Any:
    """Return the subquery of each session's oldest webhook that is neither delivered nor given up."""
    return (
        select(func.min(OUTBOX.c.id).label("id"))
        .where(OUTBOX.c.delivered_at.is_(None), OUTBOX.c.dead_at.is_(None))
        .group_by(OUTBOX.c.session)
        .subquery()
    )


def _masked(submission: Submission) -> str:
    secret = submission.card_number
    return "" if secret is None else mask_card(secret.last_four(), len(secret))


def _attempt_record(row: Row[Any]) -> AttemptRecord:
    return AttemptRecord(
        transaction_id=row.transaction_id,
        payment_id=row.payment_id,
        connector=row.connector,
        operation=row.operation,
        method=row.method,
        amount=row.amount,
        currency=row.currency,
        card_number=row.card_number,
        card_type=row.card_type,
        created_at=row.created_at,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        outcome_at=row.outcome_at,
        reconciled=row.reconciled,
        charge_id=row.charge_id or "",
        token_id=row.token_id or "",
        error_code=row.error_code or "",
        error_message=row.error_message or "",
    )
