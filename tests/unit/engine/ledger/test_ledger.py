"""The ledger: what is written is there after a crash, masked, and says what is known and what is not."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from engine.errors import LedgerError
from engine.ledger import CallMedia, Ledger
from engine.pay.submission import ConnectorAnswer, Operation, Outcome
from tests.support.payments import VISA, SlidingClock, submission_of

pytestmark = pytest.mark.asyncio

CHARGED = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_1")
DECLINED = ConnectorAnswer(outcome=Outcome.DECLINED, error_code="card_declined", error_message="no")
UNKNOWN = ConnectorAnswer(outcome=Outcome.UNKNOWN, error_code="no_answer")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'ledger.sqlite3'}"


@pytest.fixture
def clock() -> SlidingClock:
    return SlidingClock()


@pytest_asyncio.fixture
async def ledger(url: str, clock: SlidingClock) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(url, clock=clock)
    yield ledger
    await ledger.close()


async def start(ledger: Ledger, payment_id: str = "p1", call_id: str = "c1") -> None:
    await ledger.start_payment(
        payment_id, call_id=call_id, form="donation", operation="charge", amount="10.55", currency="usd"
    )


async def journal(ledger: Ledger, transaction_id: str = "t1", payment_id: str = "p1") -> None:
    await ledger.journal_attempt(payment_id, submission_of(transaction_id=transaction_id), "gw")


class TestAttempts:
    async def test_journalled_attempt_is_open_masked_and_complete(self, ledger: Ledger, clock: SlidingClock) -> None:
        await start(ledger)
        await journal(ledger)
        (attempt,) = await ledger.open_attempts()
        assert attempt.transaction_id == "t1"
        assert attempt.payment_id == "p1"
        assert attempt.connector == "gw"
        assert (attempt.operation, attempt.method) == ("charge", "credit-card")
        assert (attempt.amount, attempt.currency) == ("10.55", "usd")
        assert (attempt.card_number, attempt.card_type) == ("************4242", "visa")
        assert attempt.created_at == clock.now
        assert (attempt.outcome, attempt.outcome_at, attempt.reconciled) == (None, None, False)

    async def test_outcome_closes_it(self, ledger: Ledger, clock: SlidingClock) -> None:
        await start(ledger)
        await journal(ledger)
        clock.now += timedelta(seconds=3)
        assert await ledger.record_outcome("t1", CHARGED)
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert (attempt.outcome, attempt.charge_id, attempt.reconciled) == (Outcome.SUCCEEDED, "ch_1", False)
        assert attempt.outcome_at == attempt.created_at + timedelta(seconds=3)
        assert await ledger.open_attempts() == []

    async def test_transaction_id_is_journalled_once(self, ledger: Ledger) -> None:
        await start(ledger)
        await journal(ledger)
        with pytest.raises(LedgerError, match="refuses"):
            await journal(ledger)

    async def test_attempt_needs_its_payment(self, ledger: Ledger) -> None:
        with pytest.raises(LedgerError, match="FOREIGN KEY"):
            await journal(ledger, payment_id="nobody")

    async def test_outcome_needs_its_attempt(self, ledger: Ledger) -> None:
        with pytest.raises(LedgerError, match="never journalled"):
            await ledger.record_outcome("nobody", CHARGED)
        assert await ledger.attempt("nobody") is None

    async def test_unknown_attempts_are_listed_for_the_operator(self, ledger: Ledger) -> None:
        await start(ledger)
        for name, answer in (("t1", CHARGED), ("t2", UNKNOWN), ("t3", DECLINED)):
            await journal(ledger, name)
            await ledger.record_outcome(name, answer)
        assert [attempt.transaction_id for attempt in await ledger.unknown_attempts()] == ["t2"]

    @pytest.mark.parametrize("known", [CHARGED, DECLINED])
    async def test_reconciling_never_overwrites_what_is_known(self, ledger: Ledger, known: ConnectorAnswer) -> None:
        await start(ledger)
        await journal(ledger)
        await ledger.record_outcome("t1", known)
        assert not await ledger.record_outcome("t1", UNKNOWN, reconciled=True)
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert attempt.outcome is known.outcome

    @pytest.mark.parametrize("before", [None, UNKNOWN])
    async def test_reconciling_fills_in_what_is_not_known(self, ledger: Ledger, before: ConnectorAnswer | None) -> None:
        await start(ledger)
        await journal(ledger)
        if before:
            await ledger.record_outcome("t1", before)
        assert await ledger.record_outcome("t1", CHARGED, reconciled=True)
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert (attempt.outcome, attempt.reconciled) == (Outcome.SUCCEEDED, True)

    async def test_our_own_answer_counts_over_a_reconciled_one(self, ledger: Ledger) -> None:
        await start(ledger)
        await journal(ledger)
        await ledger.record_outcome("t1", ConnectorAnswer(outcome=Outcome.FAILED), reconciled=True)
        await ledger.record_outcome("t1", CHARGED)
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert (attempt.outcome, attempt.reconciled) == (Outcome.SUCCEEDED, False)

    async def test_nodes_see_their_own_attempts_only(self, url: str, ledger: Ledger) -> None:
        other = await Ledger.open(url, node="b")
        await start(ledger)
        await journal(ledger, "t1")
        await journal(other, "t2")
        assert [a.transaction_id for a in await other.open_attempts()] == ["t2"]
        assert [a.transaction_id for a in await ledger.open_attempts()] == ["t1"]
        await other.close()

    async def test_line_for_the_log_names_it(self, ledger: Ledger) -> None:
        await start(ledger)
        await journal(ledger)
        (attempt,) = await ledger.open_attempts()
        assert attempt.for_log() == {
            "transaction": "t1",
            "payment": "p1",
            "connector": "gw",
            "amount": "10.55",
            "currency": "usd",
            "outcome": "open",
            "charge": "",
            "error": "",
        }


class TestPayments:
    async def test_finished_payment_is_listed_with_its_last_attempt(self, ledger: Ledger, clock: SlidingClock) -> None:
        await start(ledger)
        for name, answer in (("t1", DECLINED), ("t2", CHARGED)):
            await journal(ledger, name)
            await ledger.record_outcome(name, answer)
        await ledger.finish_payment(
            "p1", result="success", card_number="************4242", card_type="visa", charge_id="ch_1"
        )
        (row,) = await ledger.recent_payments(10)
        assert (row["payment_id"], row["call_id"], row["form"]) == ("p1", "c1", "donation")
        assert (row["result"], row["charge_id"], row["card_number"]) == ("success", "ch_1", "************4242")
        assert (row["transaction_id"], row["outcome"], row["connector"]) == ("t2", "succeeded", "gw")
        assert row["finished_at"] == clock.now

    async def test_newest_come_first_and_only_as_many_as_asked_for(self, ledger: Ledger, clock: SlidingClock) -> None:
        for number in range(4):
            clock.now += timedelta(seconds=1)
            await start(ledger, f"p{number}")
        assert [row["payment_id"] for row in await ledger.recent_payments(2)] == ["p3", "p2"]

    async def test_no_card_number_gets_in_even_when_someone_passes_one(self, ledger: Ledger, tmp_path: Path) -> None:
        await start(ledger)
        await journal(ledger)
        echo = f"card {VISA} refused"
        await ledger.record_outcome("t1", ConnectorAnswer(outcome=Outcome.DECLINED, error_message=echo))
        await ledger.finish_payment("p1", result="payment-connector-error", card_number=VISA, error_message=echo)
        await ledger.close()
        for file in tmp_path.iterdir():
            assert VISA.encode() not in file.read_bytes()

    @pytest.mark.parametrize(
        ("answer", "result", "code"),
        [
            (CHARGED, "success", ""),
            (DECLINED, "internal-error", "interrupted"),
            (UNKNOWN, "internal-error", "unknown"),
            (None, "internal-error", "unknown"),
            ("no attempt", "internal-error", "interrupted"),
        ],
    )
    async def test_payment_left_open_by_a_crash_is_closed_by_its_last_attempt(
        self, ledger: Ledger, answer: ConnectorAnswer | str | None, result: str, code: str
    ) -> None:
        await start(ledger)
        await start(ledger, "done")
        await ledger.finish_payment("done", result="caller-hung-up")
        if answer != "no attempt":
            await journal(ledger)
            if isinstance(answer, ConnectorAnswer):
                await ledger.record_outcome("t1", answer)
        assert await ledger.close_interrupted() == 1
        rows = {row["payment_id"]: row for row in await ledger.recent_payments(10)}
        assert (rows["p1"]["result"], rows["p1"]["error_code"]) == (result, code)
        assert rows["done"]["result"] == "caller-hung-up"
        assert await ledger.close_interrupted() == 0


class TestCalls:
    async def test_call_is_recorded_from_answer_to_end(self, ledger: Ledger, tmp_path: Path) -> None:
        await ledger.record_call_start("c1", sip_call_id="x@y", caller="alice", dialled="pay", form="donation")
        media = CallMedia(
            codec="G722",
            srtp="AEAD_AES_128_GCM",
            packets_in=50,
            packets_lost=1,
            packets_late=2,
            packets_discarded=3,
            jitter_ms=1.5,
            round_trip_ms=None,
            mos=4.25,
        )
        await ledger.record_call_end("c1", cause="caller-hung-up", media=media)
        with closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as database:
            row = database.execute(
                "SELECT sip_call_id, caller, dialled, form, cause, packets_in, packets_lost, packets_late,"
                " packets_discarded, jitter_ms, round_trip_ms, mos, codec, srtp FROM calls"
            ).fetchone()
        assert row == (
            *("x@y", "alice", "pay", "donation", "caller-hung-up", 50, 1, 2, 3, 1.5, None, 4.25),
            *("G722", "AEAD_AES_128_GCM"),
        )

    async def test_call_left_open_by_a_crash_is_closed(self, ledger: Ledger, tmp_path: Path) -> None:
        await ledger.record_call_start("c1", sip_call_id="x", caller="a", dialled="p", form="f")
        await ledger.close_interrupted()
        with closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as database:
            assert database.execute("SELECT cause FROM calls").fetchone() == ("engine-stopped",)

    async def test_overlong_text_of_a_peer_is_cut(self, ledger: Ledger) -> None:
        await ledger.record_call_start("c1", sip_call_id="x" * 999, caller="a" * 999, dialled="p" * 999, form="f")
        await ledger.record_call_end("c1", cause="z" * 999)

    async def test_end_of_a_call_that_was_not_recorded_is_passed_over(self, ledger: Ledger) -> None:
        await ledger.record_call_end("nobody", cause="x")


class TestOutboxTable:
    async def add(self, ledger: Ledger, session: str, name: str) -> int:
        return await ledger.enqueue_webhook(session, f"https://a.example/{name}", name.encode())

    async def test_one_webhook_per_session_is_due_the_oldest(self, ledger: Ledger, clock: SlidingClock) -> None:
        for session, name in (("s1", "a"), ("s1", "b"), ("s2", "c")):
            await self.add(ledger, session, name)
        assert [webhook.body for webhook in await ledger.due_webhooks(clock.now, 10)] == [b"a", b"c"]
        assert [webhook.body for webhook in await ledger.due_webhooks(clock.now, 1)] == [b"a"]

    async def test_next_of_a_session_is_due_when_the_earlier_is_delivered_or_given_up(
        self, ledger: Ledger, clock: SlidingClock
    ) -> None:
        first, second = await self.add(ledger, "s", "a"), await self.add(ledger, "s", "b")
        await self.add(ledger, "s", "c")
        await ledger.webhook_failed(first, "status 503", retry_at=clock.now + timedelta(seconds=9))
        assert await ledger.due_webhooks(clock.now, 10) == []
        assert await ledger.next_webhook_at(clock.now) == clock.now + timedelta(seconds=9)
        (again,) = await ledger.due_webhooks(clock.now + timedelta(seconds=9), 10)
        assert (again.id, again.attempts) == (first, 1)
        await ledger.webhook_delivered(first)
        assert [webhook.id for webhook in await ledger.due_webhooks(clock.now, 10)] == [second]
        await ledger.webhook_failed(second, "status 400", retry_at=None)
        assert [webhook.body for webhook in await ledger.due_webhooks(clock.now, 10)] == [b"c"]

    async def test_everything_that_delivery_needs_comes_back(self, ledger: Ledger, clock: SlidingClock) -> None:
        await ledger.enqueue_webhook(
            "s", "http://a/", b"\x00\xff", content_type="text/plain", key_env="KEY", allow_insecure=True
        )
        (webhook,) = await ledger.due_webhooks(clock.now, 1)
        assert (webhook.body, webhook.content_type) == (b"\x00\xff", "text/plain")
        assert (webhook.key_env, webhook.allow_insecure, webhook.url) == ("KEY", True, "http://a/")

    async def test_only_settled_ones_are_purged(self, ledger: Ledger, clock: SlidingClock) -> None:
        done = await self.add(ledger, "s", "a")
        await self.add(ledger, "s", "b")
        await ledger.webhook_delivered(done)
        assert await ledger.purge_webhooks(clock.now) == 0
        assert await ledger.purge_webhooks(clock.now + timedelta(seconds=1)) == 1
        assert len(await ledger.due_webhooks(clock.now, 10)) == 1


class TestTogether:
    async def test_a_hundred_attempts_at_once_are_all_written(self, ledger: Ledger) -> None:
        await start(ledger)
        await asyncio.gather(*(journal(ledger, f"t{number}") for number in range(100)))
        await asyncio.gather(*(ledger.record_outcome(f"t{number}", CHARGED) for number in range(0, 100, 2)))
        assert len(await ledger.open_attempts()) == 50

    async def test_cancelled_writer_does_not_take_its_transaction_with_it(self, url: str, ledger: Ledger) -> None:
        await start(ledger)
        tasks = [asyncio.create_task(journal(ledger, f"t{number}")) for number in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(result, asyncio.CancelledError) for result in results) == 10
        await ledger.close()
        again = await Ledger.open(url)
        assert len(await again.open_attempts()) == 20
        await again.close()

    async def test_all_is_there_after_a_new_start(self, url: str, ledger: Ledger) -> None:
        await start(ledger)
        await journal(ledger)
        await ledger.close()
        again = await Ledger.open(url)
        assert [attempt.transaction_id for attempt in await again.open_attempts()] == ["t1"]
        await again.close()

    async def test_naive_time_is_refused(self, url: str) -> None:
        naive = await Ledger.open(url, clock=lambda: SlidingClock().now.replace(tzinfo=None))
        with pytest.raises((LedgerError, ValueError)):
            await start(naive)
        await naive.close()

    async def test_tokenizing_is_journalled_without_an_amount(self, ledger: Ledger) -> None:
        await start(ledger)
        await ledger.journal_attempt("p1", submission_of(operation=Operation.TOKENIZE, amount=""), "gw")
        (attempt,) = await ledger.open_attempts()
        assert (attempt.operation, attempt.amount) == ("tokenize", "")
