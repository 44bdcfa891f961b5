"""Handing a call over: the far end is asked by REFER to call somebody else (RFC 3515, RFC 5589 §6).

``IN_PROGRESS`` is told with `ReferAction.start`; then one last state, by what the far end says of its call. After a
success the far end hangs up, or we do; after anything else the call goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from engine.errors import CallError
from engine.log import fields
from engine.program import CallControl
from engine.programs.context import ProgramContext
from engine.programs.weak import held_weakly, weakly

__all__ = ("HANDED_OVER_S", "MAX_WAIT_S", "ReferAction", "ReferReport", "ReferState")

log = logging.getLogger("engine.programs.actions")

MAX_WAIT_S = 120.0
"For the far end's last word."
HANDED_OVER_S = 4.0
"How long who was handed over may stay on the line."
_BY_STATUS = {408: "noAnswer", 480: "noAnswer", 486: "busy", 487: "cancelled", 600: "busy"}


class ReferState(StrEnum):
    """Where it stands."""

    IN_PROGRESS = "inProgress"
    CANCELLED = "cancelled"
    BUSY = "busy"
    NO_ANSWER = "noAnswer"
    DISCONNECTED = "disconnected"
    ERROR = "error"
    SUCCESS = "success"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferReport:
    """What is known of it."""

    refer_status: int | None = None
    "SIP status of the answer to the REFER."
    notify_status: int | None = None
    "SIP status of the far end's call, as it says."


class ReferAction:
    """An ``Action``."""

    def __init__(
        self,
        to: str,
        call: CallControl,
        context: ProgramContext,
        *,
        on_state: Callable[[ReferState, ReferReport], None],
        hangs_up: bool = True,
    ) -> None:
        """``to`` is a ``sip:``, ``sips:`` or ``tel:`` URI; with ``hangs_up`` the call ends after a success."""
        self._to = to
        self._call = held_weakly(call)
        self._call_id = call.facts.call_id
        self._context = context
        self._on_state: Callable[[ReferState, ReferReport], None] | None = on_state
        self._hangs_up = hangs_up
        self._refer_status: int | None = None
        self._notify_status: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Whether the last state was told."""
        return self._on_state is None

    @property
    def wants_digits(self) -> bool:
        """Never."""
        return False

    def start(self, now: float) -> None:
        """Ask the far end."""
        if self.is_over:
            return
        self._timer = asyncio.get_running_loop().call_later(MAX_WAIT_S, weakly(self._too_long))
        self._tell(ReferState.IN_PROGRESS)
        try:
            self._call.refer(self._to, weakly(self._reported))
        except CallError as error:
            log.warning("a call is not handed over: %s", error, extra=fields(call=self._call_id))
            self._end(ReferState.ERROR)

    def digit(self, code: int, now: float) -> None:
        """Nothing."""

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Nothing."""

    def stop(self, now: float) -> None:
        """Wait no more; what the far end does cannot be taken back."""
        self._end(ReferState.CANCELLED)

    def hang_up(self, now: float) -> None:
        """The call is over: the far end may have got whom it called, nobody knows."""
        self._end(ReferState.DISCONNECTED)
        self._stop_timer()

    async def done(self) -> None:
        """Nothing is owed."""

    def _reported(self, status: int | None, reason: str, final: bool) -> None:
        if self.is_over:
            return
        if self._refer_status is None and status is not None:
            self._refer_status = status
            if final and status >= 300:
                self._end(ReferState.ERROR)  # it does not follow
                return
            if not final:
                return
        elif status is not None:
            self._notify_status = status
        if not final:
            return
        if status is None or status < 200:
            self._end(ReferState.ERROR)  # nobody said what became of it
        elif status < 300:
            self._end(ReferState.SUCCESS)
        else:
            self._end(ReferState(_BY_STATUS.get(status, "error")))

    def _too_long(self) -> None:
        self._timer = None
        self._end(ReferState.ERROR)

    def _tell(self, state: ReferState) -> None:
        if self._on_state is not None:
            self._on_state(state, ReferReport(refer_status=self._refer_status, notify_status=self._notify_status))

    def _end(self, state: ReferState) -> None:
        if self.is_over:
            return
        self._stop_timer()
        log.info("a call is handed over: %s", state.value, extra=fields(call=self._call_id))
        if state is ReferState.SUCCESS and self._hangs_up:
            # The action may be forgotten by then.
            self._timer = asyncio.get_running_loop().call_later(HANDED_OVER_S, _part, self._call)
        tell, self._on_state = self._on_state, None
        if tell is not None:
            tell(state, ReferReport(refer_status=self._refer_status, notify_status=self._notify_status))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _part(call: CallControl) -> None:
    with suppress(ReferenceError):
        call.hang_up("handed over")
