"""What the media plane tells the engine.

No ``repr`` shows which key was pressed: events end up in logs and tracebacks, keys of a caller must not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = (
    "DigitEnded",
    "DigitReceived",
    "DigitSource",
    "LegClosed",
    "MediaEvent",
    "MediaTimeout",
    "PeerUnreachable",
    "PlayFinished",
    "PlayPosition",
)


class DigitSource(StrEnum):
    """How a key reached us."""

    TELEPHONE_EVENT = "telephone-event"
    "RFC 4733."
    IN_BAND = "in-band"
    "Tones in the audio, ITU-T Q.23."
    INFO = "info"
    "A SIP INFO request."


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitReceived:
    """A key was pressed; one event for each press and source."""

    leg_id: int
    code: int = field(repr=False)
    "RFC 4733 §3.2: 0 to 9, 10 is *, 11 is #, 12 to 15 are A to D."
    source: DigitSource
    at: float
    "When the press began, as best known: monotonic seconds."
    level_dbm0: float = 0.0
    "Level in dBm0: of the event, or of the stronger tone; 0 where the source tells none."


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitEnded:
    """A key was let go, or no more was heard of it."""

    leg_id: int
    code: int = field(repr=False)
    source: DigitSource
    duration_ms: int
    "As far as heard; 0 when only one packet without a duration came."


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayFinished:
    """A ``Leg.play`` is over; exactly one for each."""

    leg_id: int
    token: int
    completed: bool
    "Its last sample was sent."
    interrupted_by_digit: bool
    "A key stopped it; with neither flag it was stopped, replaced, or the leg was closed."


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayPosition:
    """How far a playlist is that was started with `report_ms`."""

    leg_id: int
    token: int
    position_ms: int
    "Since the beginning of the playlist or of its present turn, pauses between clips included."


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerUnreachable:
    """ICMP says that our RTP does not arrive; once until something is heard again."""

    leg_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaTimeout:
    """Nothing valid was received for as long as `Leg.configure` allows; once for each silence."""

    leg_id: int
    silent_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LegClosed:
    """The leg is gone: its ports may be used again after their quarantine."""

    leg_id: int


MediaEvent = DigitReceived | DigitEnded | PlayFinished | PlayPosition | MediaTimeout | PeerUnreachable | LegClosed
