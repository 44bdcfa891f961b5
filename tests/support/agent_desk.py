"""An agent's application, a caller and a gateway around the Payments sessions of calls; nothing happens by itself."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qsl

from engine.config import parse
from engine.connectors.protocol import Capabilities, Connector
from engine.dialects.payments import RequestRefused
from engine.dialects.twilio import id_of
from engine.errors import LedgerError
from engine.ledger import Ledger as RealLedger
from engine.ledger import WebhookPolicy
from engine.pay.submission import PaymentMethod
from engine.payment_run import PaymentContext
from engine.program import CallState
from engine.programs.capture import CaptureSessions
from engine.programs.context import ProgramContext
from prompts.clip import Clip
from tests.support.call_control import FakeCall
from tests.support.payment_scene import CODES, FakeCharging, FakeLedger, clip_of

__all__ = ("ACCOUNT_SID", "CALL_ID", "CARD_ENTRIES", "CONFIG", "URL", "AgentDesk", "ProgramOfCall")

ACCOUNT_SID = "AC" + "a" * 32
CALL_ID = "c" * 32
URL = "https://app.example/payments"
VISA = "4111111111111111"
CARD_ENTRIES = {
    "payment-card-number": VISA + "#",
    "expiration-date": "1228",
    "security-code": "123",
    "postal-code": "94105#",
}
CONFIG = f"""
[connector.sandbox]
type = "sandbox"
database = ":memory:"
[twilio]
account_sid = "{ACCOUNT_SID}"
auth_token_env = "TEST_TWILIO_TOKEN"
"""
_parsed = functools.cache(parse)
_BOTH = Capabilities(methods=frozenset(PaymentMethod))


class Outbox:
    def __init__(self) -> None:
        self.put: list[dict[str, Any]] = []
        self.error: LedgerError | None = None

    async def enqueue(self, **webhook: Any) -> None:
        if self.error is not None:
            raise self.error
        self.put.append(webhook)


class Ledger(FakeLedger):
    def __init__(self, written: list[str]) -> None:
        super().__init__(written)
        self.told_of: list[str] = []

    async def told(self, payment_id: str) -> None:
        self.told_of.append(payment_id)


class Prompts:
    """Of the engine's prompts, those without digits are rendered."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def default(self, key: str, locale: str) -> Clip:
        return clip_of(key)

    async def prompt(self, key: str, locale: str, **placeholders: str) -> Clip:
        self.said.append((key, placeholders.get("digits", "")))
        return clip_of(key)


class ProgramOfCall:
    """What runs on the call: it writes down the keys that reach it."""

    label = "app"

    def __init__(self) -> None:
        self.keys: list[int] = []

    def digit(self, code: int, now: float) -> None:
        self.keys.append(code)

    def count_digit(self, source: str) -> None:
        pass


