"""Of a card number that an agent had captured, no copy is left in the process once it is not needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.memory_scan import scan

ROOT = Path(__file__).parents[4]
PAN = "4012888888881881"
STEPS = (("payment-card-number", PAN + "#"), ("expiration-date", "1228"), ("security-code", "123"))

# Keys arrive one a line, so that the pipe's own buffers never hold the number on end.
PROGRAM = """
import sys
from datetime import date
from engine.pay.capture import CaptureMachine
from engine.pay.fields import Step
from engine.pay.order import PayOrder
from engine.pay.submission import ConnectorAnswer, Outcome

order = PayOrder(amount="1.00", postal_code=False, matching=frozenset({Step.CARD_NUMBER}))
machine = CaptureMachine(order, today=lambda: date(2026, 11, 21), transaction_id=lambda: "tx")
machine.start(0.0)
kept = []
for line in sys.stdin:
    word, _, rest = line.strip().partition(" ")
    if word == "answer":
        machine.connector_answered(ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch"), 2.0)
    elif word == "capture":
        machine.capture(rest, 1.0)
    elif word == "key":
        machine.digit(int(rest), 1.0)
    else:
        getattr(machine, word)(2.0)
    while (command := machine.next_command()) is not None:
        kept.append(command)
    print(machine.state, len(repr(kept)), flush=True)
"""


class Child:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def tell(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().partition(" ")[0]

    def keys(self, name: str, text: str) -> None:
        self.tell(f"capture {name}")
        for key in text:
            self.tell(f"key {({'#': '11', '*': '10'}).get(key, key)}")

    def hits(self) -> int:
        return len(scan(self.process.pid, [PAN]))


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    try:
        yield child
    finally:
        child.process.kill()
        child.process.communicate(timeout=10)


def test_the_entries_go_when_they_were_compared_and_the_number_with_the_answer(child: Child) -> None:
    for name, entry in STEPS:
        child.keys(name, entry)
    assert child.hits() == 2  # what was collected, and what the second entry is compared with: the scan finds both
    child.keys("payment-card-number-matcher", PAN + "#")
    assert child.tell("complete") == "submitted"
    assert child.hits() == 1
    child.tell("answer")
    assert child.hits() == 0


@pytest.mark.parametrize("end", ["hang_up", "stop", "cancel", "fault", "key 10", "capture expiration-date"])
def test_an_entry_that_ends_early_leaves_nothing(child: Child, end: str) -> None:
    child.keys("payment-card-number", PAN)
    assert child.hits() == 1
    child.tell(end)
    assert child.hits() == 0


def test_two_that_differ_leave_nothing(child: Child) -> None:
    child.keys("payment-card-number", PAN + "#")
    child.keys("payment-card-number-matcher", "4111111111111111#")
    assert child.hits() == 0
