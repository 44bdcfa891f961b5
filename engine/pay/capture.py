"""The capture machine: an agent says which field the caller keys next, and when it is enough (`dialects.md` §5).

The table is in ``engine.pay.capture_states``; the work that its actions name is here. Like the machine that asks by
itself it is fed with what happened and the time (monotonic seconds) and answers with commands, taken with
``next_command()`` after each input. It plays nothing but the confirmation, repeats nothing, and never waits.

What the agent asks for and cannot have is refused with a `Refusal`, and nothing is lost by it.

A field that is captured again is forgotten when its capture begins: what the agent takes for wrong must not be charged.
An entry that another capture replaces is forgotten too, however long it was. What is being keyed is shown as masks
only, one for each key, also where the finished entry is shown in clear: until an entry is judged nobody knows that it
is not a card number.

Promises: `Finish` comes exactly once and last; then, and from the connector's answer on, no secret holds a digit; a
payment that was submitted ends by its answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from types import MappingProxyType

from engine.pay.base import NEVER, Machine, Outside
from engine.pay.capture_states import TABLE, Do, Input, State
from engine.pay.cards import security_code_length
from engine.pay.commands import EmitStatus, Submit
from engine.pay.fields import ErrorType, Step, field_of
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import CONFIRMATION, confirm_actions
from engine.pay.results import PayStatus, Result
from engine.pay.secret import Secret
from engine.pay.submission import PaymentMethod

__all__ = ("CONFIRM_WAIT_S", "READINGS", "CaptureMachine", "Refusal", "RefusalReason")

MATCHER = "-matcher"
"Ends the name of the second of two entries that have to match."
READINGS = 3
"How often the last digits are read back before silence counts as a no (D-51)."
CONFIRM_WAIT_S = 5.0
"Seconds for a key after each reading; the order's timeout runs between the keys of an entry only."

_YES, _NO = 1, 2
_RUNNING = frozenset({State.ARMED, State.KEYING})
_ASKED = frozenset({State.READING, State.CONFIRMING})
_ACCOUNT_MASK = "*"  # of bank accounts in every dialect (D-19)

# Where a step's value is kept, and which of the values that are shown are its own.
_KEPT: Mapping[Step, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        Step.CARD_NUMBER: (("card_number",), ("card_number", "last_four", "card_type")),
        Step.EXPIRATION_DATE: (("expiry_month", "expiry_year"), ("expiration_date",)),
        Step.SECURITY_CODE: (("security_code",), ("security_code",)),
        Step.POSTAL_CODE: (("postal_code",), ("postal_code",)),
        Step.ROUTING_NUMBER: (("routing_number",), ("routing_number",)),
        Step.ACCOUNT_NUMBER: (("account_number",), ("account_number",)),
    }
)


class RefusalReason(StrEnum):
    """Why the agent cannot have what was asked for.

    In the numbers of `dialects.md` §4.4: 64019 for what is incomplete, 64020 for steps, 64021 for the others.
    """

    NO_SUCH_STEP = "no such step"
    NOT_WANTED = "a step that this payment does not ask for"
    INCOMPLETE = "something is missing"
    NOT_OPEN = "the session is not open"
    SUBMITTED = "the connector was asked already"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The session is as it was before."""

    reason: RefusalReason
    missing: tuple[str, ...] = ()
    "What has to be captured before the payment can be completed; with `RefusalReason.INCOMPLETE`."


