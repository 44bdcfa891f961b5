"""A room in which calls meet, whatever dialect sent them there: when it begins, who hears it, when it is over.

A room begins when two are in it and one of all who came may begin it; until then each waits. It ends with the last one,
or with one who ends it: then all others are sent away.

Law: whoever is in knows: `Member.wait` or `Member.meet` is called once before anything else of the room, and nothing
after the member has left.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from engine.errors import MediaError
from engine.media import Room
from engine.program import Exchange

__all__ = ("MAX_IN_ROOM", "Member", "SharedRoom")

MAX_IN_ROOM = 16
"Legs that the media plane mixes in one room."


class Member(Protocol):
    """Somebody in a room; none of these may let it leave before it returns, but `sent_away`."""

    def wait(self) -> None:
        """Wait: nobody else is there, or nobody may begin."""

    def meet(self, media: Room) -> None:
        """Hear the others, and be heard."""

    def sent_away(self) -> None:
        """Leave: somebody ended the room."""


M = TypeVar("M", bound=Member)


class SharedRoom(Generic[M]):
    """One room, from the first who comes to the last who goes; what is to be told of it are methods of a subclass."""

    def __init__(self, exchange: Exchange) -> None:
        self.members: list[M] = []
        "In the order in which they came."
        self._exchange = exchange
        self._media: Room | None = None
        "There while it goes on."
        self._may_begin = False
        self._is_recorded = False

    def __len__(self) -> int:
        return len(self.members)

    @property
    def has_begun(self) -> bool:
        """Whether those inside hear each other."""
        return self._media is not None

    def let_in(self, member: M, *, may_begin: bool, at_most: int = MAX_IN_ROOM) -> None:
        """Let somebody in, who waits or hears the others; raise ``MediaError`` when there is no place."""
        if len(self.members) >= min(at_most, MAX_IN_ROOM):
            raise MediaError("the room is full")
        self.members.append(member)
        self._may_begin = self._may_begin or may_begin
        self.came(member)
        if self._media is not None:
            member.meet(self._media)
        elif self._may_begin and len(self.members) > 1:
            self._media = media = self._exchange.open_room()
            self.began()
            for other in list(self.members):
                other.meet(media)
        else:
            member.wait()

    def let_out(self, member: M, *, ends: bool) -> None:
        """Let somebody go, if they are in; whoever ``ends`` a room that goes on sends all others away."""
        if member not in self.members:
            return
        self.members.remove(member)
        had_begun = self.has_begun
        self.went(member)
        if had_begun and ends:
            for other in list(self.members):
                other.sent_away()
        if not self.members:
            media, self._media = self._media, None
            if media is not None:
                media.close()
            self.over(had_begun=media is not None)

    def take_recording(self) -> bool:
        """Return whether whoever asks first is to be recorded for all."""
        taken, self._is_recorded = self._is_recorded, True
        return not taken

    # -- what a subclass tells -----------------------------------------------------------------------------------

    def came(self, member: M) -> None:
        """Note that somebody is in, the first one too."""

    def began(self) -> None:
        """Note that those inside are about to hear each other."""

    def went(self, member: M) -> None:
        """Note that somebody has left."""

    def over(self, *, had_begun: bool) -> None:
        """Note that nobody is in any more; more than once where the last ones went together."""
