"""A call as a program sees it (``engine.program.CallControl``), that writes down what it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from dsp.mask import MaskFill
from engine.errors import CallError, ProgramError
from engine.media import Room
from engine.media.recorder import Recording
from engine.payment_run import PaymentGuard
from engine.program import CallControl, CallFacts, CallState, Companion, Program
from prompts.clip import Clip

__all__ = ("FACTS", "FakeCall")

FACTS = CallFacts(call_id="0" * 31 + "1", direction="in", caller="+15551234567", dialled="4711")


class FakeCall:
    """Nothing happens by itself; a test plays the far end, the media plane and the clock."""

    def __init__(self, *, state: CallState = CallState.RINGING, **facts: Any) -> None:
        self.facts = replace(FACTS, **facts)
        self.state = state
        self.cause = ""
        self.guard = PaymentGuard()
        self.program: Program
        self.asked: list[tuple[str, Any]] = []
        "What the program asked for, in order: the name of the method and its argument."
        self.heard: list[tuple[str, ...]] = []
        "Names of the clips of each `play`."
        self.tokens: list[int] = []
        self.interruptible: list[bool] = []
        self.companions: list[Companion] = []
        self.bridged_with: CallControl | None = None
        self.recording_holds = 0
        "How many hold the recording now."
        self.room: Room | None = None
        self.on_hold = False
        self.is_muted = False
        self.is_earmuffed = False
        self.refer_report: Callable[[int | None, str, bool], None] | None = None
        "Of the last `refer`: the test plays who is referred."
        self.cannot_refer = ""
        "Why `refer` is refused."
        self.on_hang_up: Callable[[], None] = lambda: None

    def _asks(self, what: str, argument: Any = None) -> None:
        self.asked.append((what, argument))

    def answer(self) -> None:
        self._asks("answer")

    def reject(self, status: int) -> None:
        self._asks("reject", status)
        self.state = CallState.ENDED

    def hang_up(self, reason: str) -> None:
        self._asks("hang_up", reason)
        self.state = CallState.ENDED
        self.on_hang_up()

    def put_on_hold(self, on: bool) -> None:
        if on and self.guard.busy:
            raise ProgramError("a payment is under way")
        if on is not self.on_hold:
            self._asks("put_on_hold", on)
            self.on_hold = on

    def refer(self, to: str, report: Callable[[int | None, str, bool], None]) -> None:
        if self.cannot_refer:
            raise CallError(self.cannot_refer)
        self._asks("refer", to)
        self.refer_report = report

    def play(self, clips: Sequence[Clip], token: int, *, interruptible: bool, loop: bool = False) -> None:
        self._asks("play", loop)
        self.heard.append(tuple(clip.name for clip in clips))
        self.tokens.append(token)
        self.interruptible.append(interruptible)

    def stop_playing(self) -> None:
        self._asks("stop_playing")

    def pause_playing(self) -> None:
        self._asks("pause_playing")

    def resume_playing(self) -> None:
        self._asks("resume_playing")

    def set_volume(self, volume_db: float) -> None:
        self._asks("set_volume", volume_db)

    def send_digits(self, codes: Sequence[int]) -> None:
        self._asks("send_digits", tuple(codes))

    def mask_line(self, *, fill: MaskFill = MaskFill.TONE) -> None:
        self._asks("mask_line", fill)

    def mask(self, on: bool) -> None:
        self._asks("mask", on)

    def record(self, recording: Recording | None) -> None:
        self._asks("record", recording)

    def hold_recording(self) -> None:
        self._asks("hold_recording")
        self.recording_holds += 1

    def release_recording(self) -> None:
        self._asks("release_recording")
        assert self.recording_holds > 0, "released more often than held"
        self.recording_holds -= 1

    def bridge(self, other: CallControl, *, relay_keys: bool = True) -> None:
        self._asks("bridge", other)
        self.bridged_with = other

    def unbridge(self) -> None:
        self._asks("unbridge")
        self.bridged_with = None

    def join(self, room: Room, *, muted: bool = False) -> None:
        self._asks("join", muted)
        self.room = room

    def leave_room(self) -> None:
        self._asks("leave_room")
        self.room = None

    def mute(self, on: bool) -> None:
        self._asks("mute", on)
        self.is_muted = on

    def earmuff(self, on: bool) -> None:
        self._asks("earmuff", on)
        self.is_earmuffed = on

    def attach(self, companion: Companion) -> None:
        self.companions.append(companion)

    def detach(self, companion: Companion) -> None:
        if companion in self.companions:
            self.companions.remove(companion)

    # -- for the test

    @property
    def times_hung_up(self) -> int:
        """How often the program ended the call."""
        return sum(what == "hang_up" for what, _ in self.asked)
