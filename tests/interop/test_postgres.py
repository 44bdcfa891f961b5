"""A PostgreSQL server that is stopped, killed, frozen and started again under a ledger at work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import LedgerError
from engine.ledger import Ledger
from engine.pay.submission import ConnectorAnswer, Outcome
from tests.support.payments import submission_of
from tests.support.postgres import PostgresServer, running_postgres

pytestmark = [pytest.mark.interop, pytest.mark.asyncio]

ROOT = Path(__file__).parents[2]
CHARGED = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_1")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of our own: the others' is not to be killed."""
    with running_postgres() as server:
        yield server


async def start(ledger: Ledger, payment_id: str) -> None:
    await ledger.start_payment(payment_id, call_id="c", form="f", operation="charge", amount="1.00", currency="usd")


async def journal(ledger: Ledger, transaction_id: str) -> None:
    await ledger.journal_attempt("p", submission_of(transaction_id=transaction_id), "gw")


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_server_that_goes_and_comes_back(server: PostgresServer, end: str) -> None:
    ledger = await Ledger.open(server.url(server.ledger_database()), node="a", busy_timeout_s=2.0)
    await ledger.claim()
    await start(ledger, "p")
    await journal(ledger, "t1")
    getattr(server, end)()
    for work in (
        journal(ledger, "t2"),
        start(ledger, "q"),
        ledger.record_outcome("t1", CHARGED),
        ledger.open_attempts(),
    ):
        with pytest.raises(LedgerError, match=r"cannot be reached|connection was lost|check that"):
            await work
    server.start()
    assert await ledger.record_outcome("t1", CHARGED)
    await journal(ledger, "t2")
    await start(ledger, "q")
    assert [attempt.transaction_id for attempt in await ledger.open_attempts()] == ["t2"]
    other = await Ledger.open(server.url("t1"), node="a")
    with pytest.raises(LedgerError, match="another engine"):
        await other.claim()  # the claim came back with the server
    await other.close()
    await ledger.close()


async def test_server_that_is_killed_while_many_write_loses_nothing_that_was_acknowledged(
    server: PostgresServer,
) -> None:
    ledger = await Ledger.open(server.url(server.ledger_database()), node="a", busy_timeout_s=2.0)
    await start(ledger, "p")
    written: list[str] = []
    enough = asyncio.Event()

    async def write(number: int) -> None:
        await journal(ledger, f"t{number}")
        written.append(f"t{number}")
        if len(written) == 50:
            enough.set()

    tasks = [asyncio.create_task(write(number)) for number in range(400)]
    await enough.wait()
    await asyncio.to_thread(server.kill)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [result for result in results if result is not None]
    assert failed, "the server was killed too late"
    assert {type(result) for result in failed} == {LedgerError}
    server.start()
    kept = {attempt.transaction_id for attempt in await ledger.open_attempts()}
    # An attempt whose commit was never answered may be there; one that was answered must be.
    assert set(written) <= kept
    await ledger.close()


async def test_frozen_server_is_an_error_and_not_a_hang(server: PostgresServer) -> None:
    ledger = await Ledger.open(server.url(server.ledger_database()), node="a", busy_timeout_s=0.5)
    await ledger.claim()
    await start(ledger, "p")
    server.pause()
    try:
        async with asyncio.timeout(30):
            for work in (journal(ledger, "t1"), start(ledger, "q"), ledger.open_attempts()):
                with pytest.raises(LedgerError, match=r"no answer in time|slower than|connection was lost"):
                    await work
    finally:
        server.resume()
    await journal(ledger, "t2")
    assert "t2" in {attempt.transaction_id for attempt in await ledger.open_attempts()}
    await ledger.close()


async def test_claim_goes_with_a_killed_engine(server: PostgresServer) -> None:
    url = server.url(server.ledger_database())
    script = (
        "import asyncio, sys\n"
        "from engine.ledger import Ledger\n"
        "async def main():\n"
        "    ledger = await Ledger.open(sys.argv[1], node='a')\n"
        "    await ledger.claim(); print('held', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    ledger = await Ledger.open(url, node="a")
    with subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE, cwd=ROOT) as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == b"held\n"
        with pytest.raises(LedgerError, match="another engine"):
            await ledger.claim()
        engine.kill()
        engine.wait()
        async with asyncio.timeout(30):
            while True:  # the server sees the end of its client's socket when it looks at it
                try:
                    await ledger.claim()
                except LedgerError:
                    await asyncio.to_thread(server.sql, "SELECT 1")
                    continue
                break
    await ledger.close()
