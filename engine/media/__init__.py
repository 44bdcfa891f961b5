"""The media plane: RTP ports, clock threads, legs, rooms, players, digits."""

from engine.media.digits import DigitMerger
from engine.media.events import (
    DigitEnded,
    DigitReceived,
    DigitSource,
    LegClosed,
    MediaEvent,
    MediaTimeout,
    PeerUnreachable,
    PlayFinished,
    PlayPosition,
)
from engine.media.leg import KeyMode, Leg
from engine.media.plane import ManualPlane, MediaPlane
from engine.media.room import Room
from engine.media.statistics import LegStatistics, PlaneStatistics

__all__ = (
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
    "PeerUnreachable",
    "PlaneStatistics",
    "PlayFinished",
    "PlayPosition",
    "Room",
)
