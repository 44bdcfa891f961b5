"""Microphone and loudspeaker through PyAudio (PortAudio): 8 kHz, mono, 16 bit, 20 ms.

PyAudio's callback and the softphone's clock are two clocks. A short queue lies between them in each direction; when it
runs over, the oldest frame goes, and when it is empty, silence is given: delay never grows.
"""

from __future__ import annotations

import importlib
from collections import deque
from typing import Any

from engine.errors import SoftphoneError

__all__ = ("FRAME_BYTES", "FRAME_SAMPLES", "RATE_HZ", "SoundCard")

RATE_HZ = 8000
FRAME_SAMPLES = 160
FRAME_BYTES = FRAME_SAMPLES * 2
MAX_QUEUED_FRAMES = 5
"100 ms in each direction at most."
_SILENCE = bytes(FRAME_BYTES)


class SoundCard:
    """The system's default input and output as two queues of 20 ms frames."""

    def __init__(self) -> None:
        self._microphone: deque[bytes] = deque(maxlen=MAX_QUEUED_FRAMES)
        self._loudspeaker: deque[bytes] = deque(maxlen=MAX_QUEUED_FRAMES)
        self._library: Any = None
        self._stream: Any = None
        self._continue = 0

    def open(self) -> None:
        """Open both directions; raises `SoftphoneError` when PyAudio or a device is missing."""
        try:
            pyaudio = importlib.import_module("pyaudio")
        except ImportError:
            raise SoftphoneError(
                "PyAudio is not installed: install PortAudio (Debian: apt install portaudio19-dev) "
                "and then pip install 'paytone[audio]'; or leave out --audio"
            ) from None
        self._continue = pyaudio.paContinue
        try:
            self._library = pyaudio.PyAudio()
            self._stream = self._library.open(
                rate=RATE_HZ,
                channels=1,
                format=pyaudio.paInt16,
                input=True,
                output=True,
                frames_per_buffer=FRAME_SAMPLES,
                stream_callback=self._exchange,
            )
        except OSError as error:
            self.close()
            raise SoftphoneError(f"no usable microphone and loudspeaker ({error}); or leave out --audio") from None

    def close(self) -> None:
        """Stop the stream and let go of the devices; safe to call twice."""
        stream, library = self._stream, self._library
        self._stream = self._library = None
        if stream is not None:
            stream.close()
        if library is not None:
            library.terminate()

    def read_microphone(self) -> bytes:
        """Return the next 20 ms of the microphone, or silence."""
        return self._microphone.popleft() if self._microphone else _SILENCE

    def write_loudspeaker(self, frame: bytes) -> None:
        """Queue 20 ms for the loudspeaker; a frame of another size is left out."""
        if len(frame) == FRAME_BYTES:
            self._loudspeaker.append(frame)

    def _exchange(self, recorded: bytes | None, n_frames: int, times: object, status: int) -> tuple[bytes, int]:
        """PyAudio's callback, on PortAudio's thread. A deque's append and popleft are atomic."""
        if recorded:
            self._microphone.append(recorded)
        frame = self._loudspeaker.popleft() if self._loudspeaker else _SILENCE
        return frame[: n_frames * 2].ljust(n_frames * 2, b"\0"), self._continue
