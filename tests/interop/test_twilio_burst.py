"""A burst of REST requests loses no digit of the calls that are up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.rest_burst import burst

pytestmark = [pytest.mark.interop, pytest.mark.soak, pytest.mark.timeout(400), pytest.mark.asyncio]

CALLS, RATE = 100, 200.0


async def test_two_hundred_requests_a_second_on_a_hundred_calls_lose_no_digit(tmp_path: Path) -> None:
    outcome = await burst(CALLS, RATE, tmp_path / "engine")
    assert (outcome.calls, outcome.succeeded, outcome.steps_asked) == (CALLS, CALLS, 4 * CALLS), outcome
    assert outcome.requests > 0
    assert set(outcome.answers) <= {"200", "201", "400", "401", "404", "409", "429"}, outcome.answers
