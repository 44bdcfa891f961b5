"""``calling.dial``: calls out for a client, one group of devices after the other, until one is answered.

Each call is a `engine.programs.relay.program.RelayProgram` of its own from its beginning: the client is told its states
with the ``tag``. Who answers first is the winner; the others are given up.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

from engine.dialects.relay import events
from engine.dialects.relay.requests import Dial
from engine.dialects.signalwire.devices import Device
from engine.errors import BusyError, CallError, ConfigError
from engine.programs.actions.dialling import GroupDialling, outbound_of
from engine.programs.context import ProgramContext
from engine.programs.relay.link import RelaySession
from engine.programs.relay.program import RelayProgram
from engine.programs.weak import weakly

__all__ = ("RelayDial",)


class RelayDial:
    """One dialling; `engine.programs.relay.calls` keeps it until it is over."""

    def __init__(
        self,
        dial: Dial,
        session: RelaySession,
        context: ProgramContext,
        *,
        make_program: Callable[[str, float | None], RelayProgram],
        over: Callable[[RelayDial], None],
    ) -> None:
        """``make_program`` makes what runs on a call, of the tag and the time limit; ``over`` is called at the end."""
        self.session = session
        self.tag = dial.tag
        self._dial = dial
        self._context = context
        self._make_program = make_program
        self._over = over
        me = weakref.proxy(self)
        self._dialling = GroupDialling[RelayProgram](
            dial.devices,
            place=lambda device: me._place(device),
            give_up=lambda program, reason: program.give_up(reason),
            on_failed=weakly(self._failed),
        )

    def start(self) -> None:
        """Call the first group; raise ``CallError`` or ``ConfigError`` where not even its first device can be called.

        What is wrong with the first is told at once: most dial but one.
        """
        outbound_of(self._dial.devices[0][0])
        self.session.tell(events.DIAL, events.dialled(self.tag, "dialing"))
        self._dialling.start()

    def stop(self) -> None:
        """Give up whoever rings; nothing more is told."""
        self._dialling.stop()

    # -- engine.programs.relay.program.DialOwner -----------------------------------------------------------------

    def leg_answered(self, program: RelayProgram) -> bool:
        """Take the first who answers."""
        if not self._dialling.answered(program):
            return False
        self.session.tell(events.DIAL, events.dialled(self.tag, "answered", program.facts))
        self._over(self)
        return True

    def leg_over(self, program: RelayProgram, cause: str) -> None:
        """Note that somebody did not answer."""
        self._dialling.over(program, cause)

    # -- within --------------------------------------------------------------------------------------------------

    def _place(self, device: Device) -> RelayProgram:
        limits = [limit for limit in (self._dial.max_duration_s, device.max_duration_s) if limit]
        program = self._make_program(self.tag, min(limits, default=None))
        program.dialled_by(self)
        try:
            self._context.exchange.place(outbound_of(device), program.run_on)
        except (BusyError, CallError, ConfigError):
            program.never_placed()
            raise
        return program

    def _failed(self, cause: str) -> None:
        self.session.tell(events.DIAL, events.dialled(self.tag, "failed"))
        self._over(self)
