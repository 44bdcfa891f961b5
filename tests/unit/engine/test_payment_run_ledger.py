"""The ledger of a payment on a call: written in order, and no payment that cannot be written down."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from engine import payment_run
from engine.errors import LedgerError
from engine.ledger import Ledger
from engine.pay.results import PayResult, Result
from engine.pay.submission import Outcome
from tests.support.payment_scene import CARD_KEYS, Scene

pytestmark = pytest.mark.asyncio


class TestLedger:
    async def test_everything_is_written_in_order(self) -> None:
        scene = Scene()
        scene.webhooks = True
        assert (await scene.pay()).result is Result.SUCCESS
        assert scene.written == [
            "payment",
            "status payment-card-number",
            "status expiration-date",
            "status security-code",
            "status postal-code",
            "status payment-processing",
            "attempt",
            "status payment-completed",
            "result",
            "result webhook",
        ]
        row = scene.ledger.payments[scene.run.payment_id]
        assert (row["amount"], row["method"], row["result"]) == ("10.50", "credit-card", "success")
        assert (row["card_number"], row["charge_id"]) == ("*" * 12 + "1111", "ch_test")

    async def test_nothing_is_sent_before_the_payment_is_written_down(self) -> None:
        scene = Scene()
        scene.ledger.gate.clear()
        scene.start()
        assert scene.speaker.heard  # the caller does not wait for it
        scene.keys(CARD_KEYS)
        for _ in range(50):
            await asyncio.sleep(0)
        assert scene.charging.submissions == []
        scene.ledger.gate.set()
        await scene.until(lambda: scene.charging.submissions)
        assert scene.written[:2] == ["payment", "attempt"]
        scene.run.hang_up(scene.now)
        await scene.run.done()

    async def test_a_payment_that_cannot_be_written_down_ends_and_nothing_is_sent(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene = Scene()
        scene.ledger.error = LedgerError("x.sqlite3: the disk is full; free some space")
        scene.start()
        await scene.run.done()
        assert scene.result.result is Result.INTERNAL_ERROR
        assert scene.charging.submissions == []
        assert scene.written == []
        assert "no payment: the ledger could not be written: x.sqlite3: the disk is full" in caplog.text
        assert not scene.guard.busy

    async def test_a_caller_who_keyed_faster_than_the_ledger_failed_is_not_charged(self) -> None:
        scene = Scene()
        scene.ledger.gate.clear()
        scene.start()
        scene.keys(CARD_KEYS)
        scene.ledger.error = LedgerError("locked")
        scene.ledger.gate.set()
        await scene.run.done()
        assert scene.result.result is not Result.SUCCESS
        assert scene.result.outcome is Outcome.FAILED
        assert scene.charging.submissions == []

    async def test_a_ledger_that_does_not_answer_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(payment_run, "RECORD_LIMIT_S", 0.0)
        scene = Scene()
        scene.ledger.gate.clear()
        scene.start()
        await scene.run.done()
        assert scene.result.result is Result.INTERNAL_ERROR

    async def test_an_agents_session_ends_too(self) -> None:
        scene = Scene(capture=True)
        scene.ledger.error = RuntimeError("not foreseen")
        scene.start()
        await scene.run.done()
        assert scene.result.result is Result.INTERNAL_ERROR

    async def test_a_result_that_cannot_be_written_is_logged_and_still_told(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene = Scene()
        scene.start()
        await scene.until(lambda: scene.written == ["payment"])
        scene.ledger.error = LedgerError("locked by another process")
        scene.run.stop(scene.now)
        await scene.run.done()
        assert scene.result.result is Result.RELAY_PAY_STOP
        assert "the ledger could not be written: locked by another process" in caplog.text


class TestRealLedger:
    """Calls go on and payments refuse to start, whatever has become of the database."""

    @asynccontextmanager
    async def opened(self, path: Path) -> AsyncIterator[Ledger]:
        ledger = await Ledger.open(f"sqlite+aiosqlite:///{path}", busy_timeout_s=0.05)
        try:
            yield ledger
        finally:
            await ledger.close()

    async def refused(self, ledger: Ledger) -> PayResult:
        scene = Scene()
        scene.run = scene.make_run(ledger)
        scene.start()
        await scene.run.done()
        assert scene.charging.submissions == []
        return scene.result

    async def test_a_locked_file(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "ledger.sqlite3"
        async with self.opened(path) as ledger:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                assert (await self.refused(ledger)).result is Result.INTERNAL_ERROR
                other.execute("ROLLBACK")
            assert "is locked by another process" in caplog.text
            # Free again: the next payment starts.
            scene = Scene()
            scene.run = scene.make_run(ledger)
            assert (await scene.pay()).result is Result.SUCCESS
            (row,) = await ledger.recent_payments(10)
            assert (row["payment_id"], row["result"]) == (scene.run.payment_id, "success")

    async def test_a_file_that_cannot_be_written(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "ledger.sqlite3"
        async with self.opened(path) as ledger:
            # What a file system that was remounted read-only does to every statement, also when tests run as root.
            await make_read_only(ledger)
            assert (await self.refused(ledger)).result is Result.INTERNAL_ERROR
        assert "cannot be written; check owner and mode" in caplog.text

    async def test_a_full_disk(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "ledger.sqlite3"
        async with self.opened(path) as ledger:
            with closing(sqlite3.connect(path)) as other:
                n_pages = other.execute("PRAGMA page_count").fetchone()[0]
            await on_every_connection(ledger, f"PRAGMA max_page_count={n_pages}")
            # In the pages that there are some rows still find room.
            results = [await self.started(ledger, label="x" * 128)]
            while results[-1] is not Result.INTERNAL_ERROR and len(results) < 200:
                results.append(await self.started(ledger, label="x" * 128))
            assert results[-1] is Result.INTERNAL_ERROR
        assert "the disk is full; free some space" in caplog.text

    async def started(self, ledger: Ledger, label: str) -> Result:
        scene = Scene()
        scene.run = scene.make_run(ledger, label=label)
        scene.start()
        await scene.until(lambda: scene.run._recorded or scene.results)
        scene.run.hang_up(scene.now)
        await scene.run.done()
        return scene.result.result

    async def test_a_database_that_is_gone(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "here" / "ledger.sqlite3"
        path.parent.mkdir()
        async with self.opened(path) as ledger:
            with closing(sqlite3.connect(path)) as other, other:
                other.execute("DROP TABLE charge_attempts")
                other.execute("DROP TABLE payments")
            assert (await self.refused(ledger)).result is Result.INTERNAL_ERROR
        assert "no payment: the ledger could not be written" in caplog.text


async def on_every_connection(ledger: Ledger, pragma: str) -> None:
    """Execute a pragma on each connection that the ledger makes from now on."""
    engine = ledger._database._engine

    @event.listens_for(engine.sync_engine, "connect")
    def _(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(pragma)
        cursor.close()

    await engine.dispose()


async def make_read_only(ledger: Ledger) -> None:
    await on_every_connection(ledger, "PRAGMA query_only=ON")
