"""The ledger, on SQLite and PostgreSQL: what is written is there after a crash, masked, and says what is known."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from engine.errors import LedgerError
from engine.ledger import CallMedia, Ledger
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, PaymentMethod, Submission
from tests.support.ledger_backend import Backend
from tests.support.payments import VISA, SlidingClock, secret_of, submission_of

pytestmark = pytest.mark.asyncio

CHARGED = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_1")
DECLINED = ConnectorAnswer(outcome=Outcome.DECLINED, error_code="card_declined", error_message="no")
UNKNOWN = ConnectorAnswer(outcome=Outcome.UNKNOWN, error_code="no_answer")


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
        with pytest.raises(LedgerError, match=r"(?i)foreign key"):
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


class TestTextsOfGateways:
    async def test_overlong_and_unstorable_words_of_a_gateway_are_made_to_fit(self, ledger: Ledger) -> None:
        await start(ledger)
        await journal(ledger)
        words = "\x00\ud800" + "w" * 999
        answer = ConnectorAnswer(
            outcome=Outcome.DECLINED, charge_id=words, token_id=words, error_code=words, error_message=words
        )
        assert await ledger.record_outcome("t1", answer)
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert attempt.charge_id == attempt.token_id == "\ufffd\ufffd" + "w" * 253
        assert (len(attempt.error_code), len(attempt.error_message)) == (128, 500)
        await ledger.finish_payment("p1", result="x", charge_id=words, error_code=words, error_message=words)
        (row,) = await ledger.recent_payments(1)
        assert (len(row["charge_id"]), len(row["error_code"]), len(row["error_message"])) == (255, 128, 500)

    @pytest.mark.parametrize("name", ["t" * 65, "t\x00", "t\ud800"])
    async def test_an_identity_is_refused_and_never_changed(self, ledger: Ledger, name: str) -> None:
        await start(ledger)
        with pytest.raises(LedgerError, match="refuses the entry: an identity or amount"):
            await journal(ledger, name)
        assert await ledger.open_attempts() == []
        await journal(ledger, "t1")
        assert len(await ledger.open_attempts()) == 1


class TestSettling:
    async def attempt(self, ledger: Ledger, answer: ConnectorAnswer | None) -> None:
        await start(ledger)
        await journal(ledger)
        if answer is not None:
            await ledger.record_outcome("t1", answer)

    @pytest.mark.parametrize(("charged", "outcome"), [(True, Outcome.SUCCEEDED), (False, Outcome.FAILED)])
    async def test_operator_settles_what_nobody_knew(
        self, ledger: Ledger, clock: SlidingClock, charged: bool, outcome: Outcome
    ) -> None:
        await self.attempt(ledger, UNKNOWN)
        await ledger.finish_payment("p1", result="payment-connector-error")
        clock.now += timedelta(hours=1)
        record = await ledger.settle("t1", charged=charged, by="ann", note="seen in the books", charge_id="ch_9")
        assert (record.outcome, record.charge_id, record.outcome_at) == (outcome, "ch_9", clock.now)
        (row,) = await ledger.recent_payments(1)
        assert (row["result"], row["outcome"]) == ("payment-connector-error", outcome)
        assert (row["settled_by"], row["settled_at"], row["settle_note"]) == ("ann", clock.now, "seen in the books")
        assert await ledger.unknown_attempts() == []

    @pytest.mark.parametrize(
        ("answer", "message"), [(CHARGED, "known: succeeded"), (DECLINED, "known: declined"), (None, "still open")]
    )
    async def test_only_what_nobody_knows_can_be_settled(
        self, ledger: Ledger, answer: ConnectorAnswer | None, message: str
    ) -> None:
        await self.attempt(ledger, answer)
        with pytest.raises(LedgerError, match=message):
            await ledger.settle("t1", charged=True, by="ann", note="")
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert attempt.outcome is (None if answer is None else answer.outcome)

    async def test_settling_needs_an_attempt_and_happens_once(self, ledger: Ledger) -> None:
        with pytest.raises(LedgerError, match="there is no attempt"):
            await ledger.settle("t1", charged=True, by="ann", note="")
        await self.attempt(ledger, UNKNOWN)
        await ledger.settle("t1", charged=True, by="ann", note="")
        with pytest.raises(LedgerError, match="known: succeeded"):
            await ledger.settle("t1", charged=False, by="bob", note="")

    async def test_a_card_number_in_a_note_is_masked(self, ledger: Ledger, backend: Backend) -> None:
        await self.attempt(ledger, UNKNOWN)
        await ledger.settle("t1", charged=True, by="ann", note=f"card {VISA} in the books")
        assert VISA.encode() not in backend.contents()


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

    async def test_payment_keeps_what_an_operator_compares(self, ledger: Ledger) -> None:
        await ledger.start_payment(
            "p1",
            call_id="c",
            form="f",
            operation="charge",
            amount="1.00",
            currency="usd",
            direction="out",
            connector="a",
        )
        (row,) = await ledger.recent_payments(1)
        assert (row["direction"], row["connector"], row["attempts"], row["outcome"]) == ("out", "a", 0, None)
        for name, answer in (("t1", DECLINED), ("t2", UNKNOWN)):
            await journal(ledger, name)
            (row,) = await ledger.recent_payments(1)
            assert (row["transaction_id"], row["outcome"], row["connector"]) == (name, None, "gw")
            await ledger.record_outcome(name, answer)
        (row,) = await ledger.recent_payments(1)
        assert (row["attempts"], row["outcome"], row["card_number"]) == (2, "unknown", "************4242")
        # What is found out about an earlier attempt is not the payment's outcome.
        await ledger.record_outcome("t1", CHARGED)
        (row,) = await ledger.recent_payments(1)
        assert row["outcome"] == "unknown"
        await ledger.record_outcome("t2", CHARGED, reconciled=True)
        (row,) = await ledger.recent_payments(1)
        assert (row["outcome"], row["reconciled"]) == ("succeeded", True)

    async def test_bank_debit_keeps_the_last_two_of_the_account(self, ledger: Ledger, backend: Backend) -> None:
        await start(ledger)
        submission = Submission(
            transaction_id="t1",
            operation=Operation.TOKENIZE,
            method=PaymentMethod.ACH_DEBIT,
            account_number=secret_of("000123456789"),
            account_type="consumer-checking",
        )
        await ledger.journal_attempt("p1", submission, "gw")
        (row,) = await ledger.recent_payments(1)
        assert (row["method"], row["account_number"]) == ("ach-debit", "**********89")
        assert (row["account_type"], row["token_type"]) == ("consumer-checking", "reusable")
        # A number that somebody forgot to mask is masked here.
        await ledger.finish_payment("p1", result="success", account_number="000123456789", profile_id="cus_1")
        (row,) = await ledger.recent_payments(1)
        assert (row["account_number"], row["profile_id"], row["method"]) == ("**********89", "cus_1", "ach-debit")
        assert b"123456789" not in backend.contents()

    async def test_newest_come_first_and_only_as_many_as_asked_for(self, ledger: Ledger, clock: SlidingClock) -> None:
        for number in range(4):
            clock.now += timedelta(seconds=1)
            await start(ledger, f"p{number}")
        assert [row["payment_id"] for row in await ledger.recent_payments(2)] == ["p3", "p2"]

    async def test_no_card_number_gets_in_even_when_someone_passes_one(self, ledger: Ledger, backend: Backend) -> None:
        await start(ledger)
        await journal(ledger)
        echo = f"card {VISA} refused"
        await ledger.record_outcome("t1", ConnectorAnswer(outcome=Outcome.DECLINED, error_message=echo))
        await ledger.finish_payment("p1", result="payment-connector-error", card_number=VISA, error_message=echo)
        contents = backend.contents()
        assert b"payment-connector-error" in contents
        assert VISA.encode() not in contents

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
        assert await ledger.interrupted.close() == 1
        rows = {row["payment_id"]: row for row in await ledger.recent_payments(10)}
        assert (rows["p1"]["result"], rows["p1"]["error_code"]) == (result, code)
        assert rows["done"]["result"] == "caller-hung-up"
        assert await ledger.interrupted.close() == 0


class TestCalls:
    async def test_call_is_recorded_from_answer_to_end(self, ledger: Ledger, backend: Backend) -> None:
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
        (row,) = backend.rows("calls")
        assert [row[name] for name in ("sip_call_id", "caller", "dialled", "form", "cause")] == [
            *("x@y", "alice", "pay", "donation", "caller-hung-up")
        ]
        assert [row[name] for name in ("packets_in", "packets_lost", "packets_late", "packets_discarded")] == [
            50,
            1,
            2,
            3,
        ]
        assert [row[name] for name in ("jitter_ms", "round_trip_ms", "mos")] == [1.5, None, 4.25]
        assert (row["codec"], row["srtp"]) == ("G722", "AEAD_AES_128_GCM")

    async def test_call_left_open_by_a_crash_is_closed(self, ledger: Ledger, backend: Backend) -> None:
        await ledger.record_call_start("c1", sip_call_id="x", caller="a", dialled="p", form="f")
        await ledger.interrupted.close()
        assert [row["cause"] for row in backend.rows("calls")] == ["engine-stopped"]

    async def test_overlong_text_of_a_peer_is_cut(self, ledger: Ledger, backend: Backend) -> None:
        await ledger.record_call_start("c1", sip_call_id="x" * 999, caller="ä" * 999, dialled="p" * 999, form="f" * 999)
        await ledger.record_call_end("c1", cause="z" * 999)
        (row,) = backend.rows("calls")
        lengths = [len(row[name]) for name in ("sip_call_id", "caller", "dialled", "form", "cause")]
        assert lengths == [255, 128, 128, 128, 64]

    async def test_what_no_database_keeps_is_replaced_in_a_text_of_a_peer(
        self, ledger: Ledger, backend: Backend
    ) -> None:
        await ledger.record_call_start("c1", sip_call_id="a\x00b", caller="\ud800x\udfff", dialled="\x00", form="f")
        await ledger.record_call_end("c1", cause="\udc80")
        (row,) = backend.rows("calls")
        assert [row[name] for name in ("sip_call_id", "caller", "dialled", "cause")] == [
            *("a\ufffdb", "\ufffdx\ufffd", "\ufffd", "\ufffd")
        ]

    async def test_figures_that_no_database_keeps_are_made_to_fit(self, ledger: Ledger, backend: Backend) -> None:
        media = CallMedia(
            codec="an overlong name of a codec",
            srtp="",
            packets_in=2**40,
            packets_lost=-(2**40),
            packets_late=0,
            packets_discarded=0,
            jitter_ms=float("nan"),
            round_trip_ms=float("inf"),
            mos=1.0,
        )
        await ledger.record_call_start("c1", sip_call_id="x", caller="a", dialled="p", form="f")
        await ledger.record_call_end("c1", cause="x", media=media)
        (row,) = backend.rows("calls")
        assert (row["packets_in"], row["packets_lost"]) == (2**31 - 1, -(2**31 - 1))
        assert (row["jitter_ms"], row["round_trip_ms"], row["codec"]) == (None, None, "an overlong name")

    async def test_end_of_a_call_that_was_not_recorded_is_passed_over(self, ledger: Ledger) -> None:
        await ledger.record_call_end("nobody", cause="x")


class TestOutboxTable:
    async def add(self, ledger: Ledger, session: str, name: str) -> int:
        return await ledger.webhooks.enqueue(session, f"https://a.example/{name}", name.encode())

    async def test_one_webhook_per_session_is_due_the_oldest(self, ledger: Ledger, clock: SlidingClock) -> None:
        for session, name in (("s1", "a"), ("s1", "b"), ("s2", "c")):
            await self.add(ledger, session, name)
        assert [webhook.request.body for webhook in await ledger.webhooks.due(clock.now, 10)] == [b"a", b"c"]
        assert [webhook.request.body for webhook in await ledger.webhooks.due(clock.now, 1)] == [b"a"]

    async def test_next_of_a_session_is_due_when_the_earlier_is_delivered_or_given_up(
        self, ledger: Ledger, clock: SlidingClock
    ) -> None:
        first, second = await self.add(ledger, "s", "a"), await self.add(ledger, "s", "b")
        await self.add(ledger, "s", "c")
        await ledger.webhooks.failed(first, "status 503", retry_at=clock.now + timedelta(seconds=9))
        assert await ledger.webhooks.due(clock.now, 10) == []
        assert await ledger.webhooks.next_at(clock.now) == clock.now + timedelta(seconds=9)
        (again,) = await ledger.webhooks.due(clock.now + timedelta(seconds=9), 10)
        assert (again.id, again.attempts) == (first, 1)
        await ledger.webhooks.delivered(first)
        assert [webhook.id for webhook in await ledger.webhooks.due(clock.now, 10)] == [second]
        await ledger.webhooks.failed(second, "status 400", retry_at=None)
        assert [webhook.request.body for webhook in await ledger.webhooks.due(clock.now, 10)] == [b"c"]

    async def test_everything_that_delivery_needs_comes_back(self, ledger: Ledger, clock: SlidingClock) -> None:
        await ledger.webhooks.enqueue(
            "s", "http://a/", b"\x00\xff", content_type="text/plain", key_env="KEY", allow_insecure=True
        )
        webhook = (await ledger.webhooks.due(clock.now, 1))[0].request
        assert (webhook.body, webhook.content_type) == (b"\x00\xff", "text/plain")
        assert (webhook.key_env, webhook.allow_insecure, webhook.url) == ("KEY", True, "http://a/")

    async def test_only_settled_ones_are_purged(self, ledger: Ledger, clock: SlidingClock) -> None:
        done = await self.add(ledger, "s", "a")
        await self.add(ledger, "s", "b")
        await ledger.webhooks.delivered(done)
        assert await ledger.webhooks.purge(clock.now) == 0
        assert await ledger.webhooks.purge(clock.now + timedelta(seconds=1)) == 1
        assert len(await ledger.webhooks.due(clock.now, 10)) == 1


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
