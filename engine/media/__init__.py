"""The media plane: RTP ports, clock threads, legs, players, digits."""

from engine.media.digits import DigitMerger
from engine.media.events import (
    DigitEnded,
    DigitReceived,
    DigitSource,
    LegClosed,
    MediaEvent,
    MediaTimeout,
    PlayFinished,
)
from engine.media.plane import Codec, KeyMode, Leg, ManualPlane, MediaPlane
from engine.media.statistics import LegStatistics, PlaneStatistics

__all__ = (
    "Codec",
    "DigitEnded",
    "DigitMerger",
    "DigitReceived",
    "DigitSource",
    "KeyMode",
    "Leg",
    "LegClosed",
    "LegStatistics",
    "ManualPlane",
    "MediaEvent",
    "MediaPlane",
    "MediaTimeout",
    "PlaneStatistics",
    "PlayFinished",
)
