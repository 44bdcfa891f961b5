"""After a payment no digit is in the memory of the process that took it (architecture §5).

Some cases of the matrix, one for each kind of wire and of end, most of them in CI only;
``python -m tests.soak.memory_scan`` runs all of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.memory_cases import Case, examine

pytestmark = [
    pytest.mark.strict,
    pytest.mark.asyncio,
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="reading another process's memory needs CAP_SYS_PTRACE"),
]

CASES = (
    Case(connector="sandbox", end="declined"),
    Case(connector="twilio", end="hung up", uvloop=True),
)
LONGER = (
    Case(connector="signalwire", end="timeout", uvloop=True),
    Case(connector="compatible", end="raises"),
    Case(connector="twilio-ach", end="garbage"),
    Case(connector="twilio-ach", end="cancelled", uvloop=True),
    Case(connector="stripe", end="unknown"),
    Case(connector="stripe", end="shut down", uvloop=True),
)


@pytest.mark.parametrize("case", [*CASES, *(pytest.param(case, marks=pytest.mark.soak) for case in LONGER)], ids=str)
async def test_nothing_that_was_keyed_is_left(case: Case, tmp_path: Path) -> None:
    finding = await examine(case, tmp_path)
    assert finding.scan.hits == ()
    assert finding.spilled == ()
    assert finding.wiped
    if case.outcome:
        assert finding.outcome == case.outcome


@pytest.mark.soak
@pytest.mark.parametrize("connector", ["signalwire", "twilio-ach"])
async def test_a_copy_that_is_kept_on_purpose_is_found_and_nothing_before_it(connector: str, tmp_path: Path) -> None:
    finding = await examine(Case(connector=connector, end="succeeded", leak=True), tmp_path)
    assert finding.before is not None
    assert finding.before.hits == ()
    assert {hit.encoding for hit in finding.scan.hits} == {"ascii"}
