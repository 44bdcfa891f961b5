"""The codecs of a leg by name: what SDP calls them, their clocks, and whether this machine has them.

>>> codec_named("g722").clock_hz
8000
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from engine.rtp import _codec, _opus

__all__ = (
    "OPUS_BITRATE",
    "OPUS_COMPLEXITY",
    "SUPPORTED",
    "Codec",
    "CodecInfo",
    "CodecKind",
    "codec_available",
    "codec_named",
    "make_codec",
    "make_opus",
    "why_unavailable",
)

Codec = _codec.Codec
OPUS_BITRATE = 24_000
"Bit/s, constant. The least at which every key of 80 ms came through at the least complexity was 20,000."
OPUS_COMPLEXITY = 0
"Of 0 to 10: a third of the work of 5, a sixth of that of 10, and at 24 kbit/s narrow-band speech needs no more."
LIBOPUS_PACKAGE = "libopus0"


class CodecKind(IntEnum):
    """What a payload carries, as the kernels number it."""

    NONE = _codec.NONE
    PCMU = _codec.PCMU
    PCMA = _codec.PCMA
    G722 = _codec.G722
    L16 = _codec.L16
    OPUS = _codec.OPUS


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecInfo:
    """A codec as SDP speaks of it."""

    name: str
    "Encoding name of a=rtpmap; compared without case (RFC 4855 section 3)."
    kind: CodecKind
    payload_type: int | None
    "The static one of RFC 3551 table 4; None: dynamic, 96 to 127."
    channels: int = 1
    "As a=rtpmap states it: Opus always says 2 (RFC 7587 section 7), whatever it carries."
    fmtp: str = ""
    "What we ask of the far end's encoder, for a=fmtp."

    @property
    def clock_hz(self) -> int:
        """Units of RTP time in a second."""
        return _codec.clock_hz(self.kind)

    @property
    def timestamp_divisor(self) -> int:
        """Units of RTP time in a sample at 8 kHz."""
        return _codec.timestamp_divisor(self.kind)

    @property
    def rtpmap(self) -> str:
        """The part of a=rtpmap after the payload type."""
        return f"{self.name}/{self.clock_hz}" + (f"/{self.channels}" if self.channels > 1 else "")


SUPPORTED: tuple[CodecInfo, ...] = (
    CodecInfo(name="PCMU", kind=CodecKind.PCMU, payload_type=0),
    CodecInfo(name="PCMA", kind=CodecKind.PCMA, payload_type=8),
    CodecInfo(name="G722", kind=CodecKind.G722, payload_type=9),
    # RFC 3551 section 4.5.11. The static types 10 and 11 are at 44,100 Hz.
    CodecInfo(name="L16", kind=CodecKind.L16, payload_type=None),
    # RFC 7587 section 6.1: we play 8 kHz, mono, and ask for what we send ourselves.
    CodecInfo(
        name="opus",
        kind=CodecKind.OPUS,
        payload_type=None,
        channels=2,
        fmtp="maxplaybackrate=8000;sprop-maxcapturerate=8000;stereo=0;cbr=1;useinbandfec=0;usedtx=0",
    ),
)
"""Every codec we know, whether or not this machine has it."""

_BY_NAME: Mapping[str, CodecInfo] = MappingProxyType({info.name.lower(): info for info in SUPPORTED})


def codec_named(name: str) -> CodecInfo:
    """Return the codec of an encoding name, in any case; raise ``KeyError`` for one that we do not know."""
    return _BY_NAME[name.lower()]


def why_unavailable(name: str) -> str | None:
    """Return why a codec cannot be used here, and what to install; None when it can."""
    info = _BY_NAME.get(name.lower())
    if info is None:
        return f"{name} is not a codec that paytone knows"
    if info.kind is CodecKind.OPUS:
        why = _opus.load()
        if why is not None:
            return f"Opus needs libopus ({why}): apt-get install {LIBOPUS_PACKAGE}"
    return None


def codec_available(name: str) -> bool:
    """Tell whether a codec can be used here; opens libopus when it is asked for Opus."""
    return why_unavailable(name) is None


def make_opus() -> _opus.OpusPair:
    """Return decoder and encoder for one leg, 60 KiB; raise ``RuntimeError`` where libopus is missing.

    Made outside the tick, and kept for as long as the leg has its pointers.
    """
    return _opus.OpusPair(OPUS_BITRATE, OPUS_COMPLEXITY)


def make_codec(*, opus: bool = False) -> Codec:
    """Return the codecs of one leg, with Opus or without; raise ``RuntimeError`` where libopus is missing."""
    return Codec(make_opus() if opus else None)
