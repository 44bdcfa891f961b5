"""Group commit: writes share transactions, and each still stands or falls alone and is on the disk when it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from engine.errors import LedgerError
from engine.ledger import CallMedia, Ledger
from engine.ledger.database import Database
from tests.support.ledger_backend import Backend
from tests.support.payments import SlidingClock

pytestmark = pytest.mark.asyncio

MEDIA = CallMedia(
    codec="PCMU",
    srtp="",
    round_trip_ms=20.0,
    packets_in=500,
    packets_lost=5,
    packets_late=1,
    packets_discarded=2,
    jitter_ms=3.5,
    mos=4.1,
)


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Count transactions: one entry for each."""
    seen: list[bool] = []
    run = Database.run

    async def counted(
        self: Database, work: Callable[..., Awaitable[Any]], *, read_only: bool = False
    ) -> Any:  # the signature of the real one
        seen.append(read_only)
        return await run(self, work, read_only=read_only)

    monkeypatch.setattr(Database, "run", counted)
    return seen


async def start_call(ledger: Ledger, call_id: str) -> None:
    await ledger.record_call_start(call_id, sip_call_id="sip", caller="alice", dialled="pay", form="donation")


async def start_payment(ledger: Ledger, payment_id: str) -> None:
    await ledger.start_payment(
        payment_id, call_id="c", form="donation", operation="charge", amount="1.00", currency="usd"
    )


async def whole_call(ledger: Ledger, number: int) -> None:
    await start_call(ledger, f"c{number}")
    await start_payment(ledger, f"p{number}")
    await ledger.finish_payment(f"p{number}", result="success")
    await ledger.record_call_end(f"c{number}", cause="bye", media=MEDIA if number % 2 else None)


async def test_calls_at_once_share_transactions_and_are_complete(
    ledger: Ledger, backend: Backend, transactions: list[bool]
) -> None:
    await asyncio.gather(*(whole_call(ledger, number) for number in range(40)))
    # Each of the four writes of a call waits for the one before; those of all calls go together.
    assert len(transactions) <= 12
    assert {row["cause"] for row in backend.rows("calls")} == {"bye"}
    assert sum(row["packets_in"] == 500 for row in backend.rows("calls")) == 20
    assert [row["result"] for row in backend.rows("payments")] == ["success"] * 40


async def test_a_write_is_on_the_disk_when_it_returns(ledger: Ledger, backend: Backend) -> None:
    waiting = [asyncio.ensure_future(start_call(ledger, f"c{number}")) for number in range(10)]
    await waiting[0]
    assert "c0" in {row["call_id"] for row in backend.rows("calls")}
    await asyncio.gather(*waiting)


async def test_an_entry_that_is_refused_takes_no_other_with_it(ledger: Ledger, backend: Backend) -> None:
    await start_call(ledger, "c1")
    results = await asyncio.gather(
        *(start_call(ledger, call_id) for call_id in ("c0", "c1", "c2", "c2")), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), LedgerError, type(None), LedgerError]
    assert sorted(row["call_id"] for row in backend.rows("calls")) == ["c0", "c1", "c2"]


async def test_a_database_that_cannot_be_written_is_told_to_each(ledger: Ledger, backend: Backend) -> None:
    await start_call(ledger, "c0")
    backend.execute("DROP TABLE charge_attempts; DROP TABLE payments")
    results = await asyncio.gather(*(start_payment(ledger, f"p{n}") for n in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [LedgerError] * 3
    await start_call(ledger, "c1")
    assert len(backend.rows("calls")) == 2


async def test_a_caller_that_is_cancelled_does_not_take_its_write_with_it(ledger: Ledger, backend: Backend) -> None:
    first, second = (asyncio.ensure_future(start_call(ledger, call_id)) for call_id in ("c0", "c1"))
    await asyncio.sleep(0)
    second.cancel()
    await first
    await asyncio.gather(second, return_exceptions=True)
    assert second.cancelled()
    assert {row["call_id"] for row in backend.rows("calls")} == {"c0", "c1"}


async def test_closing_writes_what_waits_and_takes_nothing_more(backend: Backend) -> None:
    ledger = await Ledger.open(backend.url, clock=SlidingClock())
    await start_call(ledger, "c0")
    waiting = [asyncio.ensure_future(start_call(ledger, f"c{number}")) for number in range(1, 1200)]
    await asyncio.sleep(0)
    await ledger.close()
    await asyncio.gather(*waiting)
    assert len(backend.rows("calls")) == 1200
    with pytest.raises(LedgerError, match="closed"):
        await start_call(ledger, "late")
