"""Read recordings: a plain DTMF decoder over a WAV file that shares no line with `dsp`, and the recorder's oracle.

The decoder is good for clean tones only (20 ms windows, one strongest tone in each group), which is all a loopback call
needs.
"""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = (
    "RecordingOracle",
    "Samples",
    "decode_keys",
    "key_tones",
    "level_dbm0",
    "read_recording",
    "read_wav",
    "recorded_frame",
    "write_wav",
)

RATE_HZ = 8000
LOW_HZ = (697.0, 770.0, 852.0, 941.0)
HIGH_HZ = (1209.0, 1336.0, 1477.0, 1633.0)
KEYPAD = ("123A", "456B", "789C", "*0#D")
WINDOW = 160  # 20 ms: 50 Hz apart, the closest tones are 73 Hz
HOP = 40
MIN_PEAK = 0.02  # of full scale, per tone: about -31 dBm0
MIN_TONE_SHARE = 0.7  # of the window's energy must be the two tones
FULL_SCALE_SINE_DBM0 = 3.17  # mu-law, G.711

Samples = npt.NDArray[np.float64]


def read_wav(path: Path) -> Samples:
    """Return a mono 8 kHz 16-bit WAV file's samples, -1 to 1."""
    with wave.open(str(path), "rb") as file:
        form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
        if form != (1, 2, RATE_HZ):
            raise ValueError(f"not mono, 16 bit, {RATE_HZ} Hz: {form}")
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, dtype="<i2").astype(np.float64) / 32768


def write_wav(path: Path, samples: Samples) -> None:
    """Write samples (-1 to 1) as mono 8 kHz 16-bit WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def level_dbm0(samples: Samples) -> float:
    """Return the mean level in dBm0; -100 for silence."""
    mean_square = float(np.mean(samples**2)) if len(samples) else 0.0
    return 10 * math.log10(max(2 * mean_square, 1e-10)) + FULL_SCALE_SINE_DBM0


def key_tones(keys: str, *, on_ms: int = 80, off_ms: int = 80, level_dbm0_per_tone: float = -8.0) -> Samples:
    """Return the two tones of each key, one key after the other."""
    amplitude = 10 ** ((level_dbm0_per_tone - FULL_SCALE_SINE_DBM0) / 20)
    time_s = np.arange(on_ms * RATE_HZ // 1000) / RATE_HZ
    pause = np.zeros(off_ms * RATE_HZ // 1000)
    parts: list[Samples] = []
    for key in keys:
        row = next(index for index, line in enumerate(KEYPAD) if key in line)
        pair = (LOW_HZ[row], HIGH_HZ[KEYPAD[row].index(key)])
        parts += [amplitude * sum((np.sin(2 * np.pi * freq * time_s) for freq in pair), np.zeros(len(time_s))), pause]
    return np.concatenate(parts)


def decode_keys(samples: Samples, *, min_on_ms: float = 30.0, min_off_ms: float = 20.0) -> str:
    """Return the keys heard, in order."""
    freqs = np.array(LOW_HZ + HIGH_HZ)
    basis = np.exp(-2j * np.pi * np.outer(freqs, np.arange(WINDOW)) / RATE_HZ)
    keys, current, run, gap = "", "", 0, 10**6
    for start in range(0, len(samples) - WINDOW + 1, HOP):
        key = _key_of(samples[start : start + WINDOW], basis)
        if key and key == current:
            run, gap = run + 1, 0
        elif key:
            current, run, gap = key, 1, 0
        else:
            gap += 1
            if gap * HOP * 1000 / RATE_HZ >= min_off_ms - 1000 * WINDOW / RATE_HZ + 5:
                current, run = "", 0
        # A tone of t ms fills (t - 20) / 5 + 1 windows; the edges are lost.
        if current and run == max(1, round((min_on_ms - 20) / 5)):
            keys += current
    return keys


def _key_of(window: Samples, basis: npt.NDArray[np.complex128]) -> str:
    amplitudes = np.abs(basis @ window) * 2 / WINDOW
    low, high = int(np.argmax(amplitudes[:4])), int(np.argmax(amplitudes[4:]))
    low_peak, high_peak = amplitudes[low], amplitudes[4 + high]
    tones = (low_peak**2 + high_peak**2) / 2
    if min(low_peak, high_peak) < MIN_PEAK or tones < MIN_TONE_SHARE * float(np.mean(window**2)):
        return ""
    return KEYPAD[low][high]


def recorded_frame(n: int, *, side: int = 0) -> bytes:
    """Return 20 ms of samples that say which frame and which side they are; none is zero."""
    return bytes((np.arange(160) * 2 + 1 + (n * 641 + side * 7919) % 30000).astype("<i2"))


def read_recording(path: Path) -> tuple[int, bytes]:
    """Return the channels and the audio of a recording, and hold the header against the file's length."""
    raw = path.read_bytes()
    if len(raw) != 44 + int.from_bytes(raw[40:44], "little") or len(raw) != 8 + int.from_bytes(raw[4:8], "little"):
        raise ValueError(f"the header does not speak of this file of {len(raw)} bytes")
    with wave.open(str(path), "rb") as file:
        if (file.getsampwidth(), file.getframerate()) != (2, RATE_HZ):
            raise ValueError(f"not 16 bit, {RATE_HZ} Hz")
        return file.getnchannels(), file.readframes(file.getnframes())


