"""``connect``: call somebody, and let both hear each other until they part.

It is ``engine.programs.actions.connecting`` with one device; of NCCOs besides:

1. The called side is a call of the application (``NccoLegs.watch``): its states are told like any other's, in the
   conversation in which the calling side is.
2. With ``onAnswer`` the called side hears an NCCO first, with its keys; the two are connected when that is over.
3. With ``synchronous`` the outcome of a call that nobody answered is its state, which the application is asked about;
   else there is none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from engine.config import NccoApp
from engine.dialects.ncco.actions import Connect, EventTarget
from engine.dialects.ncco.commands import Outcome, Source
from engine.dialects.ncco.events import unanswered_status
from engine.dialects.ncco.interpreter import ANSWERABLE
from engine.dialects.signalwire.devices import Device
from engine.dialects.spoken import Play
from engine.dialects.urls import resolved
from engine.events import CallOutcome
from engine.log import fields
from engine.program import CallControl
from engine.programs.actions.connecting import ConnectAction, ConnectState, OnConnect
from engine.programs.context import ProgramContext
from engine.programs.leg_program import LegProgram, Redirectable, Whisper
from engine.programs.ncco.legs import Leg

__all__ = ("MakeNccoProgram", "MakeNccoWhisper", "NccoConnectAction", "device_of", "outcome_of")

log = logging.getLogger("engine.programs.ncco")

MakeNccoProgram = Callable[[CallControl, Source], Redirectable]
"Makes what leads the called side by an NCCO of its own from now on (transfer); its ``redirect`` takes a `Source`."
MakeNccoWhisper = Callable[[EventTarget, CallControl, Callable[[bool], None]], Whisper]
"""Makes what runs the NCCO that the called side hears first: of where it is, the call of the called side, and what
takes, once, whether they are to be connected."""

_OUTCOMES = frozenset(CallOutcome)


def device_of(work: Connect) -> Device:
    """Return how an endpoint is called.

    Headers go with a SIP URI only, under their ``X-``; an extension of the PBX is called like a number.
    """
    endpoint = work.endpoint
    headers = tuple((f"X-{name}", value) for name, value in endpoint.headers) if endpoint.type == "sip" else ()
    return Device(
        to=endpoint.to,
        timeout_s=work.timeout_s,
        max_duration_s=work.limit_s,
        headers=headers,
        confirm=endpoint.on_answer_url or None,
    )


def outcome_of(state: ConnectState, reason: str) -> str:
    """Return the state of a called side that a synchronous connect asks about; empty: nothing is asked.

    ``reason`` is as of ``OnConnect``, or the ``CallControl.cause`` of the called side.
    """
    if state is not ConnectState.FAILED:
        return ""
    if reason == "failed":  # it came to no call
        return unanswered_status(None)
    status = unanswered_status(CallOutcome(reason)) if reason in _OUTCOMES else ""
    return status if status in ANSWERABLE else ""


class NccoConnectAction(ConnectAction):
    """An ``Action``."""

    def __init__(
        self,
        work: Connect,
        call: CallControl,
        context: ProgramContext,
        *,
        leg: Leg,
        base_url: str,
        make_program: MakeNccoProgram,
        make_whisper: MakeNccoWhisper,
        on_over: Callable[[Outcome], None],
    ) -> None:
        """``on_over`` is called once, when the two have parted or nobody was had; no hook may hold the program."""
        endpoint = work.endpoint
        # A URL that is none is refused by whoever fetches it: nobody is connected who was to hear something first.
        on_answer = EventTarget(
            url=resolved(base_url, endpoint.on_answer_url) or endpoint.on_answer_url,
            method="GET",
        )
        ringback = endpoint.ringback_url or work.ringback_url
        self._causes: list[str] = []
        "Of the called side, once it is over."
        causes = self._causes
        super().__init__(
            ((device_of(work),),),
            call,
            context,
            on_state=_teller(on_over, causes, is_synchronous=work.synchronous),
            ringback=(Play(url=ringback),) if ringback else (),
            max_duration_s=work.limit_s,
            caller_default=work.caller or _number_of(context, leg),
            base_url=base_url,
            on_leg=_watcher(work, context, leg, base_url),
            confirm=lambda device: partial(make_whisper, on_answer),
            keys=endpoint.dtmf_answer.lower().replace("p", "w"),
            make_program=make_program,
            source_type=Source,
        )

    def leg_over(self, leg: LegProgram) -> None:
        """Note why there was nobody."""
        self._causes.append(leg.cause)
        super().leg_over(leg)


def _teller(on_over: Callable[[Outcome], None], causes: list[str], *, is_synchronous: bool) -> OnConnect:
    def told(state: ConnectState, peer: CallControl | None, reason: str) -> None:
        if state in (ConnectState.DISCONNECTED, ConnectState.FAILED):
            reason = causes[-1] if causes else reason
            on_over({"status": outcome_of(state, reason)} if is_synchronous else {})

    return told


def _watcher(work: Connect, context: ProgramContext, leg: Leg, base_url: str) -> Callable[[CallControl, Device], None]:
    """Return what has the states of a called side told: where the NCCO says, else where the application's are."""
    event = None
    if work.event is not None:
        if url := resolved(base_url, work.event.url):
            event = EventTarget(url=url, method=work.event.method)
        else:
            log.warning(
                "the eventUrl of a connect is no URL: the application's is told", extra=fields(call=leg.facts.call_id)
            )

    def watch(call: CallControl, device: Device) -> None:
        if (legs := context.ncco) is not None:
            called = legs.watch(call.facts, app=leg.app, event=event, conversation=leg.conversation_uuid)
            called.is_asked = work.synchronous

    return watch


def _number_of(context: ProgramContext, leg: Leg) -> str:
    app = context.config.apps.get(leg.app)
    return app.number if isinstance(app, NccoApp) else ""
