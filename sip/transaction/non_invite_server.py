"""Non-INVITE server transaction (RFC 3261 §17.2.2, figure 8; RFC 4320 leaves it no 1xx but 100)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from sip.message import Request, Response
from sip.timers import Timer
from sip.transaction.machine import Action, Input, ServerTransaction, Table
from sip.uri import Uri

__all__ = ("IGNORED", "INPUTS", "TABLE", "NonInviteServerTransaction", "State")


class State(StrEnum):
    """States of figure 8."""

    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    TERMINATED = "terminated"


INPUTS: tuple[StrEnum, ...] = (
    Input.REQUEST, Input.SEND_1XX, Input.SEND_2XX, Input.SEND_300_699, Input.TRANSPORT_ERROR, Timer.J,
)  # fmt: skip

TABLE: Table = MappingProxyType(
    {
        (State.TRYING, Input.SEND_1XX): (State.PROCEEDING, (Action.TRANSMIT,)),
        (State.TRYING, Input.SEND_2XX): (State.COMPLETED, (Action.TRANSMIT,)),
        (State.TRYING, Input.SEND_300_699): (State.COMPLETED, (Action.TRANSMIT,)),
        (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (Action.RETRANSMIT,)),
        (State.PROCEEDING, Input.SEND_1XX): (State.PROCEEDING, (Action.TRANSMIT,)),
        (State.PROCEEDING, Input.SEND_2XX): (State.COMPLETED, (Action.TRANSMIT,)),
        (State.PROCEEDING, Input.SEND_300_699): (State.COMPLETED, (Action.TRANSMIT,)),
        (State.COMPLETED, Input.REQUEST): (State.COMPLETED, (Action.RETRANSMIT,)),
        (State.COMPLETED, Timer.J): (State.TERMINATED, ()),
    }
)

IGNORED: frozenset[tuple[StrEnum, StrEnum]] = frozenset(
    {
        (State.TRYING, Input.REQUEST),  # §17.2.2: no response yet, so nothing to repeat
        (State.TRYING, Timer.J),
        (State.PROCEEDING, Timer.J),
        *((State.COMPLETED, event) for event in (Input.SEND_1XX, Input.SEND_2XX, Input.SEND_300_699)),
        # The client repeats its request, and that repeats the response.
        *((state, Input.TRANSPORT_ERROR) for state in State if state != State.TERMINATED),
        *((State.TERMINATED, event) for event in INPUTS),
    }
)

TIMERS: Mapping[StrEnum, tuple[Timer, ...]] = MappingProxyType(
    {State.TRYING: (), State.PROCEEDING: (), State.COMPLETED: (Timer.J,)}
)

_ANSWERED = Request("", Uri())
"In the place of a request that was answered."


class NonInviteServerTransaction(ServerTransaction):
    """A peer's request that is neither INVITE nor ACK."""

    TABLE = TABLE
    TIMERS = TIMERS
    INITIAL = State.TRYING
    TERMINATED = State.TERMINATED

    def respond(self, response: Response, now: float) -> None:
        """Send a response; with the final one the request is let go of.

        For 64*T1 only the response is needed, and at hundreds of requests a second these are many.
        """
        super().respond(response, now)
        if response.status >= 200:
            self.request = _ANSWERED
