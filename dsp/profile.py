"""What counts as a key: every threshold of the DTMF detector by name, and the profiles by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from dsp.errors import ProfileError

__all__ = ("ETSI", "ITU_Q24", "NORTH_AMERICA", "PROFILES", "SENSITIVE", "STRICT", "DtmfProfile")


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfProfile:
    """What counts as a key.

    First come limits that nothing outweighs; what lies within them gets a score that was learned (see
    benchmarks/tuning), and `min_score` decides. Raises `ProfileError` when values contradict each other or go beyond
    what the method can tell apart. Twist is always written ``high_minus_low_db``: negative when the low tone is the
    stronger.
    """

    min_level_dbm0: float = -38.0
    "Least level of each tone. Q.24 (AT&T) accepts -25 dBm and refuses -55; between, quiet is still a key."
    min_high_minus_low_db: float = -12.0
    "Most by which the low tone may be stronger. Q.24 (AT&T) accepts 8 dB, refuses nothing; beyond that a doubt."
    max_high_minus_low_db: float = 9.0
    "Most by which the high tone may be stronger. Q.24 (AT&T): 4 dB, NTT 5 dB; handsets with 5 to 6 dB are real."
    frequency_tolerance: float = 0.0195
    "Accepted deviation (ratio). Q.24 (AT&T): 1.5 % accepted, 3.5 % refused; NTT 1.8 %, 3.0 %."
    max_residual: float = 1.0
    "Largest energy that the tones leave unexplained, over theirs. Choice: noise at 4 dB leaves 0.4, clipping 0.2."
    max_amplitude_step: float = 0.9
    "Largest change of a tone's amplitude (ratio) between 5 ms and 25 ms. Choice: GSM full rate makes steps of 0.7."
    min_signal_to_floor: float = 1.25
    "Least ratio of the tones' energy to the steady floor: 1 dB."
    min_score: float = 1.25
    "Least score, in log odds, of each window. Choice: the trade-off of benchmarks/tuning, talk-off first."
    strong_score: float = 4.0
    "At this score of the weakest window one fewer is enough. Choice: costs no false digit in 130 h of tuning audio."
    exact_score: float = -2.0
    "Least score where both frequencies are right to 0.5 %, again and again: overdriven keys of a quartz."
    exact_windows: int = 4
    "So many such windows in a row are as one good one. Choice: one false digit more in 155 h of tuning audio."
    windows_to_confirm: int = 2
    "Windows of 25 ms, 5 ms apart, that must agree; one less where a loss cuts the key."
    min_tone_samples: int = 208
    "Least length of the tones at 8 kHz: 26 ms. Q.24: 23 ms (AT&T) and 24 ms (NTT) are refused, 40 ms accepted."
    pause_blocks: int = 4
    "Blocks of 5 ms without the tones that end a key. 4: 12 ms bridged, 24 ms split. Q.24: 10 bridged, 40 ms split."
    max_lost_samples: int = 480
    "Longest loss (60 ms) over which a key is held. Choice: shorter than a human pause between equal keys."

    def __post_init__(self) -> None:
        for name, low, high in _BOUNDS:
            if not low <= getattr(self, name) <= high:
                raise ProfileError(f"{name} must lie between {low} and {high}, not {getattr(self, name)}")
        if not self.min_high_minus_low_db < self.max_high_minus_low_db:
            raise ProfileError("min_high_minus_low_db must be less than max_high_minus_low_db")


_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("min_level_dbm0", -50, 0),  # below, G.711's own steps are louder than 4 % of a tone
    ("min_high_minus_low_db", -14, 0),  # beyond, a tone drowns in the other's side lobe of a block
    ("max_high_minus_low_db", 0, 14),
    ("frequency_tolerance", 0.005, 0.04),  # above, neighbours 10 % apart come too near
    ("max_residual", 0.001, 1),
    ("max_amplitude_step", 0.05, 1),
    ("min_signal_to_floor", 1, 1000),
    ("min_score", -20, 20),
    ("strong_score", -20, 1000),
    ("exact_score", -20, 1000),
    ("exact_windows", 2, 10),
    ("windows_to_confirm", 1, 4),  # four are 40 ms; the dating of a start looks back no further
    ("min_tone_samples", 0, 320),  # 40 ms, which must be accepted
    ("pause_blocks", 3, 5),  # above, a new key could be confirmed before the old one has ended
    ("max_lost_samples", 0, 8000),
)

ITU_Q24 = DtmfProfile()
"The default: accepts what ITU-T Q.24 annex A accepts in any column, refuses what it refuses."
NORTH_AMERICA = replace(ITU_Q24, min_high_minus_low_db=-9.0, max_high_minus_low_db=5.0, frequency_tolerance=0.017)
"AT&T's column of Q.24, with 1 dB and 0.2 % left for measurement, and nothing beyond."
ETSI = replace(ITU_Q24, pause_blocks=5)
"ETSI ES 201 235-3: interruptions of less than 20 ms are bridged."
SENSITIVE = DtmfProfile(
    min_level_dbm0=-45.0,
    min_high_minus_low_db=-14.0,
    max_high_minus_low_db=12.0,
    frequency_tolerance=0.03,
    max_residual=1.0,
    max_amplitude_step=0.95,
    min_signal_to_floor=1.0,
    min_score=-3.25,
    windows_to_confirm=1,
    min_tone_samples=0,
)
"Rather a key too many: for what must not miss one, as a mask; tones of 30 ms are keys."
STRICT = replace(
    NORTH_AMERICA, min_level_dbm0=-30.0, min_score=2.75, strong_score=1000.0, exact_score=1000.0, min_tone_samples=304
)
"Rather a key too few: for audio that is mostly music."

PROFILES: Mapping[str, DtmfProfile] = MappingProxyType(
    {
        "itu_q24": ITU_Q24,
        "etsi_es_201_235_3": ETSI,
        "north_america": NORTH_AMERICA,
        "sensitive": SENSITIVE,
        "strict": STRICT,
    }
)
"By the names that configuration and commands use."
