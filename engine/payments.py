"""The money side of an engine: ledger, connectors, charging and outbox, opened and closed together.

Opening reconciles what a crash left behind; closing waits for what is under way, in an order in which nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial

from engine.charging import Charging
from engine.config import Config
from engine.connectors import open_connectors
from engine.connectors.protocol import Connector
from engine.ledger import InterruptedPayment, Ledger, Retention
from engine.net.egress import Egress
from engine.net.http import request
from engine.net.http_pool import MAX_PER_HOST, HttpPool
from engine.net.tls import client_context
from engine.net.web_client import WebClient
from engine.outbox import Outbox
from engine.reconciling import Reconciler

__all__ = ("Closing", "Payments")

Closing = Callable[[InterruptedPayment, Outbox], Awaitable[None]]
"Puts in the webhook by which an application learns of the end of a payment that it was not told of."


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class Payments:
    """Made by ``await Payments.open(config)``, given back by ``await close()``."""

    def __init__(
        self,
        ledger: Ledger,
        connectors: dict[str, Connector],
        charging: Charging,
        outbox: Outbox,
        web: WebClient,
        stack: AsyncExitStack,
    ) -> None:
        self.ledger = ledger
        self.connectors = connectors
        self.charging = charging
        self.outbox = outbox
        self.web = web
        "For requests whose answer is wanted: documents, actions."
        self._stack = stack

    @classmethod
    async def open(cls, config: Config, *, closings: Mapping[str, Closing] | None = None) -> Payments:
        """Open all of it, and tell applications of payments that a crash interrupted.

        ``closings`` tells them, by the ``kind`` of a payment's ``reply_to``. Raise ``LedgerError``, ``ConfigError`` or
        ``ConnectorError``, and leave nothing open then.
        """
        async with AsyncExitStack() as stack:
            ledger = await Ledger.open(config.ledger.url, clock=_utc_now, node=config.ledger.node)
            stack.push_async_callback(ledger.close)
            connectors = await open_connectors(config.connectors)
            for connector in connectors.values():
                stack.push_async_callback(connector.close)
            tls = client_context(config.webhooks.ca) if config.webhooks.ca else None
            egress = Egress(config.webhooks.allow)
            pool = HttpPool(egress, tls=tls)
            stack.push_async_callback(pool.close)
            web = WebClient(pool.request, clock=_utc_now, timeout_s=config.webhooks.timeout_s)
            outbox = Outbox(ledger, client=web, clock=_utc_now, give_up_s=config.webhooks.give_up_s)
            # Connections of their own, one for each call: an application that is slow with documents keeps neither the
            # documents of other calls waiting nor webhooks.
            documents = HttpPool(egress, tls=tls, max_per_host=max(MAX_PER_HOST, config.sip.max_calls))
            stack.push_async_callback(documents.close)
            asking = WebClient(documents.request, clock=_utc_now, timeout_s=config.webhooks.timeout_s)
            stack.push_async_callback(outbox.stop)
            charging = Charging(
                ledger,
                connectors,
                on_unknown=lambda: reconciler.wake(),
                send=partial(request, addresses=egress.addresses),
                tls=tls,
            )
            stack.push_async_callback(charging.drain)  # before the outbox stops: answers make webhooks
            reconciler = Reconciler(ledger, connectors, is_running=charging.is_running, clock=_utc_now)
            stack.push_async_callback(reconciler.stop)

            async def tell(payment: InterruptedPayment) -> None:
                if closing := (closings or {}).get(payment.reply_to.get("kind", "")):
                    await closing(payment, outbox)

            await reconciler.at_start(tell)
            reconciler.start()
            retention = Retention(ledger, config.ledger, clock=_utc_now, sleep=asyncio.sleep)
            stack.push_async_callback(_cancelled, asyncio.create_task(retention.run()))
            outbox.start()
            return cls(ledger, connectors, charging, outbox, asking, stack.pop_all())

    async def close(self) -> None:
        """Deliver what can be delivered, wait for payments at their connectors, close the ledger last."""
        await self._stack.aclose()
