"""Fuzz the pay machine: any bytes are a caller, a connector and a clock, and every payment ends once, leaving nothing.

``run(data)`` is one case; the property tests call it too, and ``tests/fuzz/drive.py`` by the name ``one_input``. From
the shell, a bounded number of random cases and what they reached:

    PYTHONPATH=. python tests/fuzz/fuzz_pay_machine.py [CASES [SEED]]
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.pay.commands import Command, EmitStatus, Finish, Play, StopPlaying, Submit
from engine.pay.fields import Step
from engine.pay.machine import PayMachine
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import CONFIRMATION, PromptRule, Say
from engine.pay.results import Result
from engine.pay.rules import Dialect, order_for
from engine.pay.secret import Secret
from engine.pay.states import State
from engine.pay.submission import ConnectorAnswer, Outcome, Submission
from tests.support.submissions import echoing, secrets_of

__all__ = ("SEEDS", "Case", "main", "one_input", "run")

PAN = "4242424242424242"
AMEX = "371449635398431"
CODE = "9537"  # found nowhere else in what a machine emits
ACCOUNT = "80006005"
PLANTED = (PAN, AMEX, CODE, ACCOUNT)
_IN_CLEAR = re.compile(
    r"(postal_code='[0-9]{1,11}|routing_number='[0-9]{9}|(last_four|digits)='[0-9]{4}|_number='[x*-]{2,}[0-9]{2,4})'"
)
# Whole values, by the name of the field that holds them: the shape a mask has, or what is shown in clear.
_SHAPES = {
    "card_number": re.compile(r"([x*-]{8,}[0-9]{4})?"),
    "last_four": re.compile(r"([0-9]{4})?"),
    "digits": re.compile(r"[0-9]{0,4}"),
    "security_code": re.compile(r"[x*]{0,4}"),
    "account_number": re.compile(r"([*]{2,15}[0-9]{2})?"),
    "expiration_date": re.compile(r"([0-9]{4})?"),
    "expiry_month": re.compile(r"([0-9]{2})?"),
    "expiry_year": re.compile(r"([0-9]{2})?"),
    "postal_code": re.compile(r"[0-9]{0,11}|SW1A"),
    "routing_number": re.compile(r"([0-9]{9})?"),
}
KEYS = {**{str(digit): digit for digit in range(10)}, "*": 10, "#": 11}

# Pieces that lead deep; single keys and silences between them lead everywhere else.
ROUTING = "021000021"
PIECES = (
    *(PAN + "#", AMEX, "1229", CODE, CODE[:3], "94105#", ROUTING, ACCOUNT + "#"),
    *((PAN + "#") * 2, "12291229", CODE[:3] * 2, ROUTING * 2, (ACCOUNT + "#") * 2),
    *("#", "*", "4", "9", "0", "1", "2"),
)
# A bad connector echoes what it was sent: {number} and {code} stand for it.
ANSWERS = (
    ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch", parameters={"echo": "<{number}>", "{number}": "x"}),
    ConnectorAnswer(outcome=Outcome.DECLINED, error_message="no: {number}, code {code}", error_code="{number}"),
    ConnectorAnswer(outcome=Outcome.DECLINED, error_type="invalid-date"),
    ConnectorAnswer(outcome=Outcome.FAILED, error_code="down"),
    ConnectorAnswer(outcome=Outcome.UNKNOWN, charge_id="{number}", token_id="{number}{number}"),
)
CARD_STEPS = (Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE, Step.POSTAL_CODE)
BANK_STEPS = (Step.ROUTING_NUMBER, Step.ACCOUNT_NUMBER)
ORDERS = (
    PayOrder(amount="1.00"),
    PayOrder(security_code=False, max_attempts=0),
    PayOrder(amount="1.00", postal_code="SW1A", max_attempts=3, mask_char="x"),
    PayOrder(amount="1.00", postal_code=False, announced=frozenset({Step.PROCESSING}), decline_restarts=False),
    PayOrder(amount="1.00", postal_code=False, announced=frozenset(), timeout_s=0.5),
    PayOrder(amount="1.00", method="ach-debit"),
    PayOrder(amount="1.00", confirm=True),
    PayOrder(amount="1.00", mask_char="x", mask_style="dashed", matching=frozenset(CARD_STEPS), max_attempts=2),
    PayOrder(amount="1.00", method="ach-debit", matching=frozenset(BANK_STEPS), confirm=True),
    PayOrder(
        amount="1.00",
        postal_code=False,
        matching=frozenset({Step.CARD_NUMBER}),
        confirm=True,
        announced=frozenset(),
        prompts=(PromptRule(step="payment-card-number", actions=(Say("again"),), matching=True),),
    ),
    *(order_for(dialect, amount="1.00") for dialect in Dialect),
    order_for(
        Dialect.TWIML,
        amount="1.00",
        method="ach-debit",
        prompts=[PromptRule(step="bank-account-number", actions=(Say("again"),), matching=True)],
    ),
    order_for(Dialect.PAYMENTS, amount="1.00", matching="payment-card-number security-code", confirm="true"),
)
MAX_INPUTS = 200


class Case:
    """One machine, everything that came out of it, and what must hold of it after each input."""

    def __init__(self, order: PayOrder) -> None:
        self.order = order
        self.n_ids = 0
        self.now = 0.0
        self.faulted = False
        self.read_back = False
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
            answer = echoing(answer, self.submissions[-1])
        self.machine.connector_answered(answer, self.now)
        if self.answered < len(self.submissions):
            self.answered = len(self.submissions)
            # The answer is in: what was submitted is gone from memory, whatever plays now.
            assert all(secret.wiped for secret in secrets_of(self.submissions[-1]))
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
        elif opcode < 250:
            self.fault()
        else:
            self.machine.start(self.now)
        self.check()

    def fault(self) -> None:
        """Let the engine fail."""
        self.faulted = True
        self.machine.fault(self.now)

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
        for name, value in _texts(command):
            if name in _SHAPES:
                assert _SHAPES[name].fullmatch(value), name
            else:
                assert not any(planted in value for planted in PLANTED), name
        if isinstance(command, Play):
            assert command.token > self.token
            assert command.actions
            self.token = self.playing = command.token
            self.read_back |= command.step == CONFIRMATION
        elif isinstance(command, StopPlaying):
            self.playing = None
        elif isinstance(command, EmitStatus):
            assert command.status.attempt >= 1
            assert not command.status.matching or command.status.step in self.order.matching
        elif isinstance(command, Submit):
            assert self.answered == len(self.submissions), "submitted twice without an answer"
            assert self.read_back == self.order.confirm, "submitted unconfirmed"
            self.read_back = False
            self.submissions.append(command.submission)
            assert not any(secret.wiped for secret in secrets_of(command.submission))
        else:
            self._check_result(command)

    def _check_result(self, command: Finish) -> None:
        result = command.result
        assert self.answered == len(self.submissions), "ended without the answer"
        assert result.attempts == len(self.submissions)
        assert (result.outcome is Outcome.SUCCEEDED) == (result.result is Result.SUCCESS)
        assert self.faulted or result.result is not Result.INTERNAL_ERROR
        assert self.order.confirm or result.result is not Result.CANCELED
        assert self.machine.next_timer() is None

    def _held(self) -> list[Secret]:
        collected = self.machine._checkout.collected
        held = [self.machine._entry, self.machine._ahead._digits]
        if self.machine._first_entry is not None:
            held.append(self.machine._first_entry)
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


def _texts(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text that can be reached, each with the name of the field it is in."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, held in value.items():
            yield from _texts(key, name)
            yield from _texts(held, name)
    elif isinstance(value, list | tuple | set | frozenset):
        for held in value:
            yield from _texts(held, name)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _texts(getattr(value, field.name), field.name)
    else:
        assert value is None or isinstance(value, int | float | Secret), type(value)


def run(data: bytes) -> Case:
    """Run one case: the first byte chooses the order, each further one an input; return it, ended."""
    case = Case(ORDERS[data[0] % len(ORDERS)] if data else ORDERS[0])
    for opcode in data[1 : 1 + MAX_INPUTS]:
        case.step(opcode)
    case.end()
    return case


# Whole payments, one for each order: all keyed right, the prompts ended, the answer in.
_WHOLE = bytes((255, 0, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 160, 18, 160, 215))
SEEDS = tuple(bytes([index]) + _WHOLE for index in range(len(ORDERS)))


def one_input(data: bytes) -> None:
    """Run one case, for the drivers."""
    run(data)


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
