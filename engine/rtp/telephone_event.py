"""The table of the telephone-event receiver, with names: what the kernel ``_telephone_event`` runs on.

The kernel is compiled and holds the table in C; this module reads it from there, for tests, pictures and readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag, StrEnum
from types import MappingProxyType

from engine.rtp import _telephone_event

__all__ = ("IGNORED", "TABLE", "Action", "Input", "State")


class State(StrEnum):
    """Where the receiver stands, in the order of the kernel's numbers."""

    IDLE = "idle"
    "No key yet."
    PRESSED = "pressed"
    ENDED = "ended"
    "The last key was let go, or is taken for that."


class Input(StrEnum):
    """What happened, in the order of the kernel's numbers."""

    NEW = "new"
    "The first packet of a key."
    NEW_END = "new-end"
    "The first packet of a key, and it carries the E bit."
    SAME = "same"
    "Another packet of the current key."
    SAME_END = "same-end"
    OLD = "old"
    "Another packet of a key before the current one."
    OVERTAKEN = "overtaken"
    "The first packet of a key that was pressed before the current one."
    TIMEOUT = "timeout"
    "Nothing came for the current key for half a second."


class Action(IntFlag):
    """What is done, in this order."""

    NONE = 0
    END_BEFORE = 1
    "Report the end of the key that was pressed until now (RFC 4733 §2.5.2.3)."
    START = 2
    END = 4
    START_ASIDE = 8
    "Report start and end of a key that does not become the current one."
    COUNT = 16
    "Count a packet that told nothing new."


_STATES = tuple(State)
_INPUTS = tuple(Input)

TABLE: Mapping[tuple[State, Input], tuple[State, Action]] = MappingProxyType(
    {
        (_STATES[state], _INPUTS[given]): (_STATES[following], Action(action))
        for (state, given), (following, action) in sorted(_telephone_event.transitions().items())
    }
)

IGNORED = frozenset(
    {
        # There is no key yet that these could speak of.
        (State.IDLE, Input.SAME),
        (State.IDLE, Input.SAME_END),
        (State.IDLE, Input.OLD),
        # Overtaken and time-out are told only while a key is pressed.
        (State.IDLE, Input.OVERTAKEN),
        (State.IDLE, Input.TIMEOUT),
        (State.ENDED, Input.OVERTAKEN),
        (State.ENDED, Input.TIMEOUT),
    }
)
"""Pairs that do not arise; they do nothing."""
