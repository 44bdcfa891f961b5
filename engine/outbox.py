"""The outbox: delivers webhooks from the ledger, at least once, in order within a session (architecture §6).

Laws:

- A webhook is in the ledger before ``enqueue`` returns. It is settled when its receiver took it (any 2xx; the body is
  of no interest, `dialects.md` §3.4), refused it, or its time is over; until then the session's later ones wait. A
  crash loses none; it may deliver one twice, with the same ``X-Paytone-Delivery``.
- Refused, and not sent again: 3xx and 4xx, but 408, 425 and 429, which ask for another try. All else is repeated with
  exponential back-off and full jitter, not before ``Retry-After``: a status twice at most (D-27), a result until
  ``give_up_s`` after it was put in. What is given up stays in the ledger (``paytone webhooks --dead``).
- What a receiver did is kept in memory until the ledger has noted it; while it can't, no further delivery begins.
- A receiver that hangs holds ``PER_RECEIVER`` deliveries and no more, and no call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from random import SystemRandom

from engine.errors import LedgerError
from engine.ledger import Ledger, WebhookPolicy, WebhookRecord
from engine.log import fields
from engine.net.http import BadAnswer, HttpError, HttpResponse
from engine.net.signatures import SignatureKind
from engine.net.web_client import WebClient

__all__ = ("Outbox",)

log = logging.getLogger("engine.outbox")

RETRIES = 2
"Of a status (dialects.md D-27)."
GIVE_UP_S = 86_400.0
BACKOFF_S = 2.0
"Longest wait before the first repeat; it doubles with each, up to ``MAX_BACKOFF_S``."
MAX_BACKOFF_S = 600.0
MAX_RETRY_AFTER_S = {WebhookPolicy.STATUS: 60.0, WebhookPolicy.RESULT: 3600.0}
"What a receiver may ask for."
CONCURRENCY = 64
"Deliveries under way at once, each of another session."
PER_RECEIVER = 16
SHARE = 256
"Webhooks of one receiver that are under way or wait in memory for their turn."
MAX_READY = 512
"Webhooks that wait in memory for their turn."
BATCH = 64
"Webhooks read at once: a few milliseconds of the loop."
AT_ONCE = 4
"Deliveries begun before the loop has a turn for others."
MAX_UNNOTED = 128
LEDGER_PAUSE_S = 5.0
"Wait before the ledger is asked again when it did not answer."
POLL_S = 30.0
"How soon what another process put back (``paytone webhooks --retry``) is found."
DRAIN_S = 5.0
KEEP_SETTLED = timedelta(days=7)
PURGE_EVERY = timedelta(hours=1)
_random = SystemRandom().random


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a delivery came to nothing."""

    reason: str
    is_final: bool = False
    retry_after_s: float = 0.0


