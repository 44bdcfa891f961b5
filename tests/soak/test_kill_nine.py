"""Whatever is killed wherever, the books of gateway, ledger and application agree; the whole report: docs/pay.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.kill_nine import ALL_POINTS, STRIPE_POINTS, rehearse

pytestmark = [pytest.mark.strict, pytest.mark.soak, pytest.mark.asyncio, pytest.mark.timeout(600)]


async def test_kills_at_every_point_lose_no_result_and_charge_nothing_twice(tmp_path: Path) -> None:
    report = await rehearse(3 * len(ALL_POINTS), seed=6, directory=tmp_path)
    assert report.faults == []
    assert set(report.kills) == set(ALL_POINTS)
    assert sum(report.kills.values()) == 3 * len(ALL_POINTS)
    assert report.facts["of them unknown in the ledger"] > 0
    assert report.facts["of them succeeded in the ledger"] > 0


async def test_kills_before_and_after_a_charge_at_stripe_are_found_out_by_asking(tmp_path: Path) -> None:
    report = await rehearse(len(STRIPE_POINTS), seed=7, directory=tmp_path, kind="stripe")
    assert report.faults == []
    assert set(report.kills) == set(STRIPE_POINTS)
    assert report.facts["of those found out by look-up"] > 0
    assert report.facts["of them unknown in the ledger"] == 0
