"""A ``<Pay>`` on a call between fakes: the call, the connector, the ledger and the outbox do as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

from engine.charging import Charging
from engine.config import parse
from engine.connectors.protocol import Capabilities, Connector
from engine.dialects.twiml.commands import Parameters, StartPay
from engine.dialects.twiml.verbs import Pay, PayPrompt
from engine.ledger import Ledger
from engine.net.web_client import WebClient
from engine.outbox import Outbox
from engine.pay.submission import ConnectorAnswer, PaymentMethod, Submission, TokenType
from engine.payment_run import PaymentContext
from engine.program import CallState, Exchange, Program
from engine.programs.context import ProgramContext
from engine.programs.pay import PayVerb
from engine.programs.status import CallStatusTeller
from prompts.catalog import Catalog
from prompts.store import PromptStore
from tests.support.call_control import FakeCall
from tests.support.payment_scene import CODES, FakeCharging, FakeLedger
from tests.support.speech import FakeSynthesizer

__all__ = ("ACCOUNT_SID", "BASE", "FakeOutbox", "PayScene")

ACCOUNT_SID = "AC" + "1" * 32
BASE = "https://app.example/voice/pay"
CONFIG = f"""
[connector.sandbox]
type = "sandbox"
[twilio]
account_sid = "{ACCOUNT_SID}"
auth_token_env = "TOKEN_OF_TESTS"
"""
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


class PayScene:
    """A ``PayVerb`` and all around it."""

    def __init__(
        self,
        directory: Path,
        *prompts: PayPrompt,
        parameters: tuple[tuple[str, str], ...] = (),
        call: FakeCall | None = None,
        base_url: str = BASE,
        config: str = "",
        ledger: Ledger | None = None,
        **attributes: str,
    ) -> None:
        self.written: list[str] = []
        self.ledger = PayLedger(self.written)
        self.charging = PayCharging(self.written)
        self.outbox = FakeOutbox(self.written)
        self.speaker = FakeSynthesizer()
        self.prompts = PromptStore(directory, self.speaker, catalog=CATALOG)
        self.call = call or FakeCall(state=CallState.ANSWERED)
        self.call.program = cast("Program", type("Shop", (), {"label": "shop"})())
        self.outcomes: list[Parameters] = []
        loop = asyncio.get_running_loop()
        self.context = ProgramContext(
            config=parse(CONFIG + config),
            exchange=cast("Exchange", None),
            web=cast("WebClient", None),
            outbox=cast("Outbox", self.outbox),
            payments=PaymentContext(
                charging=cast("Charging", self.charging),
                ledger=ledger or cast("Ledger", self.ledger),
                notify=lambda event: None,
                now=loop.time,
            ),
            prompts=self.prompts,
            today=lambda: date(2026, 11, 22),
            clock=lambda: datetime(2026, 11, 22, tzinfo=UTC),
            status=cast("CallStatusTeller", None),
        )
        pay = Pay(attributes=attributes, prompts=prompts, parameters=parameters, line=3)
        command = StartPay(token=1, pay=pay, base_url=base_url)
        self.verb = PayVerb(command, self.call, self.context, base_url, self.outcomes.append)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def start(self) -> None:
        self.verb.start(self.now)

    def press(self, key: str, source: str = "in-band") -> None:
        self.verb.count_digit(source)
        self.verb.digit(CODES[key], self.now)

    def let_go(self) -> None:
        for companion in list(self.call.companions):
            companion.digit_ended(self.now)
        self.verb.digit_ended(self.now)

    def keys(self, text: str) -> None:
        for char in text:
            self.press(char)
            self.let_go()

    def prompt_ends(self) -> None:
        self.verb.play_finished(self.call.tokens[-1], False, self.now)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0)

    async def hears(self, name: str) -> None:
        """Wait until the latest prompt begins with a clip of this name."""
        await self.until(lambda: self.call.heard and self.call.heard[-1][0] == name)

    async def outcome(self, *, delivered: bool = True) -> dict[str, str]:
        """Wait for the outcome, say whether the action took it, and return it."""
        await self.until(lambda: self.outcomes)
        self.verb.told(delivered)
        await self.verb.done()
        (parameters,) = self.outcomes
        assert len(dict(parameters)) == len(parameters)
        return dict(parameters)

    async def pay(self, keys: str) -> dict[str, str]:
        """Key all at once, hear of the processing, and return the outcome."""
        self.start()
        self.keys(keys)
        await self.hears("payment-processing")
        self.prompt_ends()
        return await self.outcome()
