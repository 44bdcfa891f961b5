"""A room: up to 16 legs that all hear each other.

Each hears the sum of all the others and nothing of itself, added in 32 bits and clipped once. What a leg adds is what
the other side of a bridge would hear of it: behind its mask line, no key while its mask is on. Telephone-events are
relayed to nobody. What is played to a leg is its own. Who records one leg of a room records the room.
"""

from __future__ import annotations

from engine.errors import MediaError
from engine.media._handles import RoomCore
from engine.media._plane import ClockThread
from engine.media.leg import Leg, Plane

__all__ = ("MAX_LEGS", "Room")

MAX_LEGS = 16
"""Legs in one room: ROOM_LEGS of engine/media/_leg.pxd. All of them are one clock's work, in one turn."""


class Room:
    """Legs that hear each other. Made by `MediaPlane.open_room`."""

    def __init__(self, plane: Plane, core: RoomCore) -> None:
        self._plane = plane
        self._core = core
        self._clock: ClockThread | None = None
        "Of the first leg; every other one goes there."
        self._legs: dict[int, Leg] = {}
        self._closed = False

    @property
    def legs(self) -> tuple[Leg, ...]:
        """Who is in it, in the order in which they came."""
        return tuple(self._legs.values())

    def add(self, leg: Leg, *, muted: bool = False) -> None:
        """Let a leg in; whoever it is bridged with or shares a room with is let go. One that is in is only muted so.

        A leg of another clock goes to the room's, as with `Leg.bridge`. Raises MediaError when MAX_LEGS are in, when
        the leg was closed or the room.
        """
        self._check_open()
        leg._check_open()
        if leg.id in self._legs:
            self.mute(leg, muted)
            return
        if leg._plane is not self._plane:
            raise MediaError("the leg is of another media plane than the room")
        if len(self._legs) >= MAX_LEGS:
            raise MediaError(f"a room takes {MAX_LEGS} legs, and this one has them")
        if self._clock is None:
            self._clock = leg._clock
            self._plane.rooms.append(self._core)
        leg._go_to(self._clock, room=self._core)
        leg._check(self._clock.join(self._core, leg._core, muted))
        leg._forget_room()
        leg._room = self
        self._legs[leg.id] = leg

    def remove(self, leg: Leg) -> None:
        """Let a leg out, if it is in: it hears nobody then. Closing a leg does it too."""
        if leg.id not in self._legs:
            return
        leg._check(leg._clock.part(leg._core))
        leg._forget_room()

    def mute(self, leg: Leg, muted: bool) -> None:
        """Let the others hear nothing of a leg that is in, or all again; its keys are heard by the engine all the same.

        Apart from `Leg.mute`: with either nothing is heard. Raises MediaError for a leg that is not in.
        """
        if leg.id not in self._legs:
            raise MediaError("this leg is not in the room")
        leg._check(leg._clock.mute_in_room(leg._core, muted))

    def close(self) -> None:
        """Let all legs out; they go on by themselves. Safe to call twice."""
        if self._closed:
            return
        if self._clock is not None and not self._clock.close_room(self._core):
            raise MediaError("the media thread does not take commands: it stands still, or is flooded with them")
        self._closed = True
        for leg in self.legs:
            leg._forget_room()

    def _check_open(self) -> None:
        if self._closed:
            raise MediaError("this room was closed")

    def _forget(self, leg: Leg) -> None:
        self._legs.pop(leg.id, None)
