"""The outbox: delivers webhooks from the ledger, at least once, in order within a session (architecture §6).

A webhook is in the ledger before ``enqueue`` returns, and is settled when its receiver took it (any 2xx) or when the
tries are used up (D-27: two repeats after a 5xx or when unreachable; a 4xx is final). Until then the session's later
ones wait. A crash loses none; it may deliver one twice, with the same ``X-Paytone-Delivery``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from ssl import SSLContext
from typing import Protocol

from engine.connectors.signatures import signature_headers
from engine.errors import LedgerError
from engine.ledger import Ledger, WebhookRecord
from engine.log import fields
from engine.net.http import BadAnswer, HttpError, HttpResponse, request, split_url
from engine.net.tls import client_context

__all__ = ("Outbox", "WebhookSender")

log = logging.getLogger("engine.outbox")

RETRIES = 2  # dialects.md D-27
BACKOFF_S = (1.0, 5.0, 30.0, 120.0, 600.0)
"Waits before the repeats; the last one serves for all further ones."
TIMEOUT_S = 10.0
CONCURRENCY = 16
"Deliveries under way at once, each of another session."
LEDGER_PAUSE_S = 5.0
"Wait before the ledger is asked again when it did not answer."
DRAIN_S = 5.0
KEEP_SETTLED = timedelta(days=7)


class WebhookSender(Protocol):
    """What sends a request: ``engine.net.http.request``, or a double of it."""

    def __call__(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        body: bytes,
        timeout_s: float,
        tls: SSLContext | None,
        allow_insecure: bool,
    ) -> Awaitable[HttpResponse]:
        """Send one request; raise as ``engine.net.http.request`` does."""


def _key_of_environment(variable: str) -> str:
    return os.environ.get(variable, "")


class Outbox:
    """Delivers what the ledger's outbox holds, from ``start`` to ``stop``."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], datetime],
        send: WebhookSender = request,
        key_for: Callable[[str], str] = _key_of_environment,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        retries: int = RETRIES,
        timeout_s: float = TIMEOUT_S,
        tls: SSLContext | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._send = send
        self._key_for = key_for
        self._sleep = sleep
        self._retries = retries
        self._timeout_s = timeout_s
        self._tls = tls
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._deliveries: dict[int, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin to deliver in the background, first of all what an earlier run left behind."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(_report)

    async def enqueue(
        self,
        session: str,
        url: str,
        body: bytes,
        *,
        content_type: str = "application/json",
        key_env: str = "",
        allow_insecure: bool = False,
    ) -> None:
        """Store a webhook behind those of its session and have it delivered; raise ``LedgerError`` when it can't be.

        ``key_env`` names the environment variable with the key that signs it; empty: not signed.
        """
        await self._ledger.enqueue_webhook(
            session, url, body, content_type=content_type, key_env=key_env, allow_insecure=allow_insecure
        )
        self._wake.set()

    async def stop(self, drain_s: float = DRAIN_S) -> None:
        """Deliver what is due now, within ``drain_s``, and stop; the rest waits in the ledger for the next start."""
        if self._task is None:
            return
        self._stopping = True
        self._wake.set()
        try:
            async with asyncio.timeout(drain_s):
                await self._task
        except TimeoutError:
            log.warning("webhooks wait for the next start", extra=fields(under_way=len(self._deliveries)))
        finally:
            deliveries = [*self._deliveries.values()]
            for delivery in deliveries:
                delivery.cancel()
            await asyncio.gather(*deliveries, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        try:
            await self._ledger.purge_webhooks(self._clock() - KEEP_SETTLED)
        except LedgerError as error:
            log.warning("old webhooks could not be deleted: %s", error)
        while True:
            self._wake.clear()
            try:
                found = await self._dispatch()
                next_at = None if self._stopping else await self._ledger.next_webhook_at(self._clock())
            except LedgerError as error:
                log.error("webhooks wait: %s", error)
                if self._stopping:
                    return
                await self._sleep(LEDGER_PAUSE_S)
                continue
            if self._stopping and not found and not self._deliveries:
                return
            await self._wait(next_at)

    async def _dispatch(self) -> bool:
        """Start a delivery for each session that has one due; return whether there was any."""
        limit = CONCURRENCY - len(self._deliveries)
        if limit <= 0:
            return False
        due = await self._ledger.due_webhooks(self._clock(), CONCURRENCY + len(self._deliveries))
        fresh = [webhook for webhook in due if webhook.id not in self._deliveries][:limit]
        for webhook in fresh:
            task = asyncio.get_running_loop().create_task(self._deliver(webhook))
            self._deliveries[webhook.id] = task
            task.add_done_callback(partial(self._delivered, webhook.id))
        return bool(fresh)

    def _delivered(self, webhook_id: int, task: asyncio.Task[None]) -> None:
        self._deliveries.pop(webhook_id, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery broke down", extra=fields(webhook=webhook_id, error=type(error).__name__))

    async def _wait(self, next_at: datetime | None) -> None:
        """Wait until something was enqueued or settled, or the next repeat is due."""
        if next_at is None:
            await self._wake.wait()
            return
        timer = asyncio.get_running_loop().create_task(self._alarm((next_at - self._clock()).total_seconds()))
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _alarm(self, delay_s: float) -> None:
        await self._sleep(max(0.0, delay_s))
        self._wake.set()

    async def _deliver(self, webhook: WebhookRecord) -> None:
        reason, final = await self._post(webhook)
        try:
            if not reason:
                await self._ledger.webhook_delivered(webhook.id)
                return
            given_up = final or webhook.attempts >= self._retries
            wait_s = BACKOFF_S[min(webhook.attempts, len(BACKOFF_S) - 1)]
            retry_at = None if given_up else self._clock() + timedelta(seconds=wait_s)
            await self._ledger.webhook_failed(webhook.id, reason, retry_at=retry_at)
        except LedgerError as error:
            log.error("a delivery could not be noted: %s", error, extra=fields(webhook=webhook.id))
            await self._sleep(LEDGER_PAUSE_S)  # it is still due, and will be delivered again
            return
        log.log(
            logging.ERROR if given_up else logging.WARNING,
            "a webhook was given up" if given_up else "a webhook will be repeated",
            extra=fields(webhook=webhook.id, session=webhook.session, attempt=webhook.attempts + 1, reason=reason),
        )

    async def _post(self, webhook: WebhookRecord) -> tuple[str, bool]:
        """Return why a delivery failed (empty: it didn't) and whether repeating it is of no use."""
        try:
            target = split_url(webhook.url, allow_insecure=webhook.allow_insecure)
            headers = {"Content-Type": webhook.content_type, "X-Paytone-Delivery": str(webhook.id)}
            if webhook.key_env:
                key = self._key_for(webhook.key_env)
                if not key:
                    return f"the environment variable {webhook.key_env} is not set: not sent unsigned", False
                headers |= signature_headers(key, target.bare_url, webhook.body)
            if target.is_https and self._tls is None:
                self._tls = client_context()
            response = await self._send(
                "POST",
                webhook.url,
                headers=headers,
                body=webhook.body,
                timeout_s=self._timeout_s,
                tls=self._tls,
                allow_insecure=webhook.allow_insecure,
            )
        except ValueError as error:
            return str(error), True
        except BadAnswer as error:
            # Answers are ignored (dialects.md §3.4): an unreadable body behind a 2xx is as good as any.
            if error.status is not None and 200 <= error.status < 300:
                return "", False
            return str(error), error.status is not None and error.status < 500
        except HttpError as error:
            return str(error), False
        if 200 <= response.status < 300:
            return "", False
        return f"status {response.status}", response.status < 500 and response.status not in (408, 425, 429)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the outbox stopped: webhooks wait for the next start", extra=fields(error=type(error).__name__))
