"""Keys that a caller presses: those that come before anybody asks, and those of a ``<Gather>``.

Keys are RFC 4733 event codes 0 to 11. Nothing here is ever shown: neither class has its keys in its repr.
"""

from __future__ import annotations

import math

from engine.dialects.twiml.verbs import Gather

__all__ = ("KEYS", "LATE_S", "MAX_AHEAD", "MAX_KEYS", "QUIET_S", "Entry", "TypeAhead")

KEYS = "0123456789*#"
"By event code."
MAX_AHEAD = 64
MAX_KEYS = 128
"Of a ``<Gather>`` that has no ``numDigits``: it is complete then."
QUIET_S = 1.0
"A pause so long parts what is keyed after a payment from what was keyed for it."
LATE_S = 2.0
"How long the # that was not needed may take."


class TypeAhead:
    """Keys that nobody has asked for yet.

    Keys of a payment must not get into what an application gathers next, because the payment ended while the caller
    was still keying: after `deafen` keys are dropped until none has come for `QUIET_S`.
    """

    __slots__ = ("_deaf_until", "_kept", "_late_keys", "_late_until")

    def __init__(self) -> None:
        self._kept: list[int] = []
        self._deaf_until = self._late_until = -math.inf
        self._late_keys = ""

    def __bool__(self) -> bool:
        return bool(self._kept)

    def hears(self, code: int, now: float) -> bool:
        """Return whether a key pressed now counts."""
        if now < self._deaf_until:
            self._deaf_until = now + QUIET_S
            return False
        late, self._late_until = now < self._late_until, -math.inf
        return not (late and KEYS[code] in self._late_keys)

    def expect_late(self, keys: str, now: float) -> None:
        """Drop the next key if it is one of ``keys`` and comes soon.

        Callers press # after the last figure even where that was enough; it must not end the next entry, empty.
        """
        self._late_keys, self._late_until = keys, now + LATE_S

    def keep(self, code: int) -> None:
        """Keep a key, unless `MAX_AHEAD` are there."""
        if len(self._kept) < MAX_AHEAD:
            self._kept.append(code)

    def take(self) -> int | None:
        """Return the oldest key and forget it."""
        return self._kept.pop(0) if self._kept else None

    def skip(self, keys: str) -> None:
        """Forget the oldest ones as long as they are some of ``keys``."""
        while self._kept and KEYS[self._kept[0]] in keys:
            self._kept.pop(0)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def deafen(self, now: float) -> None:
        """Forget all, and drop what is still coming."""
        self._kept.clear()
        self._deaf_until = now + QUIET_S


class Entry:
    """What a ``<Gather>`` has collected."""

    __slots__ = ("_finish_keys", "_keys", "_wanted", "finished_on")

    def __init__(self, gather: Gather) -> None:
        self._wanted = gather.num_digits or MAX_KEYS
        self._finish_keys = gather.finish_on_key
        self._keys = ""
        self.finished_on = ""
        "The key that ended it."

    @property
    def digits(self) -> str:
        """What was keyed, without the key that ended it."""
        return self._keys

    def press(self, code: int) -> bool:
        """Take a key; return whether the entry is complete."""
        key = KEYS[code]
        if key in self._finish_keys:
            self.finished_on = key
            return True
        self._keys += key
        return len(self._keys) >= self._wanted
