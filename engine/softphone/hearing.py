"""Tell from levels when the other end speaks: the softphone's ear for prompts.

A core: levels and time in, `SoundState` out. A test caller and the load generator key a field once its prompt ended,
or into it when they barge in.
"""

from __future__ import annotations

import math

import numpy as np

from engine.softphone.protocol import SoundState

__all__ = ("ACTIVE_DBM0", "SoundDetector", "pcm_level_dbm0")

ACTIVE_DBM0 = -42.0
"A frame above this is sound: speech in prompts lies near -20 dBm0, line noise and G.711's idle noise below -60."
BEGIN_S = 0.06
"Sound must span this long: a click is no prompt."
GAP_S = 0.15
"A pause shorter than this does not undo a beginning: syllables, and keys one after the other."
QUIET_S = 0.8
"Silence that ends a prompt; longer than the pause between two sentences of one."

# A full-scale sine is +3.17 dBm0 in mu-law (G.711 table 2); its mean square is half its peak's.
_FULL_SCALE_MEAN_SQUARE = 32767.0**2 / 2
_FULL_SCALE_DBM0 = 3.17


def pcm_level_dbm0(pcm: bytes) -> float:
    """Return the level of 16-bit native-endian mono PCM in dBm0; ``-inf`` for silence or no samples."""
    samples = np.frombuffer(pcm, dtype=np.int16).astype(np.float64)
    energy = float(samples @ samples)
    if energy == 0:
        return -math.inf
    return 10 * math.log10(energy / len(samples) / _FULL_SCALE_MEAN_SQUARE) + _FULL_SCALE_DBM0


class SoundDetector:
    """Decide from one flag per poll whether the other end is heard.

    ``begin_s`` of sound begins it, ``quiet_s`` without any sound ends it. Polls may come at any spacing below
    ``begin_s``.
    """

    def __init__(self, *, begin_s: float = BEGIN_S, quiet_s: float = QUIET_S) -> None:
        self._begin_s = begin_s
        self._quiet_s = quiet_s
        self._sounding = False
        self._since: float | None = None
        self._last_active = 0.0

    @property
    def sounding(self) -> bool:
        """Whether a prompt is being heard."""
        return self._sounding

    def feed(self, active: bool, now: float) -> SoundState | None:
        """Take one poll; return what changed, if anything."""
        if self._sounding:
            if active:
                self._last_active = now
            elif now - self._last_active >= self._quiet_s:
                self._sounding, self._since = False, None
                return SoundState.ENDED
            return None
        if not active:
            if self._since is not None and now - self._last_active >= GAP_S:
                self._since = None
            return None
        if self._since is None:
            self._since = now
        self._last_active = now
        if now - self._since >= self._begin_s:
            self._sounding = True
            return SoundState.BEGAN
        return None
