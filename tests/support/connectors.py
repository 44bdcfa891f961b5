"""A connector for tests that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from engine.connectors.protocol import Capabilities
from engine.pay.submission import ConnectorAnswer, Outcome, Submission
from tests.support.payments import VISA

__all__ = ("CHARGED", "ScriptedConnector")

CHARGED = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_1")


class ScriptedConnector:
    """Answers as told, and notes what it saw."""

    def __init__(self, answer: ConnectorAnswer | BaseException = CHARGED) -> None:
        self.name = "gw"
        self.capabilities = Capabilities(looks_up=True)
        self.answer = answer
        self.seen: list[str] = []
        self.looked_up: list[str] = []
        self.known: dict[str, ConnectorAnswer | Exception | None] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.on_submit: Callable[[Submission], Any] = lambda _: None

    async def submit(self, submission: Submission) -> ConnectorAnswer:
        assert submission.card_number is not None
        self.seen.append(submission.transaction_id)
        assert submission.card_number.view() == VISA.encode()
        result = self.on_submit(submission)
        if asyncio.iscoroutine(result):
            await result
        self.entered.set()
        await self.gate.wait()
        # Still there at the end: whoever waits may be gone, the connector may have to repeat.
        assert submission.card_number.view() == VISA.encode()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    async def look_up(self, transaction_id: str) -> ConnectorAnswer | None:
        self.looked_up.append(transaction_id)
        known = self.known.get(transaction_id)
        if isinstance(known, Exception):
            raise known
        return known

    async def close(self) -> None: ...
