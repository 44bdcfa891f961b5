"""Calls of NCCO applications between fakes: what their actions do, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from engine.config import Config, parse
from engine.dialects.ncco.actions import Conversation
from engine.outbox import Outbox
from engine.program import CallState
from engine.programs.context import ProgramContext
from engine.programs.ncco.conversation import ConversationAction, MakeRecording
from engine.programs.ncco.legs import Leg, NccoLegs
from tests.support.call_control import FakeCall
from tests.support.exchange import FakeExchange
from tests.support.ncco_legs import PostBox
from tests.support.programs import FakePrompts, FakeWeb, context_of

__all__ = ("BASE", "MUSIC", "Guest", "NccoScene")

BASE = "https://app.example/answer"
MUSIC = "https://app.example/music.mp3"
_APP = '[app.{name}]\ndialect = "ncco"\nncco = "[]"\nevent_url = "https://{name}.example/events"\n{more}\n'


def _config(more: str) -> Config:
    apps = _APP.format(name="shop", more=more) + _APP.format(name="bank", more="")
    return parse(f'[connector.sandbox]\ntype = "sandbox"\n{apps}')


class NccoScene:
    """What the calls of two applications, ``shop`` and ``bank``, share."""

    def __init__(self, more: str = "") -> None:
        """``more`` goes on in ``[app.shop]``."""
        self.exchange, self.prompts, self.box = FakeExchange(), FakePrompts(), PostBox()
        config = _config(more)
        made = context_of(FakeWeb(), self.prompts, config=config, exchange=self.exchange)
        self.legs = NccoLegs(cast("Outbox", self.box), config, clock=lambda: datetime(2026, 11, 22, 12, tzinfo=UTC))
        self.context: ProgramContext = replace(made, ncco=self.legs)
        self._number = 0

    def call(self, *, state: CallState = CallState.ANSWERED, app: str = "shop") -> tuple[FakeCall, Leg]:
        """Return a call of an application."""
        self._number += 1
        call = FakeCall(state=state, call_id=f"{self._number:08x}" + "0" * 24)
        return call, self.legs.watch(call.facts, app=app)

    def guest(
        self,
        name: str = "board",
        *,
        app: str = "shop",
        state: CallState = CallState.ANSWERED,
        record: MakeRecording | None = None,
        **how: Any,
    ) -> Guest:
        """Let a call enter a conversation."""
        call, leg = self.call(state=state, app=app)
        return Guest(self, Conversation(name=name, **how), call, leg, record)

    async def told(self, what: str) -> list[Mapping[str, Any]]:
        """Return the events that have a member ``what``."""
        await self.legs.close()
        return [item["told"] for item in self.box.items if what in item["told"]]


class Guest:
    """A call that an NCCO lets into a conversation."""

    def __init__(
        self, scene: NccoScene, work: Conversation, call: FakeCall, leg: Leg, record: MakeRecording | None
    ) -> None:
        self.scene, self.call, self.leg = scene, call, leg
        self.times_over = 0
        self.action = ConversationAction(
            work, call, scene.context, leg=leg, base_url=BASE, on_over=self._over, record=record
        )
        self.action.start(scene.context.now())

    def _over(self) -> None:
        self.times_over += 1
        self.next()

    def next(self) -> None:
        """What the NCCO does behind it; a test may put something in its place."""

    def hang_up(self) -> None:
        """The caller hangs up."""
        self.call.state = CallState.ENDED
        self.action.hang_up(self.scene.context.now())

    @property
    def is_in(self) -> bool:
        """Whether they hear the others."""
        return self.call.room is not None

    @property
    def asked(self) -> list[str]:
        """What was asked of the call, in order."""
        return [what for what, _ in self.call.asked]
