"""An application learns of a payment whose result the engine's end left untold: once, at the next start."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import pytest

from engine.ledger import InterruptedPayment, Ledger, WebhookPolicy
from engine.net.signatures import SignatureKind
from engine.outbox import Outbox
from engine.programs.pay import tell_interrupted
from engine.reconciling import Reconciler
from tests.support.pay_verb import BASE, PayScene
from tests.support.payments import SlidingClock

pytestmark = pytest.mark.asyncio

REPLY = {
    "kind": "twiml-pay",
    "url": BASE,
    "key_env": "TOKEN",
    "allow_insecure": "",
    "standard": "CallSid=CA1&From=%2B1555&CallStatus=completed",
}
STATUS = b"AccountSid=AC1&CallSid=CA1&For=payment-processing&ErrorType="
RESULT = b"AccountSid=AC1&CallSid=CA1&Result=success"


class Queue:
    def __init__(self) -> None:
        self.put: list[dict[str, Any]] = []

    async def enqueue(self, **webhook: Any) -> None:
        self.put.append(webhook)


def payment(**changes: Any) -> InterruptedPayment:
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
        "last_webhook": STATUS,
    }
    return InterruptedPayment(**values | changes)


async def told_of(interrupted: InterruptedPayment) -> list[dict[str, Any]]:
    queue = Queue()
    await tell_interrupted(interrupted, cast("Outbox", queue))
    return queue.put


async def test_one_that_was_cut_off_after_its_charge_is_told_as_far_as_it_is_known() -> None:
    (webhook,) = await told_of(payment())
    assert (webhook["session"], webhook["url"], webhook["key_env"]) == ("p1", BASE, "TOKEN")
    assert (webhook["signature"], webhook["policy"]) == (SignatureKind.TWILIO, WebhookPolicy.RESULT)
    assert not webhook["allow_insecure"]
    assert dict(parse_qsl(webhook["body"].decode())) == {
        "CallSid": "CA1",
        "From": "+1555",
        "CallStatus": "completed",
        "Result": "success",
        "PaymentMethod": "credit-card",
        "PaymentCardNumber": "xxxxxxxxxxxx4242",
        "PaymentCardType": "visa",
        "PaymentConfirmationCode": "ch_1",
    }


async def test_one_that_was_cut_off_before_is_an_internal_error() -> None:
    (webhook,) = await told_of(payment(result="internal-error", error_code="interrupted", charge_id=""))
    body = dict(parse_qsl(webhook["body"].decode()))
    assert (body["Result"], body["PaymentError"]) == ("internal-error", "interrupted")


async def test_one_that_had_ended_is_told_as_it_would_have_been() -> None:
    body = "CallSid=CA1&Result=payment-connector-error&ExpirationDate=1228"
    (webhook,) = await told_of(payment(reply_to={**REPLY, "body": body}, had_ended=True))
    assert webhook["body"] == body.encode()


@pytest.mark.parametrize("last", [b"", b"\xff\xfe", b"%zz&&&=", STATUS])
async def test_a_status_is_no_result(last: bytes) -> None:
    assert len(await told_of(payment(last_webhook=last))) == 1


async def test_a_result_that_is_in_the_outbox_is_not_put_in_again() -> None:
    assert await told_of(payment(last_webhook=RESULT)) == []


async def test_a_crash_between_result_and_action_costs_the_application_nothing(tmp_path: Path) -> None:
    clock, url = SlidingClock(), f"sqlite+aiosqlite:///{tmp_path}/ledger.sqlite3"
    ledger = await Ledger.open(url, clock=clock)
    scene = PayScene(tmp_path / "prompts", ledger=ledger, chargeAmount="1")
    scene.start()
    scene.keys("*")
    await scene.until(lambda: scene.outcomes)
    await ledger.close()  # and the engine is gone: nobody said `told`

    ledger = await Ledger.open(url, clock=clock)
    queue = Queue()

    async def tell(interrupted: InterruptedPayment) -> None:
        await tell_interrupted(interrupted, cast("Outbox", queue))

    for _ in range(2):
        await Reconciler(ledger, {}, is_running=lambda _: False, clock=clock).at_start(tell)
    await ledger.close()
    (webhook,) = queue.put
    assert dict(parse_qsl(webhook["body"].decode())).items() >= dict(scene.outcomes[0]).items()
    assert len(webhook["session"]) == 32
