"""An application learns how its session ended that the engine's own end left untold, and is told nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import pytest

from engine.errors import LedgerError
from engine.ledger import InterruptedPayment, Ledger, WebhookPolicy
from engine.net.signatures import SignatureKind
from engine.outbox import Outbox
from engine.programs.capture import REPLY_KIND, tell_interrupted
from tests.support.agent_desk import AgentDesk

pytestmark = pytest.mark.asyncio

REPLY = {
    "kind": REPLY_KIND,
    "url": "https://app.example/payments",
    "key_env": "TEST_TWILIO_TOKEN",
    "allow_insecure": "",
    "account_sid": "AC" + "a" * 32,
    "created": "2026-11-21T12:00:00+00:00",
    "connector": "Default",
    "amount": "10.50",
    "token_type": "reusable",
    "bank_account_type": "consumer-checking",
}


class Queue:
    def __init__(self) -> None:
        self.put: list[dict[str, Any]] = []

    async def enqueue(self, **webhook: Any) -> None:
        self.put.append(webhook)


def payment(result: str, told: bytes = b"", **changes: Any) -> InterruptedPayment:
    values: dict[str, Any] = {
        "payment_id": "2" * 32,
        "call_id": "1" * 32,
        "form": "payments",
        "method": "credit-card",
        "result": result,
        "error_code": "" if result == "success" else "interrupted",
        "outcome": None,
        "card_number": "************1111",
        "card_type": "visa",
        "charge_id": "ch_1" if result == "success" else "",
        "token_id": "",
        "reply_to": REPLY,
        "last_webhook": told,
    }
    return InterruptedPayment(**values | changes)


async def told_of(interrupted: InterruptedPayment) -> list[dict[str, Any]]:
    queue = Queue()
    await tell_interrupted(interrupted, cast("Outbox", queue))
    return queue.put


@pytest.mark.parametrize("result", ["success", "internal-error", "canceled", "payment-connector-error"])
async def test_the_end_is_told_in_the_session_of_the_payment(result: str) -> None:
    (webhook,) = await told_of(payment(result, b"Capture=postal-code&PartialResult=true"))
    assert (webhook["session"], webhook["url"], webhook["key_env"]) == ("2" * 32, REPLY["url"], "TEST_TWILIO_TOKEN")
    assert (webhook["policy"], webhook["signature"]) == (WebhookPolicy.RESULT, SignatureKind.TWILIO)
    assert webhook["allow_insecure"] is False
    told = dict(parse_qsl(webhook["body"].decode(), keep_blank_values=True))
    assert (told["Sid"], told["CallSid"], told["Result"]) == ("PK" + "2" * 32, "CA" + "1" * 32, result)
    assert (told["DateCreated"], told["ChargeAmount"]) == ("2026-11-21T12:00:00.000Z", "10.50")
    assert told["PaymentCardNumber"] == "x" * 12 + "1111"
    assert told["PaymentConfirmationCode"] == ("ch_1" if result == "success" else "")
    assert ("PaymentError" in told) == (result != "success")


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("success", b"Result=success&PaymentToken="),
        ("internal-error", b"Result=internal-error"),
        ("canceled", b"Result=canceled"),
        ("internal-error", b"Result=success"),
    ],
)
async def test_an_end_that_was_told_is_not_told_again(result: str, told: bytes) -> None:
    assert await told_of(payment(result, told)) == []


async def test_a_failure_that_was_told_and_turned_out_to_be_a_success_is_corrected() -> None:
    assert len(await told_of(payment("success", b"Result=payment-connector-error"))) == 1


async def test_http_stays_permitted_where_it_was() -> None:
    (webhook,) = await told_of(payment("success", reply_to=REPLY | {"allow_insecure": "yes"}))
    assert webhook["allow_insecure"] is True


class TestLedger:
    """With the ledger that keeps it: the engine goes away at some moment, and the next one tells the end."""

    @pytest.mark.parametrize("moment", ["open", "captured", "told nobody", "told"])
    async def test_the_next_engine_tells_what_this_one_did_not(self, tmp_path: Path, moment: str) -> None:
        url = f"sqlite+aiosqlite:///{tmp_path / 'ledger.db'}"
        desk = AgentDesk()
        ledger = await Ledger.open(url)
        desk.use(ledger)
        session = desk.create()
        if moment != "open":
            desk.capture_all(session)
        if moment == "told nobody":
            desk.outbox.error = LedgerError("the disk is full")
        if moment.startswith("told"):
            desk.update(session, Status="complete", StatusCallback="https://app.example/end")
            await desk.done()
        else:
            await desk.written_down()
        await ledger.close()  # and the engine is gone; a session that was open never ended

        queue = Queue()
        ledger = await Ledger.open(url)
        for interrupted in await ledger.interrupted.payments():
            await tell_interrupted(interrupted, cast("Outbox", queue))
        await ledger.interrupted.close()
        assert await ledger.interrupted.payments() == []
        await ledger.close()
        ends = [dict(parse_qsl(webhook["body"].decode(), keep_blank_values=True)) for webhook in queue.put]
        if moment == "told":
            assert ends == []
            return
        (end,) = ends
        told_nobody = moment == "told nobody"
        assert (end["Sid"], end["Result"]) == (session["sid"], "success" if told_nobody else "internal-error")
        assert queue.put[0]["url"] == ("https://app.example/end" if told_nobody else "https://app.example/payments")
        if told_nobody:
            assert (end["PaymentCardNumber"], end["PaymentConfirmationCode"]) == ("x" * 12 + "1111", "ch_test")
        desk.hang_up()
        await desk.done()
