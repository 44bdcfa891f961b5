"""What is heard on a call, and by whom: playing, keying, the mask, recording, the bridge to another call.

The media half of ``engine.program.CallControl``. Whatever comes when the leg is not there yet, or not any more, does
nothing, but that a playlist is finished in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary, WeakSet

from dsp.mask import MaskFill
from engine.call.context import CallContext
from engine.errors import MediaError
from engine.media import Leg, Room
from engine.media.recorder import Recording
from engine.program import CallControl, CallFacts, Companion, Program
from prompts.clip import Clip
from sip.offer_answer import MediaParameters

__all__ = ("Sound",)

MIN_VOLUME_DB, MAX_VOLUME_DB = -60.0, 12.0
_ROOMS: WeakKeyDictionary[Room, WeakSet[Sound]] = WeakKeyDictionary()
"Who went into a room: what records one of them records all."


class Sound:
    """A call's leg and what is done with it."""

    facts: CallFacts
    _program: Program
    _agreed: MediaParameters | None
    "What the leg works with."
    _ended: str | None

    def __init__(self, context: CallContext) -> None:
        self._context = context
        self._leg: Leg | None = None
        self._companions: list[Companion] = []
        self._leaving: list[Companion] = []
        "Detached ones, which are waited for all the same."
        self._bridged: Sound | None = None
        self._has_mask_line = False
        self._masks = 0
        "How many want the mask on."
        self._recording: Recording | None = None
        self._holds = 0
        "How many want nothing of this caller to be recorded now."
        self._room: Room | None = None
        self._is_muted = False
        self._is_earmuffed = False

    def _take_leg(self, leg: Leg) -> None:
        """Begin with a leg: what was asked for before there was one holds from its first tick on."""
        self._leg = leg
        if self._is_muted:
            leg.mute(True)
        if self._is_earmuffed:
            leg.earmuff(True)

    def _open(self) -> Leg | None:
        return self._leg if self._ended is None else None

    # -- playing and keying --------------------------------------------------------------------------------------

    def play(self, clips: Sequence[Clip], token: int, *, interruptible: bool, loop: bool = False) -> None:
        """Play ``clips`` one after the other; ``play_finished`` of the program follows in any case."""
        if (leg := self._open()) is None:
            self._play_finished(token, False)
            return
        leg.play(clips, token=token, interruptible=interruptible, loop=loop)

    def _play_finished(self, token: int, interrupted_by_digit: bool) -> None:
        now = self._context.now()
        for companion in (*self._companions, *self._leaving):
            companion.play_finished(token, interrupted_by_digit, now)
        self._program.play_finished(token, interrupted_by_digit, now)

    def stop_playing(self) -> None:
        """Stop what plays."""
        if (leg := self._open()) is not None:
            leg.stop_playing()

    def pause_playing(self) -> None:
        """Hold what plays."""
        if (leg := self._open()) is not None:
            leg.pause_playing()

    def resume_playing(self) -> None:
        """Let what plays go on."""
        if (leg := self._open()) is not None:
            leg.resume_playing()

    def set_volume(self, volume_db: float) -> None:
        """Make what plays louder or softer, within what the player takes."""
        if (leg := self._open()) is not None:
            leg.set_volume(min(max(volume_db, MIN_VOLUME_DB), MAX_VOLUME_DB))

    def send_digits(self, codes: Sequence[int]) -> None:
        """Key digits towards the far end, as telephone-events where it takes them, else as tones."""
        if (leg := self._open()) is not None:
            takes_events = self._agreed is not None and self._agreed.event_send_pt is not None
            leg.send_digits(codes, mode="telephone-event" if takes_events else "in-band")

    # -- who else hears it ---------------------------------------------------------------------------------------

    def mask_line(self, *, fill: MaskFill = MaskFill.TONE) -> None:
        """Put the mask's delay line in the way of all who hear this call; it stays until the end."""
        if (leg := self._open()) is not None and not self._has_mask_line:
            self._has_mask_line = True
            leg.mask_line(fill=fill)
            if self._masks:
                leg.mask(True)

    def mask(self, on: bool) -> None:
        """Take keys out of what others hear of this call, or take that back; counted. Without a line it waits for one.

        Raise ``MediaError`` when the media plane does not do it; nothing is counted then.
        """
        masks = max(0, self._masks + (1 if on else -1))
        if (leg := self._open()) is not None and self._has_mask_line:
            leg.mask(masks > 0)
        self._masks = masks

    def mute(self, on: bool) -> None:
        """Let others hear nothing of this call, or all again; neither a hold, nor a bridge or a room, changes that.

        Raise ``MediaError`` when the media plane does not do it; it is as before then.
        """
        if (leg := self._open()) is not None:
            leg.mute(on)
        self._is_muted = on

    def earmuff(self, on: bool) -> None:
        """Let this call hear nothing of others, or all again, as `mute` does with what they hear."""
        if (leg := self._open()) is not None:
            leg.earmuff(on)
        self._is_earmuffed = on

    def record(self, recording: Recording | None) -> None:
        """Record the call from now on; None ends it."""
        if (leg := self._open()) is not None:
            self._recording = recording
            self._hold_as_wanted()
            leg.record(recording)

    def hold_recording(self) -> None:
        """Keep the caller out of what records this call, and all who hear it; counted."""
        self._holds += 1
        self._hold_as_wanted()

    def release_recording(self) -> None:
        """Take one hold back; a release too many does nothing."""
        self._holds = max(0, self._holds - 1)
        self._hold_as_wanted()

    def _hold_as_wanted(self) -> None:
        """Hold what records those who hear each other while one of them wants it: each file has all of them."""
        sides = [self]
        if self._bridged is not None:
            sides.append(self._bridged)
        elif self._room is not None:
            sides = [one for one in _ROOMS[self._room] if one._room is self._room]
        held = any(side._holds for side in sides)
        for side in sides:
            if side._recording is not None:
                side._recording.hold(held)

    def _go_into(self, room: Room | None) -> None:
        """Note in which room the call is, before it is heard there and after it was."""
        before, self._room = self._room, room
        if room is not None:
            _ROOMS.setdefault(room, WeakSet()).add(self)
        elif before is not None:
            others = _ROOMS[before]
            others.discard(self)
            for one in list(others)[:1]:
                one._hold_as_wanted()
        self._hold_as_wanted()

    def bridge(self, other: CallControl, *, relay_keys: bool = True) -> None:
        """Let this call and ``other`` hear each other; raise ``MediaError`` when one of them has no media."""
        if not isinstance(other, Sound) or self._leg is None or other._leg is None:
            raise MediaError("a call that is not up cannot be bridged")
        self.unbridge()
        other.unbridge()
        self._bridged, other._bridged = other, self
        self._hold_as_wanted()  # before either is heard
        try:
            self._leg.bridge(other._leg, relay_keys=relay_keys)
        except MediaError:
            self._part()
            raise
        for one in (self, other):
            one._go_into(None)  # a bridge takes a leg out of its room

    def unbridge(self) -> None:
        """Part the call from the one it is bridged with."""
        other = self._part()
        if other is None:
            return
        if self._leg is not None:
            self._leg.unbridge()
        elif other._leg is not None:
            other._leg.unbridge()

    def _part(self) -> Sound | None:
        other, self._bridged = self._bridged, None
        if other is not None:
            other._bridged = None
            other._hold_as_wanted()
        self._hold_as_wanted()
        return other

    def join(self, room: Room, *, muted: bool = False) -> None:
        """Let this call and those in ``room`` hear each other; raise ``MediaError`` without media or place."""
        if (leg := self._open()) is None:
            raise MediaError("a call that is not up cannot be in a room")
        self.unbridge()
        before = self._room
        if before is not room:
            self._go_into(None)
            self._go_into(room)
        try:
            room.add(leg, muted=muted)
        except MediaError:
            if before is not room:
                self._go_into(None)
            raise

    def leave_room(self) -> None:
        """Take the call out of the room that it is in."""
        if self._room is None:
            return
        if self._leg is not None and (room := self._leg.room) is not None:
            room.remove(self._leg)
        self._go_into(None)

    # -- what runs beside the program ----------------------------------------------------------------------------

    def attach(self, companion: Companion) -> None:
        """Let something run beside the program."""
        self._companions.append(companion)

    def detach(self, companion: Companion) -> None:
        """Let it go; it is still waited for before the call is forgotten."""
        if companion in self._companions:
            self._companions.remove(companion)
            self._leaving.append(companion)
