"""A sound card without a device, under PyAudio's name: put this folder on ``PYTHONPATH``.

Its microphone gives a tone of 440 Hz; what goes to its loudspeaker goes to the file that ``PAYTONE_TEST_LOUDSPEAKER``
names (raw, 8 kHz, 16 bit).
"""

from __future__ import annotations

import math
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

paContinue = 0  # noqa: N816 - PyAudio's name
paInt16 = 8  # noqa: N816

RATE_HZ = 8000
TONE_HZ = 440
AMPLITUDE = 6000

Callback = Callable[[bytes, int, dict[str, float], int], tuple[bytes, int]]


class Stream:
    """Calls back once a frame, on a thread of its own, as PortAudio does."""

    def __init__(self, callback: Callback, n_frames: int) -> None:
        self._callback = callback
        self._n_frames = n_frames
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        period_s = self._n_frames / RATE_HZ
        due = time.monotonic()
        sample = 0
        with Path(os.environ["PAYTONE_TEST_LOUDSPEAKER"]).open("wb") as loudspeaker:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                angles = (2 * math.pi * TONE_HZ * (sample + index) / RATE_HZ for index in range(self._n_frames))
                tone = struct.pack(f"<{self._n_frames}h", *(int(AMPLITUDE * math.sin(angle)) for angle in angles))
                played, _ = self._callback(tone, self._n_frames, {}, 0)
                loudspeaker.write(played)
                sample += self._n_frames
                due += period_s

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self._thread.join()


class PyAudio:
    """The library, as far as the softphone uses it."""

    def open(self, *, stream_callback: Callback, frames_per_buffer: int, **options: Any) -> Stream:
        """Return a running stream."""
        return Stream(stream_callback, frames_per_buffer)

    def terminate(self) -> None:
        """Nothing to let go of."""
