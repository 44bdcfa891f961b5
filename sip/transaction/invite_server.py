"""INVITE server transaction (RFC 3261 §17.2.1 as amended by RFC 6026 §8.7, figure 7 of RFC 6026)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from sip.address import Address
from sip.message import Request, Response
from sip.timers import Timer
from sip.transaction.machine import Action, Carrier, Input, ServerTransaction, Table

__all__ = ("IGNORED", "INPUTS", "TABLE", "InviteServerTransaction", "InviteServerUser", "State")


class State(StrEnum):
    """States of figure 7."""

    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


INPUTS: tuple[StrEnum, ...] = (
    Input.REQUEST, Input.ACK, Input.SEND_1XX, Input.SEND_2XX, Input.SEND_300_699, Input.TRANSPORT_ERROR,
    Timer.G, Timer.H, Timer.I, Timer.L,
)  # fmt: skip

TABLE: Table = MappingProxyType(
    {
        (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (Action.RETRANSMIT,)),
        (State.PROCEEDING, Input.SEND_1XX): (State.PROCEEDING, (Action.TRANSMIT,)),
        (State.PROCEEDING, Input.SEND_2XX): (State.ACCEPTED, (Action.TRANSMIT,)),
        (State.PROCEEDING, Input.SEND_300_699): (State.COMPLETED, (Action.TRANSMIT,)),
        (State.COMPLETED, Input.REQUEST): (State.COMPLETED, (Action.RETRANSMIT,)),
        (State.COMPLETED, Timer.G): (State.COMPLETED, (Action.RETRANSMIT,)),
        (State.COMPLETED, Input.ACK): (State.CONFIRMED, ()),
        (State.COMPLETED, Timer.H): (State.TERMINATED, (Action.TIME_OUT,)),
        (State.CONFIRMED, Timer.I): (State.TERMINATED, ()),
        # RFC 6026 §7.1: the core retransmits its 2xx, so a repeated INVITE is absorbed and the ACK passed up.
        (State.ACCEPTED, Input.SEND_2XX): (State.ACCEPTED, (Action.TRANSMIT,)),
        (State.ACCEPTED, Input.ACK): (State.ACCEPTED, (Action.DELIVER,)),
        (State.ACCEPTED, Timer.L): (State.TERMINATED, ()),
    }
)

IGNORED: frozenset[tuple[StrEnum, StrEnum]] = frozenset(
    {
        *((State.PROCEEDING, timer) for timer in (Timer.G, Timer.H, Timer.I, Timer.L)),
        *((State.COMPLETED, timer) for timer in (Timer.I, Timer.L)),
        *((State.CONFIRMED, timer) for timer in (Timer.G, Timer.H, Timer.L)),
        *((State.ACCEPTED, timer) for timer in (Timer.G, Timer.H, Timer.I)),
        (State.PROCEEDING, Input.ACK),  # nothing to acknowledge yet
        (State.CONFIRMED, Input.REQUEST),
        (State.CONFIRMED, Input.ACK),
        (State.ACCEPTED, Input.REQUEST),
        # One final response is all there is (§17.2.1).
        *((State.COMPLETED, event) for event in (Input.SEND_1XX, Input.SEND_2XX, Input.SEND_300_699)),
        *((State.CONFIRMED, event) for event in (Input.SEND_1XX, Input.SEND_2XX, Input.SEND_300_699)),
        *((State.ACCEPTED, event) for event in (Input.SEND_1XX, Input.SEND_300_699)),
        # RFC 6026 §8.8: the server stays where it is; the client's retransmission brings another chance.
        *((state, Input.TRANSPORT_ERROR) for state in State if state != State.TERMINATED),
        *((State.TERMINATED, event) for event in INPUTS),
    }
)

TIMERS: Mapping[StrEnum, tuple[Timer, ...]] = MappingProxyType(
    {
        State.PROCEEDING: (),
        State.COMPLETED: (Timer.G, Timer.H),
        State.CONFIRMED: (Timer.I,),
        State.ACCEPTED: (Timer.L,),
    }
)


class InviteServerUser(Protocol):
    """Who answers an INVITE."""

    @property
    def local_tag(self) -> str | None:
        """The To tag of its responses, which that to a CANCEL repeats (§9.2)."""

    def on_ack(self, ack: Request, now: float) -> None:
        """Take an ACK to a 2xx."""

    def on_cancel(self, transaction: InviteServerTransaction, cancel: Request, now: float) -> None:
        """Learn that the peer cancels its INVITE."""


class _Settled:
    """User of an INVITE that was answered and acknowledged: there is nothing left to tell."""

    __slots__ = ("local_tag",)

    def __init__(self, local_tag: str | None) -> None:
        self.local_tag = local_tag

    def on_ack(self, ack: Request, now: float) -> None:
        """Let it be: the first one was enough."""

    def on_cancel(self, transaction: InviteServerTransaction, cancel: Request, now: float) -> None:
        """Let it be: CANCEL has no effect on an answered INVITE (§9.2)."""


class InviteServerTransaction(ServerTransaction):
    """An INVITE that a peer sent."""

    TABLE = TABLE
    TIMERS = TIMERS
    INITIAL = State.PROCEEDING
    TERMINATED = State.TERMINATED

    def __init__(
        self,
        carrier: Carrier,
        key: tuple[str, ...],
        request: Request,
        destination: Address,
        user: InviteServerUser,
    ) -> None:
        super().__init__(carrier, key, request, destination)
        self.user = user

    @property
    def has_final(self) -> bool:
        """Whether a final response was sent."""
        return self.state != State.PROCEEDING

    def respond(self, response: Response, now: float) -> None:
        """Send a response. After a refusal nothing is told to the session any more."""
        super().respond(response, now)
        if self.state in (State.COMPLETED, State.CONFIRMED, State.TERMINATED):
            self.settle()
            self.request.forget_typed()

    def settle(self) -> None:
        """Let go of the session: the INVITE was refused, or its 2xx acknowledged or given up.

        Only the To tag is needed for the rest of 64*T1, and at hundreds of calls a second that is many sessions.
        """
        self.user = _Settled(self.user.local_tag)

    def _tell(self, action: Action, now: float, message: Request | Response | None) -> None:
        # TIME_OUT is timer H: no ACK to a refusal. Nobody is left to tell, the session ended with the refusal.
        if action is Action.DELIVER and isinstance(message, Request):
            self.user.on_ack(message, now)
