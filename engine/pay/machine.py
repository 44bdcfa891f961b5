"""The pay machine: asks the caller for each field, has the payment made, and says how it ended.

The table is in ``engine.pay.states``; the work that its actions name is here. The machine is fed with what happened
and the time (monotonic seconds) and answers with commands, taken with ``next_command()`` after each input. It plays
nothing, sends nothing and never waits.

Promises: `Finish` comes exactly once and last; then, and from the connector's answer on, no secret holds a digit;
a payment that was submitted ends by its answer, whoever hung up; no key is lost between two steps; of two entries that
have to match neither is shown, nor a card's brand told, before the second was the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType

from engine.pay.base import NEVER, Machine, Outside
from engine.pay.commands import EmitStatus, Finish, Play, StopPlaying, Submit
from engine.pay.fields import ErrorType, Facts, Step, field_of
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import (
    CONFIRMATION,
    Action,
    DefaultPrompt,
    PlayFile,
    Say,
    choose,
    confirm_actions,
    default_actions,
)
from engine.pay.results import PayStatus, Result
from engine.pay.secret import Secret
from engine.pay.states import TABLE, Do, Input, State
from engine.pay.submission import PaymentMethod
from engine.pay.type_ahead import TypeAhead

__all__ = (
    "DefaultPrompt",
    "EmitStatus",
    "Finish",
    "PayMachine",
    "Play",
    "PlayFile",
    "Say",
    "StopPlaying",
    "Submit",
)

_ENTRY_STATES = frozenset({State.PROMPTING, State.WAITING, State.COLLECTING})
_YES_KEY, _NO_KEY = 1, 2
_MAX_READINGS = 3  # D-51


class PayMachine(Machine):
    """One payment on one call, asked for field by field, sans-IO.

    ``today`` gives the date for expiry checks, ``transaction_id`` a fresh identity for each submission.
    """

    def __init__(self, order: PayOrder, *, today: Callable[[], date], transaction_id: Callable[[], str]) -> None:
        super().__init__(order, today=today, transaction_id=transaction_id)
        self._state = State.IDLE
        self._pending: deque[Input] = deque()
        self._prompt_due = False
        self._ahead = TypeAhead()
        self._first_entry: Secret | None = None
        self._step_index = 0
        self._attempt = 1
        self._payment_attempt = 1
        self._verdict = Input.NOT_PAID
        self._result = Result.INTERNAL_ERROR

    # -- inputs --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to ask; keys that came before count as typed ahead. Once."""
        self._handle(Input.START, now)

    # -- outputs -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the payment is."""
        return self._state

    # -- the table -----------------------------------------------------------------------------------------------

    def _happened(self, what: Outside, now: float, code: int = -1) -> None:
        self._handle(Input[what.name], now, code)

    def _answered(self, now: float) -> None:
        self._verdict = self._judge_answer()
        self._handle(self._verdict, now)

    def _handle(self, event: Input, now: float, code: int = -1) -> None:
        self._feed(event, now, code)
        while self._state in _ENTRY_STATES and (kept := self._ahead.take()) is not None:
            what = self._kind_of(kept, now)
            if what is not None:
                self._feed(Input[what.name], now, kept)
        if self._state in _ENTRY_STATES:
            self._ahead.flush()  # all taken: zero them
        if self._prompt_due and self._state is State.PROMPTING:
            self._play(self._step, self._actions(self._step), now, interruptible=True)
        self._prompt_due = False

    def _feed(self, event: Input, now: float, code: int) -> None:
        self._key = code
        self._pending.append(event)
        while self._pending:
            transition = TABLE.get((self._state, self._pending.popleft()))
            if transition is not None:
                self._state, do = transition
                _ACTIONS[do](self, now)
        self._key = -1

    # -- one field -----------------------------------------------------------------------------------------------

    @property
    def _step(self) -> Step:
        return self._order.steps[self._step_index]

    def _keep_key(self, now: float) -> None:
        self._ahead.keep(self._key)

    def _begin(self, now: float) -> None:
        self._hush()
        self._checkout.begin()
        self._step_index = 0
        self._attempt = self._payment_attempt
        self._ask()

    def _ask_next(self, now: float) -> None:
        self._step_index += 1
        self._attempt = 1
        self._ask()

    def _ask_second(self, now: float) -> None:
        self._ask()

    def _ask_again(self, now: float) -> None:
        self._ahead.flush()  # what was typed ahead was typed in the belief that all was well
        if self._error != ErrorType.TIMEOUT:
            self._forget_first_entry()  # of two that differ nobody knows which is wrong: both again (§1.6)
        self._attempt += 1
        self._ask()

    def _ask(self) -> None:
        self._entry.wipe()
        self._entry = Secret(field_of(self._step).max_digits)
        self._entry_too_long = False
        self._deadline = None
        self._report(self._step, self._attempt)
        self._prompt_due = True  # played when no key is waiting for it

    def _wait(self, now: float) -> None:
        self._hush()
        limit = self._order.first_digit_timeout_s
        wait_s = self._order.timeout_s if limit is None else limit
        self._deadline = None if math.isinf(wait_s) else now + wait_s

    def _collect(self, now: float) -> None:
        self._hush()
        self._prompt_due = False
        self._late_finish_until = NEVER
        self._deadline = now + self._order.timeout_s
        if len(self._entry) == self._entry.capacity:
            self._entry_too_long = True
            return
        self._entry.append(self._key)
        if field_of(self._step).is_complete(self._entry.view(), self._facts):
            self._late_finish_until = self._deadline
            self._end_entry(now)

    def _end_entry(self, now: float) -> None:
        self._hush()
        self._deadline = None
        facts = self._facts
        error = self._judge_entry(facts)
        if error is not None:
            self._entry.wipe()
            self._error = error
            again = self._attempt < self._order.prompts_per_step
            self._pending.append(Input.ENTRY_REFUSED if again else Input.ENTRY_EXHAUSTED)
            return
        self._error = ""
        if self._step in self._order.matching and self._first_entry is None:
            self._first_entry = self._entry
            self._entry = Secret(1)
            self._pending.append(Input.ENTRY_TO_MATCH)
            return
        self._checkout.collected.take(self._step, self._entry, facts)
        self._entry = Secret(1)  # the other belongs to what was collected now
        self._forget_first_entry()
        last = self._step_index + 1 == len(self._order.steps)
        done = Input.ALL_TO_CONFIRM if self._order.confirm else Input.ALL_TAKEN
        self._pending.append(done if last else Input.ENTRY_TAKEN)

    def _judge_entry(self, facts: Facts) -> ErrorType | None:
        if len(self._entry) == 0:
            return ErrorType.TIMEOUT
        if self._first_entry is not None:
            # The first was right, so this is a question of sameness alone.
            same = not self._entry_too_long and self._entry.matches(self._first_entry)
            return None if same else ErrorType.MATCHING_FAILED
        field = field_of(self._step)
        return field.error if self._entry_too_long else field.check(self._entry.view(), facts)

    def _forget_first_entry(self) -> None:
        if self._first_entry is not None:
            self._first_entry.wipe()
            self._first_entry = None

    # -- is it the right card? -----------------------------------------------------------------------------------

    def _read_back(self, now: float) -> None:
        self._ahead.flush()  # a confirmation answers what was heard
        self._n_readings += 1
        # Only 1 and 2 stop it: the # with which many end the entry before must not cut the reading short.
        self._play(CONFIRMATION, confirm_actions(self._checkout.collected.masked), now, interruptible=False)

    def _await_decision(self, now: float) -> None:
        self._hush()
        self._deadline = now + self._order.timeout_s

    def _judge_key(self, now: float) -> None:
        if self._key in (_YES_KEY, _NO_KEY):
            self._pending.append(Input.CONFIRMED if self._key == _YES_KEY else Input.NOT_CONFIRMED)

    def _judge_silence(self, now: float) -> None:
        self._pending.append(Input.READING_LEFT if self._n_readings < _MAX_READINGS else Input.NOT_CONFIRMED)

    def _discard(self, now: float) -> None:
        self._say_canceled(Result.CANCELED, now)

    # -- the money -----------------------------------------------------------------------------------------------

    def _submit(self, now: float) -> None:
        self._hush()
        self._ahead.flush()
        self._n_readings = 0
        submission = self._checkout.submit()
        self._announce(Step.PROCESSING, now)
        self._commands.append(Submit(submission))

    def _judge_answer(self) -> Input:
        """Name the answer as an input."""
        if self._checkout.is_paid:
            return Input.PAID
        again = self._order.decline_restarts and self._payment_attempt < self._order.prompts_per_step
        return Input.DECLINED if self._error and again else Input.NOT_PAID

    def _await_answer(self, now: float) -> None:
        self._hush()
        self._deadline = None

    def _hold_answer(self, now: float) -> None:
        """The caller still hears that the payment is processed: let that be said first."""

    def _deliver_answer(self, now: float) -> None:
        self._hush()
        self._deadline = None
        self._pending.append(self._verdict)

    def _abandon(self, now: float) -> None:
        self._hush()
        self._deadline = None

    # -- how it ends ---------------------------------------------------------------------------------------------

    def _complete(self, now: float) -> None:
        self._result = Result.SUCCESS
        self._announce(Step.COMPLETED, now)

    def _retry(self, now: float) -> None:
        # The error itself is said when the card number is asked for again.
        self._announce(Step.FAILED, now, say_error=False)
        self._payment_attempt += 1

    def _fail(self, now: float) -> None:
        self._result = Result.PAYMENT_CONNECTOR_ERROR
        self._announce(Step.FAILED, now)

    def _give_up(self, now: float) -> None:
        self._result = Result.TOO_MANY_FAILED_ATTEMPTS
        self._wipe()
        self._announce(Step.FAILED, now)

    def _cancel(self, now: float) -> None:
        self._say_canceled(Result.CALLER_INTERRUPTED_WITH_STAR, now)

    def _say_canceled(self, result: Result, now: float) -> None:
        self._result = result
        self._hush()
        self._wipe()
        self._error = ""
        self._announce(Step.CANCELED, now)

    def _leave(self, now: float) -> None:
        self._end(Result.CALLER_HUNG_UP, Step.CANCELED)

    def _end_stopped(self, now: float) -> None:
        self._end(Result.RELAY_PAY_STOP, Step.CANCELED)

    def _end_faulty(self, now: float) -> None:
        self._error = ErrorType.INTERNAL_ERROR
        self._end(Result.INTERNAL_ERROR, Step.FAILED)

    def _settle(self, now: float) -> None:
        if self._verdict is Input.PAID:
            self._end(Result.SUCCESS, Step.COMPLETED)
        else:
            self._end(Result.PAYMENT_CONNECTOR_ERROR, Step.FAILED)

    def _end(self, result: Result, step: Step) -> None:
        self._result = result
        self._hush()
        self._forget_first_entry()
        if step is Step.CANCELED:
            self._error = ""
        if step in self._order.announced:
            self._report(step, self._payment_attempt)
        self._close(0.0)

    def _close(self, now: float) -> None:
        self._hush()
        self._deadline = None
        self._wipe()
        self._tell_result(self._result)

    def _wipe(self) -> None:
        self._ahead.wipe()
        self._entry.wipe()
        self._forget_first_entry()
        self._checkout.wipe()

    # -- what is said and told -----------------------------------------------------------------------------------

    def _announce(self, step: Step, now: float, *, say_error: bool = True) -> None:
        if step in self._order.announced:
            self._report(step, self._payment_attempt)
            self._play(step, self._actions(step, say_error=say_error), now, interruptible=False)
        else:
            self._pending.append(Input.PROMPT_FINISHED)  # a prompt that is not played is over at once

    def _actions(self, step: Step, *, say_error: bool = True) -> tuple[Action, ...]:
        card_type = self._checkout.collected.masked.card_type
        attempt = self._attempt if step is self._step else self._payment_attempt
        matching = self._first_entry is not None
        chosen = choose(
            self._order.prompts,
            step=step,
            attempt=attempt,
            card_type=card_type,
            error_type=self._error,
            matching=matching,
        )
        return chosen or default_actions(
            step,
            card_type=card_type,
            error_type=self._error if say_error else "",
            tokenize=self._order.tokenizes,
            matching=matching,
            bank=self._order.method == PaymentMethod.ACH_DEBIT,
        )

    def _report(self, step: Step, attempt: int) -> None:
        status = PayStatus(
            step=step,
            error_type=self._error,
            attempt=attempt,
            payment_method=PaymentMethod(self._order.method),
            matching=self._first_entry is not None,
            **self._checkout.masked,
        )
        self._commands.append(EmitStatus(status))