class CaptureMachine(Machine):
    """One payment on one call, captured field by field as an agent says, sans-IO.

    ``today`` gives the date for expiry checks, ``transaction_id`` an identity for the submission. Of the order,
    attempts, prompts and announcements mean nothing here.
    """

    def __init__(self, order: PayOrder, *, today: Callable[[], date], transaction_id: Callable[[], str]) -> None:
        super().__init__(order, today=today, transaction_id=transaction_id)
        self._state = State.IDLE
        self._pending: deque[Input] = deque()
        self._asked = ""
        self._running = ""
        self._twice: dict[str, Secret] = {}
        "Both entries of the steps that are keyed twice, to be compared, by the names of their captures."
        self._submitted = False
        self._faulty = False

    # -- the agent -----------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Open the session; nothing is captured yet. Once."""
        self._handle(Input.START, now)

    def capture(self, name: str, now: float, *, afresh: bool = False) -> Refusal | None:
        """Let the caller key a step, or with ``-matcher`` behind it, key it for the second time; None: so it is.

        It takes the place of a capture under way, and the entry that of an earlier one of the same step; when that same
        step is still being keyed, its digits are kept (D-35), but not with ``afresh``.
        """
        step = name.removesuffix(MATCHER)
        if step not in tuple(_KEPT):
            return Refusal(RefusalReason.NO_SUCH_STEP)
        if name not in self._names:
            return Refusal(RefusalReason.NOT_WANTED)
        event = Input.CAPTURE
        if self._state in _RUNNING and name == self._running and not afresh:
            event = Input.CAPTURE_AGAIN
        elif step == Step.SECURITY_CODE and self._checkout.collected.card_number is None:
            event = Input.CAPTURE_EARLY
        if (self._state, event) not in TABLE:
            return self._refusal()
        self._asked = name
        self._handle(event, now)
        return None

    def complete(self, now: float) -> Refusal | None:
        """Have the payment made, after the caller's confirmation where that is wanted; None: so it is.

        A second time changes nothing: one charge, the same answer (D-35).
        """
        if self._submitted or self._state in _ASKED:
            return None
        if self._state in (State.IDLE, State.FINISHED):
            return self._refusal()
        if self.required:
            return Refusal(RefusalReason.INCOMPLETE, self.required)
        self._n_readings = 0
        self._handle(Input.COMPLETE_UNCONFIRMED if self._order.confirm else Input.COMPLETE, now)
        return None

    def cancel(self, now: float) -> Refusal | None:
        """End the session as canceled (D-50); refused when the connector was asked already."""
        if (self._state, Input.CANCEL) not in TABLE:
            return self._refusal()
        self._handle(Input.CANCEL, now)
        return None

    # -- inputs --------------------------------------------------------------------------------------------------

    def fault(self, now: float) -> None:
        """End the session for a fault of the engine: at once, or, when it was submitted, by the connector's answer."""
        self._faulty = True
        super().fault(now)

    def _happened(self, what: Outside, now: float, code: int = -1) -> None:
        self._handle(Input[what.name], now, code)

    def _answered(self, now: float) -> None:
        self._handle(Input.PAID if self._checkout.is_paid else Input.NOT_PAID, now)

    # -- outputs -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the session is."""
        return self._state

    @property
    def required(self) -> tuple[str, ...]:
        """What is still to be captured, in the order of `dialects.md` §1.1, second entries behind their first ones.

        Nothing once it was submitted.
        """
        if self._submitted:
            return ()
        return tuple(name for name in self._names if not self._is_done(name))

    # -- the table -----------------------------------------------------------------------------------------------

    @property
    def _names(self) -> tuple[str, ...]:
        names: list[str] = []
        for step in self._order.steps:
            names.append(str(step))
            if step in self._order.matching:
                names.append(step + MATCHER)
        return tuple(names)

    def _refusal(self) -> Refusal:
        submitted = self._state is State.SUBMITTED
        return Refusal(RefusalReason.SUBMITTED if submitted else RefusalReason.NOT_OPEN)

    def _handle(self, event: Input, now: float, code: int = -1) -> None:
        self._key = code
        self._pending.append(event)
        while self._pending:
            transition = TABLE.get((self._state, self._pending.popleft()))
            if transition is not None:
                self._state, do = transition
                _ACTIONS[do](self, now)
        self._key = -1

    # -- one entry -----------------------------------------------------------------------------------------------

    def _open(self, now: float) -> None:
        """Nothing is said of a session that was opened; whoever opened it knows."""

    def _arm(self, now: float) -> None:
        self._halt()
        self._forget_earlier(self._asked)
        self._running = self._asked
        self._entry = Secret(field_of(_step_of(self._running)).max_digits)
        self._report(self._running, partial=True)

    def _go_on(self, now: float) -> None:
        self._report(self._running, partial=True)

    def _refuse_early(self, now: float) -> None:
        self._halt()
        self._forget_earlier(self._asked)
        self._report(self._asked, error=ErrorType.CAPTURE_SEQUENCE)

    def _collect(self, now: float) -> None:
        self._late_finish_until = NEVER
        self._deadline = now + self._order.timeout_s
        if len(self._entry) == self._entry.capacity:
            self._entry_too_long = True
            return
        self._entry.append(self._key)
        if field_of(_step_of(self._running)).is_complete(self._entry.view(), self._facts):
            self._late_finish_until = self._deadline
            self._end_entry(now)
        else:
            self._report(self._running, partial=True)

    def _end_entry(self, now: float) -> None:
        self._deadline = None
        self._error = str(self._judge() or "")
        self._pending.append(Input.ENTRY_REFUSED if self._error else Input.ENTRY_TAKEN)

    def _judge(self) -> ErrorType | None:
        """Keep the entry, or return what is wrong with it."""
        name = self._running
        step, facts = _step_of(name), self._facts
        if len(self._entry) == 0:
            return ErrorType.TIMEOUT
        other = self._twice.get(step if name != step else step + MATCHER)
        if other is not None and (self._entry_too_long or not self._entry.matches(other)):
            self._forget(step)
            return ErrorType.MATCHING_FAILED
        error = field_of(step).error if self._entry_too_long else field_of(step).check(self._entry.view(), facts)
        if error is not None:
            return error
        if step in self._order.matching:
            self._twice[name] = _copy(self._entry)
        if name == step:
            self._checkout.collected.take(step, self._entry, facts)
            self._entry = Secret(1)  # the other belongs to what was collected now
            if step is Step.CARD_NUMBER:
                self._drop_code_of_another_length()
        return None

    def _drop_code_of_another_length(self) -> None:
        """D-37: the code was keyed for another brand."""
        length = security_code_length(self._checkout.collected.masked.card_type)
        code = self._checkout.collected.security_code or self._twice.get(Step.SECURITY_CODE + MATCHER)
        if code is not None and len(code) != length:
            self._forget(Step.SECURITY_CODE)

    def _rest(self, now: float) -> None:
        name, error, self._error = self._running, self._error, ""
        self._halt()
        self._report(name, error=error)

    # -- the confirmation ----------------------------------------------------------------------------------------

    def _read(self, now: float) -> None:
        self._n_readings += 1
        # Not interruptible: only the two keys that are offered may cut it short, and the media plane knows no others.
        self._play(CONFIRMATION, confirm_actions(self._checkout.collected.masked), now, interruptible=False)

    def _await_key(self, now: float) -> None:
        self._hush()
        self._deadline = now + CONFIRM_WAIT_S

    def _judge_key(self, now: float) -> None:
        if self._key in (_YES, _NO):
            self._pending.append(Input.CONFIRMED if self._key == _YES else Input.REFUSED)

    def _judge_silence(self, now: float) -> None:
        self._pending.append(Input.READ_AGAIN if self._n_readings < READINGS else Input.REFUSED)

    # -- the money -----------------------------------------------------------------------------------------------

    def _submit(self, now: float) -> None:
        self._halt()
        self._forget_comparisons()
        self._submitted = True
        self._commands.append(Submit(self._checkout.submit()))

    def _await_answer(self, now: float) -> None:
        """The connector decides how it ends."""

    # -- how it ends ---------------------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        if self._checkout.is_paid:
            self._end(Result.SUCCESS)
        else:
            self._end(Result.INTERNAL_ERROR if self._faulty else Result.PAYMENT_CONNECTOR_ERROR)

    def _end_canceled(self, now: float) -> None:
        self._end(Result.CANCELED)

    def _end_star(self, now: float) -> None:
        self._end(Result.CALLER_INTERRUPTED_WITH_STAR)

    def _end_hung_up(self, now: float) -> None:
        self._end(Result.CALLER_HUNG_UP)

    def _end_stopped(self, now: float) -> None:
        self._end(Result.RELAY_PAY_STOP)

    def _end_fault(self, now: float) -> None:
        self._end(Result.INTERNAL_ERROR)

    def _end(self, result: Result) -> None:
        self._halt()
        self._forget_comparisons()
        self._checkout.wipe()
        self._tell_result(result)

    # -- what is held --------------------------------------------------------------------------------------------

    def _halt(self) -> None:
        """Nothing plays and no entry is under way any more."""
        self._hush()
        self._deadline = None
        self._entry.wipe()
        self._entry_too_long = False
        self._running = ""

    def _has(self, step: Step) -> bool:
        return bool(getattr(self._checkout.collected, _KEPT[step][0][0]))

    def _is_done(self, name: str) -> bool:
        if name == self._running:
            return False
        step = _step_of(name)
        return self._has(step) if name == step else name in self._twice

    def _forget_earlier(self, name: str) -> None:
        """Forget what was captured under this name before; with a first entry the second too."""
        step = _step_of(name)
        if name != step:
            self._forget_entry(name)
        elif self._has(step):
            self._forget(step)

    def _forget(self, step: Step) -> None:
        """Wipe and forget both entries of a step, and what is shown of it."""
        collected = self._checkout.collected
        kept, shown = _KEPT[step]
        for name in kept:
            held = getattr(collected, name)
            if isinstance(held, Secret):
                held.wipe()
            setattr(collected, name, "" if isinstance(held, str) else None)
        collected.masked = replace(collected.masked, **dict.fromkeys(shown, ""))
        self._forget_entry(step)
        self._forget_entry(step + MATCHER)

    def _forget_entry(self, name: str) -> None:
        entry = self._twice.pop(name, None)
        if entry is not None:
            entry.wipe()

    def _forget_comparisons(self) -> None:
        for name in tuple(self._twice):
            self._forget_entry(name)

    # -- what is told --------------------------------------------------------------------------------------------

    def _report(self, name: str, *, error: str = "", partial: bool = False) -> None:
        step = _step_of(name)
        values = self._checkout.masked
        if partial:
            mask = _ACCOUNT_MASK if step is Step.ACCOUNT_NUMBER else self._order.mask_char
            shown = _KEPT[step][1]
            values |= dict.fromkeys(shown, "") | {shown[0]: mask * len(self._entry)}
        status = PayStatus(
            step=step,
            matching=name != step,
            error_type=error,
            required=self.required,
            partial=partial,
            payment_method=PaymentMethod(self._order.method),
            **values,
        )
        self._commands.append(EmitStatus(status))


