"""Non-INVITE client transaction (RFC 3261 §17.1.2, figure 6)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from sip.timers import Timer
from sip.transaction.machine import Action, ClientTransaction, Input, Table

__all__ = ("IGNORED", "INPUTS", "TABLE", "NonInviteClientTransaction", "State")


class State(StrEnum):
    """States of figure 6."""

    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    TERMINATED = "terminated"


INPUTS: tuple[StrEnum, ...] = (
    Input.R1XX, Input.R2XX, Input.R300_699, Input.TRANSPORT_ERROR, Timer.E, Timer.F, Timer.K,
)  # fmt: skip

TABLE: Table = MappingProxyType(
    {
        (State.TRYING, Timer.E): (State.TRYING, (Action.RETRANSMIT,)),
        (State.TRYING, Timer.F): (State.TERMINATED, (Action.TIME_OUT,)),
        (State.TRYING, Input.TRANSPORT_ERROR): (State.TERMINATED, (Action.FAIL,)),
        (State.TRYING, Input.R1XX): (State.PROCEEDING, (Action.DELIVER,)),
        (State.TRYING, Input.R2XX): (State.COMPLETED, (Action.DELIVER,)),
        (State.TRYING, Input.R300_699): (State.COMPLETED, (Action.DELIVER,)),
        (State.PROCEEDING, Timer.E): (State.PROCEEDING, (Action.RETRANSMIT,)),
        (State.PROCEEDING, Timer.F): (State.TERMINATED, (Action.TIME_OUT,)),
        (State.PROCEEDING, Input.R1XX): (State.PROCEEDING, (Action.DELIVER,)),
        (State.PROCEEDING, Input.R2XX): (State.COMPLETED, (Action.DELIVER,)),
        (State.PROCEEDING, Input.R300_699): (State.COMPLETED, (Action.DELIVER,)),
        (State.COMPLETED, Timer.K): (State.TERMINATED, ()),
    }
)

IGNORED: frozenset[tuple[StrEnum, StrEnum]] = frozenset(
    {
        (State.TRYING, Timer.K),
        (State.PROCEEDING, Timer.K),
        (State.COMPLETED, Timer.E),
        (State.COMPLETED, Timer.F),
        (State.COMPLETED, Input.R1XX),
        (State.COMPLETED, Input.R2XX),
        (State.COMPLETED, Input.R300_699),
        # After a response an ICMP error is either late or forged.
        (State.PROCEEDING, Input.TRANSPORT_ERROR),
        (State.COMPLETED, Input.TRANSPORT_ERROR),
        *((State.TERMINATED, event) for event in INPUTS),
    }
)

TIMERS: Mapping[StrEnum, tuple[Timer, ...]] = MappingProxyType(
    {
        State.TRYING: (Timer.E, Timer.F),
        State.PROCEEDING: (Timer.E, Timer.F),
        State.COMPLETED: (Timer.K,),
    }
)


class NonInviteClientTransaction(ClientTransaction):
    """A request of ours that is neither INVITE nor ACK."""

    TABLE = TABLE
    TIMERS = TIMERS
    INITIAL = State.TRYING
    TERMINATED = State.TERMINATED

    def _next_interval_s(self, timer: Timer) -> float | None:
        if timer is Timer.E and self.state == State.PROCEEDING and not self._reliable:
            return self._carrier.values.t2_s  # §17.1.2.2: in Proceeding, E is T2 at once
        return super()._next_interval_s(timer)
