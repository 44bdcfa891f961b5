"""The ledger: what must survive a crash.

Calls, payments, charge attempts (journalled before the first byte leaves, architecture §6) and the outbox of webhooks.
Each method is one transaction, or takes part in one that others' writes share (``engine.ledger.group``); either way
what it wrote is on the disk when it returns. Every method raises ``LedgerError``, with the remedy in its text, when the
database does not let it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.errors import LedgerError
from engine.ledger.calls import CallRecords
from engine.ledger.database import BUSY_TIMEOUT_S, Database
from engine.ledger.export import Export
from engine.ledger.group import GroupCommit
from engine.ledger.interrupted import Interrupted
from engine.ledger.recordings import RecordingRows
from engine.ledger.records import AttemptRecord, CallMedia
from engine.ledger.removal import Removal
from engine.ledger.schema import CALLS, CHARGE_ATTEMPTS, PAYMENTS
from engine.ledger.webhooks import WebhookQueue
from engine.pay.accounts import mask_account
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, Submission
from engine.redact import mask_card, redact_text

__all__ = ("Ledger",)

_MOST = 2**31 - 1
"The largest number of an integer column of PostgreSQL."
_SHOWN_OF_CARD, _SHOWN_OF_ACCOUNT = 4, 2

# What every call and every payment writes, made once: to make and compile a statement costs more than to execute it.
_INSERT_CALL = insert(CALLS)
_ANSWER_CALL = update(CALLS).where(CALLS.c.call_id == bindparam("call"))
_END_CALL = update(CALLS).where(CALLS.c.call_id == bindparam("call"))
_INSERT_PAYMENT = insert(PAYMENTS)
_END_PAYMENT = update(PAYMENTS).where(PAYMENTS.c.payment_id == bindparam("payment"))
_TELL_PAYMENT = update(PAYMENTS).where(PAYMENTS.c.payment_id == bindparam("payment"))
_INSERT_ATTEMPT = insert(CHARGE_ATTEMPTS)
_COUNT_ATTEMPT = _END_PAYMENT.values(attempts=PAYMENTS.c.attempts + 1)
_MEDIA_COLUMNS = tuple(field.name for field in dataclass_fields(CallMedia))
_UNKNOWN = or_(CHARGE_ATTEMPTS.c.outcome.is_(None), CHARGE_ATTEMPTS.c.outcome == Outcome.UNKNOWN.value)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """An open ledger. Made by ``await Ledger.open(url)``, given back by ``await close()``."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime], node: str) -> None:
        self._database = database
        self.webhooks = WebhookQueue(database, clock=clock, node=node)
        "The outbox."
        self.calls = CallRecords(database, node=node)
        "Records of calls, for the REST interface."
        self.export = Export(database)
        "Lists of payments, calls and attempts, page by page."
        self.removal = Removal(database, clock=clock)
        "Deleting what is old and erasing a caller's data."
        self.interrupted = Interrupted(database, clock=clock, node=node)
        "Payments that a crash left open."
        self.recordings = RecordingRows(database, clock=clock, node=node)
        "Which recordings there are."
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
        migrate: bool = True,
        read_only: bool = False,
    ) -> Ledger:
        """Open the database at ``url`` and bring its schema up to date.

        ``clock`` gives aware times. ``node`` names this engine among several on one PostgreSQL database: only its own
        attempts are taken up after a crash. ``busy_timeout_s`` is the patience with locks that others hold. Tools that
        work beside an engine open without ``migrate``, or ``read_only``: then nothing is created, migrated or locked.
        """
        database = await Database.open(
            url, busy_timeout_s=busy_timeout_s, node=node, migrate=migrate, read_only=read_only
        )
        return cls(database, clock=clock, node=node)

    async def claim(self) -> None:
        """Make this process the only engine on a SQLite file, or with this node's name; see ``Database.claim``."""
        await self._database.claim()

    async def close(self) -> None:
        """Finish what is being written and close the database."""
        await self.webhooks.close()
        await self._group.close()
        await self._database.close()

    # -- calls ---------------------------------------------------------------------------------------------------

    async def record_call_start(
        self,
        call_id: str,
        *,
        sip_call_id: str,
        caller: str,
        dialled: str,
        form: str,
        direction: str = "in",
        parent_id: str = "",
    ) -> None:
        """Note that a call came that we can take (``in``), or is being placed (``out``)."""
        await self._group.write(
            _INSERT_CALL,
            {
                "call_id": call_id,
                "sip_call_id": sip_call_id,
                "caller": caller,
                "dialled": dialled,
                "form": form,
                "direction": direction,
                "parent_id": parent_id or None,
                "node": self._node,
                "started_at": self._clock(),
            },
        )

    async def record_call_answer(self, call_id: str) -> None:
        """Note that both sides hear each other from now on; a call whose start was not recorded is passed over."""
        await self._group.write(_ANSWER_CALL, {"call": call_id, "answered_at": self._clock()})

    async def record_call_end(self, call_id: str, *, cause: str, media: CallMedia | None = None) -> None:
        """Note that a call is over; a call whose start was not recorded is passed over."""
        values = {"call": call_id, "ended_at": self._clock(), "cause": cause}
        if media is not None:
            values |= {name: _storable_number(getattr(media, name)) for name in _MEDIA_COLUMNS}
        await self._group.write(_END_CALL, values)

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
        direction: str = "in",
        connector: str = "",
        reply_to: Mapping[str, str] | None = None,
    ) -> None:
        """Open a payment; its attempts refer to it. ``amount`` is decimal text, empty when tokenizing.

        ``direction`` is the call's; ``connector`` the one that will be asked, if it comes to that. ``reply_to`` says
        how the application wants to be told of the end, should the engine be gone by then; no secret may stand in it.
        """
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
                "direction": direction,
                "connector": connector,
                "reply_to": json.dumps(dict(reply_to)) if reply_to else None,
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
        method: str = "",
        account_number: str = "",
        account_type: str = "",
        token_type: str = "",
        profile_id: str = "",
        reply_to: Mapping[str, str] | None = None,
    ) -> None:
        """Close a payment with its result of `dialects.md` §1.8; card and account number come in masked.

        What is left out from ``method`` on stays as the start and the last attempt have it. ``profile_id`` is the
        customer under which the connector keeps a token. ``reply_to`` says how the application is told, should the
        engine be gone before it was (`told`); not given: it needs not be.
        """
        values = {
            "payment": payment_id,
            "finished_at": self._clock(),
            "reply_to": json.dumps(dict(reply_to)) if reply_to else None,
            "result": result,
            "card_number": _only_last(card_number, _SHOWN_OF_CARD),
            "card_type": card_type,
            "charge_id": charge_id,
            "token_id": token_id,
            "error_code": redact_text(error_code),
            "error_message": redact_text(error_message),
        }
        details = {
            "method": method,
            "account_number": _only_last(account_number, _SHOWN_OF_ACCOUNT),
            "account_type": account_type,
            "token_type": token_type,
            "profile_id": profile_id,
        }
        await self._group.write(_END_PAYMENT, values | {name: text for name, text in details.items() if text})

    async def told(self, payment_id: str) -> None:
        """Note that the application knows of a payment's end, or that a webhook will tell it."""
        await self._group.write(_TELL_PAYMENT, {"payment": payment_id, "reply_to": None})

    async def recent_payments(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest payments first, each with the last attempt's outcome; masked."""
        return [row async for row in self.export.payments(limit=limit)]

    # -- charge attempts -----------------------------------------------------------------------------------------

    async def journal_attempt(self, payment_id: str, submission: Submission, connector: str) -> None:
        """Write down an attempt before its first byte leaves; refuse an id that was journalled before.

        Raise ``LedgerError``, too, when the claim on the ledger was lost to another engine: it would take this attempt
        for one that a crash left behind.
        """
        await self._database.check_claim()
        card_number, account_number = _masked_numbers(submission)
        attempt = {
            "transaction_id": submission.transaction_id,
            "payment_id": payment_id,
            "connector": connector,
            "operation": submission.operation.value,
            "method": submission.method.value,
            "amount": submission.amount,
            "currency": submission.currency,
            "card_number": card_number,
            "card_type": submission.card_type,
            "node": self._node,
            "created_at": self._clock(),
            "reconciled": False,
        }
        payment = {
            "payment": payment_id,
            "connector": connector,
            "transaction_id": submission.transaction_id,
            "outcome": None,
            "method": submission.method.value,
            "card_number": card_number,
            "card_type": submission.card_type,
            "account_number": account_number,
            "account_type": submission.account_type,
            "token_type": submission.token_type.value if submission.operation is Operation.TOKENIZE else "",
        }

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(_INSERT_ATTEMPT, attempt)
            await connection.execute(_COUNT_ATTEMPT, payment)

        await self._database.run(work)

    async def record_outcome(self, transaction_id: str, answer: ConnectorAnswer, *, reconciled: bool = False) -> bool:
        """Write down how an attempt ended; return whether something was written.

        The answer to our own request counts over everything. A ``reconciled`` one only fills in what is not known.
        Raise ``LedgerError`` when the attempt was never journalled.
        """
        condition: ColumnElement[bool] = CHARGE_ATTEMPTS.c.transaction_id == transaction_id
        count = await self._conclude(
            transaction_id,
            and_(condition, _UNKNOWN) if reconciled else condition,
            {
                "outcome": answer.outcome.value,
                "outcome_at": self._clock(),
                "reconciled": reconciled,
                "charge_id": answer.charge_id,
                "token_id": answer.token_id,
                "error_code": redact_text(answer.error_code),
                "error_message": redact_text(answer.error_message),
            },
        )
        if not count and not reconciled:
            raise LedgerError(f"attempt {transaction_id} was never journalled")
        return bool(count)

    async def settle(
        self, transaction_id: str, *, charged: bool, by: str, note: str, charge_id: str = ""
    ) -> AttemptRecord:
        """Write down what an operator found in the gateway's books about an attempt whose outcome nobody knows.

        The payment's result stays what it was reported as; its outcome becomes the truth. Raise ``LedgerError`` when
        there is no such attempt, or when its outcome is known or may still come.
        """
        now = self._clock()
        outcome = Outcome.SUCCEEDED if charged else Outcome.FAILED
        values: dict[str, Any] = {"outcome": outcome.value, "outcome_at": now, "reconciled": True}
        values |= {"settled_by": by, "settled_at": now, "settle_note": redact_text(note)}
        if charge_id:
            values["charge_id"] = charge_id
        condition = and_(
            CHARGE_ATTEMPTS.c.transaction_id == transaction_id, CHARGE_ATTEMPTS.c.outcome == Outcome.UNKNOWN.value
        )
        count = await self._conclude(transaction_id, condition, values)
        attempt = await self.attempt(transaction_id)
        if attempt is None:
            raise LedgerError(f"there is no attempt {transaction_id}; `paytone payments --unknown` lists them")
        if not count:
            state = "still open: the engine that made it finds out when it starts" if attempt.outcome is None else ""
            raise LedgerError(
                f"attempt {transaction_id} is {state or f'known: {attempt.outcome}'}; nothing was changed"
            )
        return attempt

    async def _conclude(self, transaction_id: str, condition: ColumnElement[bool], values: dict[str, Any]) -> int:
        """Write an outcome to an attempt, and to its payment when it is the last one; return how many attempts."""
        payment = select(CHARGE_ATTEMPTS.c.payment_id).where(CHARGE_ATTEMPTS.c.transaction_id == transaction_id)
        its_payment = (
            update(PAYMENTS)
            .where(PAYMENTS.c.payment_id == payment.scalar_subquery(), PAYMENTS.c.transaction_id == transaction_id)
            .values(outcome=values["outcome"])
        )

        async def work(connection: AsyncConnection) -> int:
            count = int((await connection.execute(update(CHARGE_ATTEMPTS).where(condition).values(**values))).rowcount)
            if count:
                await connection.execute(its_payment)
            return count

        return await self._database.run(work)

    async def open_attempts(self) -> list[AttemptRecord]:
        """Return this node's attempts without an outcome, the oldest first."""
        return await self._attempts(CHARGE_ATTEMPTS.c.outcome.is_(None))

    async def unknown_attempts(self) -> list[AttemptRecord]:
        """Return this node's attempts of which nobody knows whether they charged, the oldest first."""
        return await self._attempts(CHARGE_ATTEMPTS.c.outcome == Outcome.UNKNOWN.value)

    async def attempt(self, transaction_id: str) -> AttemptRecord | None:
        """Return one attempt; None when it was never journalled."""
        rows = await self._database.rows(
            select(CHARGE_ATTEMPTS).where(CHARGE_ATTEMPTS.c.transaction_id == transaction_id)
        )
        return _attempt_record(rows[0]) if rows else None

    async def _attempts(self, condition: ColumnElement[bool]) -> list[AttemptRecord]:
        statement = (
            select(CHARGE_ATTEMPTS)
            .where(condition, CHARGE_ATTEMPTS.c.node == self._node)
            .order_by(CHARGE_ATTEMPTS.c.id)
        )
        return [_attempt_record(row) for row in await self._database.rows(statement)]


def _masked_numbers(submission: Submission) -> tuple[str, str]:
    """Return card and account number as they may be kept."""
    card, account = submission.card_number, submission.account_number
    return (
        "" if card is None else mask_card(card.last_four(), len(card)),
        "" if account is None else mask_account(account.view()),
    )


def _only_last(text: str, shown: int) -> str:
    """Return a number that should be masked already with no digit left before its last ``shown`` characters."""
    hidden = max(0, len(text) - shown)
    return "".join("*" if char.isdigit() else char for char in text[:hidden]) + text[hidden:]


def _storable_number(value: Any) -> Any:
    """Return a figure that both databases keep alike: no NaN, no infinity, no integer beyond 32 bits."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return max(-_MOST, min(_MOST, value))
    return value


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
