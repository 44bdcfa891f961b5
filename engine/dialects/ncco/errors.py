"""What can be wrong with an NCCO."""

from __future__ import annotations

from engine.errors import ProgramError

__all__ = ("NccoError",)


class NccoError(ProgramError):
    """An NCCO cannot be run; nothing of it was. ``where`` is its place, such as ``[2].endpoint[0].type``.

    The text names the place and the remedy and repeats no value: it goes to the application's event URL, to REST
    clients and to the log.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}" if where else reason)
        self.where = where
        self.reason = reason
