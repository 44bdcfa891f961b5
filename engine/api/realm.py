"""Who is let in, and what a refusal looks like: each dialect of the HTTP interface has its own part of the paths."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from engine.api.errors import ApiError

__all__ = ("USER", "Realm")

USER = web.RequestKey("user", str)
"Under which a handler finds who asks: the account's SID, an API key's, or the name of an application."


class Realm(Protocol):
    """The paths of one dialect."""

    def has(self, path: str) -> bool:
        """Return whether a request's path, or the pattern of its route, is of this dialect."""

    def admit(self, request: web.Request, route: str, now: float) -> None:
        """Let a request in and note who asks (`USER`), or raise ``ApiError``.

        ``route`` is the route's pattern, empty where there is none; ``now`` monotonic seconds.
        """

    def refusal(self, error: ApiError) -> web.Response:
        """Return an error as this dialect tells it."""