_ACTIONS: Mapping[Do, Callable[[PayMachine, float], None]] = MappingProxyType(
    {
        Do.KEEP_KEY: PayMachine._keep_key,
        Do.BEGIN: PayMachine._begin,
        Do.WAIT: PayMachine._wait,
        Do.COLLECT: PayMachine._collect,
        Do.END_ENTRY: PayMachine._end_entry,
        Do.ASK_NEXT: PayMachine._ask_next,
        Do.ASK_SECOND: PayMachine._ask_second,
        Do.ASK_AGAIN: PayMachine._ask_again,
        Do.READ_BACK: PayMachine._read_back,
        Do.AWAIT_DECISION: PayMachine._await_decision,
        Do.JUDGE_KEY: PayMachine._judge_key,
        Do.JUDGE_SILENCE: PayMachine._judge_silence,
        Do.DISCARD: PayMachine._discard,
        Do.SUBMIT: PayMachine._submit,
        Do.AWAIT_ANSWER: PayMachine._await_answer,
        Do.HOLD_ANSWER: PayMachine._hold_answer,
        Do.DELIVER_ANSWER: PayMachine._deliver_answer,
        Do.COMPLETE: PayMachine._complete,
        Do.RETRY: PayMachine._retry,
        Do.FAIL: PayMachine._fail,
        Do.GIVE_UP: PayMachine._give_up,
        Do.CANCEL: PayMachine._cancel,
        Do.LEAVE: PayMachine._leave,
        Do.END_STOPPED: PayMachine._end_stopped,
        Do.END_FAULTY: PayMachine._end_faulty,
        Do.ABANDON: PayMachine._abandon,
        Do.SETTLE: PayMachine._settle,
        Do.CLOSE: PayMachine._close,
    }
)
