"""The calls of NCCO applications that are not over: what they are called, where they stand, who is told of it.

What the engine's events tell the application (`dialects.md` §6.3), in this order, each once at most::

    calls in    CallCreated   started, ringing      calls out   CallCreated   started
                CallAnswered  answered                          CallRinging   ringing
                CallEnded     completed                         CallAnswered  answered
                                                                CallFailed    busy, cancelled, unanswered, rejected,
                                                                              failed, timeout
                                                                CallEnded     completed, of one that was answered

Laws: what is told of a call goes into the outbox in the order in which it was told (``engine.programs.posts``). The
last state is repeated like a payment's result, all else like a status (D-27). A call that is handed on to such an
application while it is up is known from then on, and only what happens from then on is told. No log repeats what is
told, or where.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from engine.config import Config, NccoApp, VonageConfig
from engine.dialects.ncco.actions import EventTarget
from engine.dialects.ncco.events import (
    answered_event,
    body_of,
    completed_event,
    error_event,
    query_of,
    state_event,
    transfer_event,
    unanswered_status,
)
from engine.dialects.ncco.identity import call_uuid, conversation_of, timestamp
from engine.events import CallAnswered, CallCreated, CallEnded, CallFailed, CallRinging, EngineEvent
from engine.ledger import WebhookPolicy
from engine.log import fields
from engine.net.signatures import FORM, SignatureKind
from engine.net.web_client import JSON
from engine.outbox import Outbox
from engine.program import CallFacts
from engine.programs.posts import Post, Posts
from engine.redact import redact_text

__all__ = ("MAX_UNBORN", "Leg", "NccoLegs", "Signing", "session_of", "signing")

log = logging.getLogger("engine.programs.ncco")

MAX_UNBORN = 64
"Calls of which nothing was heard yet: one that is refused before it is a call is never heard of."
MAX_REASON = 1000
"Characters of an error that is told."
_STATES = ("started", "ringing", "answered")
"In the order in which a call goes through them."


class Signing(TypedDict):
    """How a request to an application is signed, as the outbox and a ``WebRequest`` take it."""

    signature: SignatureKind
    key_env: str
    claims: Mapping[str, str]


def signing(settings: VonageConfig, application_id: str) -> Signing:
    """Return how requests to an application are signed; not at all without a ``signature_secret_env``."""
    if not settings.signature_secret_env:
        return Signing(signature=SignatureKind.NONE, key_env="", claims={})
    claims = {"application_id": application_id}
    if settings.api_key:
        claims["api_key"] = settings.api_key
    return Signing(signature=SignatureKind.VONAGE, key_env=settings.signature_secret_env, claims=claims)


def session_of(call_id: str) -> str:
    """Return the session of the outbox in which a call's posts stand behind each other."""
    return f"ncco-{call_id}"


@dataclass(slots=True, eq=False, kw_only=True)
class Leg:
    """One call."""

    facts: CallFacts
    app: str
    "Name of its application, of ``[app.NAME]``."
    application_id: str
    uuid: str
    conversation_uuid: str
    "Where it is now: see `NccoLegs.moved`."
    event: EventTarget | None
    "Where its states are told, absolute; None: nowhere."
    status: str = "started"
    "The last one, as events have it; of a call that nobody answered already when `CallFailed` was told."
    started_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    "When it was over, which may be before all that it owes is done."
    is_asked: bool = False
    """Of a call that a synchronous ``connect`` made: that nobody answered it is not told here, but asked by the NCCO
    that made it (``FetchNcco``), whose request is about this call: see ``called``."""
    called: Leg | None = field(default=None, repr=False)
    "The last such call that this one's NCCO made and nobody answered."


@dataclass(slots=True)
class _Times:
    """What is known of a call that is not over, whosever it is: it may be handed on to one of ours."""

    started_at: datetime
    answered_at: datetime | None = None
    is_ringing: bool = False


