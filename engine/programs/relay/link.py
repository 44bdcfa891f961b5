"""What joins a RELAY client's session to the calls it is told of: the two sides of one contract.

``engine.programs.relay.hub`` keeps the sessions; ``engine.programs.relay.calls`` answers their commands and tells their
events. Everything on the event loop.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Protocol

__all__ = ("CommandHandler", "RelaySession", "Sessions")


class RelaySession(Protocol):
    """One client, across its connections: known by its ``protocol`` string (D-21)."""

    @property
    def protocol(self) -> str:
        """Its name."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now; events wait for the next one otherwise."""

    @property
    def is_over(self) -> bool:
        """Whether it is gone for good: its client left by itself, or did not come back in time."""

    def tell(self, event_type: str, params: Mapping[str, Any]) -> None:
        """Tell an event: in order, again after a reconnection until the client has acknowledged it."""


class Sessions(Protocol):
    """The clients of an engine."""

    def choose(self, context: str, *, without: Container[RelaySession] = ()) -> RelaySession | None:
        """Return who gets the next call of a context: of the connected clients the one with the fewest calls, in turns.

        None when there is no client that can take one more, but for those in ``without``, who passed it on.
        """

    def count_calls(self, session: RelaySession, change: int) -> None:
        """Note that a session has a call more (1) or less (-1)."""


class CommandHandler(Protocol):
    """Who carries out ``calling.*`` requests."""

    def command(self, session: RelaySession, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the ``result``: never empty, ``code`` and ``message`` in it (`dialects.md` §2.3).

        At once: what takes time goes on behind it, and tells by events. The hub sends the result before the events that
        were told while it was made.
        """

    def session_over(self, session: RelaySession) -> None:
        """Note that a client is gone for good: its calls go to their fallback."""
