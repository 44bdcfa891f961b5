"""Fuzz the capture machine: any bytes are an agent, a caller, a connector and a clock; every session ends once.

Runs by ``tests/fuzz/drive.py`` or under atheris; ``run(data)`` is one case, and the property tests call it too. What
must hold: one result, last; nothing charged that the agent did not complete; nothing completed while something is
missing; secrets wiped; no digit that must be masked in anything that comes out.
"""

from __future__ import annotations

import re
import sys
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.pay.capture import CaptureMachine, Refusal, RefusalReason
from engine.pay.capture_states import State
from engine.pay.commands import Command, EmitStatus, Finish, Play, StopPlaying, Submit
from engine.pay.fields import Step
from engine.pay.order import PayOrder
from engine.pay.results import MaskedFields, PayStatus, Result
from engine.pay.secret import Secret
from engine.pay.submission import ConnectorAnswer, Outcome, Submission
from tests.support.submissions import echoing, secrets_of

__all__ = ("ANSWERS", "CARD", "CODE", "ORDERS", "SEEDS", "Case", "one_input", "run")

CARD, AMEX, CODE, ACCOUNT = "4242424242424242", "371449635398431", "9537", "80006005"
PLANTED = (CARD, AMEX, CODE, ACCOUNT)
KEYS = {**{str(digit): digit for digit in range(10)}, "*": 10, "#": 11}
PIECES = (CARD + "#", AMEX, "1229", CODE, CODE[:3], "94105#", "021000021", ACCOUNT + "#", "#", "*", "4", "9", "0", "1")
NAMES = (
    "payment-card-number",
    "expiration-date",
    "security-code",
    "postal-code",
    "bank-routing-number",
    "bank-account-number",
    "payment-card-number-matcher",
    "expiration-date-matcher",
    "security-code-matcher",
    "postal-code-matcher",
    "bank-account-number-matcher",
    "payment-failed",
    "",
)
# A bad connector echoes what it was sent: {number} and {code} stand for it.
ANSWERS = (
    ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch", parameters={"echo": "<{number}>", "{number}": "x"}),
    ConnectorAnswer(outcome=Outcome.DECLINED, error_message="no: {number}, code {code}", error_code="{number}"),
    ConnectorAnswer(outcome=Outcome.UNKNOWN, charge_id="{number}", token_id="{number}{number}"),
)
_CARD_STEPS = frozenset({Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE, Step.POSTAL_CODE})
ORDERS = (
    PayOrder(amount="1.00"),
    PayOrder(amount="1.00", matching=_CARD_STEPS, mask_char="x"),
    PayOrder(confirm=True, security_code=False),
    PayOrder(amount="1.00", confirm=True, matching=frozenset({Step.SECURITY_CODE}), postal_code="SW1A"),
    PayOrder(amount="1.00", method="ach-debit"),
    PayOrder(amount="1.00", method="ach-debit", matching=frozenset({Step.ACCOUNT_NUMBER}), confirm=True),
)
SEEDS = (
    bytes((0, 200, 0, 201, 2, 202, 4, 203, 5, 250, 230)),
    bytes((1, 200, 0, 206, 0, 201, 2, 207, 2, 202, 4, 208, 4, 203, 5, 209, 5, 250, 230)),
    bytes((2, 200, 0, 201, 2, 203, 5, 250, 190, 13, 230)),
    bytes((5, 204, 6, 205, 7, 210, 7, 250, 191, 195, 13, 231)),
)
MAX_INPUTS = 200
# In clear by right: what a postal code, an expiry and a routing number are, and the last digits.
_IN_CLEAR = {"postal_code": 11, "expiration_date": 4, "routing_number": 9, "last_four": 4}
_LAST_SHOWN = {"card_number": 4, "account_number": 2}


