"""From samples at any rate to a clip for the wire: 8 kHz, trimmed, levelled, in both G.711 laws.

Synthesisers differ by 10 dB in active level, so everything is levelled: −25 dBov active speech level (ITU-T P.56) is
G.115's −19 dBm0 on the G.711 scale (+3.14 dBm0 overload), and peaks stay at or below −1 dBov.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp import g711, meter, resample
from dsp.errors import NoSpeechError
from prompts.clip import RATE_HZ

__all__ = ("PEAK_LIMIT_DBOV", "TARGET_DBOV", "master", "silence", "trimmed")

TARGET_DBOV = -25.0
PEAK_LIMIT_DBOV = -1.0

KEEP_BEFORE_MS = 20
"Left before the speech: an onset is not cut, and the caller is not kept waiting."
KEEP_AFTER_MS = 60
"Left after it: the last sound dies away, and the first-digit timer starts when the caller may key."
RAMP_MS = 5
"Raised cosine at both ends: a step is a click."
_SPEECH_BELOW_PEAK_DB = 45.0  # quieter than this against the loudest sample counts as silence at the ends
_INAUDIBLE = 4  # int16 steps: below the first interval of A-law there is nothing to level
_EMPTY_MS = 20


def master(samples: NDArray[np.int16], rate_hz: int, *, level: bool = True) -> tuple[bytes, bytes]:
    """Return mono samples as (mu-law, A-law) at 8 kHz, of equal length and never empty.

    ``level`` off keeps the level as it is. Ends are trimmed to 20 ms before and 60 ms after the speech. Samples without
    sound (an empty text, a silent file) become 20 ms of silence.
    """
    if len(samples) == 0:
        return silence(_EMPTY_MS)
    audio = resample.resample(samples, rate_hz, RATE_HZ) if rate_hz != RATE_HZ else samples
    audio = _without_offset(audio)
    audio = trimmed(audio, RATE_HZ, keep_before_ms=KEEP_BEFORE_MS, keep_after_ms=KEEP_AFTER_MS)
    if len(audio) == 0:
        return silence(_EMPTY_MS)
    if level:
        audio = _levelled(audio)
    audio = _ramped(audio)
    return g711.ulaw_encode(audio), g711.alaw_encode(audio)


def silence(duration_ms: int) -> tuple[bytes, bytes]:
    """Return silence as (mu-law, A-law)."""
    count = duration_ms * RATE_HZ // 1000
    return bytes([g711.ULAW_SILENCE]) * count, bytes([g711.ALAW_SILENCE]) * count


def _without_offset(audio: NDArray[np.int16]) -> NDArray[np.int16]:
    """Remove a constant offset, which would count as level."""
    centred = audio.astype(np.float64) - np.mean(audio, dtype=np.float64)
    return np.clip(np.rint(centred), -32768, 32767).astype(np.int16)


def trimmed(
    audio: NDArray[np.int16], rate_hz: int, *, keep_before_ms: int = 0, keep_after_ms: int = 0
) -> NDArray[np.int16]:
    """Return samples without the silence at both ends, but for so much of it; none when there is no sound at all."""
    magnitude = np.abs(audio.astype(np.int32))
    peak = int(magnitude.max(initial=0))
    if peak <= _INAUDIBLE:
        return audio[:0]
    loud = np.flatnonzero(magnitude > max(peak * 10 ** (-_SPEECH_BELOW_PEAK_DB / 20), _INAUDIBLE))
    begin = max(0, int(loud[0]) - keep_before_ms * rate_hz // 1000)
    end = min(len(audio), int(loud[-1]) + 1 + keep_after_ms * rate_hz // 1000)
    return audio[begin:end]


def _levelled(audio: NDArray[np.int16]) -> NDArray[np.int16]:
    try:
        return meter.normalise(audio, RATE_HZ, target_dbov=TARGET_DBOV, peak_limit_dbov=PEAK_LIMIT_DBOV)
    except NoSpeechError:
        return audio  # a beep too short to have an active level is played as it was made


def _ramped(audio: NDArray[np.int16]) -> NDArray[np.int16]:
    count = min(RAMP_MS * RATE_HZ // 1000, len(audio) // 2)
    if count == 0:
        return audio
    gain = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    shaped = audio.astype(np.float64)
    shaped[:count] *= gain
    shaped[len(shaped) - count :] *= gain[::-1]
    return np.rint(shaped).astype(np.int16)
