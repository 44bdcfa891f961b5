"""After the connector's answer no copy of the card number is left in the process that took it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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

from engine.pay.fields import Step

twice = frozenset({Step.CARD_NUMBER}) if "match" in sys.argv else frozenset()
order = PayOrder(amount="1.00", matching=twice, confirm="confirm" in sys.argv)
machine = PayMachine(order, today=lambda: date(2026, 11, 21), transaction_id=lambda: "tx")
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
    elif line.strip() in {"hang_up", "stop", "fault"}:
        getattr(machine, line.strip())(2.0)
        say("gone")
    else:
        machine.digit(int(line), 1.0)
        say("key")
"""


class Child:
    def __init__(self, *kinds: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *kinds], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
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


@contextmanager
def running(*kinds: str) -> Iterator[Child]:
    child = Child(*kinds)
    try:
        yield child
    finally:
        child.process.kill()
        child.process.communicate(timeout=10)


@pytest.fixture
def child() -> Iterator[Child]:
    with running() as child:
        yield child


def test_the_number_is_in_memory_once_while_it_is_needed_and_then_not_at_all(child: Child) -> None:
    child.keys(PAN + "#1228#123#94105#")
    assert child.hits() == 1  # the locked page: the scan does find it
    child.tell("answer")
    assert child.hits() == 0


@pytest.mark.parametrize("end", ["hang_up", "stop", "fault", "10"])
def test_a_payment_that_ends_early_leaves_nothing(child: Child, end: str) -> None:
    child.keys(PAN)
    assert child.hits() == 1
    child.tell(end)
    assert child.hits() == 0


def test_of_two_entries_that_matched_one_is_left_until_the_answer() -> None:
    with running("match") as child:
        child.keys(PAN + "#")
        assert child.hits() == 1
        child.keys(PAN)
        assert child.hits() == 2
        child.keys("#1228#123#94105#")
        assert child.hits() == 1
        child.tell("answer")
        assert child.hits() == 0


def test_of_two_entries_that_differ_none_is_left() -> None:
    with running("match") as child:
        child.keys(PAN + "#")
        child.keys("5555555555554444")
        assert child.hits() == 0


@pytest.mark.parametrize("end", ["hang_up", "stop", "fault", "10"])
def test_both_entries_are_gone_when_the_payment_ends_between_them(end: str) -> None:
    with running("match") as child:
        child.keys(PAN + "#" + PAN)
        assert child.hits() == 2
        child.tell(end)
        assert child.hits() == 0


def test_a_payment_that_is_not_confirmed_leaves_nothing() -> None:
    with running("confirm") as child:
        child.keys(PAN + "#1228#123#94105#")
        assert child.hits() == 1
        child.keys("2")
        assert child.hits() == 0
