"""A status URL learns of a payment whose end the engine's end left untold: once, at the next start."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from engine.errors import LedgerError
from engine.ledger import InterruptedPayment, Ledger, WebhookPolicy
from engine.net.signatures import SignatureKind
from engine.outbox import Outbox
from engine.programs.actions.pay import tell_interrupted
from engine.reconciling import Reconciler
from tests.support.pay_action import STATUS
from tests.support.pay_action import PayActionScene as Scene
from tests.support.pay_verb import FakeOutbox
from tests.support.payments import SlidingClock

pytestmark = pytest.mark.asyncio

REPLY = {
    "kind": "signalwire-pay",
    "url": STATUS,
    "key_env": "KEY",
    "allow_insecure": "",
    "channel": "swml:1",
    "project": "P-1",
    "space": "",
    "base": json.dumps({"control_id": "pay-1", "call_id": "c1", "node_id": "paytone", "status_url": STATUS}),
}
STEP = json.dumps({"params": {"for": "payment-processing"}}).encode()


def interrupted(**changes: Any) -> InterruptedPayment:
    values: dict[str, Any] = {
        "payment_id": "p1",
        "call_id": "c1",
        "form": "shop",
        "method": "credit-card",
        "result": "success",
        "error_code": "",
        "outcome": None,
        "card_number": "************4242",
        "card_type": "visa",
        "charge_id": "ch_1",
        "token_id": "",
        "reply_to": REPLY,
        "last_webhook": STEP,
    }
    return InterruptedPayment(**values | changes)


async def told_of(payment: InterruptedPayment) -> list[dict[str, Any]]:
    outbox = FakeOutbox([])
    clock = lambda: datetime(2026, 11, 22, tzinfo=UTC)  # noqa: E731
    await tell_interrupted(payment, cast("Outbox", outbox), clock=clock)
    return outbox.put


class TestInterrupted:
    """The engine went away before the application was told: the next start does it."""

    async def test_after_its_charge_is_told_as_far_as_it_is_known(self) -> None:
        (webhook,) = await told_of(interrupted())
        assert (webhook["session"], webhook["url"], webhook["key_env"]) == ("p1", STATUS, "KEY")
        assert (webhook["signature"], webhook["policy"]) == (SignatureKind.SIGNALWIRE, WebhookPolicy.RESULT)
        post = json.loads(webhook["body"])
        assert (post["event_type"], post["event_channel"]) == ("calling.call.pay", "swml:1")
        params = post["params"]
        assert (params["for"], params["result"], params["control_id"]) == ("payment-completed", "success", "pay-1")
        assert (params["payment_confirmation_code"], params["payment_card_number"]) == ("ch_1", "************4242")

    async def test_before_it_is_an_internal_error(self) -> None:
        (webhook,) = await told_of(interrupted(result="internal-error", error_code="interrupted", charge_id=""))
        params = json.loads(webhook["body"])["params"]
        assert (params["for"], params["result"], params["payment_error"]) == (
            "payment-failed",
            "internal-error",
            "interrupted",
        )

    async def test_one_that_had_ended_is_told_as_it_would_have_been(self) -> None:
        (webhook,) = await told_of(interrupted(reply_to={**REPLY, "body": '{"x":1}'}, had_ended=True))
        assert webhook["body"] == b'{"x":1}'

    @pytest.mark.parametrize("last", [b"", b"\xff", b"[]", b'{"params":[]}', b"{" * 5000, STEP])
    async def test_a_step_is_no_result(self, last: bytes) -> None:
        assert len(await told_of(interrupted(last_webhook=last))) == 1

    async def test_what_is_in_the_outbox_is_not_put_in_again(self) -> None:
        last = json.dumps({"params": {"for": "payment-completed", "result": "success"}}).encode()
        assert await told_of(interrupted(last_webhook=last)) == []

    async def test_a_crash_between_result_and_post_costs_the_application_nothing(self, tmp_path: Path) -> None:
        clock, url = SlidingClock(), f"sqlite+aiosqlite:///{tmp_path}/ledger.sqlite3"
        ledger = await Ledger.open(url, clock=clock)
        scene = Scene(tmp_path / "prompts", ledger=ledger, status_url=STATUS)
        scene.outbox.error = LedgerError("the engine is gone")
        scene.start()
        scene.action.stop(scene.now)
        await scene.ended()
        await ledger.close()

        ledger = await Ledger.open(url, clock=clock)
        outbox = FakeOutbox([])

        async def tell(payment: InterruptedPayment) -> None:
            await tell_interrupted(payment, cast("Outbox", outbox))

        for _ in range(2):
            await Reconciler(ledger, {}, is_running=lambda _: False, clock=clock).at_start(tell)
        await ledger.close()
        (webhook,) = outbox.put
        params = json.loads(webhook["body"])["params"]
        assert (params["result"], params["for"]) == ("relay-pay-stop", "payment-canceled")
