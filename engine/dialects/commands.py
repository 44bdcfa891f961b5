"""Commands that mean the same in the dialects whose interpreters have tokens: ``swml.commands``, ``ncco.commands``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("Stop", "Wait")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Wait so long (``math.inf``: until the call ends): ``ended``, with nothing."""

    token: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Give up what runs under a token; nothing is told of it."""

    token: int
