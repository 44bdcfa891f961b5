"""Which of the peer's offers reach the application, and the answers to them.

RFC 3261 §14.2 for the re-INVITE, RFC 3311 §5.2 for the UPDATE, RFC 3262 §5 for the PRACK. Laws: 491 while an offer of
ours is open, 500 with Retry-After while one of the peer's is. An UPDATE without an offer is answered here: it refreshes
the remote target and the session timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import proxy

from sip.acceptance import build_success
from sip.agent import UserAgent
from sip.bodies import description_or_none
from sip.events import OfferAnswered
from sip.invite_states import WE_CALL, State
from sip.reinvite import Reinvite, is_readable, retry_later
from sip.reinvite import State as ReinviteState
from sip.sdp import SessionDescription
from sip.transaction import InviteServerTransaction, ServerTransaction

if TYPE_CHECKING:
    from sip.session import Session

__all__ = ("PeerOffers",)


class PeerOffers(Reinvite):
    """The peer's re-INVITEs, UPDATEs and PRACKs in one session."""

    def __init__(self, agent: UserAgent, session: Session) -> None:
        super().__init__(agent, session.id, self._send_answer_of_session)
        self._invite_session: Session = proxy(session)

    @property
    def is_open(self) -> bool:
        """Whether the application owes an answer, or its ACK is missing."""
        return self.state is not ReinviteState.IDLE

    def on_reinvite(self, transaction: InviteServerTransaction, *, in_order: bool, now: float) -> None:
        """Take a re-INVITE."""
        request, agent, session = transaction.request, self._agent, self._invite_session
        if not in_order:
            transaction.respond(agent.response(request, 500), now)
        elif not is_readable(agent, transaction, now):
            pass
        elif session.state is State.INCOMING:
            transaction.respond(agent.response(request, 500, headers=retry_later(agent)), now)
        elif session.state in (State.ENDING, State.ENDED, State.HANGING_UP):
            transaction.respond(agent.response(request, 481), now)
        elif session.state is not State.ESTABLISHED or session.has_open_offer:
            # ANSWERED: its ACK is lost or late. As caller, or with a re-INVITE out: our own offer is pending (§14.2).
            transaction.respond(agent.response(request, 491), now)
        else:
            session.learn(request)
            self.receive(transaction, description_or_none(request), now)

    def on_update(self, transaction: ServerTransaction, now: float) -> None:
        """Take an UPDATE."""
        request, agent, session = transaction.request, self._agent, self._invite_session
        if session.state in (State.ENDING, State.ENDED):
            transaction.respond(agent.response(request, 481), now)
        elif is_readable(agent, transaction, now):
            session.learn(request)
            offer = description_or_none(request)
            if offer is None:
                self._accept(transaction, None, now)
            else:
                self._receive_in_turn(transaction, offer, now)

    def on_prack(self, transaction: ServerTransaction, now: float) -> None:
        """Take a PRACK: it may bring the answer to our offer, or an offer of the peer's."""
        session = self._invite_session
        has_offer, described = session.early.acknowledge(transaction, now)
        session.described = session.early.described or session.described
        if described is None:
            return
        if has_offer:
            self._receive_in_turn(transaction, described, now)
            return
        session.peer_described = described
        self._agent.emit(OfferAnswered(session=session.id, answer=described))

    def _receive_in_turn(self, transaction: ServerTransaction, offer: SessionDescription, now: float) -> None:
        """Take the offer in an UPDATE or PRACK, or refuse it while another is open."""
        agent, request, session = self._agent, transaction.request, self._invite_session
        if session.state is State.INCOMING and not session.early.is_agreed and not session.early.is_offering:
            transaction.respond(agent.response(request, 500, headers=retry_later(agent)), now)
        elif self._is_ours_open(request.from_.tag or ""):
            transaction.respond(agent.response(request, 491), now)
        else:
            self.receive(transaction, offer, now)

    def _is_ours_open(self, remote_tag: str) -> bool:
        """Whether an offer of ours waits for its answer in that dialog, or our 2xx for its ACK."""
        session = self._invite_session
        if session.has_open_offer or session.state in (State.ANSWERED, State.HANGING_UP):
            return True
        if session.state is State.INCOMING:
            return not session.early.is_agreed
        return session.state in WE_CALL and remote_tag not in session.forks.agreed

    def _send_answer_of_session(self, transaction: ServerTransaction, sdp: SessionDescription, now: float) -> None:
        session = self._invite_session
        if isinstance(transaction, InviteServerTransaction):
            session.accept(transaction, sdp, now)
        else:
            self._accept(transaction, sdp, now)
        session.peer_described = description_or_none(transaction.request) or session.peer_described

    def _accept(self, transaction: ServerTransaction, sdp: SessionDescription | None, now: float) -> None:
        """Send 200 to an UPDATE or a PRACK."""
        request, session = transaction.request, self._invite_session
        dialog = session.dialog_with(request.from_.tag or "")
        if dialog is None:  # early, and another branch has become the call
            transaction.respond(self._agent.response(request, 481), now)
            return
        response = build_success(self._agent, transaction, dialog, sdp, contact_user=session.contact_user)
        if request.method == "UPDATE":
            dialog.refresh_target(request)
            if session.state in (State.ANSWERED, State.ESTABLISHED):
                session.timer.accept(request, response, now)
        session.described = sdp or session.described
        transaction.respond(response, now)
