"""The pay machine's table: every state, every input, what follows.

Laws:

1. Everything that affects transitions stands here. An action does the work and may feed one internal input, which is
   looked up like any other; it never sets a state.
2. A pair that is neither in ``TABLE`` nor in ``IGNORED`` does not exist; a test walks the product.
3. Each state has at most one timer, so one input ``TIMER`` serves: the prompt's limit while something plays, the wait
   for the first key, the silence after a key.
4. Between ``Submit`` and the answer no key counts (`dialects.md` D-3): a payment must not be reported as canceled and
   be charged. Hanging up and stopping wait for the answer too, in ``ABANDONED``.
5. What plays there and after cannot be interrupted; only ``RETRYING``, where nothing is outstanding, takes the ``*``.
6. ``FINISHED`` is entered once and never left.
7. Where entries have to match, both are keyed in the same states: which of the two is asked is no transition but part
   of the entry, like its digits. A mismatch is a refused entry.
8. Nothing is submitted unconfirmed where confirmation is wanted: of the keys only 1 leads on, and silence, in the end,
   does what 2 does.
9. A fault of the engine ends a payment at once unless money may move or its end is known already.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from types import MappingProxyType

__all__ = ("IGNORED", "TABLE", "Do", "Input", "State")


class State(StrEnum):
    """Where a payment is."""

    IDLE = "idle"  # not started; keys are kept as type-ahead
    PROMPTING = "prompting"  # a step is being asked
    WAITING = "waiting"  # asked; no key yet
    COLLECTING = "collecting"  # at least one key of the entry
    CONFIRMING = "confirming"  # all taken; the last four are read back
    DECIDING = "deciding"  # read back; no key yet
    PROCESSING = "processing"  # submitted; the caller hears so
    AWAITING = "awaiting"  # submitted; the caller has heard so
    ANSWERED = "answered"  # answered while the caller still hears that it is processed
    COMPLETING = "completing"  # paid; the caller hears so
    RETRYING = "retrying"  # declined; the caller hears so and will be asked again
    FAILING = "failing"  # not paid; the caller hears so
    CANCELING = "canceling"  # canceled with *; the caller hears so
    ABANDONED = "abandoned"  # submitted, and the caller or the application is gone: the answer decides
    FINISHED = "finished"


class Input(StrEnum):
    """What can happen; the second group is fed by actions."""

    START = "start"
    DIGIT = "digit"
    FINISH_KEY = "#"
    LATE_FINISH_KEY = "# of the entry before"
    CANCEL_KEY = "*"
    PROMPT_FINISHED = "prompt finished"
    TIMER = "timer"
    PAID = "paid"
    DECLINED = "declined, attempts left"
    NOT_PAID = "not paid"
    HANG_UP = "hang-up"
    STOP = "stop"
    FAULT = "fault"

    ENTRY_TAKEN = "entry taken"
    ENTRY_TO_MATCH = "entry right, second one wanted"
    ENTRY_REFUSED = "entry refused"
    ENTRY_EXHAUSTED = "entry refused, attempts used up"
    ALL_TAKEN = "all taken"
    ALL_TO_CONFIRM = "all taken, confirmation wanted"
    CONFIRMED = "confirmed"
    NOT_CONFIRMED = "not confirmed"
    READING_LEFT = "no key, readings left"


class Do(StrEnum):
    """What a transition does; `PayMachine` has a method for each."""

    KEEP_KEY = "keep the key"
    BEGIN = "ask for the first field"
    WAIT = "wait for a key"
    COLLECT = "take the digit"
    END_ENTRY = "judge the entry"
    ASK_NEXT = "ask for the next field"
    ASK_SECOND = "ask for the same once more"
    ASK_AGAIN = "say the error, ask again"
    READ_BACK = "read the last four back"
    AWAIT_DECISION = "wait for 1 or 2"
    JUDGE_KEY = "judge the key"
    JUDGE_SILENCE = "count the readings"
    SUBMIT = "submit"
    AWAIT_ANSWER = "await the answer"
    HOLD_ANSWER = "hold the answer"
    DELIVER_ANSWER = "go by the answer"
    COMPLETE = "say that it is paid"
    RETRY = "say that it failed"
    FAIL = "say that it failed, for good"
    GIVE_UP = "say that it failed, too often"
    CANCEL = "say that it is canceled"
    DISCARD = "say that it is canceled, as it was not confirmed"
    LEAVE = "end: hung up"
    END_STOPPED = "end: stopped"
    END_FAULTY = "end: the engine failed"
    ABANDON = "stop playing, await the answer"
    SETTLE = "end by the answer"
    CLOSE = "end"


_S, _I = State, Input

_ENTRY = (_S.PROMPTING, _S.WAITING, _S.COLLECTING)
_CONFIRMATION = (_S.CONFIRMING, _S.DECIDING)
_UNSUBMITTED = (_S.IDLE, *_ENTRY, *_CONFIRMATION, _S.RETRYING)
_SUBMITTED = (_S.PROCESSING, _S.AWAITING, _S.ANSWERED, _S.ABANDONED)
_ENDING = (_S.COMPLETING, _S.FAILING, _S.CANCELING)

TABLE: Mapping[tuple[State, Input], tuple[State, Do]] = MappingProxyType(
    {
        (_S.IDLE, _I.START): (_S.PROMPTING, Do.BEGIN),
        (_S.IDLE, _I.DIGIT): (_S.IDLE, Do.KEEP_KEY),
        (_S.IDLE, _I.FINISH_KEY): (_S.IDLE, Do.KEEP_KEY),
        (_S.IDLE, _I.CANCEL_KEY): (_S.CANCELING, Do.CANCEL),
        (_S.IDLE, _I.HANG_UP): (_S.FINISHED, Do.LEAVE),
        (_S.IDLE, _I.STOP): (_S.FINISHED, Do.END_STOPPED),
        # One field.
        (_S.PROMPTING, _I.PROMPT_FINISHED): (_S.WAITING, Do.WAIT),
        (_S.PROMPTING, _I.TIMER): (_S.WAITING, Do.WAIT),
        (_S.PROMPTING, _I.DIGIT): (_S.COLLECTING, Do.COLLECT),
        (_S.PROMPTING, _I.FINISH_KEY): (_S.COLLECTING, Do.END_ENTRY),
        (_S.PROMPTING, _I.CANCEL_KEY): (_S.CANCELING, Do.CANCEL),
        (_S.PROMPTING, _I.HANG_UP): (_S.FINISHED, Do.LEAVE),
        (_S.PROMPTING, _I.STOP): (_S.FINISHED, Do.END_STOPPED),
        (_S.WAITING, _I.TIMER): (_S.COLLECTING, Do.END_ENTRY),
        (_S.WAITING, _I.DIGIT): (_S.COLLECTING, Do.COLLECT),
        (_S.WAITING, _I.FINISH_KEY): (_S.COLLECTING, Do.END_ENTRY),
        (_S.WAITING, _I.CANCEL_KEY): (_S.CANCELING, Do.CANCEL),
        (_S.WAITING, _I.HANG_UP): (_S.FINISHED, Do.LEAVE),
        (_S.WAITING, _I.STOP): (_S.FINISHED, Do.END_STOPPED),
        (_S.COLLECTING, _I.TIMER): (_S.COLLECTING, Do.END_ENTRY),
        (_S.COLLECTING, _I.DIGIT): (_S.COLLECTING, Do.COLLECT),
        (_S.COLLECTING, _I.FINISH_KEY): (_S.COLLECTING, Do.END_ENTRY),
        (_S.COLLECTING, _I.CANCEL_KEY): (_S.CANCELING, Do.CANCEL),
        (_S.COLLECTING, _I.HANG_UP): (_S.FINISHED, Do.LEAVE),
        (_S.COLLECTING, _I.STOP): (_S.FINISHED, Do.END_STOPPED),
        (_S.COLLECTING, _I.ENTRY_TAKEN): (_S.PROMPTING, Do.ASK_NEXT),
        (_S.COLLECTING, _I.ENTRY_TO_MATCH): (_S.PROMPTING, Do.ASK_SECOND),
        (_S.COLLECTING, _I.ENTRY_REFUSED): (_S.PROMPTING, Do.ASK_AGAIN),
        (_S.COLLECTING, _I.ENTRY_EXHAUSTED): (_S.FAILING, Do.GIVE_UP),
        (_S.COLLECTING, _I.ALL_TAKEN): (_S.PROCESSING, Do.SUBMIT),
        (_S.COLLECTING, _I.ALL_TO_CONFIRM): (_S.CONFIRMING, Do.READ_BACK),
        # Is it the right card?
        (_S.CONFIRMING, _I.PROMPT_FINISHED): (_S.DECIDING, Do.AWAIT_DECISION),
        (_S.CONFIRMING, _I.TIMER): (_S.DECIDING, Do.AWAIT_DECISION),
        (_S.CONFIRMING, _I.DIGIT): (_S.CONFIRMING, Do.JUDGE_KEY),
        (_S.CONFIRMING, _I.CONFIRMED): (_S.PROCESSING, Do.SUBMIT),
        (_S.CONFIRMING, _I.NOT_CONFIRMED): (_S.CANCELING, Do.DISCARD),
        (_S.CONFIRMING, _I.CANCEL_KEY): (_S.CANCELING, Do.CANCEL),
        (_S.CONFIRMING, _I.HANG_UP): (_S.FINISHED, Do.LEAVE),
        (_S.CONFIRMING, _I.STOP): (_S.FINISHED, Do.END_STOPPED),
        (_S.DECIDING, _I.DIGIT): (_S.DECIDING, Do.JUDGE_KEY),
        (_S.DECIDING, _I.TIMER): (_S.DECIDING, Do.JUDGE_SILENCE),
        (_S.DECIDING, _I.READING_LEFT): (_S.CONFIRMING, Do.READ_BACK),
        (_S.DECIDING, _I.CONFIRMED): (_S.PROCESSING, Do.SUBMIT),
        (_S.DECIDING, _I.NOT_CONFIRMED): (_S.CANCELING, Do.DISCARD),
        (_S.DECIDING, _I.CANCEL_KEY): (_S.CANCELING, Do.CANCEL),
        (_S.DECIDING, _I.HANG_UP): (_S.FINISHED, Do.LEAVE),
        (_S.DECIDING, _I.STOP): (_S.FINISHED, Do.END_STOPPED),
        # The money.
        (_S.PROCESSING, _I.PROMPT_FINISHED): (_S.AWAITING, Do.AWAIT_ANSWER),
        (_S.PROCESSING, _I.TIMER): (_S.AWAITING, Do.AWAIT_ANSWER),
        (_S.PROCESSING, _I.PAID): (_S.ANSWERED, Do.HOLD_ANSWER),
        (_S.PROCESSING, _I.DECLINED): (_S.ANSWERED, Do.HOLD_ANSWER),
        (_S.PROCESSING, _I.NOT_PAID): (_S.ANSWERED, Do.HOLD_ANSWER),
        (_S.PROCESSING, _I.HANG_UP): (_S.ABANDONED, Do.ABANDON),
        (_S.PROCESSING, _I.STOP): (_S.ABANDONED, Do.ABANDON),
        (_S.AWAITING, _I.PAID): (_S.COMPLETING, Do.COMPLETE),
        (_S.AWAITING, _I.DECLINED): (_S.RETRYING, Do.RETRY),
        (_S.AWAITING, _I.NOT_PAID): (_S.FAILING, Do.FAIL),
        (_S.AWAITING, _I.HANG_UP): (_S.ABANDONED, Do.ABANDON),
        (_S.AWAITING, _I.STOP): (_S.ABANDONED, Do.ABANDON),
        (_S.ANSWERED, _I.PROMPT_FINISHED): (_S.AWAITING, Do.DELIVER_ANSWER),
        (_S.ANSWERED, _I.TIMER): (_S.AWAITING, Do.DELIVER_ANSWER),
        (_S.ANSWERED, _I.HANG_UP): (_S.FINISHED, Do.SETTLE),
        (_S.ANSWERED, _I.STOP): (_S.FINISHED, Do.SETTLE),
        (_S.ABANDONED, _I.PAID): (_S.FINISHED, Do.SETTLE),
        (_S.ABANDONED, _I.DECLINED): (_S.FINISHED, Do.SETTLE),
        (_S.ABANDONED, _I.NOT_PAID): (_S.FINISHED, Do.SETTLE),
        (_S.ABANDONED, _I.HANG_UP): (_S.ABANDONED, Do.ABANDON),
        (_S.ABANDONED, _I.STOP): (_S.ABANDONED, Do.ABANDON),
        # How it ended.
        (_S.RETRYING, _I.PROMPT_FINISHED): (_S.PROMPTING, Do.BEGIN),
        (_S.RETRYING, _I.TIMER): (_S.PROMPTING, Do.BEGIN),
        (_S.RETRYING, _I.CANCEL_KEY): (_S.CANCELING, Do.CANCEL),
        (_S.RETRYING, _I.HANG_UP): (_S.FINISHED, Do.LEAVE),
        (_S.RETRYING, _I.STOP): (_S.FINISHED, Do.END_STOPPED),
        (_S.COMPLETING, _I.PROMPT_FINISHED): (_S.FINISHED, Do.CLOSE),
        (_S.COMPLETING, _I.TIMER): (_S.FINISHED, Do.CLOSE),
        (_S.COMPLETING, _I.HANG_UP): (_S.FINISHED, Do.CLOSE),
        (_S.COMPLETING, _I.STOP): (_S.FINISHED, Do.CLOSE),
        (_S.FAILING, _I.PROMPT_FINISHED): (_S.FINISHED, Do.CLOSE),
        (_S.FAILING, _I.TIMER): (_S.FINISHED, Do.CLOSE),
        (_S.FAILING, _I.HANG_UP): (_S.FINISHED, Do.CLOSE),
        (_S.FAILING, _I.STOP): (_S.FINISHED, Do.CLOSE),
        (_S.CANCELING, _I.PROMPT_FINISHED): (_S.FINISHED, Do.CLOSE),
        (_S.CANCELING, _I.TIMER): (_S.FINISHED, Do.CLOSE),
        (_S.CANCELING, _I.HANG_UP): (_S.FINISHED, Do.CLOSE),
        (_S.CANCELING, _I.STOP): (_S.FINISHED, Do.CLOSE),
        # The engine failed (law 9).
        **{(state, _I.FAULT): (_S.FINISHED, Do.END_FAULTY) for state in _UNSUBMITTED},
        (_S.PROCESSING, _I.FAULT): (_S.ABANDONED, Do.ABANDON),
        (_S.AWAITING, _I.FAULT): (_S.ABANDONED, Do.ABANDON),
        (_S.ABANDONED, _I.FAULT): (_S.ABANDONED, Do.ABANDON),
        (_S.ANSWERED, _I.FAULT): (_S.FINISHED, Do.SETTLE),
        **{(state, _I.FAULT): (_S.FINISHED, Do.CLOSE) for state in _ENDING},
    }
)

_KEYS = (_I.DIGIT, _I.FINISH_KEY, _I.CANCEL_KEY)
_ANSWERS = (_I.PAID, _I.DECLINED, _I.NOT_PAID)
_VERDICTS = (
    _I.ENTRY_TAKEN,
    _I.ENTRY_TO_MATCH,
    _I.ENTRY_REFUSED,
    _I.ENTRY_EXHAUSTED,
    _I.ALL_TAKEN,
    _I.ALL_TO_CONFIRM,
)
_DECISIONS = (_I.CONFIRMED, _I.NOT_CONFIRMED)

IGNORED: frozenset[tuple[State, Input]] = frozenset(
    {
        *product(State, [_I.LATE_FINISH_KEY]),  # it ended an entry that was complete already
        *product((s for s in State if s is not _S.IDLE), [_I.START]),  # started once
        *product(
            (_S.IDLE, _S.WAITING, _S.COLLECTING, _S.DECIDING, _S.AWAITING, _S.ABANDONED), [_I.PROMPT_FINISHED]
        ),  # none plays
        *product(_CONFIRMATION, [_I.FINISH_KEY]),  # neither yes nor no; it may still be meant for the last entry
        *product((_S.IDLE, _S.AWAITING, _S.ABANDONED), [_I.TIMER]),  # none runs
        *product((*_SUBMITTED, *_ENDING), _KEYS),  # law 4, law 5
        *product([_S.RETRYING], (_I.DIGIT, _I.FINISH_KEY)),  # an error flushes what was typed ahead
        *product((*_UNSUBMITTED, *_ENDING), _ANSWERS),  # nothing is outstanding
        *product([_S.ANSWERED], _ANSWERS),  # one answer each
        *product((s for s in State if s is not _S.COLLECTING), _VERDICTS),  # fed there only
        *product((s for s in State if s not in _CONFIRMATION), _DECISIONS),  # fed there only
        *product((s for s in State if s is not _S.DECIDING), [_I.READING_LEFT]),  # fed there only
        *product([_S.FINISHED], Input),  # law 6
    }
)
"Pairs in which nothing happens, and why."
