"""kill -9 between journal and answer, then a new start: found, reconciled, never charged twice (architecture §6)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.connectors import SandboxGateway
from engine.ledger import Ledger
from engine.pay.submission import Outcome
from tests.support.gateway import FakeGateway

pytestmark = [pytest.mark.strict, pytest.mark.asyncio, pytest.mark.e2e]

ROOT = Path(__file__).parents[2]
CARD = "5105105105105100"
CODE = "904"
PATIENCE_S = 60.0


class Charger:
    """A running ``tests.support.charger``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []

    def key(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())

    async def until(self, state: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while line := await self.process.stdout.readline():
                self.said.append(json.loads(line))
                if self.said[-1]["state"] == state:
                    return self.said[-1]
        raise AssertionError(f"the charger ended before it said {state!r}; it said {self.said}")

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def charger(**settings: Any) -> AsyncIterator[Charger]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.charger",
        json.dumps(settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    running = Charger(process)
    try:
        yield running
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'ledger.sqlite3'}"


async def attempts_of(url: str) -> list[tuple[Outcome | None, bool, str]]:
    ledger = await Ledger.open(url)
    try:
        open_ones = [(a.outcome, a.reconciled, a.error_code) for a in await ledger.open_attempts()]
        return open_ones or [(a.outcome, a.reconciled, a.error_code) for a in await ledger.unknown_attempts()]
    finally:
        await ledger.close()


async def test_killed_while_the_gateway_holds_its_answer_is_one_charge_and_an_unknown_attempt(ledger_url: str) -> None:
    async with FakeGateway(["hold"]) as gateway:
        async with charger(ledger=ledger_url, gateway=gateway.url, charge=True) as first:
            first.key(f"{CARD}#{CODE}#")
            await asyncio.wait_for(gateway.received.wait(), PATIENCE_S)
            await first.kill()
        assert await attempts_of(ledger_url) == [(None, False, "")]
        async with charger(ledger=ledger_url, gateway=gateway.url) as second:
            await second.until("idle")
        # This wire has no question for an earlier transaction: the operator is told, nothing is sent.
        assert next(line for line in second.said if line["state"] == "reconciled")["outcome"] == "unknown"
        assert await attempts_of(ledger_url) == [(Outcome.UNKNOWN, True, "unknown")]
        assert len(gateway.requests) == 1
        assert list(gateway.times_booked.values()) == [1]


async def test_killed_after_the_sandbox_booked_is_found_and_reconciled_as_charged(
    ledger_url: str, tmp_path: Path
) -> None:
    books = str(tmp_path / "sandbox.sqlite3")
    async with charger(ledger=ledger_url, sandbox=books, stuck=True, charge=True) as first:
        first.key(f"{CARD}#{CODE}#")
        await first.until("booked")
        await first.kill()
    assert await attempts_of(ledger_url) == [(None, False, "")]
    async with charger(ledger=ledger_url, sandbox=books) as second:
        record = await second.until("reconciled")
        await second.until("idle")
    assert record["outcome"] == "succeeded"
    (row,) = SandboxGateway.read(books)
    assert (row["charge_id"], row["times_received"]) == (record["charge"], 1)
    ledger = await Ledger.open(ledger_url)
    (payment,) = await ledger.recent_payments(10)
    await ledger.close()
    assert (payment["result"], payment["charge_id"], payment["reconciled"]) == ("success", record["charge"], True)


async def test_killed_before_the_payment_arrived_is_reconciled_as_failed(ledger_url: str, tmp_path: Path) -> None:
    books = str(tmp_path / "sandbox.sqlite3")
    async with charger(ledger=ledger_url, sandbox=books, faults=["delay:600"], charge=True) as first:
        first.key(f"{CARD}#{CODE}#")
        async with asyncio.timeout(PATIENCE_S):
            while not (Path(books).exists() and await attempts_of(ledger_url)):
                await asyncio.sleep(0.02)
        await first.kill()
    async with charger(ledger=ledger_url, sandbox=books) as second:
        record = await second.until("reconciled")
        await second.until("idle")
    assert (record["outcome"], record["error"]) == ("failed", "not_found")
    assert SandboxGateway.read(books) == []


async def test_killed_while_a_webhook_is_under_way_loses_none(ledger_url: str, tmp_path: Path) -> None:
    books = str(tmp_path / "sandbox.sqlite3")
    async with FakeGateway(["status:200", "silence"]) as receiver:
        common = {"ledger": ledger_url, "sandbox": books, "receiver": receiver.url}
        async with charger(**common, webhooks=["1", "2", "3"]) as first:
            await first.until("delivering")
            async with asyncio.timeout(PATIENCE_S):
                while len(receiver.requests) < 2:
                    await asyncio.sleep(0.02)
            await first.kill()
        receiver.add("status:200", "status:200")
        async with charger(**common) as second:
            await second.until("idle")
        assert [received.body for received in receiver.requests] == [b"1", b"2", b"2", b"3"]
        numbers = [received.headers["x-paytone-delivery"] for received in receiver.requests]
        assert numbers == ["1", "2", "2", "3"]  # by which a receiver knows the second one again
