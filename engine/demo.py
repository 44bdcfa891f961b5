"""The demonstration of ``make run``: the softphone calls the engine twice and pays, and each step is told, masked.

The first call keys by in-band tones and listens to every prompt; the second keys by RFC 4733 events and barges in. The
card numbers are published test numbers; the softphone is a process of its own, so that the engine hears them as audio
and events only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.errors import SoftphoneError
from engine.events import (
    CallAnswered,
    CallEnded,
    EngineEvent,
    EntryProgress,
    PaymentFinished,
    PaymentSubmitted,
    PromptFinished,
    PromptStarted,
)
from engine.service import Engine
from engine.softphone.client import Softphone
from engine.softphone.protocol import KeyMode

__all__ = ("Demo",)

CALL_TIMEOUT_S = 120.0
BARGE_IN_AFTER_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    title: str
    mode: KeyMode
    card: str
    security_code: str
    barges_in: bool

    def keys(self, step: str) -> str:
        year = (datetime.now(UTC).year + 2) % 100
        return {
            "payment-card-number": f"{self.card}#",
            "expiration-date": f"12{year:02d}",
            "security-code": self.security_code,
            "postal-code": "94105#",
        }.get(step, "")


CALLERS = (
    _Caller(
        title="Call 1: a Visa test card, keyed as in-band tones, each prompt heard to its end",
        mode=KeyMode.IN_BAND,
        card="4242424242424242",
        security_code="123",
        barges_in=False,
    ),
    _Caller(
        title="Call 2: a Mastercard test card, keyed as RFC 4733 events, barging in on the prompts",
        mode=KeyMode.TELEPHONE_EVENT,
        card="5555555555554444",
        security_code="321",
        barges_in=True,
    ),
)


class Demo:
    """Runs the two calls against a started engine and prints a transcript through ``echo``."""

    def __init__(self, engine: Engine, echo: Callable[[str], object]) -> None:
        self._engine = engine
        self._echo = echo
        self._events: asyncio.Queue[EngineEvent] = asyncio.Queue()
        engine.observe(self._events.put_nowait)

    async def run(self) -> bool:
        """Make both calls; return whether both paid."""
        route = self._engine.config.routes[0].to
        host = self._engine.sip_host
        uri = f"sip:{route}@{f'[{host}]' if ':' in host else host}:{self._engine.sip_port}"
        paid = []
        for caller in CALLERS:
            self._echo(caller.title)
            try:
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    paid.append(await self._call(caller, uri))
            except (TimeoutError, SoftphoneError) as error:
                self._echo(f"  the call failed: {str(error) or 'no result in time'}\n")
                paid.append(False)
        self._echo("Both payments succeeded." if all(paid) else "Not both payments succeeded.")
        return all(paid)

    async def _call(self, caller: _Caller, uri: str) -> bool:
        while not self._events.empty():
            self._events.get_nowait()
        loop = asyncio.get_running_loop()
        started = loop.time()
        paid = False
        async with Softphone() as phone:
            calling = asyncio.ensure_future(phone.call(uri))
            while True:
                event = await self._next_event(calling)
                line = _line(event)
                if line:
                    self._echo(f"  {loop.time() - started:6.1f} s  {line}")
                match event:
                    case PromptStarted() if caller.barges_in:
                        await self._key_after(BARGE_IN_AFTER_S, phone, caller, event.step)
                    case PromptFinished(barged_in=False) if not caller.barges_in:
                        await self._key_after(0, phone, caller, event.step)
                    case PaymentFinished():
                        paid = event.result == "success"
                    case CallEnded():
                        self._echo("")
                        return paid

    async def _next_event(self, calling: asyncio.Future[int]) -> EngineEvent:
        """Return the engine's next event, or raise what made the softphone's call fail."""
        event = asyncio.ensure_future(self._events.get())
        pending: set[asyncio.Future[object]] = {event} if calling.done() else {event, calling}  # type: ignore[arg-type]
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if calling.done() and calling.exception() is not None:
            event.cancel()
            calling.result()
        return await event

    async def _key_after(self, delay_s: float, phone: Softphone, caller: _Caller, step: str) -> None:
        keys = caller.keys(step)
        if not keys:
            return
        await asyncio.sleep(delay_s)
        self._echo(
            f"            the caller keys {len(keys.rstrip('#'))} digits{' and #' if keys.endswith('#') else ''}"
        )
        await phone.keys(keys, mode=caller.mode)


def _line(event: EngineEvent) -> str:
    """Return the transcript's line for an event; empty when it has none."""
    match event:
        case CallAnswered():
            how = "telephone-event offered" if event.telephone_event else "no telephone-event"
            return f"call answered for {event.dialled!r}: form {event.form!r}, {event.codec}, {how}"
        case PromptStarted():
            return f"prompt  {event.step} ({event.duration_ms / 1000:.1f} s: {', '.join(event.names)})"
        case PromptFinished():
            return "prompt  interrupted by a key" if event.barged_in else ""
        case EntryProgress():
            known = [
                f"{name} {value}"
                for name, value in (
                    (event.card_type or "card", event.card_number),
                    ("expiry", event.expiration_date),
                    ("code", event.security_code),
                    ("postal code", event.postal_code),
                )
                if value
            ]
            trouble = f" after {event.error_type}" if event.error_type else ""
            return f"step    {event.step}{trouble}: {', '.join(known) or 'nothing entered yet'}"
        case PaymentSubmitted():
            return f"submit  to {event.connector}, transaction {event.transaction_id}"
        case PaymentFinished():
            return _receipt(event)
        case CallEnded():
            return f"call ended ({event.cause}) after {event.duration_s:.1f} s"
    return ""


def _receipt(event: PaymentFinished) -> str:
    heard = ", ".join(f"{count} by {source}" for source, count in event.digits_by_source)
    if event.result != "success":
        return f"RESULT  {event.result} {event.error} (keys heard: {heard})"
    paid = f"{event.amount} {event.currency.upper()} charged" if event.amount else "card saved"
    receipt = f"charge {event.charge_id}" if event.charge_id else f"token {event.token_id}"
    return f"RECEIPT {paid} to {event.card_type} {event.card_number}, {receipt} (keys heard: {heard})"
