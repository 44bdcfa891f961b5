"""An application learns how a payment ended that a crash interrupted, and is told nothing twice."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from engine.form import tell_interrupted
from engine.ledger import InterruptedPayment, WebhookPolicy
from engine.outbox import Outbox

pytestmark = pytest.mark.asyncio

REPLY = {
    "kind": "form",
    "url": "https://app.example/status",
    "key_env": "STATUS_KEY",
    "allow_insecure": "",
    "account_type": "consumer-checking",
}


class Queue:
    def __init__(self) -> None:
        self.put: list[dict[str, Any]] = []

    async def enqueue(self, **webhook: Any) -> None:
        self.put.append(webhook)


def payment(result: str, told: str = "", **changes: Any) -> InterruptedPayment:
    values: dict[str, Any] = {
        "payment_id": "p1",
        "call_id": "c1",
        "form": "f",
        "method": "credit-card",
        "result": result,
        "error_code": "",
        "outcome": None,
        "card_number": "************4242",
        "card_type": "visa",
        "charge_id": "",
        "token_id": "",
        "reply_to": REPLY,
        "last_webhook": json.dumps({"params": {"for": told}}).encode() if told else b"",
    }
    return InterruptedPayment(**values | changes)


async def told_of(interrupted: InterruptedPayment) -> list[dict[str, Any]]:
    queue = Queue()
    await tell_interrupted(interrupted, cast("Outbox", queue))
    return queue.put


@pytest.mark.parametrize(("result", "step"), [("success", "payment-completed"), ("internal-error", "payment-failed")])
async def test_the_end_is_told_in_the_session_of_the_payment(result: str, step: str) -> None:
    (webhook,) = await told_of(payment(result, "payment-processing"))
    assert (webhook["session"], webhook["url"], webhook["key_env"]) == ("p1", REPLY["url"], "STATUS_KEY")
    assert (webhook["policy"], webhook["allow_insecure"]) == (WebhookPolicy.RESULT, False)
    params = json.loads(webhook["body"])["params"]
    assert (params["for"], params["control_id"], params["call_id"]) == (step, "p1", "c1")
    assert params["payment_card_number"] == "************4242"


async def test_a_payment_whose_application_heard_nothing_at_all_is_told() -> None:
    assert len(await told_of(payment("internal-error"))) == 1


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("success", "payment-completed"),
        ("internal-error", "payment-failed"),
        ("internal-error", "payment-canceled"),
        ("internal-error", "payment-completed"),
    ],
)
async def test_an_end_that_was_told_is_not_told_again(result: str, told: str) -> None:
    assert await told_of(payment(result, told)) == []


async def test_a_failure_that_was_told_before_the_next_try_succeeded_is_corrected() -> None:
    (webhook,) = await told_of(payment("success", "payment-failed"))
    assert json.loads(webhook["body"])["params"]["for"] == "payment-completed"


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"{}", b'{"params": 1}'])
async def test_a_webhook_that_is_none_of_ours_tells_nothing(body: bytes) -> None:
    assert len(await told_of(payment("success", last_webhook=body))) == 1
