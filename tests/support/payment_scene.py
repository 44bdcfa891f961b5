"""A payment's run between fakes: a call, a connector, a ledger and prompts that do as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Any, cast

from engine.charging import Charging
from engine.events import EngineEvent
from engine.ledger import Ledger
from engine.pay.capture import CaptureMachine, Refusal
from engine.pay.machine import PayMachine
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import Action, DefaultPrompt
from engine.pay.results import PayResult, PayStatus
from engine.pay.submission import ConnectorAnswer, Outcome, Submission
from engine.payment_run import PaymentContext, PaymentGuard, PaymentRun
from prompts.clip import Clip

__all__ = ("CARD", "CARD_KEYS", "VISA", "Scene", "clip_of")

VISA = "4111111111111111"
CARD_KEYS = VISA + "#1228123" + "94105#"
CODES = {**{str(digit): digit for digit in range(10)}, "*": 10, "#": 11}
PAID = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_test")
CARD = {"payment-card-number": VISA + "#", "expiration-date": "1228", "security-code": "123", "postal-code": "94105#"}


def clip_of(name: str) -> Clip:
    return Clip(name=name, pcmu=b"\xff" * 80, pcma=b"\xd5" * 80)


class FakeSpeaker:
    def __init__(self) -> None:
        self.heard: list[tuple[str, ...]] = []
        self.tokens: list[int] = []
        self.interruptible: list[bool] = []
        self.n_stopped = 0

    def play(self, clips: Sequence[Clip], token: int, *, interruptible: bool) -> None:
        self.heard.append(tuple(clip.name for clip in clips))
        self.tokens.append(token)
        self.interruptible.append(interruptible)

    def stop_playing(self) -> None:
        self.n_stopped += 1


class FakeClips:
    """Everything is ready but prompts with digits, which come when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Action] = []
        self.renderings: list[asyncio.Future[Clip]] = []

    def ready(self, action: Action) -> Clip | None:
        assert isinstance(action, DefaultPrompt)
        return None if action.digits else clip_of(action.key)

    async def render(self, action: Action) -> Clip:
        self.asked.append(action)
        self.renderings.append(asyncio.get_running_loop().create_future())
        return await self.renderings[-1]


class FakeLedger:
    def __init__(self, written: list[str]) -> None:
        self.written = written
        self.payments: dict[str, dict[str, Any]] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def start_payment(self, payment_id: str, **values: Any) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.written.append("payment")
        self.payments[payment_id] = values

    async def finish_payment(self, payment_id: str, **values: Any) -> None:
        if self.error is not None:
            raise self.error
        self.written.append("result")
        self.payments[payment_id] |= values


class FakeCharging:
    def __init__(self, written: list[str]) -> None:
        self.written = written
        self.submissions: list[Submission] = []
        self.answer: ConnectorAnswer | Exception = PAID
        self.gate = asyncio.Event()
        self.gate.set()

    async def charge(self, payment_id: str, submission: Submission, connector_name: str) -> ConnectorAnswer:
        self.written.append("attempt")
        self.submissions.append(submission)
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Scene:
    """A run between fakes."""

    def __init__(self, *, guard: PaymentGuard | None = None, capture: bool = False, **order: Any) -> None:
        self.order = PayOrder(**{"amount": "10.50", **order})
        self.n_ids = 0
        make = CaptureMachine if capture else PayMachine
        self.machine = make(self.order, today=lambda: date(2026, 11, 21), transaction_id=self._id)
        self.written: list[str] = []
        self.speaker = FakeSpeaker()
        self.clips = FakeClips()
        self.ledger = FakeLedger(self.written)
        self.charging = FakeCharging(self.written)
        self.events: list[EngineEvent] = []
        self.statuses: list[PayStatus] = []
        self.results: list[PayResult] = []
        self.webhooks = False
        self.guard = guard or PaymentGuard()
        self.run = self.make_run(cast("Ledger", self.ledger))

    def make_run(self, ledger: Ledger, *, label: str = "form") -> PaymentRun:
        return PaymentRun(
            self.machine,
            self.order,
            call_id="call",
            label=label,
            connector="gw",
            speaker=self.speaker,
            clips=self.clips,
            context=PaymentContext(
                charging=cast("Charging", self.charging),
                ledger=ledger,
                notify=self.events.append,
                now=asyncio.get_running_loop().time,
            ),
            guard=self.guard,
            on_status=self.on_status,
            on_result=self.on_result,
        )

    def _id(self) -> str:
        self.n_ids += 1
        return f"tx-{self.n_ids}"

    def on_status(self, run: PaymentRun, status: PayStatus) -> None:
        self.statuses.append(status)
        if self.webhooks:
            run.then(self.writing(f"status {status.step}"))

    def on_result(self, run: PaymentRun, result: PayResult) -> None:
        self.results.append(result)
        if self.webhooks:
            run.then(self.writing("result webhook"))

    def writing(self, what: str) -> Callable[[], Awaitable[None]]:
        async def write() -> None:
            self.written.append(what)

        return write

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def start(self) -> None:
        self.run.start(self.now)

    def keys(self, text: str) -> None:
        for char in text:
            self.run.digit(CODES[char], self.now)

    def prompt_ends(self) -> None:
        self.run.play_finished(self.speaker.tokens[-1], False, self.now)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0)

    async def pay(self) -> PayResult:
        """Key all, hear all to its end, and return the result."""
        self.start()
        self.keys(CARD_KEYS)
        self.prompt_ends()
        await self.until(lambda: self.results or self.speaker.heard[-1][-1] in {"payment-completed", "payment-failed"})
        self.prompt_ends()
        await self.run.done()
        return self.result

    def capture_all(self) -> None:
        assert isinstance(self.machine, CaptureMachine)
        for name, keys in CARD.items():
            assert self.capture(name) is None
            self.keys(keys)

    def capture(self, name: str) -> Refusal | None:
        machine = self.machine
        assert isinstance(machine, CaptureMachine)
        return self.run.tell(lambda now: machine.capture(name, now))

    def complete(self) -> Refusal | None:
        machine = self.machine
        assert isinstance(machine, CaptureMachine)
        return self.run.tell(machine.complete)

    @property
    def result(self) -> PayResult:
        (result,) = self.results
        assert self.run.result is result
        return result
