"""How long the ledger keeps calls and payments: a task of the engine that deletes what is older, in small batches."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from engine.config import LedgerConfig
from engine.errors import LedgerError
from engine.ledger.ledger import Ledger
from engine.ledger.removal import BATCH
from engine.log import fields

__all__ = ("BATCH_PAUSE_S", "FIRST_AFTER_S", "PASS_EVERY_S", "Retention")

log = logging.getLogger("engine.ledger")

FIRST_AFTER_S = 60.0
"Seconds before the first pass: a start has other things to do."
PASS_EVERY_S = 3600.0
BATCH_PAUSE_S = 0.5
"Seconds between two batches, in which others write."


class Retention:
    """Deletes what is older than the settings say; what is set to 0 days is kept for ever."""

    def __init__(
        self,
        ledger: Ledger,
        settings: LedgerConfig,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Look once an hour until cancelled; return at once when everything is kept for ever.

        A ledger that cannot be written is told to the log and tried again at the next pass.
        """
        if not self._settings.keep_calls_days and not self._settings.keep_payments_days:
            return
        await self._sleep(FIRST_AFTER_S)
        while True:
            try:
                calls, payments = await self.delete_old()
            except LedgerError as error:
                log.error("what is old could not be deleted: %s", error)
            else:
                if calls or payments:
                    log.info("deleted what is older than is kept", extra=fields(calls=calls, payments=payments))
            await self._sleep(PASS_EVERY_S)

    async def delete_old(self) -> tuple[int, int]:
        """Delete what is too old now; return how many calls and how many payments. Raise ``LedgerError``."""
        removal = self._ledger.removal
        return (
            await self._all(removal.delete_calls, self._settings.keep_calls_days),
            await self._all(removal.delete_payments, self._settings.keep_payments_days),
        )

    async def _all(self, delete: Callable[[datetime], Awaitable[int]], days: int) -> int:
        if not days:
            return 0
        before = self._clock() - timedelta(days=days)
        total = 0
        while True:
            count = await delete(before)
            total += count
            if count < BATCH:
                return total
            await self._sleep(BATCH_PAUSE_S)
