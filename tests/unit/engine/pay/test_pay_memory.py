"""After the connector's answer no copy of the card number is left in the process that took it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.memory_scan import scan

ROOT = Path(__file__).parents[4]
PAN = "4012888888881881"

# Keys arrive one a line, so that the pipe's own buffers never hold the number on end.
PROGRAM = """
import sys
from datetime import date
from engine.pay.machine import PayMachine
from engine.pay.order import PayOrder
from engine.pay.submission import ConnectorAnswer, Outcome

machine = PayMachine(PayOrder(amount="1.00"), today=lambda: date(2026, 11, 21), transaction_id=lambda: "tx")
machine.start(0.0)
kept = []
def say(text):
    while (command := machine.next_command()) is not None:
        kept.append(command)
    print(text, len(repr(kept)), flush=True)
for line in sys.stdin:
    if line.strip() == "answer":
        machine.connector_answered(ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch"), 2.0)
        say("answered")
    elif line.strip() == "hang up":
        machine.hang_up(2.0)
        say("gone")
    else:
        machine.digit(int(line), 1.0)
        say("key")
"""


class Child:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline()

    def keys(self, text: str) -> None:
        for key in text:
            self.tell({"#": "11", "*": "10"}.get(key, key))

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


def test_the_number_is_in_memory_once_while_it_is_needed_and_then_not_at_all(child: Child) -> None:
    child.keys(PAN + "#1228#123#94105#")
    assert child.hits() == 1  # the locked page: the scan does find it
    child.tell("answer")
    assert child.hits() == 0


@pytest.mark.parametrize("end", ["hang up", "10"])
def test_a_payment_that_ends_early_leaves_nothing(child: Child, end: str) -> None:
    child.keys(PAN)
    assert child.hits() == 1
    child.tell(end)
    assert child.hits() == 0
