"""Reconciling: finding out what became of attempts whose answer never came (architecture §6).

The laws:

1. Reconciling asks, it never sends.
2. An outcome once known stays; only an open or unknown one is filled in.
3. "Never received" is believed when the attempt is old enough (`Capabilities.absence_final_after_s`): before that the
   request may still be under way, and an attempt called failed must never turn out to be a charge.
4. Where a connector cannot be asked, or has not known for `GIVE_UP_S`, the attempt stays unknown and is the operator's:
   ``paytone payments --unknown`` lists it.

The payment keeps the result that its application was told; its attempt says what really happened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from engine.connectors.protocol import Connector
from engine.errors import LedgerError
from engine.ledger import AttemptRecord, InterruptedPayment, Ledger
from engine.log import fields
from engine.metrics import ATTEMPTS_RECONCILED, ATTEMPTS_UNKNOWN
from engine.pay.submission import ConnectorAnswer, Outcome

__all__ = ("ASK_AGAIN_S", "GIVE_UP_S", "Reconciler", "Tell")

log = logging.getLogger("engine.reconciling")

ASK_AGAIN_S = (10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"Waits between two questions about one attempt; the last one repeats."
GIVE_UP_S = 7 * 24 * 3600.0
"Age of an attempt at which it is no longer asked about."
LEDGER_PAUSE_S = 30.0
"Wait before the ledger is read again when it did not answer."
LOOK_UP_S = 30.0
"How long one question may take: a connector that hangs must not keep the others from being asked."

Tell = Callable[[InterruptedPayment], Awaitable[None]]
"Puts in the webhook by which an application learns how a payment ended that a crash interrupted."


async def _nobody(payment: InterruptedPayment) -> None:
    """Tell nobody."""


class Reconciler:
    """Asks connectors about attempts in the ledger: all of them at the start, the unknown ones now and then."""

    def __init__(
        self,
        ledger: Ledger,
        connectors: Mapping[str, Connector],
        *,
        is_running: Callable[[str], bool],
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``is_running`` tells whether charging still waits for an attempt's own answer; those are left alone."""
        self._ledger = ledger
        self._connectors = connectors
        self._is_running = is_running
        self._clock = clock
        self._sleep = sleep
        self._asked: dict[str, tuple[int, datetime]] = {}
        "By transaction: how often it was asked about, and when it is next."
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def at_start(self, tell: Tell = _nobody) -> list[AttemptRecord]:
        """Find out about attempts that an earlier run left open or unknown, and close the payments that it left open.

        ``tell`` is called with each of these payments before it is closed, and with those that ended and were not told:
        their applications know nothing of the end.
        Return those that were open, and those that were unknown and are known now. Raise ``LedgerError`` when the
        ledger can't be read or written, or when another engine works on it.
        """
        await self._ledger.claim()
        open_ones = await self._ledger.open_attempts()
        seen = [await self._ask(attempt) for attempt in [*open_ones, *await self._ledger.unknown_attempts()]]
        for payment in await self._ledger.interrupted.payments():
            await tell(payment)
            log.warning(
                "an application had not been told of a payment" if payment.had_ended else "a payment was interrupted",
                extra=fields(payment=payment.payment_id, result=payment.result, error=payment.error_code),
            )
        await self._ledger.interrupted.close()
        return [attempt for attempt in seen if attempt is not None]

    def start(self) -> None:
        """Begin to ask in the background."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(_report)

    def wake(self) -> None:
        """Note that there is another unknown attempt."""
        self._wake.set()

    async def stop(self) -> None:
        """Stop asking; what is unknown is asked about at the next start."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                wait_s = await self._pass()
            except LedgerError as error:
                log.error("unknown attempts could not be read: %s", error)
                wait_s = LEDGER_PAUSE_S
            await self._wait(wait_s)

    async def _pass(self) -> float | None:
        """Ask about what is due; return the seconds until the next is, None when nothing is unknown."""
        left = await self._ledger.unknown_attempts()
        n_left = len(left)
        unknown = [attempt for attempt in left if self._can_tell(attempt)]
        self._asked = {
            one.transaction_id: self._asked.get(one.transaction_id, (0, self._first(one))) for one in unknown
        }
        for attempt in unknown:
            n_asked, due = self._asked[attempt.transaction_id]
            if due > self._clock():
                continue
            if await self._ask(attempt) is not None:
                del self._asked[attempt.transaction_id]
                n_left -= 1
                continue
            wait = timedelta(seconds=ASK_AGAIN_S[min(n_asked, len(ASK_AGAIN_S) - 1)])
            self._asked[attempt.transaction_id] = (n_asked + 1, self._clock() + wait)
        ATTEMPTS_UNKNOWN.set(n_left)
        if not self._asked:
            return None
        return max(0.0, (min(due for _, due in self._asked.values()) - self._clock()).total_seconds())

    def _first(self, attempt: AttemptRecord) -> datetime:
        # The gateway has just failed to answer: it is given a moment.
        return (attempt.outcome_at or attempt.created_at) + timedelta(seconds=ASK_AGAIN_S[0])

    def _can_tell(self, attempt: AttemptRecord) -> bool:
        connector = self._connectors.get(attempt.connector)
        age_s = (self._clock() - attempt.created_at).total_seconds()
        return connector is not None and connector.capabilities.looks_up and age_s < GIVE_UP_S

    async def _wait(self, wait_s: float | None) -> None:
        if wait_s is None:
            await self._wake.wait()
            return
        alarm = asyncio.get_running_loop().create_task(self._alarm(wait_s))
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()

    async def _alarm(self, wait_s: float) -> None:
        await self._sleep(wait_s)
        self._wake.set()

    async def _ask(self, attempt: AttemptRecord) -> AttemptRecord | None:
        """Ask about one attempt and write down what is new; return the attempt as it is then, None without news."""
        if self._is_running(attempt.transaction_id):
            return None
        answer = await self._look_up(attempt)
        if attempt.outcome is Outcome.UNKNOWN and answer.outcome is Outcome.UNKNOWN:
            return None
        if not await self._ledger.record_outcome(attempt.transaction_id, answer, reconciled=True):
            return None  # its own answer came meanwhile
        record = await self._ledger.attempt(attempt.transaction_id)
        assert record is not None
        ATTEMPTS_RECONCILED.labels(outcome=str(answer.outcome)).inc()
        log.warning("an attempt was reconciled", extra=fields(**record.for_log()))
        return record

    async def _look_up(self, attempt: AttemptRecord) -> ConnectorAnswer:
        age_s = (self._clock() - attempt.created_at).total_seconds()
        log.info("asking what became of an attempt", extra=fields(**attempt.for_log(), age_s=f"{age_s:.0f}"))
        connector = self._connectors.get(attempt.connector)
        answer = None
        if connector is not None:
            try:
                async with asyncio.timeout(LOOK_UP_S):
                    answer = await connector.look_up(attempt.transaction_id)
            except Exception as error:
                # No text of the exception: nobody knows what a library put into it.
                log.error(
                    "an attempt could not be looked up",
                    extra=fields(transaction=attempt.transaction_id, error=type(error).__name__),
                )
            if answer is not None and answer.error_code == "not_found":
                answer = answer if age_s >= connector.capabilities.absence_final_after_s else None  # law 3
        if answer is None:
            message = "compare this transaction with the gateway's books"
            return ConnectorAnswer(outcome=Outcome.UNKNOWN, error_code="unknown", error_message=message)
        return answer


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("reconciling stopped until the next start", extra=fields(error=type(error).__name__))
