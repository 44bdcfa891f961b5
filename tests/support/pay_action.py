"""A ``PayAction`` on a call between fakes: the call, the connector, the ledger and the outbox do as a test says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.ledger import Ledger
from engine.pay.results import PayResult, PayStatus
from engine.pay.rules import Dialect
from engine.programs.actions.pay import PayAction
from tests.support.call_control import FakeCall
from tests.support.paying import PayingScene
from tests.support.payment_scene import CARD_KEYS

__all__ = ("CONNECTOR", "STATUS", "PayActionScene")

CONNECTOR = "https://gw.example/pay"
STATUS = "https://app.example/status"
CONFIG = """
[signalwire]
project = "P-1"
space = "space.example"
signing_key_env = "KEY_OF_TESTS"
"""


class PayActionScene(PayingScene):
    """A ``PayAction`` and all around it; nothing happens by itself."""

    def __init__(
        self,
        directory: Path,
        *,
        call: FakeCall | None = None,
        config: str = CONFIG,
        dialect: Dialect = Dialect.RELAY,
        ledger: Ledger | None = None,
        connector: Any = None,
        **properties: Any,
    ) -> None:
        super().__init__(directory, config=config, call=call, ledger=ledger)
        if connector is not None:
            self.charging.connector_at = connector  # type: ignore[method-assign]
        self.statuses: list[PayStatus] = []
        self.results: list[PayResult] = []
        self.taking = self.action = PayAction(
            {"payment_connector_url": CONNECTOR, **properties},
            self.call,
            self.context,
            dialect=dialect,
            control_id="pay-1",
            channel="relay:1",
            on_status=self.statuses.append,
            on_result=self.results.append,
        )

    async def ended(self) -> PayResult:
        await self.until(lambda: self.results)
        await self.action.done()
        (result,) = self.results
        return result

    async def pay(self, keys: str = CARD_KEYS, end: str = "payment-completed") -> PayResult:
        """Key all at once, hear of the processing and of the end, and return the result."""
        self.start()
        self.keys(keys)
        await self.hears("payment-processing")
        self.prompt_ends()
        await self.hears(end)
        self.prompt_ends()
        return await self.ended()

    @property
    def steps(self) -> list[tuple[str, str]]:
        return [(post["params"]["for"], post["params"]["error_type"]) for post in self.posts]
