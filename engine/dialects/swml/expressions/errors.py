"""What is wrong with an expression."""

from __future__ import annotations

from engine.errors import ProgramError

__all__ = ("ExpressionError",)


class ExpressionError(ProgramError):
    """An expression cannot be read or evaluated; the text repeats neither it nor any value."""

    def __init__(self, reason: str, at: int = 0) -> None:
        """``at`` counts the characters of the expression from 0."""
        super().__init__(f"{reason} (at character {at})")
        self.reason = reason
        self.at = at
