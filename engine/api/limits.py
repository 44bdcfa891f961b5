"""How fast somebody may ask: a token bucket, refilled as time goes by. Pure; time is an input."""

from __future__ import annotations

import math

__all__ = ("TokenBucket",)


class TokenBucket:
    """``burst`` requests at once, ``per_s`` in the long run. All times are monotonic seconds, never decreasing."""

    def __init__(self, per_s: float, burst: int, now: float) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._tokens = self._burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take one token; return False, and take none, when there is none."""
        self._refill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def is_empty(self, now: float) -> bool:
        """Return whether there is no token to be taken."""
        self._refill(now)
        return self._tokens < 1.0

    def is_full(self, now: float) -> bool:
        """Return whether nothing was taken that has not come back: nothing is lost with such a bucket."""
        self._refill(now)
        return self._tokens >= self._burst

    def wait_s(self, now: float) -> int:
        """Return whole seconds, at least 1, until there is a token again: what Retry-After says."""
        self._refill(now)
        return max(1, math.ceil((1.0 - self._tokens) / self._per_s))

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
            self._at = now
