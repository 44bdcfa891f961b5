"""What a crash left open is found with all that its application has to be told, until it is closed."""

from __future__ import annotations

import pytest

from engine.ledger import Ledger
from engine.pay.submission import ConnectorAnswer, Outcome
from tests.support.payments import submission_of

pytestmark = pytest.mark.asyncio

REPLY = {"kind": "form", "url": "https://app.example/status"}
CHARGED = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_1")


async def start(ledger: Ledger, payment_id: str = "p1", reply_to: dict[str, str] | None = None) -> None:
    await ledger.start_payment(
        payment_id, call_id="c1", form="f", operation="charge", amount="10.55", currency="usd", reply_to=reply_to
    )


async def test_payment_that_was_charged_is_found_as_a_success(ledger: Ledger) -> None:
    await start(ledger, reply_to=REPLY)
    await ledger.journal_attempt("p1", submission_of(transaction_id="t1"), "gw")
    await ledger.record_outcome("t1", CHARGED)
    (found,) = await ledger.interrupted.payments()
    assert (found.result, found.error_code, found.outcome, found.charge_id) == (
        "success",
        "",
        Outcome.SUCCEEDED,
        "ch_1",
    )
    assert (found.card_number, found.card_type) == ("************4242", "visa")
    assert (found.reply_to, found.last_webhook) == (REPLY, b"")


@pytest.mark.parametrize(
    ("answer", "code"),
    [(ConnectorAnswer(outcome=Outcome.DECLINED), "interrupted"), (ConnectorAnswer(outcome=Outcome.UNKNOWN), "unknown")],
)
async def test_payment_that_was_not_charged_or_perhaps_is_no_success(
    ledger: Ledger, answer: ConnectorAnswer, code: str
) -> None:
    await start(ledger)
    await ledger.journal_attempt("p1", submission_of(transaction_id="t1"), "gw")
    await ledger.record_outcome("t1", answer)
    (found,) = await ledger.interrupted.payments()
    assert (found.result, found.error_code, found.outcome) == ("internal-error", code, answer.outcome)
    assert found.reply_to == {}


async def test_last_webhook_of_its_session_comes_along(ledger: Ledger) -> None:
    await start(ledger, reply_to=REPLY)
    for body in (b"1", b"2"):
        await ledger.webhooks.enqueue("p1", "https://app.example/status", body)
    await ledger.webhooks.enqueue("other", "https://app.example/status", b"3")
    (found,) = await ledger.interrupted.payments()
    assert found.last_webhook == b"2"


async def test_what_is_found_is_what_is_closed_and_then_nothing_is_left(ledger: Ledger) -> None:
    await start(ledger, "p1", REPLY)
    await start(ledger, "p2", REPLY)
    await ledger.finish_payment("p2", result="success")
    assert [found.payment_id for found in await ledger.interrupted.payments()] == ["p1"]
    assert await ledger.interrupted.close() == 1
    assert await ledger.interrupted.payments() == []


async def test_a_payment_that_ended_and_still_owes_its_result_is_found_with_it(ledger: Ledger) -> None:
    await start(ledger, reply_to=REPLY)
    await ledger.journal_attempt("p1", submission_of(transaction_id="t1"), "gw")
    await ledger.record_outcome("t1", CHARGED)
    owed = {**REPLY, "body": "Result=success"}
    await ledger.finish_payment("p1", result="success", charge_id="ch_1", card_number="xxxxxxxxxxxx4242", reply_to=owed)
    (found,) = await ledger.interrupted.payments()
    assert (found.had_ended, found.result, found.charge_id, found.reply_to) == (True, "success", "ch_1", owed)
    assert found.error_code == ""
    finished_at = (await ledger.recent_payments(1))[0]["finished_at"]
    assert await ledger.interrupted.close() == 1
    assert await ledger.interrupted.payments() == []
    (row,) = await ledger.recent_payments(1)
    assert (row["result"], row["charge_id"], row["finished_at"]) == ("success", "ch_1", finished_at)


async def test_once_told_it_owes_nothing(ledger: Ledger) -> None:
    await start(ledger, reply_to=REPLY)
    await ledger.finish_payment("p1", result="caller-hung-up", reply_to=REPLY)
    await ledger.told("p1")
    assert await ledger.interrupted.payments() == []


async def test_payments_of_another_node_are_its_own_matter(ledger: Ledger) -> None:
    await start(ledger)
    other = type(ledger.interrupted)(ledger._database, clock=ledger._clock, node="other")
    assert await other.payments() == []
    assert await other.close() == 0
