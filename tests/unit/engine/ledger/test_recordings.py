"""The table of recordings: begun, finished, listed, deleted, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.errors import LedgerError
from engine.ledger import Ledger
from tests.support.payments import SlidingClock

pytestmark = pytest.mark.asyncio


async def begin(ledger: Ledger, recording_id: str, call_id: str = "c1") -> None:
    await ledger.recordings.begin(
        recording_id, call_id=call_id, source="RecordVerb", channels=1, file=f"RE{recording_id}.wav"
    )


async def test_a_recording_is_what_was_noted_of_it(ledger: Ledger, clock: SlidingClock) -> None:
    began = clock.now
    await begin(ledger, "r1")
    record = await ledger.recordings.get("r1")
    assert record is not None
    assert (record.status, record.started_at, record.finished_at, record.duration_ms) == (
        "in-progress",
        began,
        None,
        None,
    )
    clock.now += timedelta(seconds=5)
    assert await ledger.recordings.finish("r1", status="completed", duration_ms=4980, paused_ms=20)
    record = await ledger.recordings.get("r1")
    assert record is not None
    assert (record.status, record.finished_at, record.duration_ms, record.paused_ms, record.error) == (
        "completed",
        clock.now,
        4980,
        20,
        "",
    )


async def test_an_id_is_used_once(ledger: Ledger) -> None:
    await begin(ledger, "r1")
    with pytest.raises(LedgerError):
        await begin(ledger, "r1", call_id="c2")


async def test_what_is_not_there_is_said(ledger: Ledger) -> None:
    assert await ledger.recordings.get("r1") is None
    assert not await ledger.recordings.finish("r1", status="completed")
    assert not await ledger.recordings.remove("r1")


async def test_no_number_of_a_card_stays_in_an_error(ledger: Ledger) -> None:
    await begin(ledger, "r1")
    await ledger.recordings.finish("r1", status="failed", error="disk says 4242424242424242")
    record = await ledger.recordings.get("r1")
    assert record is not None
    assert "42424242" not in record.error


async def test_pages_are_the_newest_first_and_by_call_and_time(ledger: Ledger, clock: SlidingClock) -> None:
    began = {}
    for n in range(5):
        began[n] = clock.now
        await begin(ledger, f"r{n}", call_id=f"c{n % 2}")
        clock.now += timedelta(hours=1)

    async def ids(**how: object) -> list[str]:
        return [record.recording_id for record in await ledger.recordings.page(**how)]  # type: ignore[arg-type]

    assert await ids() == ["r4", "r3", "r2", "r1", "r0"]
    assert await ids(offset=1, limit=2) == ["r3", "r2"]
    assert await ids(call_id="c1") == ["r3", "r1"]
    assert await ids(since=began[1], until=began[3]) == ["r2", "r1"]


async def test_what_is_under_way_is_neither_old_nor_finished(ledger: Ledger, clock: SlidingClock) -> None:
    await begin(ledger, "r1")
    await begin(ledger, "r2")
    await ledger.recordings.finish("r2", status="absent")
    clock.now += timedelta(days=2)
    assert [record.recording_id for record in await ledger.recordings.unfinished()] == ["r1"]
    assert [record.recording_id for record in await ledger.recordings.older(clock.now, limit=9)] == ["r2"]
    assert await ledger.recordings.older(clock.now - timedelta(days=3), limit=9) == []


async def test_another_node_leaves_them_alone(url: str, ledger: Ledger, clock: SlidingClock) -> None:
    await begin(ledger, "r1")
    other = await Ledger.open(url, clock=clock, node="b", migrate=False)
    try:
        assert await other.recordings.unfinished() == []
        assert await other.recordings.older(clock.now + timedelta(days=1), limit=9) == []
        assert await other.recordings.get("r1") is not None, "it may be asked for everywhere"
    finally:
        await other.close()
