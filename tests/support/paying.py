"""A payment's action on a call between fakes: the call, the connector, the ledger and the outbox do as a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

from engine.charging import Charging
from engine.config import parse
from engine.ledger import Ledger
from engine.net.web_client import WebClient
from engine.outbox import Outbox
from engine.payment_run import PaymentContext
from engine.program import CallState, Exchange, Program
from engine.programs.actions.paying import PaymentAction
from engine.programs.context import ProgramContext
from engine.programs.status import CallStatusTeller
from prompts.store import PromptStore
from tests.support.call_control import FakeCall
from tests.support.pay_verb import CATALOG, FakeOutbox, PayCharging, PayLedger
from tests.support.payment_scene import CODES
from tests.support.speech import FakeSynthesizer

__all__ = ("PayingScene",)


class PayingScene:
    """All around a payment's action; nothing happens by itself."""

    action: PaymentAction

    def __init__(
        self,
        directory: Path,
        *,
        config: str,
        call: FakeCall | None = None,
        ledger: Ledger | None = None,
        clock: Callable[[], datetime] = lambda: datetime(2026, 11, 22, tzinfo=UTC),
        **context: Any,
    ) -> None:
        self.written: list[str] = []
        self.ledger = PayLedger(self.written)
        self.charging = PayCharging(self.written)
        self.outbox = FakeOutbox(self.written)
        self.call = call or FakeCall(state=CallState.ANSWERED)
        self.call.program = cast("Program", type("Shop", (), {"label": "shop"})())
        self.speaker = FakeSynthesizer()
        self.context = ProgramContext(
            config=parse(config),
            exchange=cast("Exchange", None),
            web=cast("WebClient", None),
            outbox=cast("Outbox", self.outbox),
            payments=PaymentContext(
                charging=cast("Charging", self.charging),
                ledger=ledger or cast("Ledger", self.ledger),
                notify=lambda event: None,
                now=asyncio.get_running_loop().time,
            ),
            prompts=PromptStore(directory, self.speaker, catalog=CATALOG),
            today=lambda: date(2026, 11, 22),
            clock=clock,
            status=cast("CallStatusTeller", None),
            **context,
        )

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def start(self) -> None:
        self.action.start(self.now)

    def press(self, key: str, source: str = "in-band") -> None:
        """Key as a call hands it on: to a companion that wants it, else to the action."""
        takers = [companion for companion in self.call.companions if companion.wants_digits]
        taker = takers[0] if takers else self.action
        taker.count_digit(source)
        taker.digit(CODES[key], self.now)

    def let_go(self) -> None:
        for companion in list(self.call.companions):
            companion.digit_ended(self.now)
        self.action.digit_ended(self.now)

    def keys(self, text: str) -> None:
        for char in text:
            self.press(char)
            self.let_go()

    def prompt_ends(self) -> None:
        self.action.play_finished(self.call.tokens[-1], False, self.now)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0)

    async def hears(self, name: str) -> None:
        await self.until(lambda: self.call.heard and self.call.heard[-1][0] == name)

    def hang_up(self) -> None:
        for companion in self.call.companions:
            companion.hang_up(self.now)
        self.action.hang_up(self.now)
        self.call.state = CallState.ENDED

    @property
    def posts(self) -> list[dict[str, Any]]:
        return [json.loads(webhook["body"]) for webhook in self.outbox.put]
