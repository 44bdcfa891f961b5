"""An INVITE session: from the INVITE to the end of the BYE, in either role (RFC 3261 §13 to §15, §9).

``invite_states`` decides, this file carries out. The 2xx and their ACKs are the core's own affair here, not the
transactions' (§13.3.1.4, §13.2.2.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sip.acceptance import put_dialog
from sip.address import Address
from sip.agent import UserAgent
from sip.bodies import description_or_none
from sip.capabilities import capabilities
from sip.credentials import Credentials
from sip.dialog import Dialog
from sip.dialog import Input as DialogInput
from sip.errors import LocalProtocolError
from sip.events import (
    EndCause,
    InfoDigitReceived,
    InfoReceived,
    InviteReceived,
    SessionAnswered,
    SessionCancelled,
    SessionConfirmed,
    SessionEnded,
    SessionId,
    SessionRinging,
)
from sip.failover import NextHops, Straggler, failed_over
from sip.forks import build_invite
from sip.gate import ADMIT, Admission
from sip.grammar import quote
from sip.info import parse_dtmf_info, supported_content_types
from sip.invite_states import TABLE, WE_CALL, Action, Input, State
from sip.message import REASON_PHRASES, Request, Response
from sip.redirect import redirection
from sip.sdp import SessionDescription
from sip.session import HeaderPairs, Session
from sip.timers import Timer
from sip.transaction import ClientTransaction, Failure, InviteServerTransaction, ServerTransaction
from sip.uri import NameAddr, Uri

__all__ = ("InviteSession",)

PROGRESS_S = 60.0
"§13.3.1.1: a provisional every minute, so that proxies do not cancel."


@dataclass(slots=True)
class _Refusal:
    status: int
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class InviteSession(Session):
    """One session. Made by ``receive`` (we are called) or ``call`` (we call)."""

    def __init__(self, agent: UserAgent, state: State, *, credentials: Credentials | None = None) -> None:
        super().__init__(agent, state, credentials=credentials)
        self._server: InviteServerTransaction | None = None
        self._client: ClientTransaction | None = None
        self._early_sdp: SessionDescription | None = None
        self._answer_waits = False
        self._replaces: SessionId | None = None
        self._hops = NextHops([])  # as caller, those that are left
        self._rang = 0
        self._expires = False
        self._cause: EndCause | None = None
        self._end_status: int | None = None
        self._end_reason = ""
        self._bye_reason = ""
        # What the actions of the current step work on.
        self._refusal = _Refusal(480)
        self._ours: SessionDescription | None = None
        self._theirs: SessionDescription | None = None
        self._response: Response | None = None
        self._cancel_reason = ""
        agent.sessions[self.id] = self

    # -- how sessions begin ------------------------------------------------------------------------------------------

    @classmethod
    def receive(
        cls,
        agent: UserAgent,
        request: Request,
        offer: SessionDescription | None,
        source: Address,
        destination: Address,
        now: float,
        *,
        replaces: SessionId | None = None,
        admission: Admission = ADMIT,
    ) -> InviteSession:
        """Begin the session of an INVITE that came in: 100 goes out at once, ``InviteReceived`` to the application."""
        session = cls(agent, State.INCOMING)
        session._replaces = replaces
        session._server = agent.layer.serve_invite(request, destination, session)
        # §17.2.1 wants 100 within 200 ms unless an answer is sure to be out by then. The application's is not.
        session._server.respond(agent.response(request, 100), now)
        session.contact_user = request.uri.user if request.uri.is_sip else None
        session.learn(request)
        session.peer_described = offer
        session._dialog = Dialog.of_server(request, agent.new_tag(), source, first_cseq=_first_cseq(agent))
        session._dialog.session_id = agent.session_id(request)
        session.enter(session._dialog)
        agent.timers.arm(session, Timer.SETUP_LIMIT, now + session._answer_within_s(request))
        agent.emit(
            InviteReceived(
                session=session.id,
                request_uri=request.uri,
                from_=request.from_,
                to=request.to,
                source=source,
                call_id=request.call_id,
                offer=offer,
                headers=request.headers.copy(),
                replaces=replaces,
                admitted_by=str(admission),
                is_trusted=admission.is_trusted,
            )
        )
        return session

    def _answer_within_s(self, request: Request) -> float:
        """Return how long the application may take: the caller can say so (§13.3.1, Expires)."""
        limit_s = self._agent.config.setup_limit_s
        text = (request.headers.get("Expires") or "").strip()
        if not text.isascii() or not text.isdigit() or len(text) > 9 or not 0 < int(text) < limit_s:
            return limit_s
        self._expires = True
        return float(text)

    @classmethod
    def call(
        cls,
        agent: UserAgent,
        target: Uri,
        *,
        next_hop: Address | Sequence[Address],
        from_: NameAddr,
        to: NameAddr | None,
        offer: SessionDescription,
        credentials: Credentials | None,
        headers: HeaderPairs,
        now: float,
        try_limit_s: float | None = None,
        gruu: Uri | None = None,
    ) -> InviteSession:
        """Send an INVITE."""
        first_hop, hops = NextHops.of(next_hop, try_limit_s)
        cseq = _first_cseq(agent)
        request = build_invite(agent, target, from_=from_, to=to, cseq=cseq, offer=offer, headers=headers)
        agent.identify(request, first_hop, contact_user=from_.uri.user, gruu=gruu)
        request.serialize()  # a line end in what the caller gave is refused before there is a session
        session = cls(agent, State.CALLING, credentials=credentials)
        session.contact_user, session.gruu = from_.uri.user, gruu
        session.described = offer
        session.timer.ask(request, first=True)
        agent.timers.arm(session, Timer.SETUP_LIMIT, now + agent.config.setup_limit_s)
        session._hops = hops
        session._send_invite(request, first_hop, now)
        return session

    # -- what the application asks -----------------------------------------------------------------------------------

    def progress(self, status: int, sdp: SessionDescription | None, now: float) -> None:
        """Send a provisional response; with ``sdp``, of early media."""
        if not 100 < status < 200:
            raise LocalProtocolError("a provisional response has a status of 101 to 199")
        if sdp is not None:
            sdp.serialize()  # what cannot be written raises before anything has changed
        if self._answer_waits:
            return
        self._rang, self._early_sdp = status, sdp
        self._demand(Input.RING, now)

    def answer(self, sdp: SessionDescription, now: float) -> None:
        """Send 200 with our answer, or with our offer when the INVITE had none."""
        sdp.serialize()
        if self._answer_waits:
            raise LocalProtocolError("cannot answer a session twice")
        self._ours = sdp
        if self.state is State.INCOMING and self.early.holds_final:
            self._answer_waits = True  # RFC 3262 §3: until the PRACK
        else:
            self._demand(Input.ANSWER, now)

    def offer(self, sdp: SessionDescription, now: float) -> None:
        """Send an offer of ours in a re-INVITE, in an early dialog in an UPDATE."""
        sdp.serialize()
        if self.state is not State.ENDED:
            self.offers.ask(sdp, now)

    def reject(self, status: int, now: float, *, reason: str | None, headers: HeaderPairs) -> None:
        """Send a final response of 300 to 699."""
        if not 300 <= status <= 699:
            raise LocalProtocolError("a refusal has a status of 300 to 699")
        fields = tuple(headers)
        if any(end in text for text in (reason or "", *map("".join, fields)) for end in "\r\n"):
            raise LocalProtocolError("line end inside a header or the start line")
        self._refusal = _Refusal(status, reason, fields)
        self._demand(Input.REJECT, now, status=status, reason=reason or REASON_PHRASES.get(status, ""))

    def hang_up(self, now: float, *, reason: str) -> None:
        """End the session the way its state asks for; nothing when it ends already."""
        self._refusal = _Refusal(480)
        if self.is_established and self._referrals is not None:
            self._referrals.leave(now)
        self._feed(Input.HANG_UP, now, reason=reason)

    def answer_offer(self, sdp: SessionDescription, now: float) -> None:
        """Answer a re-INVITE; nothing when the peer has cancelled it meanwhile."""
        sdp.serialize()
        self.peer_offers.answer(sdp, now)

    def refuse_offer(self, status: int, now: float) -> None:
        """Refuse a re-INVITE: the session goes on as it was (§14.2)."""
        if not 300 <= status <= 699:
            raise LocalProtocolError("a refusal has a status of 300 to 699")
        self.peer_offers.refuse(status, now)

    def send_info(self, content_type: str, body: bytes, now: float) -> None:
        """Send an INFO; only in an established session."""
        if self.state is not State.ESTABLISHED:
            raise LocalProtocolError("INFO needs an established session")
        self.send("INFO", now, headers=(("Content-Type", content_type),), body=body)

    def _demand(self, event: Input, now: float, *, status: int | None = None, reason: str = "") -> None:
        if self.state is State.ENDED:
            return  # it ended while the application had not yet read of it
        if not self._feed(event, now, status=status, reason=reason):
            raise LocalProtocolError(f"cannot {event} a session that is {self.state}")

    # -- requests of the peer ----------------------------------------------------------------------------------------

    def on_request(self, request: Request, source: Address, destination: Address, now: float) -> None:
        """Take a request in the dialog: not ACK, not CANCEL."""
        dialog = self.dialog_with(request.from_.tag or "")
        if dialog is None or (self._agent.is_crowded and request.method != "BYE"):
            self._agent.send(self._agent.response(request, 481 if dialog is None else 503).serialize(), destination)
            return
        in_order = dialog.accept(request, source)
        if request.method == "INVITE":
            transaction = self._agent.layer.serve_invite(request, destination, self)
            self.peer_offers.on_reinvite(transaction, in_order=in_order, now=now)
            return
        other = self._agent.layer.serve(request, destination)
        respond = other.respond
        if not in_order:
            respond(self._agent.response(request, 500), now)
        elif request.method == "BYE":
            known = (self.state, Input.BYE) in TABLE
            respond(self._agent.response(request, 200 if known else 481), now)
            self._refusal = _Refusal(487)
            self._feed(Input.BYE, now, reason=request.headers.get("Reason") or "")
        elif request.method == "INFO":
            respond(self._on_info(request), now)
        elif request.method == "UPDATE":
            self.peer_offers.on_update(other, now)
        elif request.method == "PRACK":
            self._on_prack(other, now)
        elif request.method in ("REFER", "NOTIFY", "SUBSCRIBE"):
            self.referrals.receive(other, now)
        else:
            respond(self._agent.response(request, 200, headers=capabilities(self._agent.config.allow)), now)

    def _on_info(self, request: Request) -> Response:
        if "Info-Package" in request.headers:  # we asked for none (RFC 6086 §4.2.2)
            return self._agent.response(request, 469, headers=(("Recv-Info", ""),))
        if not request.body:
            return self._agent.response(request, 200)  # RFC 2976 §2.2: some peers keep a session alive so
        content_type = request.content_type or ""
        if content_type not in supported_content_types:
            self._agent.emit(InfoReceived(session=self.id, content_type=content_type, body=request.body))
            accept = (("Accept", ", ".join(supported_content_types)),)
            return self._agent.response(request, 415, headers=accept)
        digit = parse_dtmf_info(content_type, request.body)
        if digit is not None and self.state is not State.ENDING:
            self._agent.emit(InfoDigitReceived(session=self.id, event=digit.event, duration_ms=digit.duration_ms))
        return self._agent.response(request, 200)

    def _on_prack(self, transaction: ServerTransaction, now: float) -> None:
        self.peer_offers.on_prack(transaction, now)
        if self._answer_waits and not self.early.holds_final:
            self._answer_waits = False
            self._feed(Input.ANSWER, now)

    def on_ack(self, ack: Request, now: float) -> None:
        """Take an ACK to one of our 2xx (§13.3.1.4)."""
        invite = self._acceptance.acknowledge(ack)
        if invite is None:
            return  # again: the first one was enough
        # An INVITE without an offer has ours in the 2xx, and the answer here (§13.2.1).
        is_late = description_or_none(invite) is None and not (invite.to.tag is None and self.early.is_agreed)
        self._theirs = description_or_none(ack) if is_late else None
        invite.forget_typed()  # its transaction keeps it for 64*T1
        self.peer_described = self._theirs or self.peer_described
        self.peer_offers.acknowledged()
        self._feed(Input.ACK, now)
        if self.is_established and self._replaces is not None:
            replaced, self._replaces = self._agent.sessions.get(self._replaces), None
            if replaced is not None:
                replaced.hang_up(now, reason="Replaced")

    def enter(self, dialog: Dialog) -> None:
        """Put a dialog of the session where its requests are looked up."""
        self._agent.dialogs[dialog.id] = self

    def on_no_ack(self, now: float) -> None:
        """Hang up (§13.3.1.4)."""
        self._feed(Input.NO_ACK, now)

    def on_no_prack(self, now: float) -> None:
        """Refuse the INVITE with a 5xx (RFC 3262 §3)."""
        self._refusal = _Refusal(504)
        self._feed(Input.NO_PRACK, now)

    def on_expired(self, now: float) -> None:
        """Hang up (RFC 4028 §10)."""
        self._bye_reason = 'SIP;cause=408;text="Session timer expired"'
        self._feed(Input.EXPIRED, now, reason="session timer expired")

    def on_refresh(self, now: float) -> None:
        """Refresh the session (RFC 4028 §10)."""
        if self.state is State.ESTABLISHED:
            self.offers.refresh(now)

    def on_cancel(self, transaction: InviteServerTransaction, cancel: Request, now: float) -> None:
        """Take the CANCEL of the first INVITE or of a re-INVITE; it was answered 200 (§9.2)."""
        self._refusal = _Refusal(487)
        if transaction is self._server:
            self._cancel_reason = cancel.headers.get("Reason") or ""
            self._feed(Input.CANCEL, now, reason=self._cancel_reason)
        else:
            self.peer_offers.cancel(transaction, now)

    # -- responses of the peer ---------------------------------------------------------------------------------------

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take a response to one of our requests."""
        match transaction.request.method:
            case "INVITE" if 200 <= response.status < 300:
                self._on_success(transaction, response, now)
            case "INVITE" if transaction is self._client:
                self._on_invite_response(response, now)
            case "BYE" | "INFO" | "PRACK" if response.status >= 200:
                self._on_final(transaction, response, now)
            case _:
                pass  # provisionals of non-INVITE; CANCEL's answer says nothing about the INVITE (§9.1)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Learn that a request of ours got no final response."""
        method = transaction.request.method
        if method == "INVITE" and transaction is self._client:
            if not self._fail_over(None, now):
                self._feed(Input.NO_RESPONSE if failure is Failure.TIMEOUT else Input.UNREACHABLE, now)
        elif method == "BYE":
            self._feed(Input.BYE_DONE, now)
        elif method == "INFO":
            self._feed(Input.SILENCE, now)

    def _on_invite_response(self, response: Response, now: float) -> None:
        if response.status >= 300:
            if self._fail_over(response, now):
                return
            self._response = response
            answerable = (self.state, Input.CHALLENGE) in TABLE and (
                self.timer.raised(response) if response.status == 422 else self.authentication.accept(response)
            )
            event = Input.CHALLENGE if answerable else Input.FAILURE
            self._feed(event, now, status=response.status, reason=response.reason)
            return
        assert self._client is not None
        if not self.forks.take(self._client, response, now):
            return
        self._response = response
        self._feed(Input.PROVISIONAL, now)

    def _on_success(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if self.forks.acknowledged_again(response):
            return
        if self.state in WE_CALL and transaction is self._client:
            self._response = response
            self.authentication.learn(response)
            self._feed(Input.SUCCESS, now)
        else:
            self.forks.hang_up(transaction, response, now)

    def _on_final(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        request = transaction.request
        dialog = self.dialog_with(request.to.tag or "")  # gone with the INVITE that a 422 or a challenge replaced
        if self.state is not State.ENDED and dialog is not None and self.authentication.accept(response):
            names = ("Content-Type", "Reason", "RAck")
            kept = [(name, value) for name in names for value in request.headers.lines(name)]
            self.send(request.method, now, headers=kept, body=request.body, dialog=dialog, again=True)
        elif request.method == "BYE":
            self._feed(Input.BYE_DONE, now)
        elif request.method == "INFO" and response.status in (408, 481):
            self.on_gone(response, now)

    def on_gone(self, response: Response, now: float) -> None:
        """Learn that the peer no longer knows the dialog (§12.2.1.2)."""
        self._feed(Input.GONE, now, status=response.status, reason=response.reason)

    def on_silence(self, now: float) -> None:
        """Learn that a request in the dialog got no answer (§12.2.1.2)."""
        self._feed(Input.SILENCE, now)

    # -- timers ------------------------------------------------------------------------------------------------------

    def handle_timer(self, timer: Timer, now: float) -> None:
        """Take a timer of the session."""
        match timer:
            case Timer.PROGRESS:
                self._feed(Input.RING, now)
            case Timer.SETUP_LIMIT:
                self._refusal = _Refusal(487 if self._expires else 480)
                self._feed(Input.SETUP_LIMIT, now)
            case Timer.CANCEL_LIMIT:
                self._feed(Input.CANCEL_LIMIT, now)
            case Timer.TRY_LIMIT:
                if self.state is State.CALLING and self._client is not None:
                    self._client.user = Straggler(self._agent, self.forks)
                    self._fail_over(None, now)
            case _:
                raise AssertionError(timer)

    # -- the machine -------------------------------------------------------------------------------------------------

    def _feed(self, event: Input, now: float, *, status: int | None = None, reason: str = "") -> bool:
        step = TABLE.get((self.state, event))
        if step is None:
            return False
        self.state = step.state
        if self._cause is None and step.cause is not None:
            self._cause, self._end_status, self._end_reason = step.cause, status, reason
        for action in step.actions:
            self._perform(action, now)
        if step.state in (State.HANGING_UP, State.ENDING, State.ENDED):
            if self._offers is not None:
                self._offers.end(now)
            self.timer.stop()
        if self.state is State.ENDED:
            self._finish(now)
        return True

    def _perform(self, action: Action, now: float) -> None:
        agent, timers = self._agent, self._agent.timers
        match action:
            case Action.PROVISIONAL:
                self._respond_to_invite(self._rang, now)
                timers.arm(self, Timer.PROGRESS, now + PROGRESS_S)
            case Action.ANSWER:
                timers.disarm(self, Timer.PROGRESS)
                timers.disarm(self, Timer.SETUP_LIMIT)
                assert self._server is not None
                self.early.stop()
                if self.early.is_agreed:
                    self._ours = None  # it was said in a reliable provisional
                self.accept(self._server, self._ours, now)
            case Action.REFUSE:
                refusal = self._refusal
                self.early.stop()
                self._respond_to_invite(refusal.status, now, reason=refusal.reason, headers=refusal.headers)
            case Action.TELL_CANCEL:
                agent.emit(SessionCancelled(session=self.id, reason=self._cancel_reason))
            case Action.CONFIRM:
                agent.emit(SessionConfirmed(session=self.id, answer=self._theirs))
            case Action.INVITE:
                self._repeat_invite(now)
            case Action.NEXT_HOP:
                self._try_next_hop(now)
            case Action.ACK:
                self._establish(now)
            case Action.CANCEL:
                assert self._client is not None
                agent.layer.cancel(self._client, self, now)
                timers.arm(self, Timer.CANCEL_LIMIT, now + agent.values.limit_s)
            case Action.BYE:
                if self._end_reason and not self._bye_reason:
                    self._bye_reason = f"Q.850;cause=16;text={quote(self._end_reason)}"
                self.send("BYE", now, headers=(("Reason", self._bye_reason),) if self._bye_reason else ())
            case Action.ABANDON:
                assert self._client is not None
                agent.layer.abandon(self._client)
            case Action.TELL_RINGING | Action.TELL_ANSWERED:
                self._tell_progress(action)

    def _tell_progress(self, action: Action) -> None:
        response, peer = self._response, None if self._client is None else self._client.destination
        assert response is not None
        tag, described = response.to.tag or "", description_or_none(response)
        if action is Action.TELL_ANSWERED:
            # §13.2.1: an answer that came in a 183 need not be said again.
            early = self.forks.answers.get(tag)
            self.peer_described = answer = early if tag in self.forks.agreed else described or early
            self._agent.emit(SessionAnswered(session=self.id, answer=answer, peer=peer))
        elif response.status > 100:
            self._agent.emit(SessionRinging(session=self.id, status=response.status, early=described, peer=peer))

    def _finish(self, now: float) -> None:
        """Leave every map and say so: the session's last act."""
        agent = self._agent
        self.end_rooms(now)
        agent.timers.disarm_all(self)
        if self._dialog is not None:
            self._dialog.feed(DialogInput.BYE)
            agent.dialogs.pop(self._dialog.id, None)
        agent.sessions.pop(self.id, None)
        agent.emit(
            SessionEnded(
                session=self.id,
                cause=self._cause or EndCause.TIMEOUT,
                status=self._end_status,
                reason=self._end_reason,
                contacts=redirection(self._response, self._end_status),
            )
        )

    # -- sending -----------------------------------------------------------------------------------------------------

    def _respond_to_invite(
        self, status: int, now: float, *, reason: str | None = None, headers: HeaderPairs = ()
    ) -> None:
        assert self._server is not None
        assert self._dialog is not None
        request = self._server.request
        response = self._agent.response(request, status, reason=reason, to_tag=self._dialog.local.tag, headers=headers)
        if status < 200:
            put_dialog(self._agent, request, response, self._server.destination, contact_user=self.contact_user)
            self.early.send(self._server, response, self._early_sdp, now)
        else:
            self._server.respond(response, now)

    def _send_invite(self, request: Request, destination: Address, now: float) -> None:
        self._client = self._agent.layer.request(request, destination, self, now)
        self._agent.timers.disarm(self, Timer.TRY_LIMIT)
        if self._hops.waiting and self._hops.try_limit_s is not None:
            self._agent.timers.arm(self, Timer.TRY_LIMIT, now + self._hops.try_limit_s)

    def _fail_over(self, response: Response | None, now: float) -> bool:
        """Whether the INVITE goes on to another next hop after this response, or after none (RFC 3263 §4.3)."""
        if self._hops.leave(response) and self._feed(Input.NEXT_HOP, now):
            return True
        last = self._hops.unavailable
        if response is not None or last is None:
            return False
        # §16.7 step 6: one that answered says more than one that did not.
        return self._feed(Input.FAILURE, now, status=last.status, reason=last.reason)

    def _try_next_hop(self, now: float) -> None:
        assert self._client is not None
        self.forks.begin()
        self.authentication.begin()
        destination = self._hops.waiting.pop(0)
        request = failed_over(
            self._agent, self._client.request, destination, contact_user=self.contact_user, gruu=self.gruu
        )
        self._send_invite(request, destination, now)

    def _repeat_invite(self, now: float) -> None:
        """Send the INVITE again, changed: same Call-ID and From tag, next CSeq (§22.2, RFC 4028 §7.3)."""
        assert self._client is not None
        self.forks.begin()
        old = self._client.request
        request = Request("INVITE", old.uri, old.headers.copy(), old.body)
        request.headers.remove("Via")
        request.headers.set("CSeq", f"{old.cseq.number + 1} INVITE")
        self.timer.ask(request, first=True)
        self.authentication.apply(request)
        self._send_invite(request, self._client.destination, now)

    def _establish(self, now: float) -> None:
        """Make the dialog of the first 2xx ours; its ACK goes out (§13.2.2.4)."""
        assert self._client is not None
        assert self._response is not None
        self._dialog = self.forks.confirm(self._client, self._response)
        self.learn(self._response)
        self.timer.agreed(self._response, now)
        self._agent.timers.disarm(self, Timer.SETUP_LIMIT)
        self._agent.timers.disarm(self, Timer.CANCEL_LIMIT)


def _first_cseq(agent: UserAgent) -> int:
    """Return a CSeq to begin with: below 2**31 (§8.1.1.5) with room to count."""
    return 1 + int.from_bytes(agent.entropy(2), "big")