class NccoLegs:
    """All of them; one for an engine."""

    def __init__(self, outbox: Outbox, config: Config, *, clock: Callable[[], datetime]) -> None:
        """``clock`` gives UTC."""
        self._posts = Posts(outbox, what="an event", log=log)
        self._config = config
        self._clock = clock
        self._legs: dict[str, Leg] = {}
        self._unborn: OrderedDict[str, Leg] = OrderedDict()
        self._times: dict[str, _Times] = {}

    def __len__(self) -> int:
        """Return how many calls are known."""
        return len(self._legs) + len(self._unborn)

    def watch(self, facts: CallFacts, *, app: str, event: EventTarget | None = None, conversation: str = "") -> Leg:
        """Know a call from now on and tell its states; from the constructor of its program.

        A call that is known keeps what it has. ``event``: None means the application's event URL; ``conversation``
        empty: as ``identity.conversation_of``.
        """
        if (known := self.find(facts.call_id)) is not None:
            return known
        settings = self._config.apps[app]
        if not isinstance(settings, NccoApp):
            raise TypeError(f"[app.{app}] is no NCCO application")
        if event is None and settings.event_url:
            event = EventTarget(url=settings.event_url, method=settings.event_method)
        times = self._times.get(facts.call_id)
        leg = Leg(
            facts=facts,
            app=app,
            application_id=settings.id_for(app),
            uuid=call_uuid(facts.call_id),
            conversation_uuid=conversation or conversation_of(facts),
            event=event,
            started_at=self._clock() if times is None else times.started_at,
        )
        if times is None:
            self._unborn[facts.call_id] = leg
            if len(self._unborn) > MAX_UNBORN:
                self._unborn.popitem(last=False)
        else:
            leg.answered_at = times.answered_at
            leg.status = "answered" if times.answered_at is not None else "ringing" if times.is_ringing else "started"
            self._legs[facts.call_id] = leg
        return leg

    def find(self, call_id: str) -> Leg | None:
        """Return a call that is not over; None when there is no such (any more)."""
        return self._legs.get(call_id) or self._unborn.get(call_id)

    def observe(self, event: EngineEvent) -> None:
        """Take an event of the engine."""
        if (unborn := self._unborn.pop(event.call_id, None)) is not None:
            self._legs[event.call_id] = unborn
        match event:
            case CallCreated():
                self._created(event, unborn)
            case CallRinging():
                if (times := self._times.get(event.call_id)) is not None:
                    times.is_ringing = True
                self._state(event.call_id, "ringing")
            case CallAnswered():
                now = self._clock()
                if (times := self._times.get(event.call_id)) is not None:
                    times.answered_at = now
                if (leg := self.find(event.call_id)) is not None:
                    leg.answered_at = now
                self._state(event.call_id, "answered")
            case CallFailed():
                if (leg := self.find(event.call_id)) is not None and leg.status in _STATES:
                    self._failed(leg, unanswered_status(event.outcome))
            case CallEnded():
                self._times.pop(event.call_id, None)
                if (leg := self._legs.pop(event.call_id, None)) is not None:
                    self._ended(leg)

    def hung_up(self, call_id: str) -> None:
        """Note that a call is over now: its ``CallEnded`` waits for all that it still owes somebody."""
        if (leg := self.find(call_id)) is not None and leg.ended_at is None:
            leg.ended_at = self._clock()

    def tell(
        self,
        leg: Leg,
        members: Mapping[str, Any],
        *,
        target: EventTarget | None = None,
        policy: WebhookPolicy = WebhookPolicy.STATUS,
    ) -> None:
        """Tell something of a call, behind what was told of it: ``members`` besides ``timestamp``.

        ``target`` (absolute) is where, None: `Leg.event`; nowhere when that is None too. What a caller keyed may not
        stand in it: the outbox keeps posts.
        """
        where = target or leg.event
        if where is None or not self._posts.has_room(policy):
            return
        members = {**members, "timestamp": timestamp(self._clock())}
        try:
            body = query_of(members) if where.method == "GET" else body_of(members)
        except ValueError as error:
            log.error("an event cannot be told: %s", error, extra=fields(call=leg.facts.call_id))
            return
        self._posts.put(
            Post(
                session=session_of(leg.facts.call_id),
                url=where.url,
                body=body,
                method=where.method,
                content_type=FORM if where.method == "GET" else JSON,
                policy=policy,
                allow_insecure=where.url.startswith("http:"),
                **signing(self._config.vonage, leg.application_id),
            )
        )

    def tell_error(self, leg: Leg, reason: str) -> None:
        """Tell the application that something is wrong; ``reason`` repeats no value."""
        self.tell(leg, error_event(leg.conversation_uuid, redact_text(reason[:MAX_REASON])))

    def moved(self, leg: Leg, conversation: str) -> None:
        """Note that a call is in another conversation now, and tell it (``transfer``); without effect when it is."""
        before = leg.conversation_uuid
        if conversation != before:
            leg.conversation_uuid = conversation
            self.tell(leg, transfer_event(leg.facts, before=before, now=conversation))

    async def close(self) -> None:
        """Wait until all that was told is in the outbox."""
        await self._posts.done()

    # -- states ----------------------------------------------------------------------------------------------------

    def _created(self, event: CallCreated, leg: Leg | None) -> None:
        is_in = event.direction == "in"
        self._times[event.call_id] = _Times(self._clock(), is_ringing=is_in)
        if leg is None:
            return
        leg.started_at = self._clock()
        self.tell(leg, state_event(leg.facts, leg.conversation_uuid, "started"))
        if is_in:
            self._state(event.call_id, "ringing")

    def _state(self, call_id: str, status: str) -> None:
        """Tell a state, unless it or a later one was told."""
        leg = self.find(call_id)
        if leg is None or leg.status not in _STATES or _STATES.index(leg.status) >= _STATES.index(status):
            return
        leg.status = status
        if status == "answered":
            self.tell(leg, answered_event(leg.facts, leg.conversation_uuid))
        else:
            self.tell(leg, state_event(leg.facts, leg.conversation_uuid, status))

    def _failed(self, leg: Leg, status: str) -> None:
        """Tell the last state of a call out that nobody answered."""
        leg.status = status
        leg.ended_at = leg.ended_at or self._clock()
        parent = self.find(leg.facts.parent_id)
        if leg.is_asked and status != "cancelled" and parent is not None:
            parent.called = leg
            return
        told = state_event(leg.facts, leg.conversation_uuid, status)
        self.tell(leg, told, policy=WebhookPolicy.RESULT)

    def _ended(self, leg: Leg) -> None:
        leg.called = None
        if leg.status not in _STATES:
            return
        leg.ended_at = leg.ended_at or self._clock()
        if leg.answered_at is None and leg.facts.direction == "out":
            self._failed(leg, unanswered_status(None))
            return
        leg.status = "completed"
        told = completed_event(leg.facts, leg.conversation_uuid, answered_at=leg.answered_at, ended_at=leg.ended_at)
        self.tell(leg, told, policy=WebhookPolicy.RESULT)
