"""Keys collected on a call, of SWML ``prompt`` and RELAY ``collect``. Pure: time is an input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

__all__ = ("KEYS", "Collected", "DigitCollector", "DigitRules", "Ended")

KEYS = "0123456789*#ABCD"
"By their RFC 4733 code."
MAX_DIGITS = 1000


class Ended(StrEnum):
    """Why a collection is over."""

    NO_INPUT = "no_input"
    DIGITS = "digits"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitRules:
    """When an entry is complete."""

    max_digits: int = 1
    terminators: str = ""
    "Keys that end the entry and are no part of it."
    digit_timeout_s: float = 5.0
    "Between two keys."
    initial_timeout_s: float = 5.0
    "For the first key, from `DigitCollector.start_timers` on; ``math.inf``: no limit."


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What came of it."""

    ended: Ended
    digits: str = ""
    terminator: str = ""

    def __repr__(self) -> str:
        return f"Collected(ended={self.ended.value}, {len(self.digits)} keys)"  # keys go into no log


class DigitCollector:
    """One entry. Feed it keys and time; ``result`` is there once it is over.

    >>> collector = DigitCollector(DigitRules(max_digits=4, terminators="#"))
    >>> collector.start_timers(0.0)
    >>> for key in (1, 2, 11):
    ...     collector.digit(key, 1.0)
    >>> collector.result.digits, collector.result.terminator
    ('12', '#')
    """

    def __init__(self, rules: DigitRules) -> None:
        self.rules = rules
        self.result: Collected | None = None
        "None while it goes on."
        self._digits = ""
        self._at: float | None = None

    @property
    def digits(self) -> str:
        """What has been keyed so far."""
        return self._digits

    def start_timers(self, now: float) -> None:
        """Begin to wait for the first key: what asked for it was said."""
        if self.result is None and not self._digits and self._at is None:
            self._at = now + self.rules.initial_timeout_s

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code 0 to 15); others are passed over."""
        if self.result is not None or not 0 <= code < len(KEYS):
            return
        key = KEYS[code]
        if key in self.rules.terminators:
            self._end(Ended.DIGITS if self._digits else Ended.NO_INPUT, terminator=key)
            return
        self._digits += key
        if len(self._digits) >= min(max(self.rules.max_digits, 1), MAX_DIGITS):
            self._end(Ended.DIGITS)
        else:
            self._at = now + self.rules.digit_timeout_s

    def stop(self) -> None:
        """End it as it stands."""
        if self.result is None:
            self._end(Ended.STOPPED)

    def next_timer(self) -> float | None:
        """Return when to call `handle_timer`; None: not by itself."""
        return self._at if self.result is None and self._at is not None and math.isfinite(self._at) else None

    def handle_timer(self, now: float) -> None:
        """Note that time has passed."""
        if self.result is None and self._at is not None and now >= self._at:
            self._end(Ended.DIGITS if self._digits else Ended.NO_INPUT)

    def _end(self, ended: Ended, *, terminator: str = "") -> None:
        self.result = Collected(ended=ended, digits=self._digits, terminator=terminator)
