"""One recording of one call, as whoever began it holds it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from engine.dialects.twilio import recording_sid
from engine.errors import Error, MediaError
from engine.media.recorder import Recording
from engine.program import CallControl
from engine.programs.recorded_audio import Finish, Follower
from engine.programs.weak import held_weakly

__all__ = ("TOO_SHORT", "CallRecording", "Outcome", "RecordingCallback", "RecordingError", "Status", "error_code")

Status = Literal["in-progress", "paused", "processing", "completed", "failed", "absent"]


TOO_SHORT = "nothing was taken"
"Of a recording that is absent because it has no length; any other one had no sound."


def error_code(status: str, error: str) -> int:
    """Return the vendor's number for how a recording ended: 16101 too short, 16102 silent, 20500 a fault of ours."""
    if status == "absent":
        return 16101 if error == TOO_SHORT else 16102
    return 20500 if status == "failed" else 0


class RecordingError(Error):
    """A call cannot be recorded; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingCallback:
    """Where an application wants to be told of a recording (``recordingStatusCallback``)."""

    url: str
    "Absolute."
    method: str = "POST"
    events: tuple[str, ...] = ("completed",)
    "in-progress, completed, absent; one that failed is told as completed ones are."


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How a recording ended."""

    status: Status
    duration_ms: int = 0
    paused_ms: int = 0
    error: str = ""


class CallRecording:
    """One recording of one call, a ``Companion`` of it that wants no keys. Made by `Recordings.start`."""

    def __init__(
        self,
        call: CallControl,
        recording: Recording,
        *,
        recording_id: str,
        source: str,
        channels: int,
        recorded_channels: int,
        started_at: datetime,
        finish: Callable[[], Finish | None],
        on_done: Callable[[CallRecording], None] | None,
        callback: RecordingCallback | None,
    ) -> None:
        self.recording_id = recording_id
        self.call_id = call.facts.call_id
        self.source = source
        self.channels = channels
        "Of the file as it will be: 1 or 2."
        self.started_at = started_at
        self.status: Status = "in-progress"
        self.duration_ms: int | None = None
        "Known when it is over."
        self.paused_ms: int | None = None
        self.error = ""
        self.callback = callback
        # A program gives what it has, which is such a proxy.
        self._call: CallControl | None = held_weakly(call)
        self._recording = recording
        self._recorded_channels = recorded_channels
        self._finish = finish
        self._on_done = on_done

    @property
    def sid(self) -> str:
        """``RE`` and the recording's identity."""
        return recording_sid(self.recording_id)

    @property
    def path(self) -> Path:
        """Where its file is when it is over."""
        return self._recording.path

    @property
    def is_running(self) -> bool:
        """Whether what is heard is still taken."""
        return self.status in ("in-progress", "paused")

    @property
    def position(self) -> int:
        """Frames of 20 ms taken so far, silence included."""
        return self._recording.statistics().frames

    @property
    def on_disk_bytes(self) -> int:
        """Audio that a `follower` would find."""
        return self._recording.statistics().bytes

    def follower(self) -> Follower:
        """Return a reader of the file that is being written."""
        return Follower(self.path, channels=self._recorded_channels)

    def pause(self) -> None:
        """Take nothing from now on: silence in the file."""
        if self.status == "in-progress":
            self.status = "paused"
            self._recording.pause()

    def resume(self) -> None:
        """Take again what is heard, unless a capture holds it."""
        if self.status == "paused":
            self.status = "in-progress"
            self._recording.resume()

    def stop(self) -> None:
        """Take no more; the file is made ready, then who waits is told. Safe to call twice."""
        if not self.is_running:
            return
        self.status = "processing"
        self._let_go()
        self._recording.close()

    def give_up(self) -> None:
        """Come to an end that is nobody's concern: it could not be begun."""
        self._on_done, self.callback = None, None
        self.stop()

    def _let_go(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            with suppress(ReferenceError, MediaError):  # gone, or its thread stands still: the file ends all the same
                call.record(None)
                call.detach(self)

    def over(self) -> Finish | None:
        """Note that the recorder has completed the file or given it up; return what is still to be done to it."""
        self.status = "processing"
        self._let_go()
        return self._finish()

    def ended(self, outcome: Outcome) -> None:
        """Take how it ended, and tell whoever began it, once."""
        self.status, self.error = outcome.status, outcome.error
        self.duration_ms, self.paused_ms = outcome.duration_ms, outcome.paused_ms
        tell, self._on_done = self._on_done, None
        self._finish = lambda: None
        if tell is not None:
            tell(self)

    # -- engine.program.Companion

    @property
    def wants_digits(self) -> bool:
        """Never: a recording only listens."""
        return False

    def digit(self, code: int, now: float) -> None:
        """Nothing: no key comes here."""

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Nothing."""

    def hang_up(self, now: float) -> None:
        """End with the call."""
        self.stop()

    async def done(self) -> None:
        """Wait for nothing: the file needs no call any more."""