class RecordingOracle:
    """What the recorder must make of a leg's ticks, frame by frame, in plain Python."""

    def __init__(
        self, *, mono: bool = False, tail: int = 0, leave_out: bool = False, limit: int = 10**9, slots: int = 32
    ) -> None:
        self.frames: list[bytes] = []
        self.lost = self.skipped = self.paused = 0
        self._mono, self._leave_out, self._limit, self._slots = mono, leave_out, limit, slots
        self._silence = bytes(320 if mono else 640)
        self._tail = tail
        self._holding: set[str] = set()
        self._hold = 0
        self._waiting = 0
        self._closed = False

    def audio(self) -> bytes:
        """Return the file's audio."""
        return b"".join(self.frames)

    def hold(self, who: str, paused: bool) -> None:
        """Pause or resume for one of the two who may."""
        if paused != (who in self._holding):
            self._hold = self._tail
            (self._holding.add if paused else self._holding.discard)(who)

    def moved(self) -> None:
        """Empty the ring."""
        self._waiting = 0

    def close(self) -> None:
        """Take no more."""
        self._closed = True

    def push(self, caller: bytes | None, played: bytes | None, *, lost: bool | None = None) -> None:
        """Pass one frame; `lost` says whether it found the ring full where that cannot be known here."""
        if self._closed or len(self.frames) >= self._limit:
            return
        if self._is_paused():
            self.paused += 1
            self.frames += [] if self._leave_out else [self._silence]
        elif caller is None and played is None:
            self.frames.append(self._silence)
        elif self._waiting == self._slots if lost is None else lost:
            self.lost += 1
            self.frames.append(self._silence)
        else:
            self._waiting += 1
            self.frames.append(self._joined(caller or bytes(320), played or bytes(320)))

    def skip(self, n: int) -> None:
        """Pass frames that never came."""
        n = min(n, self._limit - len(self.frames))
        if self._closed:
            return
        if self._is_paused():
            self.paused += n
            n = 0 if self._leave_out else n
        else:
            self.skipped += n
        self.frames += [self._silence] * n

    def _is_paused(self) -> bool:
        if self._holding:
            return True
        self._hold -= 1
        return self._hold >= 0

    def _joined(self, caller: bytes, played: bytes) -> bytes:
        left, right = (np.frombuffer(side, dtype="<i2").astype(np.int32) for side in (caller, played))
        if self._mono:
            return bytes(np.clip(left + right, -32768, 32767).astype("<i2"))
        return bytes(np.stack([left, right], axis=1).astype("<i2"))
