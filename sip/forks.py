"""The dialogs that one INVITE of ours opens (RFC 3261 §12.1.2, §13.2.2.4).

Laws: a proxy may let several peers answer, each with a To tag of its own, and each is a dialog of its own. One becomes
the call; a further one that answers is acknowledged and hung up. Each 2xx gets its ACK, as often as it comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import proxy

from sip.address import Address
from sip.agent import UserAgent
from sip.bodies import SDP, description_or_none
from sip.dialog import Dialog
from sip.dialog import Input as DialogInput
from sip.headers import Headers
from sip.message import Request, Response
from sip.reliable import InOrder, rseq_of
from sip.sdp import SessionDescription
from sip.transaction import ClientTransaction, Failure
from sip.uri import NameAddr, Uri

if TYPE_CHECKING:
    from sip.session import Session

__all__ = ("Forks", "NobodyListens", "build_invite")

MAX_FORKS = 8
"Early dialogs and answers of one INVITE of ours that are kept apart; more of them are not believed."


def build_invite(
    agent: UserAgent,
    target: Uri,
    *,
    from_: NameAddr,
    to: NameAddr | None,
    cseq: int,
    offer: SessionDescription,
    headers: Iterable[tuple[str, str]],
) -> Request:
    """Build the INVITE of a new call (§13.2.1), with tag and Call-ID, without Via and Contact."""
    fields = Headers([("Max-Forwards", "70")])
    fields.set("From", str(from_.with_tag(agent.new_tag())))
    fields.set("To", str((to or NameAddr(uri=target)).without_params()))
    fields.set("Call-ID", agent.new_call_id())
    fields.set("CSeq", f"{cseq} INVITE")
    for name, value in headers:
        fields.add(name, value)
    fields.set("Content-Type", SDP)
    return Request("INVITE", target.without_headers(), fields, offer.serialize())


class NobodyListens:
    """User of a request whose answer nobody wants."""

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Let it be."""

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Let it be."""


class Forks:
    """Early dialogs by the peer's tag, what each said of media, and the ACKs that were sent."""

    def __init__(self, agent: UserAgent, session: Session) -> None:
        self.early: dict[str, Dialog] = {}
        self.answers: dict[str, SessionDescription] = {}
        "Descriptions of provisional responses."
        self.agreed: set[str] = set()
        "Tags whose reliable provisional brought the answer to our INVITE's offer (RFC 3262 §5)."
        self.order = InOrder()
        self._agent = agent
        self._session: Session = proxy(session)  # whose own calls are all that come here while it is needed
        self._acks: dict[str, tuple[bytes, Address]] = {}

    def _dialog_of(self, invite: ClientTransaction, response: Response) -> Dialog | None:
        """Return the early dialog of a provisional response, a new one if need be; None when there are too many."""
        tag = response.to.tag or ""
        if tag not in self.early and len(self.early) < MAX_FORKS:
            dialog = Dialog.of_client(invite.request, response, invite.destination)
            self.early[tag] = dialog
            self._session.enter(dialog)
        return self.early.get(tag)

    def take(self, invite: ClientTransaction, response: Response, now: float) -> bool:
        """Note what a provisional says, and acknowledge it; False when it is out of order (RFC 3262 §4)."""
        tag, session = response.to.tag or "", self._session
        dialog = self._dialog_of(invite, response) if response.status > 100 and tag else None
        if dialog is None:
            return True
        described, rseq = description_or_none(response), rseq_of(response)
        if rseq is not None and not self.order.take(tag, rseq):
            return False
        session.learn(response)
        if described is not None and tag not in self.agreed:
            self.answers[tag] = described
        if rseq is not None:
            if described is not None:
                self.agreed.add(tag)
            rack = ("RAck", f"{rseq} {invite.request.cseq.number} INVITE")
            session.send("PRACK", now, headers=(rack,), dialog=dialog)
        return True

    def confirm(self, invite: ClientTransaction, response: Response) -> Dialog:
        """Make the dialog of the first 2xx the call's; other early dialogs are over (§13.2.2.4). The ACK goes out."""
        request, tag = invite.request, response.to.tag or ""
        dialog = self.early.pop(tag, None) or Dialog.of_client(request, response, invite.destination)
        dialog.confirm(request, response)
        self.drop()
        self._session.enter(dialog)
        self._acks[tag] = self.acknowledge(dialog, request)
        return dialog

    def drop(self) -> None:
        """Leave every early dialog."""
        for dialog in self.early.values():
            dialog.feed(DialogInput.REFUSED)
            self._agent.dialogs.pop(dialog.id, None)
        self.early.clear()

    def begin(self) -> None:
        """Begin anew, with another INVITE."""
        self.drop()
        self.answers.clear()
        self.agreed.clear()
        self.order.clear()

    def acknowledged_again(self, response: Response) -> bool:
        """Send the ACK of a repeated 2xx again (§13.2.2.4); False when none was sent before."""
        known = self._acks.get(response.to.tag or "")
        if known is not None:
            self._agent.send(*known, again=True)
        return known is not None

    def hang_up(self, invite: ClientTransaction, response: Response, now: float) -> None:
        """End another branch that answered too (§13.2.2.4): one call is wanted, so this one gets ACK and BYE."""
        if len(self._acks) >= MAX_FORKS:
            return
        fork = Dialog.of_client(invite.request, response, invite.destination)
        fork.confirm(invite.request, response)
        self._acks[response.to.tag or ""] = self.acknowledge(fork, invite.request)
        self._agent.layer.request(fork.request("BYE"), fork.destination, NobodyListens(), now)

    def acknowledge(self, dialog: Dialog, invite: Request) -> tuple[bytes, Address]:
        """Send the ACK to a 2xx, a request of its own; return it, to be repeated (§13.2.2.4)."""
        ack = dialog.request("ACK", cseq=invite.cseq.number)
        for name in ("Authorization", "Proxy-Authorization"):
            ack.headers.set(name, invite.headers.lines(name))  # §22.1: the same credentials as the INVITE
        destination = dialog.destination
        self._agent.layer.put_via(ack, destination)
        data = ack.serialize()
        self._agent.send(data, destination)
        return data, destination
