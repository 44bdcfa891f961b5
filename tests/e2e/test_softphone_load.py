"""The load generator against an engine in a process of its own: every caller pays, whichever way it keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import SoftphoneError
from engine.softphone.client import Softphone
from engine.softphone.load import run_load
from tests.support.caller import VISA, expiry
from tests.support.engine import DEFAULT_TOML, running_engine

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.asyncio]

CALLS = 6


def keys() -> dict[str, str]:
    return {"card": f"{VISA}#", "expiry": expiry(), "code": "123", "postal code": "94105#"}


@pytest.mark.parametrize("mode", ["telephone-event", "in-band"])
async def test_calls_that_come_at_once_all_pay(mode: str, tmp_path: Path) -> None:
    async with running_engine(DEFAULT_TOML, directory=tmp_path) as engine:
        results = await run_load(engine.uri(), calls=CALLS, mode=mode, keys=keys(), timeout_s=60)
        booked = engine.sandbox_transactions()
    assert [result.steps_keyed for result in results] == [4] * CALLS
    assert all(result.connected and result.ended_by_peer for result in results)
    assert [row["outcome"] for row in booked] == ["succeeded"] * CALLS


async def test_what_is_refused_is_told_in_its_row() -> None:
    async with Softphone() as phone:
        port = phone.sip_port
    # Nobody listens there any more: each call ends by itself, or with the run.
    (result,) = await run_load(f"sip:pay@127.0.0.1:{port}", calls=1, mode="in-band", keys=keys(), timeout_s=2)
    assert not result.connected
    assert not result.ended_by_peer
    assert result.duration_s == 0


@pytest.mark.parametrize(
    ("target", "calls", "entry"),
    [
        ("mailto:a@b", 1, "1"),
        ("sip:pay@127.0.0.1", 0, "1"),
        ("sip:pay@127.0.0.1", 100_000, "1"),
        ("sip:a@b", 1, "4242x"),
    ],
)
async def test_misuse_is_refused_without_repeating_the_keys(target: str, calls: int, entry: str) -> None:
    with pytest.raises(SoftphoneError) as caught:
        await run_load(target, calls=calls, mode="in-band", keys={"card": entry})
    assert str(caught.value)
    assert "4242" not in str(caught.value)
