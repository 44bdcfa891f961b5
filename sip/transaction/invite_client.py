"""INVITE client transaction (RFC 3261 §17.1.1 as amended by RFC 6026 §8.4, figure 5 of RFC 6026)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from sip.headers import Headers
from sip.message import Request, Response
from sip.timers import Timer
from sip.transaction.machine import Action, ClientTransaction, Input, Table

__all__ = ("IGNORED", "INPUTS", "TABLE", "InviteClientTransaction", "State", "build_ack", "build_cancel")


class State(StrEnum):
    """States of figure 5."""

    CALLING = "calling"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


INPUTS: tuple[StrEnum, ...] = (
    Input.R1XX, Input.R2XX, Input.R300_699, Input.TRANSPORT_ERROR, Timer.A, Timer.B, Timer.D, Timer.M,
)  # fmt: skip

TABLE: Table = MappingProxyType(
    {
        (State.CALLING, Timer.A): (State.CALLING, (Action.RETRANSMIT,)),
        (State.CALLING, Timer.B): (State.TERMINATED, (Action.TIME_OUT,)),
        (State.CALLING, Input.R1XX): (State.PROCEEDING, (Action.DELIVER,)),
        (State.CALLING, Input.R2XX): (State.ACCEPTED, (Action.DELIVER,)),
        (State.CALLING, Input.R300_699): (State.COMPLETED, (Action.ACKNOWLEDGE, Action.DELIVER)),
        (State.CALLING, Input.TRANSPORT_ERROR): (State.TERMINATED, (Action.FAIL,)),
        (State.PROCEEDING, Input.R1XX): (State.PROCEEDING, (Action.DELIVER,)),
        (State.PROCEEDING, Input.R2XX): (State.ACCEPTED, (Action.DELIVER,)),
        (State.PROCEEDING, Input.R300_699): (State.COMPLETED, (Action.ACKNOWLEDGE, Action.DELIVER)),
        (State.COMPLETED, Input.R300_699): (State.COMPLETED, (Action.ACKNOWLEDGE,)),
        (State.COMPLETED, Timer.D): (State.TERMINATED, ()),
        # RFC 6026 §8.4: each 2xx goes to the core, which acknowledges it; forks answer more than once.
        (State.ACCEPTED, Input.R2XX): (State.ACCEPTED, (Action.DELIVER,)),
        (State.ACCEPTED, Timer.M): (State.TERMINATED, ()),
    }
)

IGNORED: frozenset[tuple[StrEnum, StrEnum]] = frozenset(
    {
        # Timers that do not run in the state.
        *((State.CALLING, timer) for timer in (Timer.D, Timer.M)),
        *((State.PROCEEDING, timer) for timer in (Timer.A, Timer.B, Timer.D, Timer.M)),
        *((State.COMPLETED, timer) for timer in (Timer.A, Timer.B, Timer.M)),
        *((State.ACCEPTED, timer) for timer in (Timer.A, Timer.B, Timer.D)),
        # A late provisional; a 2xx after a refusal is a proxy's fault (§17.1.1.2 has no such arrow).
        (State.COMPLETED, Input.R1XX),
        (State.COMPLETED, Input.R2XX),
        (State.ACCEPTED, Input.R1XX),
        (State.ACCEPTED, Input.R300_699),
        # A response has come: the peer is there, and a forged ICMP error must not end the call. Of a lost ACK we
        # hear again by the response's retransmission.
        *((state, Input.TRANSPORT_ERROR) for state in (State.PROCEEDING, State.COMPLETED, State.ACCEPTED)),
        *((State.TERMINATED, event) for event in INPUTS),
    }
)

TIMERS: Mapping[StrEnum, tuple[Timer, ...]] = MappingProxyType(
    {
        State.CALLING: (Timer.A, Timer.B),
        State.PROCEEDING: (),
        State.COMPLETED: (Timer.D,),
        State.ACCEPTED: (Timer.M,),
    }
)


class InviteClientTransaction(ClientTransaction):
    """An INVITE that we sent."""

    TABLE = TABLE
    TIMERS = TIMERS
    INITIAL = State.CALLING
    TERMINATED = State.TERMINATED
    UNCAPPED = frozenset({Timer.A})  # §17.1.1.2: doubles until B, no T2 here

    def _tell(self, action: Action, now: float, message: Request | Response | None) -> None:
        if action is Action.ACKNOWLEDGE and isinstance(message, Response):
            self._carrier.send(build_ack(self.request, message).serialize(), self.destination, again=False)
        else:
            super()._tell(action, now, message)


def build_ack(invite: Request, response: Response) -> Request:
    """Build the ACK to a 300-699 (§17.1.1.3): To of the response, everything else of the INVITE."""
    request = _same_hop(invite, "ACK")
    request.headers.set("To", response.headers.get("To") or str(invite.to))
    return request


def build_cancel(invite: Request) -> Request:
    """Build the CANCEL of an INVITE of ours (§9.1)."""
    return _same_hop(invite, "CANCEL")


def _same_hop(invite: Request, method: str) -> Request:
    source = invite.headers
    headers = Headers([("Via", source.lines("Via")[0]), ("Max-Forwards", "70")])
    for name in ("Route", "From", "To", "Call-ID"):
        if name in source:
            headers.set(name, source.lines(name))
    headers.set("CSeq", f"{invite.cseq.number} {method}")
    return Request(method, invite.uri, headers)