class Outbox:
    """Delivers what the ledger's outbox holds, from ``start`` to ``stop``.

    ``give_up_s`` counts from when a webhook is put in. ``random`` gives the jitter, from 0 to 1.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        client: WebClient,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = _random,
        give_up_s: float = GIVE_UP_S,
        retries: int = RETRIES,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._give_up = timedelta(seconds=give_up_s)
        self._retries = retries
        self._wake = asyncio.Event()
        self._look = True
        "Whether the ledger may hold more that is due than it did."
        self._stopping = False
        self._purge_at: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready: deque[WebhookRecord] = deque()
        self._deliveries: dict[int, asyncio.Task[None]] = {}
        "Under way, or being noted."
        self._noting = 0
        self._sessions: set[str] = set()
        "Of all that is ready or under way."
        self._known: Counter[str] = Counter()
        "By receiver, of the same."
        self._posting: Counter[str] = Counter()
        self._failing: Counter[str] = Counter()
        "Failures on end, by receiver."

    def start(self) -> None:
        """Begin to deliver in the background, first of all what an earlier run left behind."""
        if self._task is None:
            self._stopping = False
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(_report)

    async def enqueue(
        self,
        session: str,
        url: str,
        body: bytes,
        *,
        method: str = "POST",
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        signature: SignatureKind | None = None,
        key_env: str = "",
        claims: Mapping[str, str] | None = None,
        policy: WebhookPolicy = WebhookPolicy.STATUS,
        allow_insecure: bool = False,
    ) -> None:
        """Store a webhook behind those of its session and have it delivered; raise ``LedgerError`` when it can't be.

        ``key_env`` names the environment variable with the key that signs it, as ``signature`` says (not given: as
        SignalWire does); empty: not signed. ``headers`` and ``claims`` are stored: no secret may stand there. Of a GET
        the body is form parameters, sent as the query.
        """
        if signature is None:
            signature = SignatureKind.SIGNALWIRE if key_env else SignatureKind.NONE
        await self._ledger.webhooks.enqueue(
            session,
            url,
            body,
            method=method,
            content_type=content_type,
            headers=headers,
            signature=signature,
            key_env=key_env,
            claims=claims,
            policy=policy,
            allow_insecure=allow_insecure,
            give_up_at=self._clock() + self._give_up,
        )
        self._look_again()

    async def stop(self, drain_s: float = DRAIN_S) -> None:
        """Deliver what is due now, within ``drain_s``, and stop; the rest waits in the ledger for the next start."""
        if self._task is None:
            return
        self._stopping = True
        self._look_again()
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
            for webhook in self._ready:
                self._forget(webhook)
            self._ready.clear()
            self._task = None

    # -- what is due -----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._repair()
        while True:
            self._wake.clear()
            found, looked, next_at = False, self._look, None
            try:
                if looked:
                    self._look = False
                    now = self._clock()
                    await self._purge(now)
                    found = await self._fill(now)
                    if not found and not self._stopping:
                        next_at = await self._ledger.webhooks.next_at(now)
            except Exception as error:
                # A ledger that does not answer, or a row that cannot be read: others' webhooks must not wait for ever.
                reason = str(error) if isinstance(error, LedgerError) else type(error).__name__
                log.error("webhooks wait: %s", reason)
                if self._stopping:
                    return
                await self._sleep(LEDGER_PAUSE_S)
                self._look = True
                continue
            await self._begin()
            if found:
                self._look = True  # there may be more
                continue
            if self._stopping and looked and not self._ready and not self._deliveries:
                return
            await self._wait(next_at)

    async def _repair(self) -> None:
        try:
            if forgotten := await self._ledger.webhooks.repair():
                log.warning("webhooks that had been forgotten are delivered", extra=fields(sessions=forgotten))
        except LedgerError as error:
            log.warning("what waits could not be looked through: %s", error)

    async def _purge(self, now: datetime) -> None:
        if self._purge_at is not None and now < self._purge_at:
            return
        self._purge_at = now + PURGE_EVERY
        try:
            await self._ledger.webhooks.purge(now - KEEP_SETTLED)
        except LedgerError as error:
            log.warning("old webhooks could not be deleted: %s", error)

    async def _fill(self, now: datetime) -> bool:
        """Read more of what is due when too little is ready; return whether there was any."""
        if sum(self._posting[webhook.receiver] < PER_RECEIVER for webhook in self._ready) >= BATCH // 2:
            return False
        room = min(BATCH, MAX_READY - len(self._ready))
        if room <= 0:
            return False
        known = {webhook.id for webhook in self._ready} | self._deliveries.keys()
        full = {receiver for receiver, count in self._known.items() if count >= SHARE}
        found = False
        for webhook in await self._ledger.webhooks.due(now, room, except_ids=known, except_receivers=full):
            # A session has two that are due only when an operator had an old one delivered again.
            if webhook.session in self._sessions or self._known[webhook.receiver] >= SHARE:
                continue
            self._sessions.add(webhook.session)
            self._known[webhook.receiver] += 1
            self._ready.append(webhook)
            found = True
        return found

    async def _begin(self) -> None:
        """Begin as many deliveries as may be under way."""
        begun = 0
        for _ in range(len(self._ready)):
            if len(self._deliveries) - self._noting >= CONCURRENCY or self._noting >= MAX_UNNOTED:
                return
            webhook = self._ready.popleft()
            if self._posting[webhook.receiver] >= PER_RECEIVER:
                self._ready.append(webhook)
                continue
            self._posting[webhook.receiver] += 1
            task = asyncio.get_running_loop().create_task(self._deliver(webhook))
            self._deliveries[webhook.id] = task
            task.add_done_callback(partial(self._settled, webhook))
            begun += 1
            if begun % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _settled(self, webhook: WebhookRecord, task: asyncio.Task[None]) -> None:
        self._deliveries.pop(webhook.id, None)
        self._forget(webhook)
        self._look_again()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery broke down", extra=fields(webhook=webhook.id, error=type(error).__name__))

    def _forget(self, webhook: WebhookRecord) -> None:
        self._sessions.discard(webhook.session)
        _count_down(self._known, webhook.receiver)

    async def _wait(self, next_at: datetime | None) -> None:
        """Wait until something was enqueued or settled, the next repeat is due, or it is time to look for oneself."""
        loop = asyncio.get_running_loop()
        poll = loop.call_later(POLL_S, self._look_again)
        timer = None
        if next_at is not None:
            timer = loop.create_task(self._alarm((next_at - self._clock()).total_seconds()))
        try:
            await self._wake.wait()
        finally:
            poll.cancel()
            if timer is not None:
                timer.cancel()

    async def _alarm(self, delay_s: float) -> None:
        await self._sleep(max(0.0, delay_s))
        self._look_again()

    def _look_again(self) -> None:
        self._look = True
        self._wake.set()

    # -- one delivery ----------------------------------------------------------------------------------------------

    async def _deliver(self, webhook: WebhookRecord) -> None:
        try:
            failure = await self._post(webhook)
        finally:
            _count_down(self._posting, webhook.receiver)
        self._noting += 1
        self._wake.set()  # another delivery may begin while this one is noted
        try:
            await self._note(webhook, failure)
        finally:
            self._noting -= 1

    async def _note(self, webhook: WebhookRecord, failure: _Failure | None) -> None:
        retry_at = None if failure is None else self._retry_at(webhook, failure)
        self._watch(webhook, failure)
        while True:
            try:
                if failure is None:
                    await self._ledger.webhooks.delivered(webhook.id)
                else:
                    await self._ledger.webhooks.failed(webhook.id, failure.reason, retry_at=retry_at)
                break
            except LedgerError as error:
                log.error("a delivery could not be noted: %s", error, extra=fields(webhook=webhook.id))
                if self._stopping:
                    return  # it will be delivered again at the next start
                await self._sleep(LEDGER_PAUSE_S)
        if failure is not None:
            given_up = retry_at is None
            log.log(
                logging.ERROR if given_up else logging.DEBUG,
                "a webhook was given up" if given_up else "a webhook will be repeated",
                extra=fields(
                    webhook=webhook.id, session=webhook.session, attempt=webhook.attempts + 1, reason=failure.reason
                ),
            )

    def _watch(self, webhook: WebhookRecord, failure: _Failure | None) -> None:
        """Tell once that a receiver fails, and once that it works again: not of each of ten thousand webhooks."""
        receiver = webhook.receiver
        if failure is None:
            if failures := self._failing.pop(receiver, 0):
                log.info("a receiver takes webhooks again", extra=fields(receiver=receiver, failures=failures))
            return
        self._failing[receiver] += 1
        if self._failing[receiver] == 1:
            log.warning("a receiver does not take webhooks", extra=fields(receiver=receiver, reason=failure.reason))
        if len(self._failing) > MAX_READY:
            del self._failing[next(iter(self._failing))]

    def _retry_at(self, webhook: WebhookRecord, failure: _Failure) -> datetime | None:
        """Return when a webhook is tried again; None when it is given up."""
        now = self._clock()
        give_up_at = webhook.give_up_at or webhook.created_at + self._give_up
        is_used_up = webhook.policy is WebhookPolicy.STATUS and webhook.attempts >= self._retries
        if failure.is_final or is_used_up or now >= give_up_at:
            return None
        longest_s = min(MAX_BACKOFF_S, BACKOFF_S * 2.0 ** min(webhook.attempts, 16))
        wait_s = self._random() * longest_s + min(failure.retry_after_s, MAX_RETRY_AFTER_S[webhook.policy])
        return min(now + timedelta(seconds=wait_s), give_up_at)

    async def _post(self, webhook: WebhookRecord) -> _Failure | None:
        """Return why a delivery failed; None: it didn't."""
        request = webhook.request
        request = replace(request, headers={**request.headers, "X-Paytone-Delivery": str(webhook.id)})
        try:
            response = (await self._client.fetch(request, is_repeatable=True)).response
        except ValueError as error:
            return _Failure(str(error), is_final=True)
        except BadAnswer as error:
            # An unreadable body behind a 2xx is as good as any.
            if error.status is not None and 200 <= error.status < 300:
                return None
            return _Failure(str(error), is_final=error.status is not None and _is_refusal(error.status))
        except HttpError as error:
            return _Failure(str(error))
        if 200 <= response.status < 300:
            return None
        return _Failure(
            f"status {response.status}",
            is_final=_is_refusal(response.status),
            retry_after_s=_retry_after_s(response, self._clock()),
        )


def _is_refusal(status: int) -> bool:
    return status < 500 and status not in (408, 425, 429)


def _retry_after_s(response: HttpResponse, now: datetime) -> float:
    """Return what Retry-After asks for (RFC 9110 §10.2.3: seconds, or a date); 0 when it asks for nothing."""
    text = response.header("retry-after").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def _count_down(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the outbox stopped: webhooks wait for the next start", extra=fields(error=type(error).__name__))
