"""A payment on a call between fakes: the call, the connector, the ledger and the outbox do as a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol, cast

from engine.charging import Charging
from engine.config import parse
from engine.connectors.protocol import Capabilities, Connector
from engine.ledger import Ledger
from engine.net.web_client import WebClient
from engine.outbox import Outbox
from engine.pay.submission import ConnectorAnswer, PaymentMethod, Submission, TokenType
from engine.payment_run import PaymentContext
from engine.program import CallState, Exchange, Program
from engine.programs.context import ProgramContext
from engine.programs.status import CallStatusTeller
from prompts.catalog import Catalog
from prompts.store import PromptStore
from tests.support.call_control import FakeCall
from tests.support.payment_scene import CODES, FakeCharging, FakeLedger
from tests.support.speech import FakeSynthesizer

__all__ = ("FakeOutbox", "PayingScene", "Taking")

CATALOG = Catalog.load()


class FakeOutbox:
    """Keeps what is put in."""

    def __init__(self, written: list[str]) -> None:
        self.written = written
        self.put: list[dict[str, Any]] = []
        self.error: Exception | None = None

    async def enqueue(self, **webhook: Any) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(f"webhook {webhook['policy']}")
        self.put.append(webhook)


@dataclass
class _AtUrl:
    """What `PayCharging` was asked for."""

    url: str
    options: dict[str, Any]
    name: str = "url:gw.example"


class PayCharging(FakeCharging):
    """One connector, which takes all there is."""

    def __init__(self, written: list[str]) -> None:
        super().__init__(written)
        full = Capabilities(methods=frozenset(PaymentMethod), token_types=frozenset(TokenType))
        self.connectors = {"sandbox": cast("Connector", type("Full", (), {"capabilities": full})())}
        self.asked: list[object] = []

    def connector_at(self, url: str, **options: Any) -> _AtUrl:
        return _AtUrl(url, options)

    async def charge(self, payment_id: str, submission: Submission, connector_name: Any) -> ConnectorAnswer:
        self.asked.append(connector_name)
        return await super().charge(payment_id, submission, connector_name)


class PayLedger(FakeLedger):
    """Notes who was told."""

    async def told(self, payment_id: str) -> None:
        if self.error is not None:
            raise self.error
        self.written.append("told")
        self.payments[payment_id]["reply_to"] = None


class Taking(Protocol):
    """What takes the payment: an action or a verb."""

    def start(self, now: float) -> None:
        """Begin."""

    def digit(self, code: int, now: float) -> None:
        """Take a key."""

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""

    def count_digit(self, source: str) -> None:
        """Count a key."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""

    def hang_up(self, now: float) -> None:
        """Note that the call is over."""


class PayingScene:
    """All around what takes a payment; nothing happens by itself."""

    taking: Taking
    "Whoever derives sets it."

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
        self.taking.start(self.now)

    def press(self, key: str, source: str = "in-band") -> None:
        """Key as a call hands it on: to a companion that wants it, else to what takes the payment."""
        takers = [companion for companion in self.call.companions if companion.wants_digits]
        taker = takers[0] if takers else self.taking
        taker.count_digit(source)
        taker.digit(CODES[key], self.now)

    def let_go(self) -> None:
        for companion in list(self.call.companions):
            companion.digit_ended(self.now)
        self.taking.digit_ended(self.now)

    def keys(self, text: str) -> None:
        for char in text:
            self.press(char)
            self.let_go()

    def prompt_ends(self) -> None:
        self.taking.play_finished(self.call.tokens[-1], False, self.now)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0)

    async def hears(self, name: str) -> None:
        """Wait until the latest prompt begins with a clip of this name."""
        await self.until(lambda: self.call.heard and self.call.heard[-1][0] == name)

    def hang_up(self) -> None:
        for companion in self.call.companions:
            companion.hang_up(self.now)
        self.taking.hang_up(self.now)
        self.call.state = CallState.ENDED

    @property
    def posts(self) -> list[dict[str, Any]]:
        return [json.loads(webhook["body"]) for webhook in self.outbox.put]
