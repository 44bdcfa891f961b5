"""The table of the capture machine, which an agent drives: every state, every input, what follows.

Laws:

1. Everything that affects transitions stands here. An action does the work and may feed one internal input, which is
   looked up like any other; it never sets a state.
2. A pair that is neither in ``TABLE`` nor in ``IGNORED`` does not exist; a test walks the product.
3. Each state has at most one timer, so one input ``TIMER`` serves: the silence after a key, the limit of the
   confirmation's prompt, the wait for its key. Nothing limits the wait for the first key of an entry (D-4).
4. Keys count while a capture runs and while the caller is asked to confirm, and at no other time (`dialects.md` §5.3,
   D-38).
5. What the agent may do is what the table has a transition for: anything else is refused and changes nothing.
6. Between ``Submit`` and the answer nothing ends the payment but the answer: hanging up, stopping and a fault of the
   engine wait for it, and the agent can neither capture nor cancel.
7. ``FINISHED`` is entered once and never left.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from types import MappingProxyType

__all__ = ("IGNORED", "TABLE", "Do", "Input", "State")


class State(StrEnum):
    """Where a capture session is."""

    IDLE = "idle"  # not started
    OPEN = "open"  # no capture runs
    ARMED = "armed"  # a capture runs; no key yet
    KEYING = "keying"  # at least one key of the entry
    READING = "reading"  # the caller hears the last digits and how to confirm them
    CONFIRMING = "confirming"  # has heard it; no key yet
    SUBMITTED = "submitted"
    FINISHED = "finished"


class Input(StrEnum):
    """What can happen; the second group is fed by actions."""

    START = "start"
    CAPTURE = "capture"
    CAPTURE_AGAIN = "capture, of the step that runs"
    CAPTURE_EARLY = "capture, before what it depends on"
    COMPLETE = "complete"
    COMPLETE_UNCONFIRMED = "complete, the caller has to confirm"
    CANCEL = "cancel"
    DIGIT = "digit"
    FINISH_KEY = "#"
    LATE_FINISH_KEY = "# of the entry before"
    CANCEL_KEY = "*"
    PROMPT_FINISHED = "prompt finished"
    TIMER = "timer"
    PAID = "paid"
    NOT_PAID = "not paid"
    HANG_UP = "hang-up"
    STOP = "stop"
    FAULT = "fault"

    ENTRY_TAKEN = "entry taken"
    ENTRY_REFUSED = "entry refused"
    CONFIRMED = "confirmed"
    REFUSED = "not confirmed"
    READ_AGAIN = "silence, readings left"


class Do(StrEnum):
    """What a transition does; `CaptureMachine` has a method for each."""

    OPEN = "open"
    ARM = "begin the entry"
    GO_ON = "say how far it is"
    REFUSE_EARLY = "say what is missing before it"
    COLLECT = "take the digit"
    END_ENTRY = "judge the entry"
    REST = "say what is known"
    READ = "read the last digits back"
    AWAIT_KEY = "wait for a key"
    JUDGE_KEY = "judge the key"
    JUDGE_SILENCE = "judge the silence"
    SUBMIT = "submit"
    AWAIT_ANSWER = "await the answer"
    SETTLE = "end by the answer"
    END_CANCELED = "end: canceled"
    END_STAR = "end: canceled with *"
    END_HUNG_UP = "end: hung up"
    END_STOPPED = "end: stopped"
    END_FAULT = "end: engine fault"


_S, _I = State, Input

_BEFORE_SUBMIT = (_S.OPEN, _S.ARMED, _S.KEYING, _S.READING, _S.CONFIRMING)
_RUNNING = (_S.ARMED, _S.KEYING)
_ASKED = (_S.READING, _S.CONFIRMING)

TABLE: Mapping[tuple[State, Input], tuple[State, Do]] = MappingProxyType(
    {
        (_S.IDLE, _I.START): (_S.OPEN, Do.OPEN),
        # The agent. A capture during the confirmation takes it back: something was wrong with what was read.
        **{(state, _I.CAPTURE): (_S.ARMED, Do.ARM) for state in _BEFORE_SUBMIT},
        **{(state, _I.CAPTURE_EARLY): (_S.OPEN, Do.REFUSE_EARLY) for state in _BEFORE_SUBMIT},
        **{(state, _I.CAPTURE_AGAIN): (state, Do.GO_ON) for state in _RUNNING},  # D-35: digits are kept
        (_S.OPEN, _I.COMPLETE): (_S.SUBMITTED, Do.SUBMIT),
        (_S.OPEN, _I.COMPLETE_UNCONFIRMED): (_S.READING, Do.READ),
        **{(state, _I.CANCEL): (_S.FINISHED, Do.END_CANCELED) for state in (_S.IDLE, *_BEFORE_SUBMIT)},
        # The caller's entry.
        **{(state, _I.DIGIT): (_S.KEYING, Do.COLLECT) for state in _RUNNING},
        **{(state, _I.FINISH_KEY): (_S.KEYING, Do.END_ENTRY) for state in _RUNNING},
        **{(state, _I.CANCEL_KEY): (_S.FINISHED, Do.END_STAR) for state in _RUNNING},
        (_S.KEYING, _I.TIMER): (_S.KEYING, Do.END_ENTRY),
        (_S.KEYING, _I.ENTRY_TAKEN): (_S.OPEN, Do.REST),
        (_S.KEYING, _I.ENTRY_REFUSED): (_S.OPEN, Do.REST),
        # The confirmation.
        (_S.READING, _I.PROMPT_FINISHED): (_S.CONFIRMING, Do.AWAIT_KEY),
        (_S.READING, _I.TIMER): (_S.CONFIRMING, Do.AWAIT_KEY),
        (_S.CONFIRMING, _I.TIMER): (_S.CONFIRMING, Do.JUDGE_SILENCE),
        (_S.CONFIRMING, _I.READ_AGAIN): (_S.READING, Do.READ),
        **{(state, _I.DIGIT): (state, Do.JUDGE_KEY) for state in _ASKED},
        **{(state, _I.CONFIRMED): (_S.SUBMITTED, Do.SUBMIT) for state in _ASKED},
        **{(state, _I.REFUSED): (_S.FINISHED, Do.END_CANCELED) for state in _ASKED},
        # The money.
        (_S.SUBMITTED, _I.PAID): (_S.FINISHED, Do.SETTLE),
        (_S.SUBMITTED, _I.NOT_PAID): (_S.FINISHED, Do.SETTLE),
        **{(_S.SUBMITTED, event): (_S.SUBMITTED, Do.AWAIT_ANSWER) for event in (_I.HANG_UP, _I.STOP, _I.FAULT)},
        # How it ends before.
        **{(state, _I.HANG_UP): (_S.FINISHED, Do.END_HUNG_UP) for state in (_S.IDLE, *_BEFORE_SUBMIT)},
        **{(state, _I.STOP): (_S.FINISHED, Do.END_STOPPED) for state in (_S.IDLE, *_BEFORE_SUBMIT)},
        **{(state, _I.FAULT): (_S.FINISHED, Do.END_FAULT) for state in (_S.IDLE, *_BEFORE_SUBMIT)},
    }
)

_KEYS = (_I.DIGIT, _I.FINISH_KEY, _I.CANCEL_KEY)
_COMPLETES = (_I.COMPLETE, _I.COMPLETE_UNCONFIRMED)

IGNORED: frozenset[tuple[State, Input]] = frozenset(
    {
        *product(State, [_I.LATE_FINISH_KEY]),  # it ended an entry that was complete already
        *product((s for s in State if s is not _S.IDLE), [_I.START]),  # started once
        *product((_S.IDLE, _S.SUBMITTED), (_I.CAPTURE, _I.CAPTURE_EARLY)),  # law 5
        *product((s for s in State if s not in _RUNNING), [_I.CAPTURE_AGAIN]),  # none runs
        *product((s for s in State if s is not _S.OPEN), _COMPLETES),  # law 5; complete already: the same answer
        *product([_S.SUBMITTED], [_I.CANCEL]),  # law 6
        *product((_S.IDLE, _S.OPEN, _S.SUBMITTED), _KEYS),  # law 4
        *product(_ASKED, (_I.FINISH_KEY, _I.CANCEL_KEY)),  # only 1 and 2 are offered; law 4
        *product((s for s in State if s is not _S.READING), [_I.PROMPT_FINISHED]),  # none plays
        *product((_S.IDLE, _S.OPEN, _S.ARMED, _S.SUBMITTED), [_I.TIMER]),  # none runs
        *product((s for s in State if s is not _S.SUBMITTED), (_I.PAID, _I.NOT_PAID)),  # nothing is outstanding
        *product((s for s in State if s is not _S.KEYING), (_I.ENTRY_TAKEN, _I.ENTRY_REFUSED)),  # fed there only
        *product((s for s in State if s not in _ASKED), (_I.CONFIRMED, _I.REFUSED)),
        *product((s for s in State if s is not _S.CONFIRMING), [_I.READ_AGAIN]),
        *product([_S.FINISHED], Input),  # law 7
    }
)
"Pairs in which nothing happens, and why."
