"""A call that we place: located, dialled, redirected perhaps, answered or not.

Early media (183) configures the leg before the answer, so that keys pressed there are not lost: they are kept as
type-ahead. Forked calls can bring several early answers; the last one counts until the 200 says otherwise
(RFC 3261 §13.2.2.4). A 180 needs no tone of ours: nobody listens on our side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from engine.call.call import Call
from engine.call.context import CallContext
from engine.errors import CallError, ConfigError, MediaError, TargetError
from engine.events import CallFailed, CallOutcome, CallRinging
from engine.log import fields
from engine.metrics import CALLS_PLACED
from engine.net.dialling import DialPlan
from engine.program import CallControl, CallFacts, CallState, Program
from sip.address import Address
from sip.errors import SipError
from sip.events import EndCause, SessionAnswered, SessionEnded, SessionRinging
from sip.offer_answer import accept_answer, make_offer
from sip.redirect import TargetSet
from sip.sdp import SessionDescription
from sip.uri import Uri

__all__ = ("Dialler", "OutgoingCall", "outcome_of")

MAX_REDIRECTIONS = 5
"Targets beyond the first: RFC 3261 §8.1.3.4 wants a limit and names none."
MAX_TOLD = 32
"Different provisional answers that observers hear of."

_OUTCOMES = {
    404: CallOutcome.NOT_FOUND,
    408: CallOutcome.NO_ANSWER,
    410: CallOutcome.NOT_FOUND,
    480: CallOutcome.NO_ANSWER,
    484: CallOutcome.NOT_FOUND,
    486: CallOutcome.BUSY,
    487: CallOutcome.NO_ANSWER,
    488: CallOutcome.NO_MEDIA,
    502: CallOutcome.UNREACHABLE,
    503: CallOutcome.UNREACHABLE,
    504: CallOutcome.UNREACHABLE,
    600: CallOutcome.BUSY,
    604: CallOutcome.NOT_FOUND,
    606: CallOutcome.NO_MEDIA,
}


class Dialler(Protocol):
    """What an outgoing call asks of the engine."""

    async def locate(self, uri: Uri, *, secure: bool) -> tuple[Address, ...]:
        """Return the addresses of a URI, best first, over TLS only when ``secure``; raises TargetError."""

    def invite(
        self, call: OutgoingCall, target: Uri, next_hops: tuple[Address, ...], offer: SessionDescription
    ) -> None:
        """Send the INVITE for ``target`` and give its session to ``call``."""

    def mark_failed(self, next_hops: tuple[Address, ...]) -> None:
        """Note that nobody answered there."""


def outcome_of(event: SessionEnded) -> CallOutcome:
    """Return what became of a call out that was not answered."""
    if event.cause is EndCause.TRANSPORT_ERROR or (event.cause is EndCause.TIMEOUT and event.status is None):
        return CallOutcome.UNREACHABLE
    if event.cause is EndCause.CANCELLED:
        return CallOutcome.CANCELLED
    return _OUTCOMES.get(event.status or 0, CallOutcome.REFUSED)


class OutgoingCall(Call):
    """Made by ``Engine.place_call``::

    addresses -> INVITE -> 180, 183 -> 200 -> program runs -> program ends or the callee hangs up -> all released
    """

    def __init__(
        self,
        call_id: str,
        plan: DialPlan,
        context: CallContext,
        make_program: Callable[[CallControl], Program],
        on_gone: Callable[[Call], None],
        dialler: Dialler,
        *,
        beside: Call | None = None,
    ) -> None:
        facts = CallFacts(
            call_id=call_id,
            direction="out",
            caller=plan.caller,
            dialled=plan.dialled,
            parent_id="" if beside is None else beside.call_id,
        )
        super().__init__(facts, context, make_program, on_gone)
        self._beside = None if beside is None else beside._leg
        self.plan = plan
        self._dialler = dialler
        self._targets = TargetSet(plan.target, limit=1 + MAX_REDIRECTIONS)
        self._target = plan.target
        self._next_hops: tuple[Address, ...] = ()
        self._is_dialled = False
        self._dialling: asyncio.Task[None] | None = None
        self._ring_timer: asyncio.TimerHandle | None = None
        self._outcome: CallOutcome | None = None
        self._told: set[tuple[int, bool]] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether nobody has answered yet."""
        return not self._confirmed

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        state = super().state
        return CallState.QUEUED if state is CallState.RINGING and not self._told else state

    @property
    def cause(self) -> str:
        """Why the call is over: before its end too when it is we who give it up."""
        if self._ended is None and self._hanging_up and not self._confirmed:
            return str(self._outcome or CallOutcome.CANCELLED)
        return super().cause

    def answer(self) -> None:
        """Do nothing: the far end answers."""

    def reject(self, status: int) -> None:
        """Give the call up."""
        self.hang_up("")

    # -- setting up ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the leg and begin to dial; raise ``CallError`` when there is no port."""
        try:
            self._open_leg()
        except MediaError as error:
            self._finish("not placed")
            raise CallError(f"the call cannot be placed: {error}") from None
        self._begin_record(sip_call_id="")
        self._ring_timer = asyncio.get_running_loop().call_later(self.plan.ring_s, self._nobody_answers)
        self._dial(self.plan.target)

    def _dial(self, target: Uri) -> None:
        assert self._local is not None
        self._target = target
        self._is_dialled = False
        # Each target gets keys of its own: who redirected us has seen those of the offer before.
        self._described = self._offer_sent = make_offer(self._local)
        self._media = None
        self._dialling = self._task(self._locate_and_invite(target))

    async def _locate_and_invite(self, target: Uri) -> None:
        assert self._offer_sent is not None
        try:
            hops = await self._dialler.locate(self.plan.first_hop(target), secure=target.scheme == "sips")
            self._next_hops = hops
            self._is_dialled = True  # before anything is sent: a failure can come back at once
            self._dialler.invite(self, target, hops, self._offer_sent)
        except (TargetError, ConfigError, SipError) as error:
            self._is_dialled = False
            self._next_target(CallOutcome.UNREACHABLE, None, str(error))

    def _next_target(self, outcome: CallOutcome, status: int | None, reason: str) -> None:
        """Call the next target of a redirection, or give up."""
        target = None if self._hanging_up else self._targets.next()
        if target is None:
            self._fail(outcome, status, reason)
        else:
            self._dial(target)

    def _nobody_answers(self) -> None:
        self._outcome = CallOutcome.NO_ANSWER
        self.hang_up("no answer")

    # -- from the SIP endpoint -----------------------------------------------------------------------------------

    def ringing(self, event: SessionRinging) -> None:
        """Take a provisional response; the leg hears what comes before the answer."""
        if self._confirmed or self._hanging_up:
            return
        self._note_hop(event.peer)
        if event.early is not None:
            self._take_early(event.early)
        told = (event.status, event.early is not None)
        if told not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(told)
            self._context.notify(CallRinging(call_id=self.call_id, status=event.status, early_media=told[1]))

    def _note_hop(self, peer: Address | None) -> None:
        """Note that the next hops before the one that answered are down: the next call tries them last."""
        for index, hop in enumerate(self._next_hops if peer is not None else ()):
            if peer is not None and (hop.host, hop.port) == (peer.host, peer.port):
                self._dialler.mark_failed(self._next_hops[:index])
                self._next_hops = self._next_hops[index:]
                return

    def _take_early(self, description: SessionDescription) -> None:
        assert self._offer_sent is not None
        try:
            # Nobody has to send before the answer: silence says nothing yet.
            self._configure(accept_answer(self._offer_sent, description), rtp_timeout_ms=0)
        except (SipError, MediaError) as error:
            self._log.info("early media is left out: %s", error, extra=fields(call=self.call_id))

    def answered(self, event: SessionAnswered) -> None:
        """Take the 200: the program begins."""
        assert self._offer_sent is not None
        self._stop_ring_timer()
        if self._confirmed or self._hanging_up:
            return
        self._note_hop(event.peer)
        try:
            if event.answer is None:
                raise MediaError("the answer has no session description")
            self._configure(accept_answer(self._offer_sent, event.answer))
        except (SipError, MediaError) as error:
            # §13.2.2.4: an answer that cannot be used is acknowledged, and the call ended.
            self._log.info("a call ends: %s", error, extra=fields(call=self.call_id))
            self._outcome = CallOutcome.NO_MEDIA
            self.hang_up("no common media")
            return
        CALLS_PLACED.labels(outcome="answered").inc()
        self._begin_program()

    def ended(self, event: SessionEnded) -> None:
        """The session is over: the call with it, unless the answer names somebody else to call."""
        if self._ended is not None:
            return
        if self._confirmed:
            self._finish(str(event.cause))
            return
        outcome = outcome_of(event)
        if outcome is CallOutcome.UNREACHABLE:
            self._dialler.mark_failed(self._next_hops)
        if event.status is not None and 300 <= event.status < 400:
            self._targets.add(event.status, self.plan.followed(self._target, event.contacts))
        self._next_target(outcome, event.status, event.reason)

    # -- ending --------------------------------------------------------------------------------------------------

    def hang_up(self, reason: str) -> None:
        """Give the call up, by CANCEL before the answer and BYE after it; a no-op when it is over."""
        if self._ended is not None or self._hanging_up:
            return
        self._stop_ring_timer()
        if self._is_dialled:
            super().hang_up(reason)
            return
        self._hanging_up = True
        if self._dialling is not None:
            self._dialling.cancel()
        self._fail(CallOutcome.CANCELLED, None, reason)

    def _fail(self, outcome: CallOutcome, status: int | None, reason: str) -> None:
        if self._ended is not None:
            return
        self._stop_ring_timer()
        outcome = self._outcome or outcome
        CALLS_PLACED.labels(outcome=str(outcome)).inc()
        self._log.info(
            "a call was not answered", extra=fields(call=self.call_id, outcome=outcome, status=status, reason=reason)
        )
        self._context.notify(CallFailed(call_id=self.call_id, outcome=outcome, status=status, reason=reason))
        self._finish(str(outcome))

    def _stop_ring_timer(self) -> None:
        if self._ring_timer is not None:
            self._ring_timer.cancel()
            self._ring_timer = None
