"""Connecting a call with somebody who is called for it.

Groups of devices are called one after the other (`GroupDialling`); the caller hears a ringback tone or what the
application wants meanwhile. Who answers first is connected, until either side hangs up, the time is over or the
application parts them.

Laws:

1. Both legs get the mask's delay line before they are connected: a payment may begin on either at any time.
2. Keys go to the other side as telephone-events, by the media plane, but for what is masked.
3. States are told once each: ``CONNECTING``, then ``FAILED``, or ``CONNECTED`` and ``DISCONNECTED``. Whoever was called
   is hung up with the last one, unless REST leads them elsewhere.
4. A call that rings still is answered when it is connected (answer on bridge).
5. The called side's wish to transfer (REFER) is declined.
"""

from __future__ import annotations

import asyncio
import logging
import re
import weakref
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial

from dsp.mask import MaskFill
from engine.dialects.signalwire.devices import Device, Devices
from engine.dialects.spoken import Ring, Spoken
from engine.dialects.twiml.commands import Source
from engine.errors import CallError, MediaError
from engine.log import fields
from engine.program import CallControl, CallState, Transfer
from engine.programs.actions.dialling import GroupDialling, outbound_of
from engine.programs.actions.playing import PlayAction, PlayState
from engine.programs.context import ProgramContext
from engine.programs.leg_program import LegProgram, MakeProgram, MakeWhisper
from engine.programs.side_document import program_on
from engine.programs.weak import held_weakly, weakly

__all__ = ("MAX_DURATION_S", "ConnectAction", "ConnectState", "GroupDialling", "OnConnect", "outbound_of")

log = logging.getLogger("engine.programs.actions")

MAX_DURATION_S = 14400.0
_CALLER = re.compile(r"\+?[A-Za-z0-9._~*#-]{1,64}")
_DEFAULT_RING = (Ring(),)


class ConnectState(StrEnum):
    """Where it stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"


OnConnect = Callable[[ConnectState, CallControl | None, str], None]
"""Takes the state, who is connected or was, and why it is over.

