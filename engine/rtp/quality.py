"""How a call sounds, as one number: the E-model of ITU-T G.107, fed with what RTP and RTCP measure.

Only loss and delay are measured; all else has the default values of G.107. The scale is that of narrow band.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.rtp import _quality

__all__ = ("CONCEALED", "UNCONCEALED", "Impairment", "opinion_score", "r_factor")


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a codec costs (ITU-T G.113 Appendix I)."""

    ie: float
    "Equipment impairment factor without loss."
    bpl: float
    "Packet-loss robustness factor: the higher the better."


# G.113 Appendix I, table I.4: G.711 at random loss, without concealment and with that of G.711 Appendix I. G.722 has no
# value on the narrow-band scale: it is better than G.711 where nothing is lost, which this scale cannot say, so that it
# is taken as G.711.
UNCONCEALED: Mapping[str, Impairment] = MappingProxyType(dict.fromkeys(("PCMU", "PCMA", "G722"), Impairment(0.0, 4.3)))
"""By codec, for a receiver that plays silence where a packet is missing."""
CONCEALED: Mapping[str, Impairment] = MappingProxyType(dict.fromkeys(("PCMU", "PCMA", "G722"), Impairment(0.0, 25.1)))
"""By codec, for a receiver that makes up what is missing (G.711 Appendix I)."""


def r_factor(
    codec: str,
    *,
    loss: float,
    burst_ratio: float = 1.0,
    delay_ms: float = 0.0,
    concealed: bool = True,
) -> float:
    """Return the transmission rating R, 0 to 100; 93.2 is the best that narrow band has.

    `loss` is 0 to 1, and counts packets that came too late to play. `burst_ratio` is G.107's BurstR, 1 for random loss.
    `delay_ms` is one way, from mouth to ear; 0 for a rating of listening only. Raises KeyError for a codec that is not
    known here.
    """
    impairment = (CONCEALED if concealed else UNCONCEALED)[codec]
    return _quality.r_factor(impairment.ie, impairment.bpl, loss, burst_ratio, delay_ms)


def opinion_score(r: float) -> float:
    """Return the mean opinion score for a rating, 1 to 4.5 (G.107 Annex B)."""
    return _quality.opinion(r)
