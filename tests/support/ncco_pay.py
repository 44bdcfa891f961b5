"""A ``NccoPayAction`` on a call between fakes: the call, the connector, the ledger and the outbox do as a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from engine.dialects.ncco.actions import EventTarget, Pay
from engine.dialects.ncco.identity import call_uuid, conversation_of
from engine.ledger import Ledger, WebhookPolicy
from engine.program import CallState
from engine.programs.ncco.legs import Leg, NccoLegs
from engine.programs.ncco.pay import NccoPayAction
from tests.support.call_control import FakeCall
from tests.support.paying import PayingScene
from tests.support.payment_scene import VISA

__all__ = ("CARD_KEYS", "EVENTS", "NUMBER", "FakeLegs", "NccoPayScene", "config_of")

EVENTS = "https://app.example/events"
CARD_KEYS = VISA + "#1228123"
NUMBER = "Please enter your long card number"
APPLICATION = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"


def config_of(vonage: str = "", app: str = f'event_url = "{EVENTS}"') -> str:
    """Return a configuration with one application, ``shop``."""
    return f"""
[connector.sandbox]
type = "sandbox"
[vonage]
{vonage}
[app.shop]
dialect = "ncco"
application_id = "{APPLICATION}"
ncco = "[]"
{app}
"""


class FakeLegs:
    """Keeps what is told of calls."""

    def __init__(self) -> None:
        self.told: list[tuple[Mapping[str, Any], EventTarget | None, WebhookPolicy]] = []
        self.errors: list[str] = []

    def tell(
        self,
        leg: Leg,
        members: Mapping[str, Any],
        *,
        target: EventTarget | None = None,
        policy: WebhookPolicy = WebhookPolicy.STATUS,
    ) -> None:
        self.told.append((members, target, policy))

    def tell_error(self, leg: Leg, reason: str) -> None:
        self.errors.append(reason)


class NccoPayScene(PayingScene):
    """A ``NccoPayAction`` and all around it; nothing happens by itself."""

    action: NccoPayAction

    def __init__(
        self,
        directory: Path,
        *,
        call: FakeCall | None = None,
        config: str = "",
        ledger: Ledger | None = None,
        event: str = "",
        base_url: str = "https://app.example/ncco/answer",
        leg_event: str = EVENTS,
        clock: Callable[[], datetime] = lambda: datetime(2026, 11, 22, tzinfo=UTC),
        **properties: Any,
    ) -> None:
        self.legs = FakeLegs()
        call = call or FakeCall(state=CallState.ANSWERED, caller="+15551234567", dialled="+15557654321")
        super().__init__(
            directory,
            config=config or config_of(),
            call=call,
            ledger=ledger,
            clock=clock,
            ncco=cast("NccoLegs", self.legs),
        )
        self.leg = Leg(
            facts=call.facts,
            app="shop",
            application_id=APPLICATION,
            uuid=call_uuid(call.facts.call_id),
            conversation_uuid=conversation_of(call.facts),
            event=EventTarget(url=leg_event, method="GET") if leg_event else None,
            started_at=datetime(2026, 11, 22, tzinfo=UTC),
        )
        self.n_over = 0
        self.taking = self.action = NccoPayAction(
            Pay(properties={"amount": 25.5, **properties}, event=EventTarget(url=event) if event else None),
            self.call,
            self.context,
            leg=self.leg,
            base_url=base_url,
            on_over=self._over,
        )

    def _over(self) -> None:
        self.n_over += 1

    async def ended(self) -> dict[str, Any] | None:
        """Wait for the end and return the webhook; None: there is none."""
        await self.until(lambda: self.n_over)
        await self.action.done()
        assert self.n_over == 1
        assert len(self.outbox.put) <= 1
        return self.posts[0] if self.posts else None

    async def pay(self, keys: str = CARD_KEYS) -> dict[str, Any] | None:
        """Key all at once, and return the webhook."""
        self.start()
        self.keys(keys)
        return await self.ended()