class Case:
    """One machine, everything that came out of it, and what must hold of it after each input."""

    def __init__(self, order: PayOrder) -> None:
        self.order = order
        self.n_ids = 0
        self.now = 0.0
        self.machine = CaptureMachine(order, today=lambda: date(2026, 11, 21), transaction_id=self._id)
        self.log: list[Command] = []
        self.submissions: list[Submission] = []
        self.answered = 0
        self.token = 0
        self.completed = False
        self.secrets: dict[int, Secret] = {}

    def _id(self) -> str:
        self.n_ids += 1
        return f"tx-{self.n_ids}"

    @property
    def finished(self) -> bool:
        """Whether the result is out."""
        return any(isinstance(command, Finish) for command in self.log)

    # -- inputs --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the session."""
        self.machine.start(self.now)
        self.check()

    def keys(self, text: str) -> None:
        """Press keys, 100 ms apart."""
        for char in text:
            self.now += 0.1
            self.machine.digit(KEYS[char], self.now)
            self.check()

    def capture(self, name: str) -> None:
        """Let the agent capture something, which is refused or required from now on."""
        before = len(self.log)
        refusal = self.machine.capture(name, self.now)
        self.check()
        if refusal is None:
            told = self.log[-1]
            assert isinstance(told, EmitStatus)
            assert name in told.status.required
        else:
            assert refusal.reason is not RefusalReason.INCOMPLETE
            assert len(self.log) == before

    def complete(self) -> None:
        """Let the agent complete; it is refused while something is missing."""
        required, open_ = self.machine.required, self.machine.state is State.OPEN
        refusal = self.machine.complete(self.now)
        if open_:
            assert refusal == (Refusal(RefusalReason.INCOMPLETE, required) if required else None)
            self.completed = self.completed or refusal is None
        self.check()

    def answer(self, answer: ConnectorAnswer) -> None:
        """Answer, whether or not something is outstanding."""
        outstanding = self.answered < len(self.submissions)
        if outstanding:
            answer = echoing(answer, self.submissions[-1])
        self.machine.connector_answered(answer, self.now)
        if outstanding:
            self.answered = len(self.submissions)
            assert all(secret.wiped for secret in secrets_of(self.submissions[-1]))
        self.check()

    def step(self, opcode: int) -> None:
        """Do what one byte stands for."""
        if opcode < 160:
            self.keys(PIECES[opcode % len(PIECES)])
        elif opcode < 195:
            self.machine.prompt_finished(self.token - opcode % 3 // 2, self.now)
        elif opcode < 200:
            self.now += (opcode - 194) * 2.5
            self.machine.handle_timer(self.now)
        elif opcode < 226:
            self.capture(NAMES[(opcode - 200) % len(NAMES)])
        elif opcode < 240:
            self.answer(ANSWERS[opcode % len(ANSWERS)])
        elif opcode < 244:
            (self.machine.hang_up, self.machine.stop, self.machine.fault, self.machine.cancel)[opcode - 240](self.now)
        elif opcode < 246:
            self.start()
        else:
            self.complete()
        self.check()

    # -- what must hold ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Take what came out; assert what must hold at any time."""
        for secret in self._held():
            self.secrets[id(secret)] = secret
        while (command := self.machine.next_command()) is not None:
            assert not self.finished, "something came after the result"
            self.log.append(command)
            self._check_command(command)
        assert (self.machine.state is State.FINISHED) == self.finished
        if self.machine.state is State.ARMED:
            assert self.machine.next_timer() is None  # no limit for the first key

    def _check_command(self, command: Command) -> None:
        for text in (repr(command), str(command)):
            assert CARD not in text
            assert AMEX not in text
        _check_values(command)
        if isinstance(command, Play):
            assert self.order.confirm
            assert not command.interruptible
            assert command.token > self.token
            self.token = command.token
        elif isinstance(command, EmitStatus):
            self._check_status(command.status)
        elif isinstance(command, Submit):
            assert self.completed, "nobody completed it"
            assert not self.submissions, "submitted twice"
            assert self.machine.required == ()
            self.submissions.append(command.submission)
            assert not any(secret.wiped for secret in secrets_of(command.submission))
        elif isinstance(command, Finish):
            self._check_result(command)
        else:
            assert isinstance(command, StopPlaying)

    def _check_status(self, status: PayStatus) -> None:
        assert not (status.error_type and status.partial)
        name = status.step + ("-matcher" if status.matching else "")
        if status.error_type or status.partial:
            assert name in status.required
        if status.partial:
            shown = {
                Step.CARD_NUMBER: status.card_number + status.last_four + status.card_type,
                Step.EXPIRATION_DATE: status.expiration_date,
                Step.SECURITY_CODE: status.security_code,
                Step.POSTAL_CODE: status.postal_code,
                Step.ROUTING_NUMBER: status.routing_number,
                Step.ACCOUNT_NUMBER: status.account_number,
            }[status.step]
            assert set(shown) <= {self.order.mask_char, "*"}

    def _check_result(self, command: Finish) -> None:
        result = command.result
        assert self.answered == len(self.submissions), "ended without the answer"
        assert result.attempts == len(self.submissions)
        assert (result.outcome is Outcome.SUCCEEDED) == (result.result is Result.SUCCESS)
        assert self.machine.next_timer() is None

    def _held(self) -> list[Secret]:
        collected = self.machine._checkout.collected
        held = [self.machine._entry, *self.machine._twice.values()]
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
        assert self.n_ids == len(self.submissions) <= 1
        for secret in (*self.secrets.values(), *self._held()):
            assert secret.wiped or len(secret) == 0


def _check_values(value: Any, name: str = "") -> None:
    """Assert of everything inside that no field shows more digits than it may, and none a number that was planted."""
    if isinstance(value, Secret):
        return
    if is_dataclass(value) and not isinstance(value, type):
        named = isinstance(value, MaskedFields | Submission)
        for field in fields(value):
            _check_values(getattr(value, field.name), field.name if named else "")
    elif isinstance(value, str):
        digits = sum(char.isdigit() for char in value)
        if name in _IN_CLEAR:
            assert digits <= _IN_CLEAR[name]
        elif name in _LAST_SHOWN:
            assert digits <= _LAST_SHOWN[name]
            assert re.fullmatch(r"[x*]*[0-9]*", value)
        elif name == "security_code":
            assert digits == 0
        else:
            assert not any(planted in value for planted in PLANTED)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_values(key)
            _check_values(item)
    elif isinstance(value, tuple | list | frozenset):
        for item in value:
            _check_values(item)


def run(data: bytes) -> Case:
    """Run one case: the first byte chooses the order, each further one an input; return it, ended."""
    case = Case(ORDERS[data[0] % len(ORDERS)] if data else ORDERS[0])
    case.start()
    for opcode in data[1 : 1 + MAX_INPUTS]:
        case.step(opcode)
    case.end()
    return case


def one_input(data: bytes) -> None:
    """Run one case; raises whatever should not happen."""
    run(data)


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
