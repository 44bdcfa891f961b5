"""Lists of payments, calls and undecided attempts: filtered, in order, whole, and never all in memory."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert

from engine.ledger import Ledger
from engine.ledger.database import Database
from engine.ledger.export import PAGE
from engine.ledger.schema import PAYMENTS
from engine.pay.submission import ConnectorAnswer, Outcome
from tests.support.payments import SlidingClock, submission_of

pytestmark = pytest.mark.asyncio


async def payment(ledger: Ledger, name: str, call_id: str = "c", result: str = "success") -> None:
    await ledger.start_payment(name, call_id=call_id, form="f", operation="charge", amount="1.00", currency="usd")
    await ledger.finish_payment(name, result=result)


class TestFilters:
    async def test_a_span_of_time_begins_with_its_first_moment_and_ends_before_its_last(
        self, ledger: Ledger, clock: SlidingClock
    ) -> None:
        begin = clock.now
        for number in range(5):
            clock.now = begin + timedelta(hours=number)
            await payment(ledger, f"p{number}")
            await ledger.record_call_start(f"c{number}", sip_call_id="x", caller="a", dialled="p", form="f")
        span = {"since": begin + timedelta(hours=1), "until": begin + timedelta(hours=3)}
        assert [row["payment_id"] async for row in ledger.export.payments(**span)] == ["p2", "p1"]  # type: ignore[arg-type]
        assert [row["call_id"] async for row in ledger.export.calls(**span)] == ["c2", "c1"]  # type: ignore[arg-type]

    async def test_result_and_call(self, ledger: Ledger) -> None:
        await payment(ledger, "a", "c1")
        await payment(ledger, "b", "c1", "caller-hung-up")
        await payment(ledger, "c", "c2", "caller-hung-up")
        rows = [row["payment_id"] async for row in ledger.export.payments(result="caller-hung-up", call_id="c1")]
        assert rows == ["b"]

    async def test_calls_of_a_caller(self, ledger: Ledger) -> None:
        for name in ("alice", "bob"):
            await ledger.record_call_start(f"c-{name}", sip_call_id="x", caller=name, dialled="p", form="f")
        assert [row["call_id"] async for row in ledger.export.calls(caller="bob")] == ["c-bob"]
        assert [row["call_id"] async for row in ledger.export.calls(call_id="c-alice")] == ["c-alice"]


class TestUnknown:
    async def test_undecided_attempts_of_all_nodes_come_oldest_first(
        self, url: str, ledger: Ledger, clock: SlidingClock
    ) -> None:
        other = await Ledger.open(url, node="b", clock=clock)
        await payment(ledger, "p")
        outcomes = {"t1": Outcome.UNKNOWN, "t2": Outcome.SUCCEEDED, "t3": None, "t4": Outcome.UNKNOWN}
        for at, (name, outcome) in enumerate(outcomes.items()):
            owner = other if name == "t4" else ledger
            clock.now += timedelta(minutes=at)
            await owner.journal_attempt("p", submission_of(transaction_id=name), "gw")
            if outcome is not None:
                await owner.record_outcome(name, ConnectorAnswer(outcome=outcome))
        rows = [row async for row in ledger.export.unknown()]
        assert [(row["transaction_id"], row["outcome"], row["node"]) for row in rows] == [
            *(("t1", "unknown", ""), ("t3", None, ""), ("t4", "unknown", "b"))
        ]
        assert (rows[0]["call_id"], rows[0]["connector"], rows[0]["amount"]) == ("c", "gw", "10.55")
        assert [row["transaction_id"] async for row in ledger.export.unknown(limit=1)] == ["t1"]
        assert [row async for row in ledger.export.unknown(call_id="nobody")] == []
        await other.close()


class TestPages:
    async def fill(self, ledger: Ledger, clock: SlidingClock, count: int) -> None:
        """Write ``count`` payments, each three of which began at one moment."""
        common = {"call_id": "c", "form": "f", "operation": "charge", "method": "m", "amount": "1", "currency": "usd"}
        rows = [
            common | {"payment_id": f"p{n:06}", "node": "", "started_at": clock.now + timedelta(seconds=n // 3)}
            for n in range(count)
        ]
        await ledger._database.run(lambda connection: connection.execute(insert(PAYMENTS), rows))

    @pytest.mark.parametrize("count", [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 500])
    async def test_every_row_comes_once_and_in_order(self, ledger: Ledger, clock: SlidingClock, count: int) -> None:
        await self.fill(ledger, clock, count)
        rows = [(row["started_at"], row["payment_id"]) async for row in ledger.export.payments()]
        assert len({name for _, name in rows}) == len(rows) == count
        assert rows == sorted(sorted(rows, key=lambda row: row[1]), key=lambda row: row[0], reverse=True)

    @pytest.mark.parametrize("limit", [0, 1, PAGE, PAGE + 1, 5 * PAGE])
    async def test_a_limit_holds_across_pages(self, ledger: Ledger, clock: SlidingClock, limit: int) -> None:
        await self.fill(ledger, clock, 2 * PAGE)
        assert len([row async for row in ledger.export.payments(limit=limit)]) == min(limit, 2 * PAGE)

    async def test_rows_written_meanwhile_make_none_come_twice(self, ledger: Ledger, clock: SlidingClock) -> None:
        await self.fill(ledger, clock, 2 * PAGE)
        seen: list[str] = []
        async for row in ledger.export.payments():
            seen.append(row["payment_id"])
            if len(seen) == PAGE // 2:
                clock.now += timedelta(days=1)
                await payment(ledger, "new")
        assert len(seen) == len(set(seen)) == 2 * PAGE

    async def test_no_more_than_a_page_is_read_at_a_time(
        self, ledger: Ledger, clock: SlidingClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.fill(ledger, clock, 3 * PAGE)
        sizes: list[int] = []
        rows = Database.rows

        async def counted(self: Database, statement: object) -> object:
            found = await rows(self, statement)  # type: ignore[arg-type]
            sizes.append(len(found))
            return found

        monkeypatch.setattr(Database, "rows", counted)
        listing = ledger.export.payments()
        await anext(listing)
        assert sizes == [PAGE]
        assert len([row async for row in listing]) == 3 * PAGE - 1
        assert sizes == [PAGE] * 3 + [0]
