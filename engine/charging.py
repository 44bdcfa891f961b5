"""Charging: journal, send, wipe, outcome; and after a crash, finding out (architecture §5, §6).

The laws:

1. Nothing is sent that is not in the journal. When it cannot be written, the payment fails and nothing was sent.
2. A transaction id is submitted once. Repeats are the connector's, inside that one submission, with that same id.
3. The secrets of a submission are wiped when its answer is in, however that came about.
4. Whoever waits may go away (hang-up, stop of the engine): sending and the writing of the outcome go on.
5. Reconciling asks, it never sends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from engine.connectors.protocol import Connector
from engine.errors import LedgerError
from engine.ledger import AttemptRecord, Ledger
from engine.log import fields
from engine.pay.submission import ConnectorAnswer, Outcome, Submission

__all__ = ("Charging",)

log = logging.getLogger("engine.charging")

RECORD_RETRIES_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"Waits before the outcome is written again, when the ledger is locked after the money has moved."


class Charging:
    """Sends payments to their connectors, each once, and keeps the ledger true."""

    def __init__(
        self,
        ledger: Ledger,
        connectors: Mapping[str, Connector],
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._connectors = connectors
        self._clock = clock
        self._sleep = sleep
        self._running: dict[str, asyncio.Task[ConnectorAnswer]] = {}
        self._recording: set[asyncio.Task[None]] = set()

    async def charge(self, payment_id: str, submission: Submission, connector_name: str) -> ConnectorAnswer:
        """Send ``submission`` and return the answer; the payment must have been started in the ledger.

        Never raises for a fault of the ledger, the network or the gateway: these are answers. The submission's secrets
        are wiped when this returns. When the caller is cancelled the work goes on; ``drain`` waits for it.
        """
        transaction_id = submission.transaction_id
        if under_way := self._running.get(transaction_id):
            return await asyncio.shield(under_way)  # law 2: the same transaction, asked for twice, has one answer
        connector = self._connectors.get(connector_name)
        if connector is None:
            _wipe(submission)
            return _failed("connector", f"there is no connector {connector_name!r}")
        task = asyncio.get_running_loop().create_task(self._charge(payment_id, submission, connector))
        self._running[transaction_id] = task
        task.add_done_callback(lambda _: self._running.pop(transaction_id, None))
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait until every submission has its answer and every answer is in the ledger.

        Bounded by the connectors' own timeouts and repeats, and by the waits for a locked ledger.
        """
        while waiting := [*self._running.values(), *self._recording]:
            await asyncio.gather(*waiting, return_exceptions=True)

    async def reconcile(self) -> list[AttemptRecord]:
        """Find out about attempts that an earlier run left without an outcome, or with an unknown one; at start only.

        Return those that were open, and those that were unknown and are known now. Raise ``LedgerError`` when the
        ledger can't be read or written, or when another engine works on it.
        """
        self._ledger.claim()
        seen: list[AttemptRecord] = []
        open_ones = await self._ledger.open_attempts()
        for attempt in [*open_ones, *await self._ledger.unknown_attempts()]:
            if attempt.transaction_id in self._running:
                continue
            age_s = (self._clock() - attempt.created_at).total_seconds()
            log.info("asking what became of an attempt", extra=fields(**attempt.for_log(), age_s=f"{age_s:.0f}"))
            answer = await self._look_up(attempt)
            if attempt.outcome is Outcome.UNKNOWN and answer.outcome is Outcome.UNKNOWN:
                continue
            if await self._ledger.record_outcome(attempt.transaction_id, answer, reconciled=True):
                record = await self._ledger.attempt(attempt.transaction_id)
                assert record is not None
                seen.append(record)
        await self._ledger.close_interrupted()
        return seen

    async def _look_up(self, attempt: AttemptRecord) -> ConnectorAnswer:
        connector = self._connectors.get(attempt.connector)
        answer = None
        if connector is not None:
            try:
                answer = await connector.look_up(attempt.transaction_id)
            except Exception as error:
                log.error(
                    "an attempt could not be looked up",
                    extra=fields(transaction=attempt.transaction_id, error=type(error).__name__),
                )
        if answer is None:
            message = "compare this transaction with the gateway's books"
            return ConnectorAnswer(outcome=Outcome.UNKNOWN, error_code="unknown", error_message=message)
        return answer

    async def _charge(self, payment_id: str, submission: Submission, connector: Connector) -> ConnectorAnswer:
        try:
            try:
                await self._ledger.journal_attempt(payment_id, submission, connector.name)
            except LedgerError as error:
                log.error(
                    "nothing was sent: the attempt could not be journalled: %s",
                    error,
                    extra=fields(transaction=submission.transaction_id),
                )
                return _failed("ledger", "the ledger could not be written")
            answer = await self._submit(submission, connector)
        finally:
            _wipe(submission)
        await self._record(submission.transaction_id, answer)
        return answer

    async def _submit(self, submission: Submission, connector: Connector) -> ConnectorAnswer:
        try:
            return await connector.submit(submission)
        except Exception as error:
            # No text of the exception: nobody knows what a library put into it.
            log.error(
                "the connector broke down",
                extra=fields(
                    transaction=submission.transaction_id, connector=connector.name, error=type(error).__name__
                ),
            )
            message = "the connector broke down; the payment may have been carried out"
            return ConnectorAnswer(outcome=Outcome.UNKNOWN, error_code="internal", error_message=message)

    async def _record(self, transaction_id: str, answer: ConnectorAnswer) -> None:
        try:
            await self._ledger.record_outcome(transaction_id, answer)
        except LedgerError as error:
            log.error("an outcome could not be written yet: %s", error, extra=fields(transaction=transaction_id))
            # The caller must not wait for a lock: the money has moved, or it hasn't, and the answer says which.
            task = asyncio.get_running_loop().create_task(self._record_later(transaction_id, answer))
            self._recording.add(task)
            task.add_done_callback(self._recording.discard)

    async def _record_later(self, transaction_id: str, answer: ConnectorAnswer) -> None:
        for wait_s in RECORD_RETRIES_S:
            await self._sleep(wait_s)
            try:
                await self._ledger.record_outcome(transaction_id, answer)
            except LedgerError:
                continue
            return
        log.error(
            "an outcome could not be written: the attempt stays open until the next start",
            extra=fields(
                transaction=transaction_id, outcome=answer.outcome, charge=answer.charge_id, token=answer.token_id
            ),
        )


def _wipe(submission: Submission) -> None:
    for secret in (submission.card_number, submission.security_code):
        if secret is not None:
            secret.wipe()


def _failed(code: str, message: str) -> ConnectorAnswer:
    return ConnectorAnswer(outcome=Outcome.FAILED, error_code=code, error_message=message)
