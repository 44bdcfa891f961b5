"""A caller, a connector and a clock around a pay machine, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from engine.pay.commands import Command, EmitStatus, Finish, Play, StopPlaying, Submit
from engine.pay.machine import PayMachine
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import DefaultPrompt, PlayFile, Say
from engine.pay.results import PayResult, PayStatus
from engine.pay.secret import Secret
from engine.pay.states import State
from engine.pay.submission import ConnectorAnswer, Outcome, Submission

TODAY = date(2026, 11, 21)
VISA = "4111111111111111"
AMEX = "378282246310005"
MASTERCARD = "5555555555554444"
CODES = {**{str(digit): digit for digit in range(10)}, "*": 10, "#": 11, "A": 12, "B": 13, "C": 14, "D": 15}
KEY_EVERY_S = 0.25

PAID = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_test")
DECLINED = ConnectorAnswer(outcome=Outcome.DECLINED, error_code="51", error_message="no funds")
UNKNOWN = ConnectorAnswer(outcome=Outcome.UNKNOWN, error_code="timeout", error_message="no answer")


def order(**changes: Any) -> PayOrder:
    """Return an order of 10.50 dollars with every field asked, changed as told."""
    return PayOrder(**{"amount": "10.50", **changes})


@dataclass
class Driver:
    """Feeds a machine and keeps all that came out of it."""

    order: PayOrder
    now: float = 1000.0
    log: list[Command] = field(default_factory=list)
    today: date = TODAY

    def __post_init__(self) -> None:
        self.n_ids = 0
        self.machine = PayMachine(self.order, today=lambda: self.today, transaction_id=self._id)

    def _id(self) -> str:
        self.n_ids += 1
        return f"tx-{self.n_ids}"

    def take(self) -> list[Command]:
        """Take what the machine wants now."""
        new: list[Command] = []
        while (command := self.machine.next_command()) is not None:
            new.append(command)
        self.log += new
        return new

    def start(self) -> list[Command]:
        self.machine.start(self.now)
        return self.take()

    def keys(self, text: str) -> list[Command]:
        """Press keys, a quarter of a second apart; return what they caused."""
        caused: list[Command] = []
        for char in text:
            self.now += KEY_EVERY_S
            self.machine.digit(CODES[char], self.now)
            caused += self.take()
        return caused

    def wait(self, seconds: float) -> list[Command]:
        """Let time pass, calling the timer when it is due."""
        end = self.now + seconds
        caused: list[Command] = []
        for _ in range(100):
            due = self.machine.next_timer()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.machine.handle_timer(self.now)
            caused += self.take()
        self.now = end
        return caused

    def prompt_ends(self) -> list[Command]:
        """Report the latest prompt finished."""
        plays = self.plays
        if plays:
            self.machine.prompt_finished(plays[-1].token, self.now)
        return self.take()

    def answer(self, answer: ConnectorAnswer = PAID) -> list[Command]:
        self.machine.connector_answered(answer, self.now)
        return self.take()

    def hang_up(self) -> list[Command]:
        self.machine.hang_up(self.now)
        return self.take()

    def stop(self) -> list[Command]:
        self.machine.stop(self.now)
        return self.take()

    def fault(self) -> list[Command]:
        self.machine.fault(self.now)
        return self.take()

    def pay_until_submitted(self, number: str = VISA + "#", expiry: str = "1228", code: str = "123") -> list[Command]:
        """Start and key every field; the postal code is ended by #."""
        self.start()
        return self.keys(number + expiry + code + "94105#")

    @property
    def state(self) -> State:
        return self.machine.state

    def is_in(self, state: State) -> bool:
        return self.machine.state is state

    @property
    def plays(self) -> list[Play]:
        return [command for command in self.log if isinstance(command, Play)]

    @property
    def statuses(self) -> list[PayStatus]:
        return [command.status for command in self.log if isinstance(command, EmitStatus)]

    @property
    def submissions(self) -> list[Submission]:
        return [command.submission for command in self.log if isinstance(command, Submit)]

    @property
    def results(self) -> list[PayResult]:
        return [command.result for command in self.log if isinstance(command, Finish)]

    @property
    def result(self) -> PayResult:
        """The one result; it came last."""
        assert len(self.results) == 1
        assert isinstance(self.log[-1], Finish)
        return self.results[0]

    @property
    def secrets(self) -> list[Secret]:
        """Every secret that the machine or a submission still refers to."""
        collected = self.machine._checkout.collected
        held = [self.machine._entry, self.machine._ahead._digits]
        if self.machine._first_entry is not None:
            held.append(self.machine._first_entry)
        held += [s for s in (collected.card_number, collected.security_code, collected.account_number) if s is not None]
        for submission in self.submissions:
            held += [s for s in (submission.card_number, submission.security_code, submission.account_number) if s]
        return held


def said(commands: list[Command]) -> list[str]:
    """Return what the prompts among the commands say, one text or key each."""
    heard: list[str] = []
    for command in commands:
        if isinstance(command, Play):
            for action in command.actions:
                heard.append(
                    action.key
                    if isinstance(action, DefaultPrompt)
                    else action.text
                    if isinstance(action, Say)
                    else action.url
                    if isinstance(action, PlayFile)
                    else f"silence of {action.ms} ms"
                )
    return heard


def kinds(commands: list[Command]) -> list[str]:
    """Return the names of the commands."""
    return [type(command).__name__ for command in commands]


__all__ = (
    "AMEX",
    "CODES",
    "DECLINED",
    "KEY_EVERY_S",
    "MASTERCARD",
    "PAID",
    "TODAY",
    "UNKNOWN",
    "VISA",
    "Driver",
    "StopPlaying",
    "kinds",
    "order",
    "said",
)
