"""Fuzz the pay machine: any bytes are a caller, a connector and a clock, and every payment ends once, leaving nothing.

``run(data)`` is one case; the property tests call it too. From the shell, a bounded number of random cases:

    PYTHONPATH=. python tests/fuzz/fuzz_pay_machine.py [CASES [SEED]]
"""

from __future__ import annotations

import random
import re
import sys
from dataclasses import replace
from datetime import date

from engine.pay.commands import Command, EmitStatus, Finish, Play, StopPlaying, Submit
from engine.pay.fields import Step
from engine.pay.machine import PayMachine
from engine.pay.order import PayOrder
from engine.pay.results import Result
from engine.pay.secret import Secret
from engine.pay.states import State
from engine.pay.submission import ConnectorAnswer, Outcome, Submission

__all__ = ("Case", "main", "run")

PAN = "4242424242424242"
AMEX = "371449635398431"
CODE = "9537"  # found nowhere else in what a machine emits
ACCOUNT = "80006005"
PLANTED = (PAN, AMEX, CODE, ACCOUNT)
_IN_CLEAR = re.compile(
    r"(postal_code='[0-9]{1,11}|routing_number='[0-9]{9}|last_four='[0-9]{4}|_number='[x*]{2,}[0-9]{2,4})'"
)
KEYS = {**{str(digit): digit for digit in range(10)}, "*": 10, "#": 11}

# Pieces that lead deep; single keys and silences between them lead everywhere else.
PIECES = (PAN + "#", AMEX, "1229", CODE, CODE[:3], "94105#", "021000021", ACCOUNT + "#", "#", "*", "4", "9", "0")
# A bad connector echoes what it was sent: {number} and {code} stand for it.
ANSWERS = (
    ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch", parameters={"echo": "<{number}>", "{number}": "x"}),
    ConnectorAnswer(outcome=Outcome.DECLINED, error_message="no: {number}, code {code}", error_code="{number}"),
    ConnectorAnswer(outcome=Outcome.DECLINED, error_type="invalid-date"),
    ConnectorAnswer(outcome=Outcome.FAILED, error_code="down"),
    ConnectorAnswer(outcome=Outcome.UNKNOWN, charge_id="{number}", token_id="{number}{number}"),
)
ORDERS = (
    PayOrder(amount="1.00"),
    PayOrder(security_code=False, max_attempts=0),
    PayOrder(amount="1.00", postal_code="SW1A", max_attempts=3, mask_char="x"),
    PayOrder(amount="1.00", postal_code=False, announced=frozenset({Step.PROCESSING}), decline_restarts=False),
    PayOrder(amount="1.00", postal_code=False, announced=frozenset(), timeout_s=0.5),
    PayOrder(amount="1.00", method="ach-debit"),
)
MAX_INPUTS = 200


