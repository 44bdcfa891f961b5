"""Our 2xx in a session.

That to an INVITE the core repeats, on every transport, until its ACK comes (RFC 3261 §13.3.1.4). That to an UPDATE or
a PRACK is repeated by its transaction alone.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakMethod

from sip.address import Address
from sip.agent import SUPPORTED, UserAgent
from sip.bodies import SDP
from sip.dialog import Dialog
from sip.message import Request, Response
from sip.sdp import SessionDescription
from sip.timers import Timer
from sip.transaction import InviteServerTransaction, ServerTransaction

__all__ = ("Acceptance", "build_success", "put_dialog")


def put_dialog(
    agent: UserAgent, request: Request, response: Response, destination: Address, *, contact_user: str | None
) -> None:
    """Put on a response what opens a dialog (§12.1.1): Record-Route as it came, and our Contact."""
    if request.method == "INVITE":
        response.headers.set("Record-Route", request.headers.lines("Record-Route"))
    response.headers.set("Contact", agent.contact(contact_user, destination))
    response.headers.set("Allow", ", ".join(agent.config.allow))
    response.headers.set("Supported", ", ".join(SUPPORTED))


def build_success(
    agent: UserAgent,
    transaction: ServerTransaction,
    dialog: Dialog,
    sdp: SessionDescription | None,
    *,
    contact_user: str | None,
) -> Response:
    """Build the 200 to an INVITE, re-INVITE, UPDATE or PRACK."""
    request = transaction.request
    response = agent.response(request, 200, to_tag=dialog.local.tag)
    put_dialog(agent, request, response, transaction.destination, contact_user=contact_user)
    if sdp is not None:
        response.headers.set("Content-Type", SDP)
        response.body = sdp.serialize()
    return response


class Acceptance:
    """The 2xx of one session that waits for its ACK. There is one at a time: §14.2 keeps a second INVITE out.

    ``on_no_ack``, a method of the session, is called when no ACK came within 64*T1. It is held weakly: a session that
    ended and the objects that it is made of must not keep each other for the garbage collector to find.
    """

    def __init__(self, agent: UserAgent, on_no_ack: Callable[[float], object]) -> None:
        self._agent = agent
        self._on_no_ack = WeakMethod(on_no_ack)
        self._transaction: InviteServerTransaction | None = None
        self._response: Response | None = None
        self._interval_s = 0.0

    def send(self, transaction: InviteServerTransaction, response: Response, now: float) -> None:
        """Send the 2xx, and repeat it."""
        values, timers = self._agent.values, self._agent.timers
        self._transaction, self._response, self._interval_s = transaction, response, values.t1_s
        timers.arm(self, Timer.ANSWER, now + values.t1_s)
        timers.arm(self, Timer.ANSWER_LIMIT, now + values.limit_s)
        transaction.respond(response, now)

    def acknowledge(self, ack: Request) -> Request | None:
        """Stop for an ACK; return the INVITE that it ends, None when none waits for this one."""
        transaction = self._transaction
        if transaction is None or ack.cseq.number != transaction.request.cseq.number:
            return None
        self.stop()
        return transaction.request

    def stop(self) -> None:
        """Wait no longer."""
        self._agent.timers.disarm_all(self)
        if self._transaction is not None:
            self._transaction.settle()
        self._transaction = self._response = None

    def handle_timer(self, timer: Timer, now: float) -> None:
        """Repeat the 2xx, or give up."""
        if timer is Timer.ANSWER_LIMIT:
            self.stop()
            if (on_no_ack := self._on_no_ack()) is not None:
                on_no_ack(now)
        elif self._transaction is not None and self._response is not None:
            self._agent.statistics.retransmissions_out += 1
            self._interval_s = self._agent.values.doubled(self._interval_s)
            self._agent.timers.arm(self, Timer.ANSWER, now + self._interval_s)
            self._transaction.respond(self._response, now)
