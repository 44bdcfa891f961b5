"""The dialogs that one INVITE of ours opens (RFC 3261 §12.1.2, §13.2.2.4).

Laws: a proxy may let several peers answer, each with a To tag of its own, and each is a dialog of its own. One becomes
the call; a further one that answers is acknowledged and hung up. Each 2xx gets its ACK, as often as it comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sip.address import Address
from sip.agent import UserAgent
from sip.dialog import Dialog
from sip.dialog import Input as DialogInput
from sip.message import Request, Response
from sip.sdp import SessionDescription
from sip.transaction import ClientTransaction, Failure

if TYPE_CHECKING:
    from sip.invite import InviteSession

__all__ = ("Forks", "NobodyListens")

MAX_FORKS = 8
"Early dialogs and answers of one INVITE of ours that are kept apart; more of them are not believed."


class NobodyListens:
    """User of a request whose answer nobody wants."""

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Let it be."""

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Let it be."""


class Forks:
    """Early dialogs by the peer's tag, what each said of media, and the ACKs that were sent."""

    def __init__(self, agent: UserAgent, session: InviteSession) -> None:
        self.early: dict[str, Dialog] = {}
        self.answers: dict[str, SessionDescription] = {}
        "Descriptions of provisional responses."
        self._agent = agent
        self._session = session
        self._acks: dict[str, tuple[bytes, Address]] = {}

    def provisional(self, invite: ClientTransaction, response: Response) -> Dialog | None:
        """Return the early dialog of a provisional response, a new one if need be; None when there are too many."""
        tag = response.to.tag or ""
        if tag not in self.early and len(self.early) < MAX_FORKS:
            dialog = Dialog.of_client(invite.request, response, invite.destination)
            self.early[tag] = dialog
            self._agent.dialogs[dialog.id] = self._session
        return self.early.get(tag)

    def confirm(self, invite: ClientTransaction, response: Response) -> Dialog:
        """Make the dialog of the first 2xx the call's; other early dialogs are over (§13.2.2.4). The ACK goes out."""
        request, tag = invite.request, response.to.tag or ""
        dialog = self.early.pop(tag, None) or Dialog.of_client(request, response, invite.destination)
        dialog.confirm(request, response)
        self.drop()
        self._agent.dialogs[dialog.id] = self._session
        self._acks[tag] = self.acknowledge(dialog, request)
        return dialog

    def drop(self) -> None:
        """Leave every early dialog."""
        for dialog in self.early.values():
            dialog.feed(DialogInput.REFUSED)
            self._agent.dialogs.pop(dialog.id, None)
        self.early.clear()

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
