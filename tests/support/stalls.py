"""Whether the machine stood still: calls run in real time, and a shared machine stops them all now and then.

A test with telephones that fails while this process was not run for `STALL_S` at a stretch says nothing about the
engine; it is made again, at most `REPEATS` times (``tests/conftest.py``). On a machine that ran all the time a failure
has to be confirmed, once: hundreds of processes are started in an hour, of ours and of others, and each as it likes.
What was made again is told in the summary, and wants to be looked into.

Not so the tests with the marker ``strict``: a charge too many and a digit that was left are what they found, once.
"""

from __future__ import annotations

import threading
import time

__all__ = ("REPEATS", "STALL_S", "StallWatch")

STALL_S = 0.03
"""A telephone's clock of 20 ms has then missed its turn, and plays what it made up."""
REPEATS = 2
_STEP_S = 0.005


class StallWatch:
    """Sleeps for short times in a thread of its own, and notes how much longer the longest of them took."""

    def __init__(self) -> None:
        self._longest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()
        self._thread.join()

    def reset(self) -> None:
        """Forget what was seen."""
        self._longest_s = 0.0

    @property
    def longest_s(self) -> float:
        """For how long the machine stood still at most since `reset`, in seconds."""
        return self._longest_s

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._over.wait(_STEP_S):
            now = time.monotonic()
            self._longest_s = max(self._longest_s, now - before - _STEP_S)
            before = now