def _step_of(name: str) -> Step:
    return Step(name.removesuffix(MATCHER))


def _copy(entry: Secret) -> Secret:
    copy = Secret(entry.capacity)
    for index in range(len(entry)):
        copy.append(entry.digit(index))
    return copy


_ACTIONS: Mapping[Do, Callable[[CaptureMachine, float], None]] = MappingProxyType(
    {
        Do.OPEN: CaptureMachine._open,
        Do.ARM: CaptureMachine._arm,
        Do.GO_ON: CaptureMachine._go_on,
        Do.REFUSE_EARLY: CaptureMachine._refuse_early,
        Do.COLLECT: CaptureMachine._collect,
        Do.END_ENTRY: CaptureMachine._end_entry,
        Do.REST: CaptureMachine._rest,
        Do.READ: CaptureMachine._read,
        Do.AWAIT_KEY: CaptureMachine._await_key,
        Do.JUDGE_KEY: CaptureMachine._judge_key,
        Do.JUDGE_SILENCE: CaptureMachine._judge_silence,
        Do.SUBMIT: CaptureMachine._submit,
        Do.AWAIT_ANSWER: CaptureMachine._await_answer,
        Do.SETTLE: CaptureMachine._settle,
        Do.END_CANCELED: CaptureMachine._end_canceled,
        Do.END_STAR: CaptureMachine._end_star,
        Do.END_HUNG_UP: CaptureMachine._end_hung_up,
        Do.END_STOPPED: CaptureMachine._end_stopped,
        Do.END_FAULT: CaptureMachine._end_fault,
    }
)