class Case:
    """One machine, everything that came out of it, and what must hold of it after each input."""

    def __init__(self, order: PayOrder) -> None:
        self.n_ids = 0
        self.now = 0.0
        self.machine = PayMachine(order, today=lambda: date(2026, 11, 21), transaction_id=self._id)
        self.log: list[Command] = []
        self.submissions: list[Submission] = []
        self.answered = 0
        self.playing: int | None = None
        self.token = 0
        self.secrets: dict[int, Secret] = {}

    def _id(self) -> str:
        self.n_ids += 1
        return f"tx-{self.n_ids}"

    @property
    def finished(self) -> bool:
        """Whether the result is out."""
        return any(isinstance(command, Finish) for command in self.log)

    def keys(self, text: str) -> None:
        """Press keys, 100 ms apart."""
        for char in text:
            self.now += 0.1
            self.machine.digit(KEYS[char], self.now)
            self.check()

    def answer(self, answer: ConnectorAnswer) -> None:
        """Answer, whether or not something is outstanding."""
        if self.answered < len(self.submissions):
            answer = _echoing(answer, self.submissions[-1])
        self.machine.connector_answered(answer, self.now)
        if self.answered < len(self.submissions):
            self.answered = len(self.submissions)
            # The answer is in: what was submitted is gone from memory, whatever plays now.
            assert all(secret.wiped for secret in _secrets_of(self.submissions[-1]))
        self.check()

    def step(self, opcode: int) -> None:
        """Do what one byte stands for."""
        if opcode < 160:
            self.keys(PIECES[opcode % len(PIECES)])
        elif opcode < 190:
            self.machine.prompt_finished(self.token - opcode % 3 // 2, self.now)
        elif opcode < 215:
            self.now += (opcode - 189) / 2
            self.machine.handle_timer(self.now)
        elif opcode < 245:
            self.answer(ANSWERS[opcode % len(ANSWERS)])
        elif opcode < 247:
            self.machine.hang_up(self.now)
        elif opcode < 249:
            self.machine.stop(self.now)
        else:
            self.machine.start(self.now)
        self.check()

    def check(self) -> None:
        """Take what came out; assert what must hold at any time."""
        for secret in self._held():
            self.secrets[id(secret)] = secret
        while (command := self.machine.next_command()) is not None:
            assert not self.finished, "something came after the result"
            self.log.append(command)
            self._check_command(command)
        assert (self.machine.state is State.FINISHED) == self.finished

    def _check_command(self, command: Command) -> None:
        # Some fields and last digits are in clear, and a fuzzer keys anything; a card number is nowhere.
        text = f"{command!r} {command}"
        assert PAN not in text
        assert AMEX not in text
        text = _IN_CLEAR.sub("", text)
        for planted in PLANTED:
            assert planted not in text
        if isinstance(command, Play):
            assert command.token > self.token
            assert command.actions
            self.token = self.playing = command.token
        elif isinstance(command, StopPlaying):
            self.playing = None
        elif isinstance(command, EmitStatus):
            assert command.status.attempt >= 1
        elif isinstance(command, Submit):
            assert self.answered == len(self.submissions), "submitted twice without an answer"
            self.submissions.append(command.submission)
            assert not any(secret.wiped for secret in _secrets_of(command.submission))
        else:
            self._check_result(command)

    def _check_result(self, command: Finish) -> None:
        result = command.result
        assert self.answered == len(self.submissions), "ended without the answer"
        assert result.attempts == len(self.submissions)
        assert (result.outcome is Outcome.SUCCEEDED) == (result.result is Result.SUCCESS)
        assert self.machine.next_timer() is None

    def _held(self) -> list[Secret]:
        collected = self.machine._collected
        held = [self.machine._entry, self.machine._ahead._digits]
        held += [s for s in (collected.card_number, collected.security_code, collected.account_number) if s is not None]
        return held

    def end(self) -> None:
        """Hang up, answer what is outstanding, and assert that it is over and nothing is left."""
        self.machine.hang_up(self.now)
        self.check()
        if not self.finished:
            self.answer(ANSWERS[0])
        assert sum(isinstance(command, Finish) for command in self.log) == 1
        assert isinstance(self.log[-1], Finish)
        for secret in (*self.secrets.values(), *self._held()):
            assert secret.wiped or len(secret) == 0
        ids = [submission.transaction_id for submission in self.submissions]
        assert len(set(ids)) == len(ids)


def _secrets_of(submission: Submission) -> list[Secret]:
    return [
        secret
        for secret in (submission.card_number, submission.security_code, submission.account_number)
        if secret is not None
    ]


def _echoing(answer: ConnectorAnswer, submission: Submission) -> ConnectorAnswer:
    number = submission.card_number or submission.account_number
    assert number is not None
    code = submission.security_code
    values = {
        "number": bytes(number.view()).decode(),
        "code": "" if code is None else bytes(code.view()).decode(),
    }
    return replace(
        answer,
        charge_id=answer.charge_id.format(**values),
        token_id=answer.token_id.format(**values),
        error_code=answer.error_code.format(**values),
        error_message=answer.error_message.format(**values),
        parameters={name.format(**values): value.format(**values) for name, value in answer.parameters.items()},
    )


def run(data: bytes) -> Case:
    """Run one case: the first byte chooses the order, each further one an input; return it, ended."""
    case = Case(ORDERS[data[0] % len(ORDERS)] if data else ORDERS[0])
    for opcode in data[1 : 1 + MAX_INPUTS]:
        case.step(opcode)
    case.end()
    return case


def main(n_cases: int = 2000, seed: int = 1) -> None:
    """Run random cases and print what they reached."""
    source = random.Random(seed)
    results: dict[str, int] = {}
    for _ in range(n_cases):
        case = run(b"%c\xff" % source.randrange(256) + source.randbytes(source.randrange(1, 60)))
        last = case.log[-1]
        assert isinstance(last, Finish)
        name = str(last.result.result)
        results[name] = results.get(name, 0) + 1
    print(f"{n_cases} cases, seed {seed}: {results}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:3]))
