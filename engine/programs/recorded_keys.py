"""The keys of who is recorded: one of some ends the recording, all are kept out of it.

While a key is down nothing is taken (`CallControl.hold_recording`), and what was heard of it before it was known
(`KEY_HEARD_MS`) is told to be cut off or silenced when the file is made ready (``recorded_audio.Finish``).
"""

from __future__ import annotations

from contextlib import suppress

from engine.dialects.signalwire.digits import KEYS
from engine.program import CallControl
from engine.programs.call_recording import CallRecording
from engine.programs.recorded_audio import FRAME_MS, Span

__all__ = ("KEY_HEARD_MS", "RecordedKeys")

KEY_HEARD_MS = 200
"What is taken back of a key: the detector needs up to 67 ms to know it (domain.md C), the rest is the way to here."


class RecordedKeys:
    """Those of one recording; ``call`` is a proxy of the call."""

    def __init__(self, call: CallControl, *, terminators: str) -> None:
        self._call = call
        self._terminators = terminators
        self._began: int | None = None
        self.spans: list[Span] = []
        "Where keys are in the file, in frames."
        self.ended_by = ""
        "The key that ended the recording."
        self.end: int | None = None
        "Where the file is to end for it, in frames."

    def digit(self, code: int, one: CallRecording | None) -> None:
        """Take a key (RFC 4733 event code) that was pressed while ``one`` ran: it ends it, or is kept out."""
        if one is None or not one.is_running or not 0 <= code < len(KEYS):
            return
        began = max(0, one.position - KEY_HEARD_MS // FRAME_MS)
        if KEYS[code] in self._terminators:
            self.ended_by, self.end = KEYS[code], began
            one.stop()
        elif self._began is None:
            self._began = began
            self._call.hold_recording()

    def digit_ended(self, one: CallRecording | None) -> None:
        """Take again what is said; also for a recording that is over."""
        if self._began is None or one is None:
            return
        self.spans.append((self._began, one.position))
        self._began = None
        with suppress(ReferenceError):
            self._call.release_recording()
