"""Reconciling: what became of attempts whose answer never came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.charging import Charging
from engine.connectors import SandboxGateway
from engine.connectors.protocol import Capabilities
from engine.errors import LedgerError
from engine.ledger import Ledger
from engine.pay.submission import ConnectorAnswer, Outcome
from engine.reconciling import ASK_AGAIN_S, GIVE_UP_S, Reconciler
from tests.support.connectors import CHARGED, ScriptedConnector
from tests.support.payments import SlidingClock, submission_of

pytestmark = pytest.mark.asyncio

NOT_FOUND = ConnectorAnswer(outcome=Outcome.FAILED, error_code="not_found")
UNKNOWN = ConnectorAnswer(outcome=Outcome.UNKNOWN, error_code="no_answer")


@pytest.fixture
def clock() -> SlidingClock:
    return SlidingClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest_asyncio.fixture
async def ledger(path: Path, clock: SlidingClock) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock, busy_timeout_s=0.05)
    await ledger.start_payment("p1", call_id="c1", form="f", operation="charge", amount="10.55", currency="usd")
    yield ledger
    await ledger.close()


@pytest_asyncio.fixture
async def connector() -> ScriptedConnector:
    return ScriptedConnector()


@pytest.fixture
def charging(ledger: Ledger, connector: ScriptedConnector, clock: SlidingClock) -> Charging:
    return Charging(ledger, {"gw": connector}, sleep=clock.sleep)


@pytest.fixture
def reconciler(ledger: Ledger, connector: ScriptedConnector, clock: SlidingClock, charging: Charging) -> Reconciler:
    return Reconciler(ledger, {"gw": connector}, is_running=charging.is_running, clock=clock, sleep=clock.sleep)


class TestAtStart:
    async def journal(self, ledger: Ledger, *names: str, connector: str = "gw") -> None:
        for name in names:
            await ledger.journal_attempt("p1", submission_of(transaction_id=name), connector)

    @pytest.mark.parametrize(
        ("known", "outcome", "code"),
        [
            (CHARGED, Outcome.SUCCEEDED, ""),
            (ConnectorAnswer(outcome=Outcome.DECLINED, error_code="d"), Outcome.DECLINED, "d"),
            (None, Outcome.UNKNOWN, "unknown"),
            (OSError("down"), Outcome.UNKNOWN, "unknown"),
        ],
    )
    async def test_open_attempt_gets_what_the_gateway_knows(
        self,
        reconciler: Reconciler,
        ledger: Ledger,
        connector: ScriptedConnector,
        known: Any,
        outcome: Outcome,
        code: str,
    ) -> None:
        await self.journal(ledger, "t1")
        connector.known["t1"] = known
        (record,) = await reconciler.at_start()
        assert (record.outcome, record.error_code, record.reconciled) == (outcome, code, True)
        assert (connector.looked_up, connector.seen) == (["t1"], [])
        assert await ledger.open_attempts() == []

    async def test_attempt_left_unknown_is_asked_about_at_each_start_until_it_is_known(
        self, reconciler: Reconciler, ledger: Ledger, connector: ScriptedConnector
    ) -> None:
        await self.journal(ledger, "t1")
        assert len(await reconciler.at_start()) == 1
        assert await reconciler.at_start() == []
        assert len(await ledger.unknown_attempts()) == 1
        connector.known["t1"] = CHARGED
        (record,) = await reconciler.at_start()
        assert record.outcome is Outcome.SUCCEEDED
        assert await ledger.unknown_attempts() == []
        assert await reconciler.at_start() == []

    async def test_attempt_of_a_connector_that_is_gone_is_unknown(self, reconciler: Reconciler, ledger: Ledger) -> None:
        await self.journal(ledger, "t1", connector="removed")
        (record,) = await reconciler.at_start()
        assert record.outcome is Outcome.UNKNOWN

    async def test_payment_left_open_is_closed_by_what_was_found(
        self, reconciler: Reconciler, ledger: Ledger, connector: ScriptedConnector
    ) -> None:
        await self.journal(ledger, "t1")
        connector.known["t1"] = CHARGED
        await reconciler.at_start()
        (row,) = await ledger.recent_payments(1)
        assert (row["result"], row["charge_id"]) == ("success", "ch_1")

    async def test_attempt_under_way_is_left_alone(
        self, reconciler: Reconciler, charging: Charging, connector: ScriptedConnector
    ) -> None:
        connector.gate.clear()
        waiting = asyncio.create_task(charging.charge("p1", submission_of(transaction_id="t1"), "gw"))
        await connector.entered.wait()
        assert await reconciler.at_start() == []
        connector.gate.set()
        assert await waiting == CHARGED

    async def test_nothing_is_reconciled_while_another_engine_runs(
        self, reconciler: Reconciler, ledger: Ledger, connector: ScriptedConnector, path: Path
    ) -> None:
        other = await Ledger.open(f"sqlite+aiosqlite:///{path}")
        await other.claim()
        await self.journal(ledger, "t1")
        with pytest.raises(LedgerError, match="another engine"):
            await reconciler.at_start()
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
        charging = Charging(ledger, {"gw": sandbox})
        reconciler = Reconciler(ledger, {"gw": sandbox}, is_running=charging.is_running, clock=clock)
        answer = await charging.charge("p1", submission_of(transaction_id="t1"), "gw")
        assert answer.outcome is Outcome.UNKNOWN
        (record,) = await reconciler.at_start()
        assert (record.outcome, record.reconciled) == (outcome, True)
        assert len(await sandbox.transactions()) == rows
        await sandbox.close()


class TestAbsence:
    """A gateway that never received an attempt is believed when nothing can be under way any more."""

    async def test_fresh_attempt_that_the_gateway_does_not_know_is_unknown_and_not_failed(
        self, reconciler: Reconciler, ledger: Ledger, connector: ScriptedConnector, clock: SlidingClock
    ) -> None:
        await ledger.journal_attempt("p1", submission_of(transaction_id="t1"), "gw")
        connector.known["t1"] = NOT_FOUND
        (record,) = await reconciler.at_start()
        assert record.outcome is Outcome.UNKNOWN

    async def test_old_attempt_that_the_gateway_does_not_know_has_failed(
        self, reconciler: Reconciler, ledger: Ledger, connector: ScriptedConnector, clock: SlidingClock
    ) -> None:
        await ledger.journal_attempt("p1", submission_of(transaction_id="t1"), "gw")
        connector.known["t1"] = NOT_FOUND
        clock.now += timedelta(seconds=Capabilities().absence_final_after_s)
        (record,) = await reconciler.at_start()
        assert (record.outcome, record.error_code) == (Outcome.FAILED, "not_found")


class Background:
    """A reconciler at work."""

    def __init__(self, reconciler: Reconciler) -> None:
        self.reconciler = reconciler

    async def __aenter__(self) -> Background:
        self.reconciler.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.reconciler.stop()


class GatedClock(SlidingClock):
    """A clock whose sleepers are let go one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = asyncio.Event()
        self.waiting: asyncio.Future[None] | None = None

    async def sleep(self, seconds: float) -> None:
        """Wait to be let go."""
        self.slept.append(seconds)
        self.waiting = asyncio.get_running_loop().create_future()
        self.asleep.set()
        await self.waiting

    async def let_go(self) -> None:
        """Wait until somebody sleeps, and let their time pass."""
        await asyncio.wait_for(self.asleep.wait(), 5.0)
        self.asleep.clear()
        self.now += timedelta(seconds=self.slept[-1])
        assert self.waiting is not None
        self.waiting.set_result(None)


