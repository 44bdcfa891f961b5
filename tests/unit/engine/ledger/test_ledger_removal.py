"""What is old is deleted in batches, what says who a caller is is erased on request, and money stays accounted for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from engine.config import LedgerConfig
from engine.errors import LedgerError
from engine.ledger import Ledger, Retention
from engine.ledger.removal import BATCH, ERASED
from engine.ledger.retention import BATCH_PAUSE_S, FIRST_AFTER_S, PASS_EVERY_S
from engine.pay.submission import ConnectorAnswer, Outcome
from tests.support.ledger_backend import Backend
from tests.support.payments import SlidingClock, submission_of

pytestmark = pytest.mark.asyncio

CHARGED = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_1", token_id="tok_1")
UNKNOWN = ConnectorAnswer(outcome=Outcome.UNKNOWN)
NUMBER = "+15550100777"


async def call(ledger: Ledger, name: str, *, caller: str = NUMBER, direction: str = "in", over: bool = True) -> None:
    await ledger.record_call_start(
        name, sip_call_id=f"sip-{name}@host", caller=caller, dialled="pay", form="donation", direction=direction
    )
    if over:
        await ledger.record_call_end(name, cause="bye")


async def payment(ledger: Ledger, name: str, call_id: str, answer: ConnectorAnswer | None = CHARGED) -> None:
    await ledger.start_payment(
        name, call_id=call_id, form="donation", operation="charge", amount="10.55", currency="usd"
    )
    await ledger.journal_attempt(name, submission_of(transaction_id=f"t-{name}"), "gw")
    if answer is not None:
        await ledger.record_outcome(f"t-{name}", answer)
    await ledger.finish_payment(
        name,
        result="success",
        card_number="************4242",
        card_type="visa",
        charge_id="ch_1",
        token_id="tok_1",
        profile_id="cus_1",
        error_message="thanks, Mr Smith",
    )


async def payments(ledger: Ledger) -> dict[str, dict[str, Any]]:
    return {row["payment_id"]: row async for row in ledger.export.payments()}


async def calls(ledger: Ledger) -> dict[str, dict[str, Any]]:
    return {row["call_id"]: row async for row in ledger.export.calls()}


def retention(ledger: Ledger, clock: SlidingClock, **settings: int) -> Retention:
    return Retention(ledger, LedgerConfig(**settings), clock=clock, sleep=clock.sleep)


class TestRetention:
    async def test_what_is_older_than_is_kept_goes_and_the_rest_stays(
        self, ledger: Ledger, clock: SlidingClock, backend: Backend
    ) -> None:
        await call(ledger, "old")
        await payment(ledger, "old", "old")
        clock.now += timedelta(days=20)
        await call(ledger, "young")
        await payment(ledger, "young", "young")
        clock.now += timedelta(days=11)
        assert await retention(ledger, clock, keep_calls_days=30, keep_payments_days=30).delete_old() == (1, 1)
        assert list(await calls(ledger)) == list(await payments(ledger)) == ["young"]
        assert [row["transaction_id"] for row in backend.rows("charge_attempts")] == ["t-young"]

    async def test_calls_and_payments_are_kept_for_times_of_their_own(
        self, ledger: Ledger, clock: SlidingClock
    ) -> None:
        await call(ledger, "c")
        await payment(ledger, "p", "c")
        clock.now += timedelta(days=400)
        assert await retention(ledger, clock, keep_calls_days=90).delete_old() == (1, 0)
        assert await retention(ledger, clock, keep_payments_days=500).delete_old() == (0, 0)
        assert list(await payments(ledger)) == ["p"]

    @pytest.mark.parametrize("answer", [None, UNKNOWN])
    async def test_a_payment_that_may_have_moved_money_is_never_deleted_before_it_is_settled(
        self, ledger: Ledger, clock: SlidingClock, answer: ConnectorAnswer | None
    ) -> None:
        await payment(ledger, "p", "c", answer)
        clock.now += timedelta(days=4000)
        keeper = retention(ledger, clock, keep_payments_days=1)
        assert await keeper.delete_old() == (0, 0)
        if answer is None:
            await ledger.record_outcome("t-p", UNKNOWN, reconciled=True)
        await ledger.settle("t-p", charged=False, by="ann", note="")
        assert await keeper.delete_old() == (0, 1)

    async def test_many_go_in_batches_between_which_others_write(
        self, ledger: Ledger, clock: SlidingClock, backend: Backend
    ) -> None:
        await asyncio.gather(*(call(ledger, f"c{number}", over=False) for number in range(2 * BATCH + 1)))
        clock.now += timedelta(days=2)
        assert await retention(ledger, clock, keep_calls_days=1).delete_old() == (2 * BATCH + 1, 0)
        assert clock.slept == [BATCH_PAUSE_S] * 2
        assert backend.rows("calls") == []

    async def test_the_task_looks_once_an_hour_until_it_is_cancelled(self, ledger: Ledger, clock: SlidingClock) -> None:
        await call(ledger, "c")
        gone = asyncio.Event()

        async def sleep(seconds: float) -> None:
            await clock.sleep(seconds)
            if not await calls(ledger):
                gone.set()
                await asyncio.Event().wait()

        settings = LedgerConfig(keep_calls_days=1)
        task = asyncio.create_task(Retention(ledger, settings, clock=clock, sleep=sleep).run())
        await gone.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert clock.slept == [FIRST_AFTER_S, *[PASS_EVERY_S] * 25]  # the first 24 passes found nothing old enough

    async def test_nothing_to_delete_needs_no_task(self, ledger: Ledger, clock: SlidingClock) -> None:
        await retention(ledger, clock).run()
        assert clock.slept == []

    async def test_a_ledger_that_cannot_be_written_is_tried_again(
        self, ledger: Ledger, clock: SlidingClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await call(ledger, "c")
        clock.now += timedelta(days=2)
        works = ledger.removal.delete_calls
        gone = asyncio.Event()

        async def fails(before: object) -> int:
            monkeypatch.setattr(ledger.removal, "delete_calls", works)
            raise LedgerError("the disk is full")

        monkeypatch.setattr(ledger.removal, "delete_calls", fails)

        async def sleep(seconds: float) -> None:
            await clock.sleep(seconds)
            if not await calls(ledger):
                gone.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(Retention(ledger, LedgerConfig(keep_calls_days=1), clock=clock, sleep=sleep).run())
        await gone.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert "what is old could not be deleted: the disk is full" in caplog.text


class TestErasure:
    async def test_a_caller_is_erased_and_the_facts_of_money_stay(self, ledger: Ledger, clock: SlidingClock) -> None:
        await call(ledger, "theirs")
        await payment(ledger, "theirs", "theirs")
        await call(ledger, "other", caller="+15550100999")
        await payment(ledger, "other", "other")
        before = await payments(ledger)
        erased = await ledger.removal.erase_caller(NUMBER)
        assert (erased.calls, erased.payments, erased.running) == (1, 1, ())
        call_row = (await calls(ledger))["theirs"]
        assert (call_row["caller"], call_row["sip_call_id"], call_row["dialled"]) == (ERASED, ERASED, "pay")
        row = (await payments(ledger))["theirs"]
        for name in ("card_number", "token_id", "profile_id", "account_number", "error_message"):
            assert not row[name], name
        assert row["erased_at"] == call_row["erased_at"] == clock.now
        for name in (
            "amount",
            "currency",
            "result",
            "outcome",
            "connector",
            "transaction_id",
            "charge_id",
            "started_at",
        ):
            assert row[name] == before["theirs"][name], name
        assert (await payments(ledger))["other"] == before["other"]
        attempt = await ledger.attempt("t-theirs")
        assert attempt is not None
        assert (attempt.card_number, attempt.token_id, attempt.amount) == ("", "", "10.55")
        assert (attempt.outcome, attempt.charge_id) == (Outcome.SUCCEEDED, "ch_1")

    @pytest.mark.parametrize("asked", ["15550100777", "+15550100777"])
    @pytest.mark.parametrize("known", ["15550100777", "+15550100777"])
    async def test_a_plus_sign_more_or_less_makes_no_other_number(self, ledger: Ledger, asked: str, known: str) -> None:
        await call(ledger, "c", caller=known)
        assert (await ledger.removal.erase_caller(asked)).calls == 1
        assert (await ledger.removal.erase_caller(asked)).calls == 0

    async def test_who_was_called_is_erased_too(self, ledger: Ledger) -> None:
        await ledger.record_call_start("c", sip_call_id="x", caller="shop", dialled=NUMBER, form="f", direction="out")
        await ledger.record_call_end("c", cause="bye")
        assert (await ledger.removal.erase_caller(NUMBER)).calls == 1
        row = (await calls(ledger))["c"]
        assert (row["caller"], row["dialled"]) == ("shop", ERASED)

    async def test_a_call_that_is_not_over_is_left_alone_and_named(self, ledger: Ledger) -> None:
        await call(ledger, "done")
        await call(ledger, "running", over=False)
        erased = await ledger.removal.erase_caller(NUMBER)
        assert (erased.calls, erased.running) == (1, ("running",))
        assert (await ledger.removal.erase_call("running")).running == ("running",)
        assert (await calls(ledger))["running"]["caller"] == NUMBER

    async def test_one_call_is_erased_by_its_identity_even_when_only_its_payments_are_left(
        self, ledger: Ledger, clock: SlidingClock
    ) -> None:
        await call(ledger, "c")
        await payment(ledger, "p", "c")
        await payment(ledger, "q", "another")
        clock.now += timedelta(days=2)
        await retention(ledger, clock, keep_calls_days=1).delete_old()
        erased = await ledger.removal.erase_call("c")
        assert (erased.calls, erased.payments) == (0, 1)
        rows = await payments(ledger)
        assert (rows["p"]["card_number"], rows["q"]["card_number"]) == ("", "************4242")
        assert (await ledger.removal.erase_call("nobody")).payments == 0

    async def test_webhooks_that_were_settled_go_and_those_that_wait_are_delivered(
        self, ledger: Ledger, clock: SlidingClock, backend: Backend
    ) -> None:
        await call(ledger, "c")
        await payment(ledger, "p", "c")
        for number in range(3):
            await ledger.webhooks.enqueue("p", "https://a.example/", b"%d" % number)
        await ledger.webhooks.enqueue("other", "https://a.example/", b"")
        (first, other) = await ledger.webhooks.due(clock.now, 5)
        await ledger.webhooks.delivered(first.id)
        await ledger.webhooks.delivered(other.id)
        await ledger.removal.erase_call("c")
        assert len(backend.rows("outbox")) == 3
        assert len(await ledger.webhooks.due(clock.now, 5)) == 1

    async def test_more_calls_than_a_batch(self, ledger: Ledger) -> None:
        await asyncio.gather(*(call(ledger, f"c{number}") for number in range(BATCH + 1)))
        assert (await ledger.removal.erase_caller(NUMBER)).calls == BATCH + 1

    # A server overwrites what is dead when VACUUM gets there.
    @pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
    async def test_nothing_of_an_erased_caller_is_left_in_the_files(self, ledger: Ledger, backend: Backend) -> None:
        await call(ledger, "c")
        await payment(ledger, "p", "c")
        for secret in (NUMBER, "sip-c@host", "************4242", "tok_1", "cus_1", "Mr Smith"):
            assert secret.encode() in backend.contents(), secret
        await ledger.removal.erase_caller(NUMBER)
        for secret in (NUMBER, "sip-c@host", "************4242", "tok_1", "cus_1", "Mr Smith"):
            assert secret.encode() not in backend.contents(), secret
