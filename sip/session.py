"""What the rooms of one INVITE session share: its dialogs, its descriptions, and how a request in it is sent.

``invite`` has the machine; ``offers``, ``peer_offers``, ``forks`` and ``early`` are the rooms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from sip.acceptance import Acceptance, build_success
from sip.agent import UserAgent
from sip.credentials import ClientAuthentication, Credentials
from sip.dialog import Dialog
from sip.dialog import Input as DialogInput
from sip.early import Early
from sip.forks import Forks
from sip.invite_states import State
from sip.message import Request, Response
from sip.offers import OurOffers
from sip.peer_offers import PeerOffers
from sip.refer import Referrals
from sip.sdp import SessionDescription
from sip.session_timer import SessionTimer
from sip.transaction import ClientTransaction, ClientUser, Failure, InviteServerTransaction
from sip.uri import Uri

__all__ = ("HeaderPairs", "Session")

HeaderPairs = Iterable[tuple[str, str]]


class Session(ABC):
    """A session without its machine.

    Its rooms hold it weakly, or are let go of at its end: a session and its rooms must not keep each other for the
    garbage collector to find.
    """

    def __init__(self, agent: UserAgent, state: State, *, credentials: Credentials | None = None) -> None:
        self.id = agent.new_session_id()
        self.state = state
        self.authentication = ClientAuthentication(credentials, agent.entropy)
        self.owns_call_id = state is State.CALLING
        self.contact_user: str | None = None
        self.gruu: Uri | None = None
        "Contact of our requests instead of one made of a listener (RFC 5627 §4.3)."
        self.described: SessionDescription | None = None
        "Ours, as it was agreed last."
        self.peer_described: SessionDescription | None = None
        self._agent = agent
        self._dialog: Dialog | None = None  # as callee the only one, as caller the confirmed one
        self._peer_allows: frozenset[str] = frozenset()
        self._acceptance = Acceptance(agent, self.on_no_ack)
        self.forks = Forks(agent, self)  # as caller
        self.early = Early(agent, self.on_no_prack)  # as callee
        self._offers: OurOffers | None = None
        self.peer_offers = PeerOffers(agent, self)
        self._referrals: Referrals | None = None
        self.timer = SessionTimer(agent, refresh=self.on_refresh, expire=self.on_expired)

    # -- what the rooms tell -------------------------------------------------------------------------------------------

    @abstractmethod
    def enter(self, dialog: Dialog) -> None:
        """Put a dialog of the session where its requests are looked up."""

    @abstractmethod
    def on_no_ack(self, now: float) -> None:
        """Learn that our 2xx was not acknowledged."""

    @abstractmethod
    def on_no_prack(self, now: float) -> None:
        """Learn that a reliable provisional was not acknowledged."""

    @abstractmethod
    def on_refresh(self, now: float) -> None:
        """Learn that the session is to be refreshed."""

    @abstractmethod
    def on_expired(self, now: float) -> None:
        """Learn that the session was not refreshed in time."""

    @abstractmethod
    def on_gone(self, response: Response, now: float) -> None:
        """Learn that the peer no longer knows the dialog (§12.2.1.2)."""

    @abstractmethod
    def on_silence(self, now: float) -> None:
        """Learn that a request in the dialog got no answer (§12.2.1.2)."""

    @abstractmethod
    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take a response to one of our requests."""

    @abstractmethod
    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Learn that a request of ours got no final response."""

    # -- what the rooms ask --------------------------------------------------------------------------------------------

    @property
    def local_tag(self) -> str | None:
        """Our tag of the dialog that the peer's INVITE opened."""
        return None if self._dialog is None else self._dialog.local.tag

    @property
    def referrals(self) -> Referrals:
        """What REFER does in the session: made when it is first needed, as most calls never are transferred."""
        if self._referrals is None:
            self._referrals = Referrals(
                self._agent, self.id, dialog=self.dialog, send=self.send, accept_challenge=self.authentication.accept
            )
        return self._referrals

    @property
    def offers(self) -> OurOffers:
        """What we change in the session: made when it is first needed, as most calls end as they began."""
        if self._offers is None:
            self._offers = OurOffers(self._agent, self)
        return self._offers

    @property
    def has_open_offer(self) -> bool:
        """Whether an offer of ours waits for its answer."""
        return self._offers is not None and self._offers.is_open

    def end_rooms(self, now: float) -> None:
        """End what the rooms do. Those that hold the session are let go of, so that nothing keeps it afterwards."""
        self.peer_offers.end(now)
        if self._referrals is not None:
            self._referrals.end(now)
            self._referrals = None
        if self._offers is not None:
            self._offers.end(now)
            self._offers = None
        self._acceptance.stop()
        self.early.stop()
        self.forks.drop()

    def dialog(self) -> Dialog | None:
        """Return the dialog while the session is established, None before and after."""
        return self._dialog if self.is_established else None

    @property
    def is_established(self) -> bool:
        """Whether the first INVITE is acknowledged and nobody has hung up."""
        return self.state is State.ESTABLISHED

    @property
    def is_peers_turn(self) -> bool:
        """Whether an offer of ours has to wait: the peer's is open, or the first one is (§14.1)."""
        return self.peer_offers.is_open or self.offering_dialog() is None

    def offering_dialog(self) -> Dialog | None:
        """Return the dialog that our offers go to; None while there is none whose first offer is answered."""
        if self.state is State.ESTABLISHED or (self.state is State.INCOMING and self.early.is_agreed):
            return self._dialog
        agreed = [dialog for tag, dialog in self.forks.early.items() if tag in self.forks.agreed]
        return agreed[0] if self.state is State.PROCEEDING and len(agreed) == 1 else None

    def dialog_with(self, remote_tag: str) -> Dialog | None:
        """Return the dialog with the peer of that tag."""
        if self._dialog is not None and (self._dialog.remote.tag or "") == remote_tag:
            return self._dialog
        return self.forks.early.get(remote_tag)

    def peer_takes(self, method: str) -> bool:
        """Whether the peer's last Allow names a method."""
        return method in self._peer_allows

    def learn(self, message: Request | Response) -> None:
        """Note what the peer allows (RFC 3311 §5.1)."""
        if "Allow" in message.headers:
            self._peer_allows = frozenset(message.headers.get_all("Allow"))

    # -- sending -------------------------------------------------------------------------------------------------------

    def accept(self, transaction: InviteServerTransaction, sdp: SessionDescription | None, now: float) -> None:
        """Send 200 to the INVITE or to a re-INVITE; without ``sdp`` it was said in a reliable provisional."""
        assert self._dialog is not None
        request = transaction.request
        self._dialog.feed(DialogInput.SUCCESS)
        self._dialog.refresh_target(request)
        response = build_success(self._agent, transaction, self._dialog, sdp, contact_user=self.contact_user)
        self.timer.accept(request, response, now)
        self.described = sdp or self.described
        self._acceptance.send(transaction, response, now)

    def send(
        self,
        method: str,
        now: float,
        *,
        headers: HeaderPairs = (),
        body: bytes = b"",
        dialog: Dialog | None = None,
        user: ClientUser | None = None,
        again: bool = False,
    ) -> ClientTransaction:
        """Send a request in the dialog; ``again`` with the answer to a challenge."""
        dialog = dialog or self._dialog
        assert dialog is not None
        request = dialog.request(method)
        destination = dialog.destination
        self._agent.identify(request, destination, contact_user=self.contact_user, gruu=self.gruu)
        for name, value in headers:
            request.headers.set(name, value)
        request.body = body
        if method in ("INVITE", "UPDATE"):
            self.timer.ask(request)
        if not again:
            self.authentication.begin()
        self.authentication.apply(request)
        return self._agent.layer.request(request, destination, user or self, now)
