"""Holding a call and letting it go on (RFC 3264 §8.4): the far end is told by a re-INVITE, and is neither heard nor
detected meanwhile.

Laws:

- It holds from the word on, not from the far end's answer, and also where the far end refuses the offer.
- Who is held hears what its program plays, else silence. A bridge is parted meanwhile and made again afterwards, when
  both sides are up and neither is held; one that is made meanwhile waits.
- One offer is out at a time; what changed meanwhile is offered when it is settled. A 491 is the endpoint's business.
- Nobody is held while they pay: their keys would be lost.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.call.sound import Sound
from engine.errors import MediaError, ProgramError
from engine.log import fields
from engine.payment_run import PaymentGuard
from engine.program import CallControl, CallState
from sip.errors import LocalProtocolError
from sip.events import SessionId
from sip.offer_answer import LocalCapabilities, MediaParameters, make_offer
from sip.sdp import SessionDescription

if TYPE_CHECKING:
    from engine.call.context import CallContext

__all__ = ("Holding",)

log = logging.getLogger("engine.call")

_SILENT = frozenset({"sendonly", "inactive"})
"Directions of ours in which nothing of the far end is taken."


class Holding(Sound):
    """A call that can be held."""

    session: SessionId
    guard: PaymentGuard
    _local: LocalCapabilities | None
    _described: SessionDescription | None
    _media: MediaParameters | None

    def __init__(self, context: CallContext) -> None:
        super().__init__(context)
        self._on_hold = False
        self._offer_open = False
        self._offered_hold = False
        "What the far end was told last."
        self._direction_before = "sendrecv"
        "Of the leg, before it was deaf."
        self._described_before: SessionDescription | None = None
        self._parted: weakref.ref[Holding] | None = None
        "Who is bridged with this call again afterwards; the two name each other."
        self._relays_keys = True

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        raise NotImplementedError

    @property
    def on_hold(self) -> bool:
        """Whether the far end is held."""
        return self._on_hold

    def put_on_hold(self, on: bool) -> None:
        """Hold the far end, or let it go on; without effect when it is so. Raise ``ProgramError`` while it pays."""
        if on is self._on_hold or self.state is not CallState.ANSWERED:
            return
        if on and self.guard.busy:
            raise ProgramError("who pays is not put on hold: wait for the payment's end, or stop it")
        self._on_hold = on
        log.info("on hold" if on else "off hold", extra=fields(call=self.facts.call_id))
        if on:
            other, relays_keys = self._bridged, self._relays_keys
            if isinstance(other, Holding):
                self.unbridge()
                self._part_from(other, relay_keys=relays_keys)
            self._listen(False)
        self._tell_far_end()
        if not on and not self._offer_open:
            self._go_on()

    def bridge(self, other: CallControl, *, relay_keys: bool = True) -> None:
        """Let the two hear each other, or note that they will, once neither is held."""
        if isinstance(other, Holding) and (self._on_hold or other._on_hold):
            if self._leg is None or other._leg is None:
                raise MediaError("a call that is not up cannot be bridged")
            self.unbridge()
            other.unbridge()
            self._part_from(other, relay_keys=relay_keys)
            return
        super().bridge(other, relay_keys=relay_keys)
        self._relays_keys = relay_keys
        if isinstance(other, Holding):
            other._relays_keys = relay_keys

    def unbridge(self) -> None:
        """Part the call from the one it is bridged with, or would be again."""
        parted, self._parted = self._parted, None
        if parted is not None and (other := parted()) is not None:
            other._parted = None
        super().unbridge()

    def _part_from(self, other: Holding, *, relay_keys: bool) -> None:
        self._parted, other._parted = other._reference(), self._reference()
        self._relays_keys = other._relays_keys = relay_keys

    def _reference(self) -> weakref.ref[Holding]:
        """Return a reference to this call, also where it is asked of a proxy, as programs have it."""
        return weakref.ref(self)

    # -- what the far end is told --------------------------------------------------------------------------------

    def _tell_far_end(self) -> None:
        if self._offer_open or self._offered_hold is self._on_hold or self._local is None:
            return
        local = replace(self._local.bumped(), direction="sendonly" if self._on_hold else "sendrecv")
        ours = make_offer(local, self._described)
        self._offered_hold = self._on_hold
        before, self._local, self._described_before, self._described = self._local, local, self._described, ours
        self._offer_open = True
        try:
            self._context.signalling.offer(self.session, ours)
        except LocalProtocolError as error:
            log.info("a hold cannot be told: %s", error, extra=fields(call=self.facts.call_id))
            self._local = replace(before, direction=local.direction)
            self._hold_refused()

    def _hold_answered(self) -> None:
        """The far end has taken an offer and the leg works by it; an answer that nobody waits for changes nothing."""
        if self._offer_open:
            self._offer_open, self._described_before = False, None
            self._settle_hold()

    def _hold_refused(self) -> None:
        """The far end goes on as it was: what it sends is taken or not as we want it."""
        if self._offer_open:
            self._offer_open = False
            self._described, self._described_before = self._described_before, None
            if not self._on_hold:
                self._listen(True)
            self._settle_hold()

    def _hold_moved(self) -> None:
        """Somebody took the far end's place, and was told at once how it is."""
        assert self._local is not None
        self._offer_open, self._described_before = False, None
        self._offered_hold = self._local.direction == "sendonly"
        asyncio.get_running_loop().call_soon(self._settle_hold)

    def _settle_hold(self) -> None:
        self._tell_far_end()
        if not self._on_hold and not self._offer_open:
            self._go_on()

    # -- what the leg does ---------------------------------------------------------------------------------------

    def _as_held(self, media: MediaParameters) -> MediaParameters:
        """Return what the leg works with: deaf while the far end is held, whatever was agreed."""
        if not self._on_hold or media.direction in _SILENT:
            return media
        self._direction_before = media.direction
        return replace(media, direction="sendonly" if media.direction == "sendrecv" else "inactive")

    def _listen(self, on: bool) -> None:
        """Take what the far end sends, or nothing of it, where no answer of theirs says so."""
        media = self._media
        if media is None or self._open() is None or on is not (media.direction in _SILENT):
            return
        try:
            self._configure(replace(media, direction=self._direction_before) if on else media)
        except MediaError as error:
            log.warning("a hold cannot be done: %s", error, extra=fields(call=self.facts.call_id))

    def _configure(self, media: MediaParameters, *, rtp_timeout_ms: int | None = None) -> None:
        raise NotImplementedError

    def _go_on(self) -> None:
        """Make the bridge again that was parted."""
        other = None if self._parted is None else self._parted()
        if other is None or other._on_hold or other._offer_open:
            return
        if self.state is not CallState.ANSWERED or other.state is not CallState.ANSWERED:
            return
        try:
            self.bridge(other, relay_keys=self._relays_keys)  # type: ignore[arg-type]
        except MediaError as error:
            log.error("two calls cannot be connected again: %s", error, extra=fields(call=self.facts.call_id))
