"""A ``<Pay>`` on a call between fakes: the call, the connector, the ledger and the outbox do as a test says."""

from __future__ import annotations

from pathlib import Path

from engine.dialects.twiml.commands import Parameters, StartPay
from engine.dialects.twiml.verbs import Pay, PayPrompt
from engine.ledger import Ledger
from engine.programs.pay import PayVerb
from tests.support.call_control import FakeCall
from tests.support.paying import FakeOutbox, PayingScene

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


class PayScene(PayingScene):
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
        super().__init__(directory, config=CONFIG + config, call=call, ledger=ledger)
        self.prompts = self.context.prompts
        self.outcomes: list[Parameters] = []
        pay = Pay(attributes=attributes, prompts=prompts, parameters=parameters, line=3)
        command = StartPay(token=1, pay=pay, base_url=base_url)
        self.taking = self.verb = PayVerb(command, self.call, self.context, base_url, self.outcomes.append)

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
