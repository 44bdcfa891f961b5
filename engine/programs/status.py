"""Status callbacks of calls: an application is told that its call rings, was answered, is over (`dialects.md` §5.5).

A plan says where a call's progress is told and which of it; the teller hears the engine's events and puts a signed
webhook into the outbox for each that is wanted, in order, with the call as its session::

    event of the plan   calls in        calls out       CallStatus
    initiated           -               CallCreated     initiated
    ringing             CallCreated     CallRinging     ringing
    answered            CallAnswered    CallAnswered    in-progress
    completed           CallEnded       CallEnded       completed, busy, failed, no-answer, canceled

Laws: each event is told once at most, ``completed`` last and however the call ended; what is told of a call goes into
the outbox in the order in which it happened (``engine.programs.posts``). ``completed`` is repeated like a payment's
result, the others like a status (D-27).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil

from engine.config import TwilioConfig, TwimlApp
from engine.dialects.twilio import final_status, form_body, rfc2822_date, standard_parameters
from engine.events import CallAnswered, CallCreated, CallEnded, CallFailed, CallRinging, EngineEvent
from engine.ledger import WebhookPolicy
from engine.net.signatures import FORM, SignatureKind
from engine.outbox import Outbox
from engine.program import CallFacts
from engine.programs.posts import Post, Posts

__all__ = ("CallStatusTeller", "StatusPlan", "plan_of")

log = logging.getLogger("engine.programs.status")

MAX_UNBORN = 64
"Plans of calls of which nothing was heard yet: one that is refused before it is a call is never heard of."
_ANSWERED_STATUS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPlan:
    """Where a call's progress is told, and which of it."""

    url: str = field(repr=False)
    "Absolute. http is taken: it tells numbers and times, nothing of a payment."
    method: str = "POST"
    "POST, or GET."
    events: Sequence[str] = ("completed",)
    "Of initiated, ringing, answered, completed; others are never told."


def plan_of(app: TwimlApp) -> StatusPlan | None:
    """Return the plan of an application's calls; None when it wants to hear nothing."""
    if not app.status_callback:
        return None
    return StatusPlan(url=app.status_callback, method=app.status_method, events=app.status_events)


@dataclass(slots=True)
class _Watched:
    """A call that somebody wants to hear of."""

    facts: CallFacts
    plan: StatusPlan
    told: set[str] = field(default_factory=set)
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    sip_status: int | None = None


class CallStatusTeller:
    """Tells of all calls that are watched; one for an engine.

    Calls are to be watched from the constructor of their program: what happened before is not told.
    """

    def __init__(self, outbox: Outbox, twilio: TwilioConfig, *, clock: Callable[[], datetime]) -> None:
        """``clock`` gives UTC."""
        self._posts = Posts(outbox, what="a call's status", log=log)
        self._twilio = twilio
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._unborn: OrderedDict[str, _Watched] = OrderedDict()

    def __len__(self) -> int:
        return len(self._watched) + len(self._unborn)

    def watch(self, facts: CallFacts, plan: StatusPlan | None) -> None:
        """Tell of a call from now on as ``plan`` says; in place of its plan before, of which None forgets.

        What was told already is not told again.
        """
        known = self._watched.get(facts.call_id) or self._unborn.get(facts.call_id)
        if plan is None:
            self._watched.pop(facts.call_id, None)
            self._unborn.pop(facts.call_id, None)
        elif known is not None:
            known.plan = plan
        else:
            self._unborn[facts.call_id] = _Watched(facts, plan)
            if len(self._unborn) > MAX_UNBORN:
                self._unborn.popitem(last=False)

    def plan(self, call_id: str) -> StatusPlan | None:
        """Return how a call is told of now; None: it is not."""
        known = self._watched.get(call_id) or self._unborn.get(call_id)
        return None if known is None else known.plan

    def hung_up(self, call_id: str) -> None:
        """Note that a call is over now: its ``CallEnded`` waits for all that it still owes somebody."""
        if (watched := self._watched.get(call_id)) is not None and watched.ended_at is None:
            watched.ended_at = self._clock()

    def observe(self, event: EngineEvent) -> None:
        """Take an event of the engine."""
        if (unborn := self._unborn.pop(event.call_id, None)) is not None:
            self._watched[event.call_id] = unborn
        watched = self._watched.get(event.call_id)
        if watched is None:
            return
        match event:
            case CallCreated(direction="in"):
                self._tell(watched, "ringing", "ringing")
            case CallCreated():
                self._tell(watched, "initiated", "initiated")
            case CallRinging():
                self._tell(watched, "ringing", "ringing")
            case CallAnswered():
                watched.answered_at = self._clock()
                watched.sip_status = _ANSWERED_STATUS
                self._tell(watched, "answered", "in-progress")
            case CallFailed():
                watched.sip_status = event.status
            case CallEnded():
                del self._watched[event.call_id]
                outcome = final_status(event.cause, answered=watched.answered_at is not None)
                self._tell(watched, "completed", outcome, *self._ending(watched))

    async def close(self) -> None:
        """Wait until all that was told is in the outbox."""
        await self._posts.done()

    def _ending(self, watched: _Watched) -> list[tuple[str, str]]:
        seconds = 0.0
        if watched.answered_at is not None:
            seconds = max(0.0, ((watched.ended_at or self._clock()) - watched.answered_at).total_seconds())
        ending = [("CallDuration", str(round(seconds))), ("Duration", str(ceil(seconds / 60)))]
        if watched.sip_status is not None:
            ending.append(("SipResponseCode", str(watched.sip_status)))
        return ending

    def _tell(self, watched: _Watched, event: str, status: str, *more: tuple[str, str]) -> None:
        plan = watched.plan
        if event in watched.told or event not in plan.events:
            return
        parameters = [
            *standard_parameters(self._twilio.account_sid, watched.facts, status),
            *more,
            ("Timestamp", rfc2822_date(self._clock()) or ""),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", str(len(watched.told))),
        ]
        watched.told.add(event)
        call_id, body = watched.facts.call_id, form_body(parameters)
        policy = WebhookPolicy.RESULT if event == "completed" else WebhookPolicy.STATUS
        self._posts.put(
            Post(
                session=call_id,
                url=plan.url,
                body=body,
                method=plan.method,
                content_type=FORM,
                signature=SignatureKind.TWILIO,
                key_env=self._twilio.auth_token_env,
                policy=policy,
                allow_insecure=plan.url.startswith("http:"),
            )
        )
