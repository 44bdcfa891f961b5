"""Charging: journal, send, wipe, outcome, in this order and whatever happens."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.charging import RECORD_RETRIES_S, Charging
from engine.connectors import SandboxGateway
from engine.errors import LedgerError
from engine.ledger import Ledger
from engine.pay.submission import ConnectorAnswer, Outcome, Submission
from tests.support.payments import VISA, SlidingClock, submission_of

pytestmark = pytest.mark.asyncio

CHARGED = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_1")


class ScriptedConnector:
    """Answers as told, and notes what it saw."""

    def __init__(self, answer: ConnectorAnswer | BaseException = CHARGED) -> None:
        self.name = "gw"
        self.answer = answer
        self.seen: list[str] = []
        self.looked_up: list[str] = []
        self.known: dict[str, ConnectorAnswer | Exception | None] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.on_submit: Callable[[Submission], Any] = lambda _: None

    async def submit(self, submission: Submission) -> ConnectorAnswer:
        assert submission.card_number is not None
        self.seen.append(submission.transaction_id)
        assert submission.card_number.view() == VISA.encode()
        result = self.on_submit(submission)
        if asyncio.iscoroutine(result):
            await result
        self.entered.set()
        await self.gate.wait()
        # Still there at the end: whoever waits may be gone, the connector may have to repeat.
        assert submission.card_number.view() == VISA.encode()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    async def look_up(self, transaction_id: str) -> ConnectorAnswer | None:
        self.looked_up.append(transaction_id)
        known = self.known.get(transaction_id)
        if isinstance(known, Exception):
            raise known
        return known

    async def close(self) -> None: ...


@pytest.fixture
def clock() -> SlidingClock:
    return SlidingClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest_asyncio.fixture
async def ledger(path: Path, clock: SlidingClock) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock, busy_timeout_s=0.05)
    await start(ledger)
    yield ledger
    await ledger.close()


async def start(ledger: Ledger) -> None:
    await ledger.start_payment("p1", call_id="c1", form="f", operation="charge", amount="10.55", currency="usd")


@pytest_asyncio.fixture
async def connector() -> ScriptedConnector:
    return ScriptedConnector()


@pytest.fixture
def charging(ledger: Ledger, connector: ScriptedConnector, clock: SlidingClock) -> Charging:
    return Charging(ledger, {"gw": connector}, clock=clock, sleep=clock.sleep)


def is_wiped(submission: Submission) -> bool:
    assert submission.card_number is not None
    assert submission.security_code is not None
    return submission.card_number.wiped and submission.security_code.wiped


class TestCharge:
    async def test_journal_comes_before_the_first_byte_and_outcome_after(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector
    ) -> None:
        async def journalled(submission: Submission) -> None:
            (attempt,) = await ledger.open_attempts()
            assert attempt.transaction_id == submission.transaction_id

        connector.on_submit = journalled
        submission = submission_of(transaction_id="t1")
        assert await charging.charge("p1", submission, "gw") == CHARGED
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert (attempt.outcome, attempt.charge_id) == (Outcome.SUCCEEDED, "ch_1")
        assert is_wiped(submission)

    @pytest.mark.parametrize("outcome", list(Outcome))
    async def test_every_outcome_is_recorded_and_wipes(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector, outcome: Outcome
    ) -> None:
        connector.answer = ConnectorAnswer(outcome=outcome, error_code="x")
        submission = submission_of(transaction_id="t1")
        assert (await charging.charge("p1", submission, "gw")).outcome is outcome
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert (attempt.outcome, is_wiped(submission)) == (outcome, True)

    async def test_connector_that_breaks_down_leaves_the_outcome_unknown_and_its_text_unsaid(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector, caplog: pytest.LogCaptureFixture
    ) -> None:
        connector.answer = RuntimeError(f"could not send {VISA}")
        submission = submission_of(transaction_id="t1")
        caplog.set_level(logging.DEBUG, "engine")
        answer = await charging.charge("p1", submission, "gw")
        assert (answer.outcome, answer.error_code) == (Outcome.UNKNOWN, "internal")
        assert [attempt.transaction_id for attempt in await ledger.unknown_attempts()] == ["t1"]
        assert is_wiped(submission)
        assert VISA not in caplog.text + str([record.__dict__ for record in caplog.records]) + repr(answer)

    async def test_nothing_is_sent_when_the_journal_cannot_be_written(
        self, charging: Charging, connector: ScriptedConnector, path: Path
    ) -> None:
        submission = submission_of(transaction_id="t1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            answer = await charging.charge("p1", submission, "gw")
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, "ledger")
        assert (connector.seen, is_wiped(submission)) == ([], True)

    async def test_id_that_was_journalled_before_is_not_sent_again(
        self, charging: Charging, connector: ScriptedConnector
    ) -> None:
        await charging.charge("p1", submission_of(transaction_id="t1"), "gw")
        second = submission_of(transaction_id="t1")
        answer = await charging.charge("p1", second, "gw")
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, "ledger")
        assert (connector.seen, is_wiped(second)) == (["t1"], True)

    async def test_same_transaction_asked_for_twice_at_once_is_sent_once_and_has_one_answer(
        self, charging: Charging, connector: ScriptedConnector
    ) -> None:
        submission = submission_of(transaction_id="t1")
        answers = await asyncio.gather(*(charging.charge("p1", submission, "gw") for _ in range(3)))
        assert answers == [CHARGED] * 3
        assert connector.seen == ["t1"]

    async def test_unknown_connector_fails_without_a_trace_of_the_card(self, charging: Charging) -> None:
        submission = submission_of()
        answer = await charging.charge("p1", submission, "nobody")
        assert (answer.outcome, answer.error_code, is_wiped(submission)) == (Outcome.FAILED, "connector", True)

    async def test_submission_without_a_security_code_is_taken(self, charging: Charging) -> None:
        submission = submission_of(transaction_id="t1", security_code="")
        assert (await charging.charge("p1", submission, "gw")).outcome is Outcome.SUCCEEDED


class TestWhoeverWaitsMayGo:
    async def test_cancelled_caller_loses_neither_result_nor_outcome(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector
    ) -> None:
        connector.gate.clear()
        submission = submission_of(transaction_id="t1")
        waiting = asyncio.create_task(charging.charge("p1", submission, "gw"))
        await connector.entered.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not is_wiped(submission)  # in use: the connector may have to repeat
        connector.gate.set()
        await charging.drain()
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert (attempt.outcome, is_wiped(submission)) == (Outcome.SUCCEEDED, True)

    async def test_work_that_is_torn_down_is_wiped_and_stays_open_for_the_next_start(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector
    ) -> None:
        connector.gate.clear()
        submission = submission_of(transaction_id="t1")
        waiting = asyncio.create_task(charging.charge("p1", submission, "gw"))
        await connector.entered.wait()
        for task in charging._running.values():  # as the end of asyncio.run does
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert is_wiped(submission)
        assert [attempt.transaction_id for attempt in await ledger.open_attempts()] == ["t1"]

    async def test_drain_with_nothing_to_do_returns(self, charging: Charging) -> None:
        await charging.drain()


class TestLockedAfterSending:
    async def test_answer_is_given_at_once_and_written_when_the_lock_is_gone(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector, path: Path
    ) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            connector.on_submit = lambda _: other.execute("BEGIN EXCLUSIVE")
            assert await charging.charge("p1", submission_of(transaction_id="t1"), "gw") == CHARGED
        await charging.drain()
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert attempt.charge_id == "ch_1"

    async def test_lock_that_stays_leaves_the_attempt_open_and_says_so(
        self,
        charging: Charging,
        ledger: Ledger,
        connector: ScriptedConnector,
        path: Path,
        clock: SlidingClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            connector.on_submit = lambda _: other.execute("BEGIN EXCLUSIVE")
            await charging.charge("p1", submission_of(transaction_id="t1"), "gw")
            await charging.drain()
        assert clock.slept == list(RECORD_RETRIES_S)
        assert "stays open until the next start" in caplog.text
        assert len(await ledger.open_attempts()) == 1


class TestReconcile:
    async def journal(self, ledger: Ledger, *names: str, connector: str = "gw") -> None:
        for name in names:
            await ledger.journal_attempt("p1", submission_of(transaction_id=name), connector)

    @pytest.mark.parametrize(
        ("known", "outcome", "code"),
        [
            (CHARGED, Outcome.SUCCEEDED, ""),
            (ConnectorAnswer(outcome=Outcome.DECLINED, error_code="d"), Outcome.DECLINED, "d"),
            (ConnectorAnswer(outcome=Outcome.FAILED, error_code="not_found"), Outcome.FAILED, "not_found"),
            (None, Outcome.UNKNOWN, "unknown"),
            (OSError("down"), Outcome.UNKNOWN, "unknown"),
        ],
    )
    async def test_open_attempt_gets_what_the_gateway_knows(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector, known: Any, outcome: Outcome, code: str
    ) -> None:
        await self.journal(ledger, "t1")
        connector.known["t1"] = known
        (record,) = await charging.reconcile()
        assert (record.outcome, record.error_code, record.reconciled) == (outcome, code, True)
        assert (connector.looked_up, connector.seen) == (["t1"], [])
        assert await ledger.open_attempts() == []

    async def test_attempt_left_unknown_is_asked_about_at_each_start_until_it_is_known(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector
    ) -> None:
        await self.journal(ledger, "t1")
        assert len(await charging.reconcile()) == 1
        assert await charging.reconcile() == []
        assert len(await ledger.unknown_attempts()) == 1
        connector.known["t1"] = CHARGED
        (record,) = await charging.reconcile()
        assert record.outcome is Outcome.SUCCEEDED
        assert await ledger.unknown_attempts() == []
        assert await charging.reconcile() == []

    async def test_attempt_of_a_connector_that_is_gone_is_unknown(self, charging: Charging, ledger: Ledger) -> None:
        await self.journal(ledger, "t1", connector="removed")
        (record,) = await charging.reconcile()
        assert record.outcome is Outcome.UNKNOWN

    async def test_payment_left_open_is_closed_by_what_was_found(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector
    ) -> None:
        await self.journal(ledger, "t1")
        connector.known["t1"] = CHARGED
        await charging.reconcile()
        (row,) = await ledger.recent_payments(1)
        assert (row["result"], row["charge_id"]) == ("success", "ch_1")

    async def test_attempt_under_way_is_left_alone(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector
    ) -> None:
        connector.gate.clear()
        waiting = asyncio.create_task(charging.charge("p1", submission_of(transaction_id="t1"), "gw"))
        await connector.entered.wait()
        assert await charging.reconcile() == []
        connector.gate.set()
        assert await waiting == CHARGED

    async def test_nothing_is_reconciled_while_another_engine_runs(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector, path: Path
    ) -> None:
        other = await Ledger.open(f"sqlite+aiosqlite:///{path}")
        other.claim()
        await self.journal(ledger, "t1")
        with pytest.raises(LedgerError, match="another engine"):
            await charging.reconcile()
        assert connector.looked_up == []
        await other.close()

    @pytest.mark.parametrize(
        ("fault", "outcome", "rows"),
        [("reset_after", Outcome.SUCCEEDED, 1), ("reset_before", Outcome.FAILED, 0), ("garbage", Outcome.SUCCEEDED, 1)],
    )
    async def test_with_the_sandbox_an_unknown_outcome_is_found_out(
        self, ledger: Ledger, clock: SlidingClock, tmp_path: Path, fault: str, outcome: Outcome, rows: int
    ) -> None:
        sandbox = await SandboxGateway.open("gw", database=str(tmp_path / "sandbox.sqlite3"), faults=[fault])
        charging = Charging(ledger, {"gw": sandbox}, clock=clock)
        answer = await charging.charge("p1", submission_of(transaction_id="t1"), "gw")
        assert answer.outcome is Outcome.UNKNOWN
        (record,) = await charging.reconcile()
        assert (record.outcome, record.reconciled) == (outcome, True)
        assert len(await sandbox.transactions()) == rows
        await sandbox.close()
