"""Records of calls one by one and page by page, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.ledger import CallFilter, Ledger, Mark
from tests.support.ledger_backend import Backend
from tests.support.payments import SlidingClock

pytestmark = pytest.mark.asyncio
NUMBER = "+15550100777"


async def call(ledger: Ledger, name: str, *, answered: bool = True, cause: str = "remote_bye", **values: Any) -> None:
    facts = {"caller": NUMBER, "dialled": "pay", "direction": "in"} | values
    await ledger.record_call_start(name, sip_call_id=f"sip-{name}", form="shop", **facts)
    if answered:
        await ledger.record_call_answer(name)
    if cause:
        await ledger.record_call_end(name, cause=cause)


async def names(ledger: Ledger, size: int = 100, *, offset: int = 0, **wanted: Any) -> list[str]:
    return [one.call_id for one in await ledger.calls.page(CallFilter(**wanted), size, offset=offset)]


async def test_pages_go_on_behind_a_mark_and_back_before_one(ledger: Ledger, clock: SlidingClock) -> None:
    for name in "abcdefg":
        await call(ledger, name)
        if name in "bdf":  # calls of the same moment are in the order of their identities
            clock.now += timedelta(seconds=1)
    order = list("gefcdab")
    assert await names(ledger) == order
    assert await names(ledger, 3, offset=2) == order[2:5]
    for at, name in enumerate(order):
        found = await ledger.calls.find(name)
        assert found is not None
        mark = Mark(found.started_at, name)
        behind = await ledger.calls.page(CallFilter(), 2, behind=mark)
        before = await ledger.calls.page(CallFilter(), 2, before=mark)
        assert [one.call_id for one in behind] == order[at + 1 : at + 3]
        assert [one.call_id for one in before] == order[max(0, at - 2) : at]


async def test_every_filter_leaves_what_it_means(ledger: Ledger, clock: SlidingClock) -> None:
    await call(ledger, "bye")
    await call(ledger, "busy", answered=False, cause="busy", direction="out", dialled="+15550100002", parent_id="bye")
    clock.now += timedelta(hours=1)
    hour = clock.now
    await call(ledger, "gone", answered=False, cause="cancelled", caller="ann")
    await call(ledger, "up", cause="")
    await call(ledger, "rings", answered=False, cause="")
    for wanted, expected in (
        ({"caller": "ann"}, {"gone"}),
        ({"dialled": "+15550100002"}, {"busy"}),
        ({"parent_id": "bye"}, {"busy"}),
        ({"answered": True}, {"bye"}),
        ({"answered": False, "causes": ["busy"]}, {"busy"}),
        ({"answered": False, "other_causes": ["busy"]}, {"gone"}),
        ({"live_ids": ["up", "nobody"]}, {"up"}),
        ({"live_ids": []}, set()),
        ({"live_ids": ["rings"], "open_elsewhere": True}, {"rings"}),
        ({"started": (hour, None)}, {"gone", "up", "rings"}),
        ({"started": (None, hour)}, {"bye", "busy"}),
        ({"ended": (hour, hour + timedelta(seconds=1))}, {"gone"}),
        ({"started": (hour, hour)}, set()),
    ):
        assert set(await names(ledger, **wanted)) == expected, wanted


async def test_calls_of_another_node_that_are_not_over_are_live_there(backend: Backend, clock: SlidingClock) -> None:
    other = await Ledger.open(backend.url, clock=clock, node="two")
    try:
        await call(other, "theirs-up", cause="")
        await call(other, "theirs-rings", answered=False, cause="")
        await call(other, "theirs-over")
    finally:
        await other.close()
    ours = await Ledger.open(backend.url, clock=clock, node="one")
    try:
        await call(ours, "ours-lost", cause="")
        assert await names(ours, live_ids=[], open_elsewhere=True) == ["theirs-up"]
        assert await names(ours, live_ids=[], open_elsewhere=False) == ["theirs-rings"]
        assert {one.call_id for one in await ours.calls.page(CallFilter(), 9) if one.is_ours} == {"ours-lost"}
        assert not await ours.calls.remove("theirs-up")
        assert await ours.calls.remove("theirs-over")
        assert await ours.calls.remove("ours-lost")
        assert not await ours.calls.remove("nobody")
        assert set(await names(ours)) == {"theirs-up", "theirs-rings"}
    finally:
        await ours.close()
