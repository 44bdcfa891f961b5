"""What the payment refuses before it starts.

::

    engine.errors.PayError
    └── OrderError     a field of a payment order cannot be used; names the field
"""

from __future__ import annotations

from engine.errors import PayError

__all__ = ("OrderError",)


class OrderError(PayError):
    """A field of a payment order cannot be used (result ``validation-error``, `dialects.md` §1.8)."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
