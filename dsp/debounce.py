"""From verdicts on 25 ms of audio to one START and one END a key: the DTMF detector's state machine.

Laws:

1. A key starts when ``windows_to_confirm`` windows in a row agree, and ends when its tones were absent for
   ``pause_blocks`` blocks; a shorter absence is a drop-out (ITU-T Q.24: an interruption of 10 ms).
2. While a key is held only its own tones matter, so a drifting level cannot start it again.
3. A key that a loss has cut needs one window less: it was longer than what arrived. A loss hides no more than
   ``max_lost_samples`` of a key.

`dsp._dtmf` copies the table into arrays when it is imported and runs from those.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

__all__ = ("IGNORED", "TRANSITIONS", "Action", "Input", "State")


class State(IntEnum):
    """Where the debounce stands."""

    IDLE = 0
    MAYBE = 1
    HELD = 2


class Input(IntEnum):
    """What a block says to the debounce."""

    MISS = 0
    HIT = 1
    HIT_AGAIN = 2
    HIT_ENOUGH = 3
    PRESENT = 4
    ABSENT = 5
    GAP = 6
    LOSS = 7


class Action(IntEnum):
    """What the debounce does."""

    NONE = 0
    ARM = 1
    COUNT = 2
    DROP = 3
    START = 4
    HOLD = 5
    WAIT = 6
    END = 7


TRANSITIONS: Mapping[tuple[State, Input], tuple[State, Action]] = MappingProxyType(
    {
        (State.IDLE, Input.HIT): (State.MAYBE, Action.ARM),
        (State.IDLE, Input.HIT_ENOUGH): (State.HELD, Action.START),  # right behind a loss, or one window is enough
        (State.MAYBE, Input.HIT): (State.MAYBE, Action.ARM),  # another digit than the one being followed
        (State.MAYBE, Input.HIT_AGAIN): (State.MAYBE, Action.COUNT),
        (State.MAYBE, Input.HIT_ENOUGH): (State.HELD, Action.START),
        (State.MAYBE, Input.MISS): (State.IDLE, Action.DROP),
        (State.MAYBE, Input.LOSS): (State.IDLE, Action.DROP),  # where it cut no key: else HIT_ENOUGH
        (State.HELD, Input.PRESENT): (State.HELD, Action.HOLD),
        (State.HELD, Input.ABSENT): (State.HELD, Action.WAIT),
        (State.HELD, Input.GAP): (State.IDLE, Action.END),
    }
)
IGNORED: frozenset[tuple[State, Input]] = frozenset(
    {
        (State.IDLE, Input.MISS),
        (State.IDLE, Input.LOSS),
        (State.HELD, Input.LOSS),  # counted by dtmf_lost; the next block says PRESENT or GAP
        # Not produced: windows are judged only while no key is held, presence only while one is.
        (State.IDLE, Input.HIT_AGAIN),
        (State.IDLE, Input.PRESENT),
        (State.IDLE, Input.ABSENT),
        (State.IDLE, Input.GAP),
        (State.MAYBE, Input.PRESENT),
        (State.MAYBE, Input.ABSENT),
        (State.MAYBE, Input.GAP),
        (State.HELD, Input.MISS),
        (State.HELD, Input.HIT),
        (State.HELD, Input.HIT_AGAIN),
        (State.HELD, Input.HIT_ENOUGH),
    }
)
