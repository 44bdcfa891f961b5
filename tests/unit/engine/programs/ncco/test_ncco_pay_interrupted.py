"""An application learns of an NCCO's payment whose end the engine's end left untold: once, at the next start."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from engine.ledger import InterruptedPayment, Ledger, WebhookPolicy
from engine.net.signatures import SignatureKind
from engine.outbox import Outbox
from engine.programs.ncco.pay import REPLY_KIND, tell_interrupted
from engine.reconciling import Reconciler
from tests.support.ncco_pay import APPLICATION, CARD_KEYS, EVENTS, config_of
from tests.support.ncco_pay import NccoPayScene as Scene
from tests.support.pay_verb import FakeOutbox
from tests.support.payments import SlidingClock

pytestmark = pytest.mark.asyncio

CONFIG = config_of('api_key = "abcd1234"\nsignature_secret_env = "SECRET_OF_TESTS"')
DETAILS = config_of("tell_payment_details = true")


def interrupted(reply_to: Any, **changes: Any) -> InterruptedPayment:
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
        "last_webhook": b"",
    }
    return InterruptedPayment(reply_to=reply_to, **values | changes)


async def reply_of(directory: Path, config: str = CONFIG) -> Any:
    """Return what the ledger has of a payment that is under way."""
    scene = Scene(directory, config=config)
    scene.start()
    await scene.until(lambda: scene.ledger.payments)
    (row,) = scene.ledger.payments.values()
    reply = dict(row["reply_to"])
    scene.hang_up()
    await scene.ended()
    return reply


async def told_of(payment: InterruptedPayment) -> list[dict[str, Any]]:
    outbox = FakeOutbox([])
    clock = lambda: datetime(2026, 11, 23, tzinfo=UTC)  # noqa: E731
    await tell_interrupted(payment, cast("Outbox", outbox), clock=clock)
    return outbox.put


async def test_one_that_was_charged_is_a_success(tmp_path: Path) -> None:
    (webhook,) = await told_of(interrupted(await reply_of(tmp_path)))
    assert (webhook["session"], webhook["url"], webhook["policy"]) == ("p1", EVENTS, WebhookPolicy.RESULT)
    assert (webhook["signature"], webhook["key_env"]) == (SignatureKind.VONAGE, "SECRET_OF_TESTS")
    assert webhook["claims"] == {"api_key": "abcd1234", "application_id": APPLICATION}
    assert json.loads(webhook["body"]) == {
        "from": "15551234567",
        "to": "15557654321",
        "type": "payment",
        "uuid": "00000000-0000-0000-0000-000000000001",
        "conversation_uuid": "CON-00000000-0000-0000-0000-000000000001",
        "status": "success",
        "timestamp": "2026-11-23T00:00:00.000Z",
    }


@pytest.mark.parametrize("error", ["interrupted", "unknown"])
async def test_any_other_is_a_failure(tmp_path: Path, error: str) -> None:
    reply = await reply_of(tmp_path)
    (webhook,) = await told_of(interrupted(reply, result="internal-error", error_code=error, charge_id=""))
    assert json.loads(webhook["body"])["status"] == "failure"


async def test_more_is_told_where_the_operator_wants_it(tmp_path: Path) -> None:
    reply = await reply_of(tmp_path, DETAILS)
    (webhook,) = await told_of(interrupted(reply, result="internal-error", error_code="unknown", charge_id=""))
    body = json.loads(webhook["body"])
    assert (body["reason"], body["card"]) == ("internal-error: unknown", "************4242")


async def test_one_that_had_ended_is_told_as_it_would_have_been(tmp_path: Path) -> None:
    reply = {**await reply_of(tmp_path), "body": '{"x":1}'}
    (webhook,) = await told_of(interrupted(reply, had_ended=True))
    assert webhook["body"] == b'{"x":1}'


async def test_what_is_in_the_outbox_is_not_put_in_again(tmp_path: Path) -> None:
    assert await told_of(interrupted(await reply_of(tmp_path), last_webhook=b'{"status":"success"}')) == []


@pytest.mark.parametrize("paid", [True, False])
async def test_a_crash_between_result_and_webhook_costs_the_application_nothing(tmp_path: Path, paid: bool) -> None:
    clock, url = SlidingClock(), f"sqlite+aiosqlite:///{tmp_path}/ledger.sqlite3"
    ledger = await Ledger.open(url, clock=clock)
    scene = Scene(tmp_path / "prompts", ledger=ledger)
    scene.outbox.error = OSError("the engine is gone")
    scene.start()
    scene.keys(CARD_KEYS if paid else "*")
    await scene.ended()
    await ledger.close()

    ledger = await Ledger.open(url, clock=clock)
    outbox = FakeOutbox([])

    async def tell(payment: InterruptedPayment) -> None:
        assert payment.reply_to["kind"] == REPLY_KIND
        await tell_interrupted(payment, cast("Outbox", outbox))

    for _ in range(2):
        await Reconciler(ledger, {}, is_running=lambda _: False, clock=clock).at_start(tell)
    await ledger.close()
    (webhook,) = outbox.put
    assert json.loads(webhook["body"])["status"] == ("success" if paid else "failure")
