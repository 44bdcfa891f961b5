"""Keys pressed before they were asked for: digits in a ``Secret``, finish keys by their place among them."""

from __future__ import annotations

from engine.pay.secret import MAX_CAPACITY, Secret

__all__ = ("TypeAhead",)

_FINISH_KEY = 11  # RFC 4733 §3.2 event code of "#"
_MAX_FINISH_KEYS = 16


class TypeAhead:
    """A queue of keys, first in, first out.

    More keys than fit are no payment typed ahead, and the beginning of them could pass for a field that was cut short:
    all are forgotten then, and what follows too, until the queue is flushed.
    """

    __slots__ = ("_digits", "_finish_after", "_next", "_overflowed")

    def __init__(self) -> None:
        self._digits = Secret(MAX_CAPACITY)
        self._finish_after: list[int] = []
        self._next = 0
        self._overflowed = False

    def __len__(self) -> int:
        return len(self._digits) - self._next + len(self._finish_after)

    def keep(self, code: int) -> None:
        """Add a key, by its RFC 4733 code: 0 to 9, or 11 for ``#``."""
        if self._overflowed or self._digits.wiped:
            return
        if len(self._digits) == self._digits.capacity or len(self._finish_after) == _MAX_FINISH_KEYS:
            self.flush()
            self._overflowed = True
        elif code == _FINISH_KEY:
            self._finish_after.append(len(self._digits))
        else:
            self._digits.append(code)

    def take(self) -> int | None:
        """Return and forget the oldest key; None when there is none."""
        if self._finish_after and self._finish_after[0] == self._next:
            self._finish_after.pop(0)
            return _FINISH_KEY
        if self._next >= len(self._digits):
            return None
        self._next += 1
        return self._digits.digit(self._next - 1)

    def flush(self) -> None:
        """Forget every key and zero the digits."""
        self._digits.clear()
        self._finish_after.clear()
        self._next = 0
        self._overflowed = False

    def wipe(self) -> None:
        """Forget every key for good."""
        self.flush()
        self._digits.wipe()
