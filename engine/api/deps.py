"""What the resources of the HTTP interface work with, and how each comes into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from engine.config import Config
from engine.ledger import Ledger
from engine.program import Exchange
from engine.programs.context import ProgramContext

__all__ = ("ApiDeps", "Resource")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDeps:
    """Made once by ``engine.service``."""

    config: Config
    exchange: Exchange
    ledger: Ledger
    context: ProgramContext

    @property
    def account_sid(self) -> str:
        """The one account there is; a request's path names it, or was refused before it came to a handler."""
        return self.config.twilio.account_sid

    def clock(self) -> datetime:
        """Return the time in UTC."""
        return self.context.clock()


Resource = Callable[[web.Application, ApiDeps], None]
"""Adds the routes of one resource.

Handlers are ``async (web.Request) -> web.StreamResponse``; they raise ``engine.api.errors.ApiError`` for what they
refuse. Who asks was found out before: credentials, account in the path, rate. What a resource needs beyond `ApiDeps`
is bound with ``functools.partial``.
"""
