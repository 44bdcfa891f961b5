"""Calls of NCCO applications for tests: their configuration, and what was put into the outbox, as data."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast
from urllib.parse import parse_qsl

from engine.config import Config, parse
from engine.errors import LedgerError
from engine.events import (
    CallAnswered,
    CallCreated,
    CallEnded,
    CallFailed,
    CallOutcome,
    CallRinging,
    EngineEvent,
)
from engine.net.signatures import FORM
from engine.outbox import Outbox
from engine.program import CallFacts
from engine.programs.ncco.legs import NccoLegs

__all__ = ("APP_ID", "CALL", "EVENTS", "KEY_ENV", "LegScene", "PostBox", "facts_of", "ncco_config")

CALL = "63f618634a514f0c8b2100a1b2c3d4e5"
APP_ID = "78d335fa-323d-0114-9c3d-d6f0d48968cf"
EVENTS = "https://app.example/events"
KEY_ENV = "VONAGE_SECRET"


def ncco_config(more: str = "", *, app: str = f'event_url = "{EVENTS}"', vonage: str = "") -> Config:
    """Return a configuration with the application ``shop``."""
    return parse(
        f'[connector.sandbox]\ntype = "sandbox"\n[vonage]\n{vonage}\n[app.shop]\ndialect = "ncco"\n'
        f'application_id = "{APP_ID}"\nanswer_url = "https://app.example/answer"\n{app}\n{more}'
    )


def facts_of(call_id: str = CALL, *, direction: Literal["in", "out"] = "in", parent_id: str = "") -> CallFacts:
    """Return a call from +15551234567 to +15557654321."""
    return CallFacts(
        call_id=call_id, direction=direction, caller="+15551234567", dialled="+15557654321", parent_id=parent_id
    )


@dataclass
class PostBox:
    """An outbox that writes down what is to be delivered, read back."""

    items: list[dict[str, Any]] = field(default_factory=list)
    "What `Outbox.enqueue` was given, with ``told``: the body as data."
    error: Exception | None = None

    async def enqueue(self, session: str, url: str, body: bytes, **more: Any) -> None:
        if self.error is not None:
            raise self.error
        if more.get("content_type") == FORM:
            told: Any = dict(parse_qsl(body.decode(), keep_blank_values=True))
        else:
            told = json.loads(body)
        self.items.append({"session": session, "url": url, "body": body, "told": told, **more})

    def fails(self) -> None:
        """Take nothing from now on."""
        self.error = LedgerError("the database is gone")


class LegScene:
    """Calls, their outbox, and a clock that a test moves."""

    def __init__(self, config: Config | None = None) -> None:
        self.now = datetime(2021, 6, 23, 12, 0, tzinfo=UTC)
        self.box = PostBox()
        self.config = config or ncco_config()
        self.legs = NccoLegs(cast("Outbox", self.box), self.config, clock=lambda: self.now)

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def happens(self, event: EngineEvent) -> None:
        self.legs.observe(event)

    def created(self, facts: CallFacts) -> None:
        self.happens(
            CallCreated(
                call_id=facts.call_id,
                direction=facts.direction,
                caller=facts.caller,
                dialled=facts.dialled,
                parent_id=facts.parent_id,
            )
        )

    def rings(self, facts: CallFacts, status: int = 180) -> None:
        self.happens(CallRinging(call_id=facts.call_id, status=status, early_media=False))

    def answered(self, facts: CallFacts) -> None:
        self.happens(
            CallAnswered(
                call_id=facts.call_id,
                caller=facts.caller,
                dialled=facts.dialled,
                form="shop",
                codec="PCMU",
                telephone_event=True,
                direction=facts.direction,
            )
        )

    def failed(self, facts: CallFacts, outcome: CallOutcome) -> None:
        """Nobody answered: told as the engine does, with the end behind it."""
        self.happens(CallFailed(call_id=facts.call_id, outcome=outcome, status=None, reason=""))
        self.ended(facts, str(outcome))

    def ended(self, facts: CallFacts, cause: str = "remote_bye") -> None:
        self.happens(CallEnded(call_id=facts.call_id, cause=cause, duration_s=99.0))

    async def told(self) -> list[Any]:
        """Return what was told, as data."""
        await self.legs.close()
        return [item["told"] for item in self.box.items]

    async def statuses(self) -> list[str]:
        """Return the states that were told."""
        return [told.get("status", "") for told in await self.told()]
