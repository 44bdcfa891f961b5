"""Recording a call, alone or beside what else goes on: until it is stopped, a key, silence, the limit or the end.

Laws:

- ``RECORDING`` is told once something is taken, behind the tone; the last state when the file is there, which is a
  moment after the end: `RecordAction.done` waits for it.
- Keys that this action is told of are no part of the recording, and it ends before the one that ends it. What a payment
  keeps out (``CallControl.hold_recording``) is never in it, and its silence ends nothing; nor does that of a pause.
- Who says nothing in time, where there is such a time, has no recording: ``NO_INPUT``.
- Only WAV is written: for another format that is what there is, with a warning.
- A call has one recording at a time: a second one is an ``ERROR``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from dsp.mask import MaskFill
from engine.dialects.swml.methods import Record
from engine.log import fields
from engine.media.recorder import Channels
from engine.payment_run import TOKENS
from engine.program import CallControl
from engine.programs.context import ProgramContext
from engine.programs.record import DONE_S, LOOK_S, beep
from engine.programs.recorded_audio import FRAME_MS, Finish, SoundWatch
from engine.programs.recorded_keys import RecordedKeys
from engine.programs.recordings import CallRecording, RecordingError, Recordings
from engine.programs.weak import held_weakly

__all__ = ("RecordAction", "RecordState", "RecordedInfo")

log = logging.getLogger("engine.programs.actions")


class RecordState(StrEnum):
    """Where it stands."""

    RECORDING = "recording"
    PAUSED = "paused"
    FINISHED = "finished"
    NO_INPUT = "no_input"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedInfo:
    """What is known of the recording; empty where there is none."""

    url: str = field(default="", repr=False)
    "Where the file is had, once it is finished."
    sid: str = ""
    duration_s: float = 0.0
    "Of the file, known with the last state."
    size: int = 0
    "Bytes of the file, known with the last state."
    ended_by: str = ""
    "The key that ended it."


class RecordAction:
    """An ``Action``: one recording."""

    def __init__(
        self,
        settings: Record,
        call: CallControl,
        context: ProgramContext,
        *,
        on_state: Callable[[RecordState, RecordedInfo], None],
        source: str = "Record",
    ) -> None:
        """``source`` is what the table of recordings calls who asked.

        Times of 0 do not end it. ``input_sensitivity`` is not looked at: what is sound is known by the noise of the
        line (``recorded_audio.SoundWatch``). With ``stereo`` who is on the call is left and what they hear is right,
        of ``direction`` both; one direction is one channel.
        """
        self._settings = settings
        self._call = held_weakly(call)
        self._call_id = call.facts.call_id
        self._context = context
        self._on_state: Callable[[RecordState, RecordedInfo], None] | None = on_state
        self._source = source
        self._token = 0
        "Of the tone."
        self._recording: CallRecording | None = None
        self._watching: asyncio.Task[None] | None = None
        self._keys = RecordedKeys(self._call, terminators=settings.terminators)
        self._over = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether the last state was told."""
        return self._on_state is None

    @property
    def wants_digits(self) -> bool:
        """While a key would end it."""
        return bool(self._settings.terminators) and self._runs

    @property
    def _runs(self) -> bool:
        """Whether it goes on, or will, once the tone is over."""
        return not self.is_over and (self._recording is None or self._recording.is_running)

    # -- Action --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Sound the tone, where one is wanted, then record."""
        if self.is_over or self._token or self._recording is not None:
            return
        if self._settings.format != "wav":
            log.warning("a recording is written as WAV, whatever is asked for", extra=fields(call=self._call_id))
        if self._context.recordings is None:
            self._cannot("[recording] names no directory: name one, and calls can be recorded")
        elif self._settings.beep:
            self._token = next(TOKENS)
            self._call.play([beep()], self._token, interruptible=False)
        else:
            self._begin(self._context.recordings)

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Begin once the tone is over, however it ended."""
        if token == self._token and self._recording is None and not self.is_over:
            self._token = 0
            if self._context.recordings is not None:
                self._begin(self._context.recordings)

    def digit(self, code: int, now: float) -> None:
        """End the recording by a key that does, and take none of any."""
        self._keys.digit(code, self._recording)

    def digit_ended(self, now: float) -> None:
        """Take again what is said."""
        self._keys.digit_ended(self._recording)

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def stop(self, now: float) -> None:
        """Take no more; what was taken is a recording."""
        self._stop()

    def hang_up(self, now: float) -> None:
        """Keep what was said until now."""
        self._token = 0
        self._stop()

    async def done(self) -> None:
        """Wait until the last state is told, as long as a disk may take."""
        if self._recording is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(DONE_S):
                    await self._over.wait()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    # -- what an application may want meanwhile ------------------------------------------------------------------

    def pause(self) -> None:
        """Take silence from now on; without effect when it does already, or nothing is taken."""
        one = self._recording
        if one is not None and one.status == "in-progress":
            one.pause()
            self._tell(RecordState.PAUSED, self._known(one))

    def resume(self) -> None:
        """Take again what is heard, but for what a payment keeps out."""
        one = self._recording
        if one is not None and one.status == "paused":
            one.resume()
            self._tell(RecordState.RECORDING, self._known(one))

    # -- within --------------------------------------------------------------------------------------------------

    def _begin(self, recordings: Recordings) -> None:
        settings = self._settings
        channels: Channels = "mono" if settings.direction == "both" and not settings.stereo else "stereo"
        # Whoever comes to hear the call later hears it behind the mask; it cannot be put in then.
        self._call.mask_line(fill=MaskFill(self._context.config.twilio.mask_fill))
        try:
            one = self._recording = recordings.start(
                self._call,
                source=self._source,
                channels=channels,
                limit_s=settings.max_length_s if settings.max_length_s > 0 else None,
                on_done=self._ready,
                finish=self._finish,
                channels_kept=2 if settings.direction == "both" and settings.stereo else 1,
            )
        except RecordingError as error:
            self._cannot(str(error))
            return
        if settings.initial_timeout_s > 0 or settings.end_silence_timeout_s > 0:
            watch = self._watch(recordings, one)
            self._watching = asyncio.get_running_loop().create_task(watch)
        self._tell(RecordState.RECORDING, self._known(one))

    def _cannot(self, why: str) -> None:
        log.warning("a call is not recorded: %s", why, extra=fields(call=self._call_id))
        self._conclude(RecordState.ERROR, RecordedInfo())

    async def _watch(self, recordings: Recordings, one: CallRecording) -> None:
        """End the recording once there was silence for as long as the application says."""
        initial_ms = self._settings.initial_timeout_s * 1000 or float("inf")
        silence_ms = self._settings.end_silence_timeout_s * 1000 or float("inf")
        follower = one.follower()
        heard = SoundWatch()
        looked_at = since = 0
        try:
            while one.is_running:
                await recordings.sleep(LOOK_S)
                if (on_disk := one.on_disk_bytes) > looked_at:
                    looked_at = on_disk
                    heard.look(await asyncio.to_thread(follower.read))
                if self._is_held(one):
                    since = heard.frames  # that nobody is heard now says nothing
                silent_ms = (heard.frames - max(heard.last, since)) * FRAME_MS
                if silent_ms >= (initial_ms if heard.first is None else silence_ms):
                    break
        except OSError as error:
            # The recorder finds out too, and ends the recording.
            log.warning("a recording cannot be followed: %s", error.strerror, extra=fields(call=self._call_id))
            return
        finally:
            follower.close()
        one.stop()

    def _is_held(self, one: CallRecording) -> bool:
        try:
            return one.status == "paused" or self._call.guard.busy
        except ReferenceError:
            return False

    def _finish(self) -> Finish | None:
        """Say what becomes of the file."""
        self._keys.digit_ended(self._recording)
        channel = {"speak": 0, "listen": 1}.get(self._settings.direction)
        keys = self._keys
        if channel is None and not keys.spans and keys.end is None and not self._settings.initial_timeout_s:
            return None  # as it is
        return Finish(blank=tuple(keys.spans), end=keys.end, channel=channel)

    def _ready(self, one: CallRecording) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if one.status == "completed":
            info = self._known(one, duration_s=(one.duration_ms or 0) / 1000, size=_size_of(one))
            self._conclude(RecordState.FINISHED, info)
        else:
            state = RecordState.NO_INPUT if one.status == "absent" else RecordState.ERROR
            self._conclude(state, RecordedInfo(ended_by=self._keys.ended_by))

    def _known(self, one: CallRecording, *, duration_s: float = 0.0, size: int = 0) -> RecordedInfo:
        assert self._context.recordings is not None
        return RecordedInfo(
            url=f"{self._context.recordings.url_of(one.recording_id, account=self._account())}.wav",
            sid=one.sid,
            duration_s=duration_s,
            size=size,
            ended_by=self._keys.ended_by,
        )

    def _account(self) -> str:
        """Return whose credentials open the recording: the project's where it has a token."""
        signalwire = self._context.config.signalwire
        return signalwire.project if signalwire.token_env else ""

    def _stop(self) -> None:
        if self._recording is not None:
            self._recording.stop()
            return
        if self._token:
            self._token = 0
            self._call.stop_playing()
        self._conclude(RecordState.NO_INPUT, RecordedInfo())

    def _tell(self, state: RecordState, info: RecordedInfo) -> None:
        if self._on_state is not None:
            self._on_state(state, info)

    def _conclude(self, state: RecordState, info: RecordedInfo) -> None:
        tell, self._on_state = self._on_state, None
        self._over.set()
        if tell is not None:
            tell(state, info)


def _size_of(one: CallRecording) -> int:
    try:
        return one.path.stat().st_size
    except OSError:
        return 0
