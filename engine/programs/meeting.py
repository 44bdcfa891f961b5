"""Where calls find each other by name: queues and rooms. What happens in them is the modules' of these names."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from engine.programs.queue import QueueVerb, TakeVerb

__all__ = ("CallQueue", "Queues", "Rooms")


@dataclass(slots=True, eq=False)
class CallQueue:
    """Who waits under a name, in order."""

    name: str
    sid: str
    waiting: list[QueueVerb] = field(default_factory=list)
    takers: list[TakeVerb] = field(default_factory=list)
    "Agents that wait for somebody to come."


class Queues:
    """All queues that somebody is in, by name."""

    def __init__(self) -> None:
        self._queues: dict[str, CallQueue] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def named(self, name: str) -> CallQueue:
        """Return a queue, a new one where there is none."""
        if name not in self._queues:
            self._queues[name] = CallQueue(name, f"QU{uuid.uuid4().hex}")
        return self._queues[name]

    def forget(self, queue: CallQueue) -> None:
        """Forget a queue that nobody is in; one that somebody is in stays."""
        if not queue.waiting and not queue.takers and self._queues.get(queue.name) is queue:
            del self._queues[queue.name]


class Named(Protocol):
    """A room as `Rooms` knows it; its length is how many are in it."""

    @property
    def name(self) -> str:
        """What it is found by."""

    def __len__(self) -> int: ...


R = TypeVar("R", bound=Named)


class Rooms(Generic[R]):
    """All rooms of one kind that somebody is in, by name."""

    def __init__(self) -> None:
        self._rooms: dict[str, R] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def find(self, name: str) -> R | None:
        """Return a room that somebody is in."""
        return self._rooms.get(name)

    def add(self, room: R) -> None:
        """Note one; without effect when it is known."""
        self._rooms[room.name] = room

    def forget(self, room: R) -> None:
        """Forget a room that nobody is in; one that somebody is in stays."""
        if not len(room) and self._rooms.get(room.name) is room:
            del self._rooms[room.name]
