"""Charging: journal, send, wipe, outcome (architecture §5, §6). What a crash leaves open is ``engine.reconciling``'s.

The laws:

1. Nothing is sent that is not in the journal. When it cannot be written, the payment fails and nothing was sent.
2. A transaction id is submitted once. Repeats are the connector's, inside that one submission, with that same id.
3. The secrets of a submission are wiped when its answer is in, however that came about.
4. Whoever waits may go away (hang-up, stop of the engine): sending and the writing of the outcome go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from itertools import chain, repeat
from ssl import SSLContext
from typing import Unpack

from engine.connectors.generic import GatewayOptions, RequestFunction
from engine.connectors.protocol import Connector
from engine.connectors.signalwire import BodyForm, SignalWire
from engine.errors import LedgerError
from engine.ledger import Ledger
from engine.log import fields
from engine.net.http import request
from engine.pay.submission import ConnectorAnswer, Outcome, Submission

__all__ = ("Charging",)

log = logging.getLogger("engine.charging")

RECORD_RETRIES_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"Waits before the outcome is written again, when the ledger is locked after the money has moved; the last one repeats."


class Charging:
    """Sends payments to their connectors, each once, and keeps the ledger true."""

    def __init__(
        self,
        ledger: Ledger,
        connectors: Mapping[str, Connector],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_unknown: Callable[[], object] = lambda: None,
        send: RequestFunction = request,
        tls: SSLContext | None = None,
    ) -> None:
        """``on_unknown`` is called when an attempt's outcome was written as unknown.

        ``send`` and ``tls`` are how endpoints are reached that an application names itself (`connector_at`).
        """
        self._ledger = ledger
        self._connectors = connectors
        self._sleep = sleep
        self._on_unknown = on_unknown
        self._gateway = GatewayOptions(send=send, tls=tls)
        self._running: dict[str, asyncio.Task[ConnectorAnswer]] = {}
        self._recording: dict[str, asyncio.Task[None]] = {}
        self._draining = False

    @property
    def connectors(self) -> Mapping[str, Connector]:
        """Those of the configuration, by name."""
        return self._connectors

    def connector_at(
        self, url: str, *, form: BodyForm, signing_key: str, **options: Unpack[GatewayOptions]
    ) -> Connector:
        """Return a connector for an endpoint that an application names itself (`dialects.md` D-31).

        It is sent to where webhooks may go, and nowhere else. Raise ``ConnectorError`` for a URL that can't be used.
        """
        reached: GatewayOptions = {**self._gateway, **options}
        return SignalWire.for_url(url, form=form, signing_key=signing_key, **reached)

    async def charge(self, payment_id: str, submission: Submission, connector: str | Connector) -> ConnectorAnswer:
        """Send ``submission`` and return the answer; the payment must have been started in the ledger.

        ``connector`` is a name of the configuration, or one of `connector_at`.

        Never raises for a fault of the ledger, the network or the gateway: these are answers. The submission's secrets
        are wiped when this returns. When the caller is cancelled the work goes on; ``drain`` waits for it.
        """
        transaction_id = submission.transaction_id
        if under_way := self._running.get(transaction_id):
            return await asyncio.shield(under_way)  # law 2: the same transaction, asked for twice, has one answer
        found = self._connectors.get(connector) if isinstance(connector, str) else connector
        if found is None:
            _wipe(submission)
            return _failed("connector", f"there is no connector {connector!r}")
        task = asyncio.get_running_loop().create_task(self._charge(payment_id, submission, found))
        self._running[transaction_id] = task
        task.add_done_callback(lambda _: self._running.pop(transaction_id, None))
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait until every submission has its answer and every answer is in the ledger.

        Bounded by the connectors' own timeouts and repeats, and by the waits for a locked ledger.
        """
        self._draining = True
        while waiting := [*self._running.values(), *self._recording.values()]:
            await asyncio.gather(*waiting, return_exceptions=True)

    def is_running(self, transaction_id: str) -> bool:
        """Tell whether an attempt's answer is still awaited, or not yet in the ledger."""
        return transaction_id in self._running or transaction_id in self._recording

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
            await self._write(transaction_id, answer)
        except LedgerError as error:
            log.error("an outcome could not be written yet: %s", error, extra=fields(transaction=transaction_id))
            # The caller must not wait for a lock: the money has moved, or it hasn't, and the answer says which.
            task = asyncio.get_running_loop().create_task(self._record_later(transaction_id, answer))
            self._recording[transaction_id] = task
            task.add_done_callback(lambda _: self._recording.pop(transaction_id, None))

    async def _record_later(self, transaction_id: str, answer: ConnectorAnswer) -> None:
        for wait_s in chain(RECORD_RETRIES_S, repeat(RECORD_RETRIES_S[-1])):
            await self._sleep(wait_s)
            try:
                await self._write(transaction_id, answer)
            except LedgerError:
                if wait_s < RECORD_RETRIES_S[-1] or not self._draining:
                    continue
                break
            return
        log.error(
            "an outcome could not be written: the attempt stays open until the next start",
            extra=fields(
                transaction=transaction_id, outcome=answer.outcome, charge=answer.charge_id, token=answer.token_id
            ),
        )

    async def _write(self, transaction_id: str, answer: ConnectorAnswer) -> None:
        await self._ledger.record_outcome(transaction_id, answer)
        if answer.outcome is Outcome.UNKNOWN:
            self._on_unknown()


def _wipe(submission: Submission) -> None:
    for secret in (submission.card_number, submission.security_code, submission.account_number):
        if secret is not None:
            secret.wipe()


def _failed(code: str, message: str) -> ConnectorAnswer:
    return ConnectorAnswer(outcome=Outcome.FAILED, error_code=code, error_message=message)