class AgentDesk:
    """Everything around the sessions; ``call`` is one that is up, and the one that keys are pressed on."""

    def __init__(self, config: str = CONFIG, *, connectors: Mapping[str, Capabilities] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.written: list[str] = []
        self.ledger = Ledger(self.written)
        self.charging = FakeCharging(self.written)
        self.outbox = Outbox()
        self.prompts = Prompts()
        self.calls: dict[str, FakeCall] = {}
        self.program = ProgramOfCall()
        self.call = self.new_call(CALL_ID)
        self.call.program = cast(Any, self.program)
        self.payments = PaymentContext(
            charging=cast(Any, self.charging),
            ledger=cast(Any, self.ledger),
            notify=lambda event: None,
            now=loop.time,
        )
        began = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
        started = loop.time()
        self.context = ProgramContext(
            config=_parsed(config),
            exchange=cast(Any, SimpleNamespace(call=self.calls.get)),
            web=cast(Any, None),
            outbox=cast(Any, self.outbox),
            payments=self.payments,
            prompts=cast(Any, self.prompts),
            today=lambda: date(2026, 11, 21),
            clock=lambda: began + timedelta(seconds=loop.time() - started),
            status=cast(Any, None),
        )
        can = connectors if connectors is not None else {"sandbox": _BOTH}
        named = {
            name: cast(Connector, SimpleNamespace(name=name, capabilities=abilities)) for name, abilities in can.items()
        }
        self._connectors = named
        self.sessions = CaptureSessions(self.context, named)

    def use(self, ledger: RealLedger) -> None:
        """Keep payments in a real ledger from now on."""
        self.payments = replace(self.payments, ledger=ledger)
        self.context = replace(self.context, payments=self.payments)
        self.sessions = CaptureSessions(self.context, self._connectors)

    async def written_down(self) -> None:
        """Wait until the session's record and its first callback are written."""
        async with asyncio.timeout(10):
            while not self.told:
                await asyncio.sleep(0)

    def new_call(self, call_id: str, *, state: CallState = CallState.ANSWERED) -> FakeCall:
        self.calls[call_id] = call = FakeCall(call_id=call_id, state=state)
        call.program = cast(Any, ProgramOfCall())
        return call

    # -- the application

    def create(self, call_id: str = CALL_ID, **parameters: Any) -> dict[str, Any]:
        given = {"IdempotencyKey": "k-create", "StatusCallback": URL, "ChargeAmount": "10.50", **parameters}
        return self.sessions.create(call_id, [(name, str(text)) for name, text in given.items()])

    def update(self, session: Mapping[str, Any], **parameters: Any) -> dict[str, Any]:
        given = {"IdempotencyKey": "k", "StatusCallback": URL, **parameters}
        call_id, payment_id = id_of(session["call_sid"], "CA"), id_of(session["sid"], "PK")
        return self.sessions.update(call_id, payment_id, [(name, str(text)) for name, text in given.items()])

    def refusal(self, ask: Callable[[], object]) -> tuple[int, int]:
        """Return number and status of the refusal of a request."""
        try:
            ask()
        except RequestRefused as refused:
            return refused.code, refused.status
        raise AssertionError("it was not refused")

    @property
    def told(self) -> list[dict[str, str]]:
        """What callbacks said, in order."""
        return [dict(parse_qsl(one["body"].decode(), keep_blank_values=True)) for one in self.outbox.put]

    @property
    def result(self) -> dict[str, str]:
        """What the one callback with a Result said."""
        (end,) = [told for told in self.told if "Result" in told]
        assert self.outbox.put[-1]["policy"] is WebhookPolicy.RESULT
        return end

    # -- the caller

    def press(self, text: str, *, source: str = "in-band", ends: bool = True, call: FakeCall | None = None) -> None:
        """Press keys and let each go, as a call does with them."""
        call = call or self.call
        for char in text:
            now = asyncio.get_running_loop().time()
            wanted = (companion for companion in call.companions if companion.wants_digits)
            taker = next(wanted, call.program)
            taker.count_digit(source)
            taker.digit(CODES[char], now)
            if ends:
                self.let_go(call=call)

    def let_go(self, *, call: FakeCall | None = None) -> None:
        for companion in (call or self.call).companions:
            companion.digit_ended(asyncio.get_running_loop().time())

    def hang_up(self, *, call: FakeCall | None = None) -> None:
        """The call is over."""
        call = call or self.call
        call.state = CallState.ENDED
        for companion in call.companions:
            companion.hang_up(asyncio.get_running_loop().time())

    def prompt_ends(self) -> None:
        for companion in self.call.companions:
            companion.play_finished(self.call.tokens[-1], False, asyncio.get_running_loop().time())

    def capture_all(self, session: Mapping[str, Any]) -> None:
        for index, (name, keys) in enumerate(CARD_ENTRIES.items()):
            self.update(session, IdempotencyKey=f"k{index}", Capture=name)
            self.press(keys)

    async def done(self) -> None:
        for companion in self.call.companions:
            await companion.done()
