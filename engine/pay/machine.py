"""The pay machine: asks the caller for each field, has the payment made, and says how it ended.

The table is in ``engine.pay.states``; the work that its actions name is here. The machine is fed with what happened
and the time (monotonic seconds) and answers with commands, taken with ``next_command()`` after each input. It plays
nothing, sends nothing and never waits.

Promises: `Finish` comes exactly once and last; then, and from the connector's answer on, no secret holds a digit;
a payment that was submitted ends by its answer, whoever hung up; no key is lost between two steps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import date
from types import MappingProxyType

from engine.pay.collected import Collected
from engine.pay.commands import Command, EmitStatus, Finish, Play, StopPlaying, Submit
from engine.pay.fields import ErrorType, Facts, Step, field_of
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import Action, DefaultPrompt, PlayFile, Say, choose, default_actions
from engine.pay.results import ConnectorFault, MaskedFields, PayResult, PayStatus, Result
from engine.pay.secret import Secret
from engine.pay.states import TABLE, Do, Input, State
from engine.pay.submission import ConnectorAnswer, Outcome, PaymentMethod, Submission, TokenType
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

_PROMPT_LIMIT_S = 300.0
"A prompt not reported finished after so long is taken for finished: nothing may hang on a lost event."

_CANCEL_KEY, _FINISH_KEY = 10, 11  # RFC 4733 §3.2 event codes of "*" and "#"
_ENTRY_STATES = frozenset({State.PROMPTING, State.WAITING, State.COLLECTING})
_NEVER = -math.inf

# What the caller can put right by keying again (`cards.json`): these are declines, whatever the connector calls them.
_FIXABLE = frozenset(
    {
        ErrorType.CARD_DECLINED,
        ErrorType.CARD_NUMBER,
        ErrorType.CARD_TYPE,
        ErrorType.DATE,
        ErrorType.SECURITY_CODE,
        ErrorType.POSTAL_CODE,
        ErrorType.ROUTING_NUMBER,
        ErrorType.ACCOUNT_NUMBER,
    }
)


class PayMachine:
    """One payment on one call, sans-IO.

    ``today`` gives the date for expiry checks, ``transaction_id`` a fresh identity for each submission.
    """

    def __init__(self, order: PayOrder, *, today: Callable[[], date], transaction_id: Callable[[], str]) -> None:
        self._order = order
        self._today = today
        self._new_transaction_id = transaction_id
        self._state = State.IDLE
        self._commands: deque[Command] = deque()
        self._pending: deque[Input] = deque()
        self._deadline: float | None = None
        self._token = 0
        self._playing: int | None = None
        self._prompt_due = False
        self._ahead = TypeAhead()
        self._key = -1
        self._late_finish_until = _NEVER
        self._collected = self._nothing_collected()
        self._entry = Secret()
        self._entry_too_long = False
        self._step_index = 0
        self._attempt = 1
        self._payment_attempt = 1
        self._error = ""
        self._transaction_id = ""
        self._outstanding = False
        self._n_submissions = 0
        self._answer: ConnectorAnswer | None = None
        self._verdict = Input.NOT_PAID
        self._result = Result.INTERNAL_ERROR
        self._hung_up = False
        self._stopped = False

    # -- inputs --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to ask; keys that came before count as typed ahead. Once."""
        self._handle(Input.START, now)

    def digit(self, code: int, now: float) -> None:
        """Take a key by its RFC 4733 event code: 0 to 9, 10 for ``*``, 11 for ``#``; others are ignored."""
        event = self._input_of(code, now)
        if event is not None:
            self._handle(event, now, code)

    def prompt_finished(self, token: int, now: float) -> None:
        """Note that a prompt has played to its end; one that was stopped or is not the latest is ignored."""
        if token == self._playing:
            self._playing = None
            self._handle(Input.PROMPT_FINISHED, now)

    def connector_answered(self, answer: ConnectorAnswer, now: float, *, transaction_id: str | None = None) -> None:
        """Take the connector's last word on the outstanding submission, and wipe the secrets.

        Ignored when nothing is outstanding, or ``transaction_id`` is given and is not the outstanding one.
        """
        if not self._outstanding or transaction_id not in (None, self._transaction_id):
            return
        self._outstanding = False
        self._answer = self._without_echo(answer)
        self._collected.wipe()
        self._verdict = self._judge_answer(answer)
        self._handle(self._verdict, now)

    def hang_up(self, now: float) -> None:
        """Note that the caller is gone: ends the payment, or leaves the end to the connector's answer."""
        self._hung_up = True
        self._handle(Input.HANG_UP, now)

    def stop(self, now: float) -> None:
        """End the payment for the application: at once, or, when it was submitted, by the connector's answer."""
        self._stopped = True
        self._handle(Input.STOP, now)

    def next_timer(self) -> float | None:
        """Return when to call `handle_timer`, in monotonic seconds; None: not at all."""
        return self._deadline

    def handle_timer(self, now: float) -> None:
        """Note that time has passed; early calls are harmless."""
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._handle(Input.TIMER, now)

    # -- outputs -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the payment is."""
        return self._state

    def next_command(self) -> Command | None:
        """Return the next thing to do, None when there is none."""
        return self._commands.popleft() if self._commands else None

    # -- the table -----------------------------------------------------------------------------------------------

    def _input_of(self, code: int, now: float) -> Input | None:
        if 0 <= code <= 9:
            return Input.DIGIT
        if code == _CANCEL_KEY:
            return Input.CANCEL_KEY
        if code != _FINISH_KEY:
            return None
        # Callers end with # even an entry that was taken before they could. It must not count as the next one, empty.
        if now <= self._late_finish_until and len(self._entry) == 0:
            self._late_finish_until = _NEVER
            return Input.LATE_FINISH_KEY
        return Input.FINISH_KEY

    def _handle(self, event: Input, now: float, code: int = -1) -> None:
        self._feed(event, now, code)
        while self._state in _ENTRY_STATES and (kept := self._ahead.take()) is not None:
            kept_event = self._input_of(kept, now)
            if kept_event is not None:
                self._feed(kept_event, now, kept)
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

    @property
    def _facts(self) -> Facts:
        return Facts(
            today=self._today(),
            accepted=self._order.accepted,
            card_type=self._collected.masked.card_type,
            min_postal_code_length=self._order.min_postal_code_length,
        )

    def _keep_key(self, now: float) -> None:
        self._ahead.keep(self._key)

    def _begin(self, now: float) -> None:
        self._hush()
        self._collected.wipe()
        self._collected = self._nothing_collected()
        self._step_index = 0
        self._attempt = self._payment_attempt
        self._ask()

    def _ask_next(self, now: float) -> None:
        self._step_index += 1
        self._attempt = 1
        self._ask()

    def _ask_again(self, now: float) -> None:
        self._ahead.flush()  # what was typed ahead was typed in the belief that all was well
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
        self._late_finish_until = _NEVER
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
        facts, field = self._facts, field_of(self._step)
        error: ErrorType | None
        if len(self._entry) == 0:
            error = ErrorType.TIMEOUT
        else:
            error = field.error if self._entry_too_long else field.check(self._entry.view(), facts)
        if error is not None:
            self._entry.wipe()
            self._error = error
            again = self._attempt < self._order.prompts_per_step
            self._pending.append(Input.ENTRY_REFUSED if again else Input.ENTRY_EXHAUSTED)
            return
        self._collected.take(self._step, self._entry, facts)
        self._entry = Secret(1)  # the other belongs to what was collected now
        self._error = ""
        last = self._step_index + 1 == len(self._order.steps)
        self._pending.append(Input.ALL_TAKEN if last else Input.ENTRY_TAKEN)

    # -- the money -----------------------------------------------------------------------------------------------

    def _submit(self, now: float) -> None:
        self._ahead.flush()
        self._transaction_id = self._new_transaction_id()
        self._outstanding = True
        self._n_submissions += 1
        self._announce(Step.PROCESSING, now)
        order, collected = self._order, self._collected
        submission = Submission(
            transaction_id=self._transaction_id,
            operation=order.operation,
            method=PaymentMethod(order.method),
            card_number=collected.card_number,
            security_code=collected.security_code,
            card_type=collected.masked.card_type,
            expiry_month=collected.expiry_month,
            expiry_year=collected.expiry_year,
            postal_code=collected.postal_code,
            routing_number=collected.routing_number,
            account_number=collected.account_number,
            account_type=order.bank_account_type if order.method == PaymentMethod.ACH_DEBIT else "",
            amount=order.charged_amount,
            currency=order.currency,
            token_type=TokenType(order.token_type),
            description=order.description,
            parameters=order.parameters,
        )
        self._commands.append(Submit(submission))

    def _judge_answer(self, answer: ConnectorAnswer) -> Input:
        """Name the answer as an input, and note the error that fits it."""
        self._error = ""
        if answer.outcome is Outcome.SUCCEEDED:
            return Input.PAID
        if answer.outcome is Outcome.UNKNOWN:
            return Input.NOT_PAID  # money may have moved: never ask again
        if answer.error_type in _FIXABLE:
            self._error = answer.error_type
        elif answer.outcome is Outcome.DECLINED and not answer.error_type:
            self._error = ErrorType.CARD_DECLINED
        again = self._order.decline_restarts and self._payment_attempt < self._order.prompts_per_step
        return Input.DECLINED if self._error and again else Input.NOT_PAID

    def _without_echo(self, answer: ConnectorAnswer) -> ConnectorAnswer:
        clean = self._collected.without_echo
        parameters = {clean(name): clean(value) for name, value in answer.parameters.items()}
        return replace(
            answer,
            charge_id=clean(answer.charge_id),
            token_id=clean(answer.token_id),
            error_code=clean(answer.error_code),
            error_message=clean(answer.error_message, free_text=True),
            parameters=MappingProxyType(parameters),
        )

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
        self._result = Result.CALLER_INTERRUPTED_WITH_STAR
        self._hush()
        self._wipe()
        self._error = ""
        self._announce(Step.CANCELED, now)

    def _leave(self, now: float) -> None:
        self._end(Result.CALLER_HUNG_UP, Step.CANCELED)

    def _end_stopped(self, now: float) -> None:
        self._end(Result.RELAY_PAY_STOP, Step.CANCELED)

    def _settle(self, now: float) -> None:
        if self._verdict is Input.PAID:
            self._end(Result.SUCCESS, Step.COMPLETED)
        else:
            self._end(Result.PAYMENT_CONNECTOR_ERROR, Step.FAILED)

    def _end(self, result: Result, step: Step) -> None:
        self._result = result
        self._hush()
        if step is Step.CANCELED:
            self._error = ""
        if step in self._order.announced:
            self._report(step, self._payment_attempt)
        self._close(0.0)

    def _close(self, now: float) -> None:
        self._hush()
        self._deadline = None
        self._wipe()
        self._commands.append(Finish(self._final_result()))

    def _wipe(self) -> None:
        self._ahead.wipe()
        self._entry.wipe()
        self._collected.wipe()

    # -- what is said and told -----------------------------------------------------------------------------------

    def _announce(self, step: Step, now: float, *, say_error: bool = True) -> None:
        if step in self._order.announced:
            self._report(step, self._payment_attempt)
            self._play(step, self._actions(step, say_error=say_error), now, interruptible=False)
        else:
            self._pending.append(Input.PROMPT_FINISHED)  # a prompt that is not played is over at once

    def _actions(self, step: Step, *, say_error: bool = True) -> tuple[Action, ...]:
        card_type = self._collected.masked.card_type
        attempt = self._attempt if step is self._step else self._payment_attempt
        chosen = choose(self._order.prompts, step=step, attempt=attempt, card_type=card_type, error_type=self._error)
        return chosen or default_actions(
            step, card_type=card_type, error_type=self._error if say_error else "", tokenize=self._order.tokenizes
        )

    def _play(self, step: Step, actions: tuple[Action, ...], now: float, *, interruptible: bool) -> None:
        self._token += 1
        self._playing = self._token
        self._deadline = now + _PROMPT_LIMIT_S
        self._commands.append(Play(token=self._token, step=step, actions=actions, interruptible=interruptible))

    def _hush(self) -> None:
        if self._playing is not None:
            self._playing = None
            self._commands.append(StopPlaying())

    def _report(self, step: Step, attempt: int) -> None:
        status = PayStatus(
            step=step,
            error_type=self._error,
            attempt=attempt,
            payment_method=PaymentMethod(self._order.method),
            **self._masked(),
        )
        self._commands.append(EmitStatus(status))

    def _masked(self) -> dict[str, str]:
        return {field.name: getattr(self._collected.masked, field.name) for field in fields(MaskedFields)}

    def _nothing_collected(self) -> Collected:
        known = self._order.postal_code
        return Collected(mask_char=self._order.mask_char, postal_code=known if isinstance(known, str) else "")

    def _final_result(self) -> PayResult:
        answer, paid = self._answer, self._result is Result.SUCCESS
        refused = answer is not None and not paid
        message = answer.error_message if answer is not None and refused else ""
        code = answer.error_code if answer is not None and refused else ""
        exhausted = self._result is Result.TOO_MANY_FAILED_ATTEMPTS
        return PayResult(
            result=self._result,
            operation=self._order.operation,
            payment_method=PaymentMethod(self._order.method),
            transaction_id=self._transaction_id,
            outcome=answer.outcome if answer is not None else None,
            charge_id=answer.charge_id if answer is not None and paid else "",
            token_id=answer.token_id if answer is not None and paid else "",
            payment_error=self._error if exhausted else message or (self._error if refused else ""),
            payment_error_code=code,
            connector_error=ConnectorFault(code=code, message=message) if code or message else None,
            parameters=answer.parameters if answer is not None else MappingProxyType({}),
            attempts=self._n_submissions,
            hung_up=self._hung_up,
            stopped=self._stopped,
            **self._masked(),
        )


_ACTIONS: Mapping[Do, Callable[[PayMachine, float], None]] = MappingProxyType(
    {
        Do.KEEP_KEY: PayMachine._keep_key,
        Do.BEGIN: PayMachine._begin,
        Do.WAIT: PayMachine._wait,
        Do.COLLECT: PayMachine._collect,
        Do.END_ENTRY: PayMachine._end_entry,
        Do.ASK_NEXT: PayMachine._ask_next,
        Do.ASK_AGAIN: PayMachine._ask_again,
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
        Do.ABANDON: PayMachine._abandon,
        Do.SETTLE: PayMachine._settle,
        Do.CLOSE: PayMachine._close,
    }
)