Of ``FAILED`` and of a called side that hung up the reason is its ``CallControl.cause``; else ``disconnect``, ``hangup``
(our own side), ``time limit``, ``left`` (REST leads the called side elsewhere) or ``no-media``."""


class ConnectAction:
    """An ``Action``, and a ``LegOwner``."""

    def __init__(
        self,
        devices: Devices,
        call: CallControl,
        context: ProgramContext,
        *,
        on_state: OnConnect,
        ringback: Sequence[Spoken] = (),
        max_duration_s: float = MAX_DURATION_S,
        caller_default: str = "",
        base_url: str = "",
        on_leg: Callable[[CallControl, Device], None] = lambda call, device: None,
        confirm: Callable[[Device], MakeWhisper] | None = None,
        keys: str = "",
        make_program: MakeProgram | None = None,
        source_type: type = Source,
    ) -> None:
        """``caller_default`` is who calls where a device does not say; empty: who calls here.

        ``on_leg`` hears of each call before anything happens on it. ``confirm`` makes what a called side hears and has
        to agree to, of devices that want that (``Device.confirm``); without it they are not called.
        ``keys`` are keyed to a called side first, with ``w`` for half a second.
        ``make_program`` makes what leads a called side by a document of REST, of ``source_type``; None: TwiML.
        """
        self._call = held_weakly(call)
        self._call_id = call.facts.call_id
        self._context = context
        self._on_state: OnConnect | None = on_state
        self._max_duration_s = max_duration_s
        self._caller = caller_default or _caller_of(call)
        self._on_leg = on_leg
        self._confirm = confirm
        self._keys = keys
        self._make_program = make_program or partial(program_on, context)
        self._source_type = source_type
        self._device: dict[LegProgram, Device] = {}
        self._dialling = GroupDialling[LegProgram](
            devices,
            place=_weakly_placing(self._place),
            give_up=LegProgram.give_up,
            on_failed=weakly(self._failed),
            call_id=self._call_id,
        )
        self._leg: LegProgram | None = None
        "Who answered."
        self._is_bridged = False
        self._ringback: PlayAction | None = PlayAction(
            ringback or _DEFAULT_RING,
            self._call,
            context,
            on_state=weakly(self._rings),
            loop=0,
            base_url=base_url,
            gives_way=True,
        )
        self._limit: asyncio.TimerHandle | None = None
        self._has_begun = False

    @property
    def is_over(self) -> bool:
        """Whether the last state was told."""
        return self._on_state is None

    @property
    def is_connected(self) -> bool:
        """Whether the two hear each other now."""
        return self._is_bridged

    @property
    def wants_digits(self) -> bool:
        """Never: the media plane passes them on."""
        return False

    # -- Action --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Call the first group."""
        if self.is_over or self._has_begun:
            return
        self._has_begun = True
        self._tell(ConnectState.CONNECTING)
        self._dialling.start()
        # Whoever pays meanwhile hears the payment's prompts.
        if self._ringback is not None and self._call.state is CallState.ANSWERED and not self._call.guard.busy:
            self._ringback.start(now)

    def digit(self, code: int, now: float) -> None:
        """Nothing."""

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Ring on."""
        if self._ringback is not None:
            self._ringback.play_finished(token, by_digit, now)

    def disconnect(self, now: float) -> None:
        """Part the two, or call nobody any more."""
        self._end("disconnect")

    def stop(self, now: float) -> None:
        """Part the two, or call nobody any more."""
        self._end("disconnect")

    def hang_up(self, now: float) -> None:
        """Our side is gone."""
        self._end("hangup")

    async def done(self) -> None:
        """Wait until nothing is rendered any more; legs are calls of their own."""
        if self._ringback is not None:
            await self._ringback.done()

    # -- calling -------------------------------------------------------------------------------------------------

    def _place(self, device: Device) -> LegProgram:
        whisper = None
        if device.confirm is not None:
            if self._confirm is None:
                raise CallError("who is called was to agree first, and there is nothing that asks them")
            whisper = self._confirm(device)
        wanted = outbound_of(device, caller=self._caller, call_id=self._call_id)
        on_leg = self._on_leg
        leg = LegProgram(
            self,
            label="connect",
            make_program=self._make_program,
            source_type=self._source_type,
            make_whisper=whisper,
            send_digits=self._keys,
            on_call=lambda call: on_leg(call, device),
        )
        self._device[leg] = device
        try:
            self._context.exchange.place(wanted, leg.run_on, beside=self._call)
        except Exception:
            del self._device[leg]
            raise
        return leg

    def _failed(self, cause: str) -> None:
        self._end(cause)

    # -- engine.programs.leg_program.LegOwner --------------------------------------------------------------------

    def leg_answered(self, leg: LegProgram) -> bool:
        """Take the first who answers."""
        if self.is_over or not self._dialling.answered(leg):
            return False
        self._leg = leg
        return True

    def leg_ready(self, leg: LegProgram) -> None:
        """Connect the two."""
        if leg is not self._leg or self.is_over:
            return
        self._stop_ringing()
        fill = MaskFill(self._context.config.twilio.mask_fill)
        try:
            self._call.mask_line(fill=fill)
            leg.call.mask_line(fill=fill)
            if self._call.state is CallState.RINGING:
                self._call.answer()
            self._call.bridge(leg.call)
        except MediaError as error:
            log.error("two calls cannot be connected: %s", error, extra=fields(call=self._call_id))
            self._end("no-media")
            return
        self._is_bridged = True
        device = self._device.get(leg)
        limit_s = min(self._max_duration_s, MAX_DURATION_S if device is None else device.max_duration_s)
        self._limit = asyncio.get_running_loop().call_later(max(1.0, limit_s), weakly(self._too_long))
        self._tell(ConnectState.CONNECTED, leg.call)

    def leg_left(self, leg: LegProgram) -> None:
        """A document of its own leads it now."""
        if leg is self._leg:
            self._end("left", keeps_leg=True)
        else:
            self._dialling.over(leg, "failed")

    def leg_over(self, leg: LegProgram) -> None:
        """Somebody did not answer, or hung up."""
        if leg is self._leg:
            self._end(leg.cause or "hangup", keeps_leg=True)
        else:
            self._device.pop(leg, None)
            self._dialling.over(leg, leg.cause)

    def leg_transfer(self, leg: LegProgram, wanted: Transfer) -> bool:
        """Decline: whom the called side names is nobody whom the application wants."""
        return False

    # -- within --------------------------------------------------------------------------------------------------

    def _rings(self, state: PlayState) -> None:
        """Ring by the default tone where what the application wants cannot be had."""
        # With a payment in progress every ring is over at once: there is no end to trying.
        is_wanted = self._leg is None and not self.is_over and not self._call.guard.busy
        if state is PlayState.ERROR and is_wanted:
            self._ringback = PlayAction(
                _DEFAULT_RING, self._call, self._context, on_state=weakly(self._rings), loop=0, gives_way=True
            )
            self._ringback.start(self._context.now())

    def _stop_ringing(self) -> None:
        if self._ringback is not None:
            self._ringback.stop(self._context.now())

    def _too_long(self) -> None:
        self._limit = None
        self._end("time limit")

    def _tell(self, state: ConnectState, peer: CallControl | None = None, reason: str = "") -> None:
        if self._on_state is not None:
            self._on_state(state, peer, reason)

    def _end(self, reason: str, *, keeps_leg: bool = False) -> None:
        tell, self._on_state = self._on_state, None
        if tell is None:
            return
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self._stop_ringing()
        self._dialling.stop()
        self._device.clear()
        leg, self._leg = self._leg, None
        was_bridged, self._is_bridged = self._is_bridged, False
        if was_bridged:
            self._call.unbridge()
        if leg is not None and not keeps_leg:
            leg.give_up("the connection is over")
        if was_bridged and leg is not None:
            tell(ConnectState.DISCONNECTED, leg.call, reason)
        else:
            tell(ConnectState.FAILED, None, reason)


def _caller_of(call: CallControl) -> str:
    """Return who is seen to call: who is on the call, where that can be said."""
    facts = call.facts
    caller = facts.caller if facts.direction == "in" else facts.dialled
    return caller if _CALLER.fullmatch(caller) else ""


def _weakly_placing(method: Callable[[Device], LegProgram]) -> Callable[[Device], LegProgram]:
    found = weakref.WeakMethod(method)

    def place(device: Device) -> LegProgram:
        if (bound := found()) is None:
            raise CallError("who wanted the call is gone")
        return bound(device)

    return place
