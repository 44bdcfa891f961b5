"""Calls that are not over: what the engine's events say of them before, and besides, their records.

A record is written beside the call and tells its end when all that it owes is written; the REST interface is asked
meanwhile, and must neither read the database for each question nor tell of a call what is no longer true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from engine.dialects.twilio import call_status, final_status
from engine.events import CallAnswered, CallCreated, CallEnded, CallFailed, EngineEvent
from engine.program import CallControl, CallState, Exchange

__all__ = ("LiveCall", "LiveCalls")


@dataclass(slots=True)
class LiveCall:
    """What happened to a call so far."""

    started_at: datetime
    answered_at: datetime | None = None
    cause: str = ""
    "Why a call out was not answered."
    when_answered: Callable[[], None] | None = None


class LiveCalls:
    """Hears the engine's events. A call is known from `CallCreated` to `CallEnded`, which its record's end precedes."""

    def __init__(self, exchange: Exchange, *, clock: Callable[[], datetime]) -> None:
        self._exchange = exchange
        self._clock = clock
        self._calls: dict[str, LiveCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def observe(self, event: EngineEvent) -> None:
        """Take an event of the engine."""
        if isinstance(event, CallCreated):
            self._calls[event.call_id] = LiveCall(self._clock())
            return
        known = self._calls.get(event.call_id)
        if known is None:
            return
        if isinstance(event, CallAnswered):
            known.answered_at = self._clock()
            job, known.when_answered = known.when_answered, None
            if job is not None:
                job()
        elif isinstance(event, CallFailed):
            known.cause = str(event.outcome)
        elif isinstance(event, CallEnded):
            del self._calls[event.call_id]

    def known(self) -> list[str]:
        """Return all calls that are not over."""
        return list(self._calls)

    def when_answered(self, call_id: str, job: Callable[[], None]) -> None:
        """Do something once a call is answered; nothing if it never is, or was already."""
        if (known := self._calls.get(call_id)) is not None and known.answered_at is None:
            known.when_answered = job

    def get(self, call_id: str) -> LiveCall | None:
        """Return what is known of a call that is not over."""
        return self._calls.get(call_id)

    def status(self, call_id: str) -> str:
        """Return ``CallStatus`` of a call that is not over, or just; empty for any other."""
        call = self._exchange.call(call_id)
        return "" if call is None else self.status_of(call)

    def status_of(self, call: CallControl) -> str:
        """Return ``CallStatus`` of a call."""
        if call.state is not CallState.ENDED:
            return call_status(call.state)
        known = self._calls.get(call.facts.call_id)
        if known is None:
            return "completed"
        return final_status(known.cause or "cancelled", answered=known.answered_at is not None)

    def ids(self, status: str) -> list[str]:
        """Return the calls that are not over and have a status."""
        return [call_id for call_id in self._calls if self.status(call_id) == status]