class TestInTheBackground:
    @pytest.fixture
    def clock(self) -> GatedClock:
        return GatedClock()

    async def unknown(self, ledger: Ledger, *names: str) -> None:
        for name in names:
            await ledger.journal_attempt("p1", submission_of(transaction_id=name), "gw")
            await ledger.record_outcome(name, UNKNOWN)

    async def test_unknown_attempt_is_asked_about_ever_less_often_until_it_is_known(
        self, reconciler: Reconciler, ledger: Ledger, connector: ScriptedConnector, clock: GatedClock
    ) -> None:
        await self.unknown(ledger, "t1")
        async with Background(reconciler):
            for _ in range(8):
                await clock.let_go()
            await asyncio.wait_for(clock.asleep.wait(), 5.0)
            assert len(connector.looked_up) == 8
            assert clock.slept == [ASK_AGAIN_S[0], *ASK_AGAIN_S, ASK_AGAIN_S[-1], ASK_AGAIN_S[-1]]
            connector.known["t1"] = CHARGED
            await clock.let_go()
            async with asyncio.timeout(5.0):
                while await ledger.unknown_attempts():
                    await asyncio.sleep(0)
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert (attempt.outcome, attempt.charge_id, attempt.reconciled) == (Outcome.SUCCEEDED, "ch_1", True)
        assert connector.seen == []

    async def test_attempt_that_becomes_unknown_while_nothing_was_is_taken_up(
        self, reconciler: Reconciler, ledger: Ledger, connector: ScriptedConnector, clock: GatedClock
    ) -> None:
        connector.answer = UNKNOWN
        charging = Charging(ledger, {"gw": connector}, on_unknown=reconciler.wake)
        async with Background(reconciler):
            await charging.charge("p1", submission_of(transaction_id="t1"), "gw")
            await clock.let_go()
            await asyncio.wait_for(clock.asleep.wait(), 5.0)
        assert connector.looked_up == ["t1"]

    async def test_connector_that_cannot_be_asked_leaves_it_to_the_operator(
        self, reconciler: Reconciler, ledger: Ledger, connector: ScriptedConnector, clock: GatedClock
    ) -> None:
        connector.capabilities = Capabilities(looks_up=False)
        await self.unknown(ledger, "t1")
        assert await reconciler._pass() is None
        assert (connector.looked_up, clock.slept) == ([], [])
        assert len(await ledger.unknown_attempts()) == 1

    async def test_attempt_of_a_week_is_no_longer_asked_about(
        self, reconciler: Reconciler, ledger: Ledger, connector: ScriptedConnector, clock: GatedClock
    ) -> None:
        await self.unknown(ledger, "t1")
        clock.now += timedelta(seconds=GIVE_UP_S)
        assert await reconciler._pass() is None
        assert connector.looked_up == []

    async def test_one_connector_that_breaks_down_does_not_keep_others_from_being_asked(
        self, ledger: Ledger, connector: ScriptedConnector, clock: GatedClock
    ) -> None:
        await self.unknown(ledger, "t1", "t2")
        connector.known = {"t1": OSError("down"), "t2": CHARGED}
        reconciler = Reconciler(ledger, {"gw": connector}, is_running=lambda _: False, clock=clock)
        clock.now += timedelta(seconds=ASK_AGAIN_S[0])
        assert await reconciler._pass() == ASK_AGAIN_S[0]
        assert [attempt.transaction_id for attempt in await ledger.unknown_attempts()] == ["t1"]

    async def test_ledger_that_cannot_be_read_is_asked_again(
        self, ledger: Ledger, clock: GatedClock, connector: ScriptedConnector, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken:
            n_reads = 0

            async def unknown_attempts(self) -> list[Any]:
                self.n_reads += 1
                raise LedgerError("the disk is full")

        broken: Any = Broken()
        reconciler = Reconciler(broken, {}, is_running=lambda _: False, clock=clock, sleep=clock.sleep)
        async with Background(reconciler):
            await clock.let_go()
            await asyncio.wait_for(clock.asleep.wait(), 5.0)
        assert broken.n_reads == 2
        assert "the disk is full" in caplog.text
