"""An INVITE session: from the INVITE to the end of the BYE, in either role (RFC 3261 §13 to §15, §9).

``invite_states`` decides, this file carries out. The 2xx and their ACKs are the core's own affair here, not the
transactions' (§13.3.1.4, §13.2.2.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sip.acceptance import Acceptance, build_success, put_dialog
from sip.address import Address
from sip.agent import UserAgent
from sip.bodies import ACCEPTED_TYPES, SDP, session_description
from sip.credentials import ClientAuthentication, Credentials
from sip.dialog import Dialog
from sip.dialog import Input as DialogInput
from sip.errors import LocalProtocolError, ParseError, RemoteProtocolError
from sip.events import (
    EndCause,
    InfoDigitReceived,
    InfoReceived,
    InviteReceived,
    SessionAnswered,
    SessionCancelled,
    SessionConfirmed,
    SessionEnded,
    SessionRinging,
)
from sip.gate import ADMIT, Admission
from sip.grammar import quote
from sip.headers import Headers
from sip.info import parse_dtmf_info, supported_content_types
from sip.invite_states import TABLE, Action, Input, State
from sip.message import REASON_PHRASES, Request, Response
from sip.reinvite import RETRY_LATER, Reinvite
from sip.sdp import SessionDescription
from sip.timers import Timer
from sip.transaction import ClientTransaction, Failure, InviteServerTransaction
from sip.uri import NameAddr, Uri

__all__ = ("InviteSession",)

PROGRESS_S = 60.0
"§13.3.1.1: a provisional every minute, so that proxies do not cancel."
MAX_FORKS = 8
"Early dialogs and answers of one INVITE of ours that are kept apart; more of them are not believed."

_WE_CALL = frozenset({State.CALLING, State.PROCEEDING, State.CANCEL_PENDING, State.CANCELLING})
_HeaderPairs = Iterable[tuple[str, str]]


@dataclass(slots=True)
class _Refusal:
    status: int
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class _NobodyListens:
    """User of the BYE to a fork that nobody wants."""

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Let it be."""

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Let it be."""


class InviteSession:
    """One session. Made by ``receive`` (we are called) or ``call`` (we call)."""

    def __init__(self, agent: UserAgent, state: State, *, credentials: Credentials | None = None) -> None:
        self.id = agent.new_session_id()
        self.state = state
        self._agent = agent
        self._authentication = ClientAuthentication(credentials, agent.entropy)
        self._contact_user: str | None = None
        self._dialog: Dialog | None = None  # as callee the only one, as caller the confirmed one
        self._early: dict[str, Dialog] = {}  # as caller, by the peer's tag
        self._server: InviteServerTransaction | None = None
        self._client: ClientTransaction | None = None
        self._acceptance = Acceptance(agent, self._on_no_ack)
        self._reinvite = Reinvite(agent, self.id, self._accept)
        self._rang = 0
        self._expires = False
        self._acks: dict[str, tuple[bytes, Address]] = {}  # as caller, by the peer's tag
        self._early_answers: dict[str, SessionDescription] = {}
        self._cause: EndCause | None = None
        self._end_status: int | None = None
        self._end_reason = ""
        # What the actions of the current step work on.
        self._refusal = _Refusal(480)
        self._ours: SessionDescription | None = None
        self._theirs: SessionDescription | None = None
        self._response: Response | None = None
        self._cancel_reason = ""
        agent.sessions[self.id] = self

    @property
    def local_tag(self) -> str | None:
        """Our tag of the dialog that the peer's INVITE opened."""
        return None if self._dialog is None else self._dialog.local.tag

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
        admission: Admission = ADMIT,
    ) -> InviteSession:
        """Begin the session of an INVITE that came in: 100 goes out at once, ``InviteReceived`` to the application."""
        session = cls(agent, State.INCOMING)
        session._server = agent.layer.serve_invite(request, destination, session)
        # §17.2.1 wants 100 within 200 ms unless an answer is sure to be out by then. The application's is not.
        session._server.respond(agent.response(request, 100), now)
        session._contact_user = request.uri.user if request.uri.is_sip else None
        session._dialog = Dialog.of_server(request, agent.new_tag(), source, first_cseq=_first_cseq(agent))
        agent.dialogs[session._dialog.id] = session
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
        next_hop: Address,
        from_: NameAddr,
        to: NameAddr | None,
        offer: SessionDescription,
        credentials: Credentials | None,
        headers: _HeaderPairs,
        now: float,
    ) -> InviteSession:
        """Send an INVITE."""
        fields = Headers([("Max-Forwards", "70")])
        fields.set("From", str(from_.with_tag(agent.new_tag())))
        fields.set("To", str((to or NameAddr(uri=target)).without_params()))
        fields.set("Call-ID", agent.new_call_id())
        fields.set("CSeq", f"{_first_cseq(agent)} INVITE")
        for name, value in headers:
            fields.add(name, value)
        fields.set("Content-Type", SDP)
        request = Request("INVITE", target.without_headers(), fields, offer.serialize())
        agent.identify(request, next_hop, contact_user=from_.uri.user)
        request.serialize()  # a line end in what the caller gave is refused before there is a session
        session = cls(agent, State.CALLING, credentials=credentials)
        session._contact_user = from_.uri.user
        agent.timers.arm(session, Timer.SETUP_LIMIT, now + agent.config.setup_limit_s)
        session._send_invite(request, next_hop, now)
        return session

    # -- what the application asks -----------------------------------------------------------------------------------

    def ring(self, now: float, *, status: int = 180) -> None:
        """Send a provisional response."""
        self._rang = status
        self._demand(Input.RING, now)

    def answer(self, sdp: SessionDescription, now: float) -> None:
        """Send 200 with our answer, or with our offer when the INVITE had none."""
        sdp.serialize()  # what cannot be written raises before anything has changed
        self._ours = sdp
        self._demand(Input.ANSWER, now)

    def reject(self, status: int, now: float, *, reason: str | None, headers: _HeaderPairs) -> None:
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
        self._feed(Input.HANG_UP, now, reason=reason)

    def answer_offer(self, sdp: SessionDescription, now: float) -> None:
        """Answer a re-INVITE; nothing when the peer has cancelled it meanwhile."""
        sdp.serialize()
        self._reinvite.answer(sdp, now)

    def refuse_offer(self, status: int, now: float) -> None:
        """Refuse a re-INVITE: the session goes on as it was (§14.2)."""
        if not 300 <= status <= 699:
            raise LocalProtocolError("a refusal has a status of 300 to 699")
        self._reinvite.refuse(status, now)

    def send_info(self, content_type: str, body: bytes, now: float) -> None:
        """Send an INFO; only in an established session."""
        if self.state is not State.ESTABLISHED:
            raise LocalProtocolError("INFO needs an established session")
        self._send("INFO", now, headers=(("Content-Type", content_type),), body=body)

    def _demand(self, event: Input, now: float, *, status: int | None = None, reason: str = "") -> None:
        if self.state is State.ENDED:
            return  # it ended while the application had not yet read of it
        if not self._feed(event, now, status=status, reason=reason):
            raise LocalProtocolError(f"cannot {event} a session that is {self.state}")

    # -- requests of the peer ----------------------------------------------------------------------------------------

    def on_request(self, request: Request, source: Address, destination: Address, now: float) -> None:
        """Take a request in the dialog: not ACK, not CANCEL."""
        dialog = self._dialog_with(request.from_.tag or "")
        if dialog is None or (self._agent.is_crowded and request.method in ("INFO", "OPTIONS")):
            self._agent.send(self._agent.response(request, 481 if dialog is None else 503).serialize(), destination)
            return
        in_order = dialog.accept(request, source)
        if request.method == "INVITE":
            transaction = self._agent.layer.serve_invite(request, destination, self)
            self._on_reinvite(transaction, in_order=in_order, now=now)
            return
        respond = self._agent.layer.serve(request, destination).respond
        if not in_order:
            respond(self._agent.response(request, 500), now)
        elif request.method == "BYE":
            known = (self.state, Input.BYE) in TABLE
            respond(self._agent.response(request, 200 if known else 481), now)
            self._refusal = _Refusal(487)
            self._feed(Input.BYE, now, reason=request.headers.get("Reason") or "")
        elif request.method == "INFO":
            respond(self._on_info(request), now)
        else:
            respond(self._agent.response(request, 200, headers=(("Allow", ", ".join(self._agent.config.allow)),)), now)

    def _on_info(self, request: Request) -> Response:
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

    def _on_reinvite(self, transaction: InviteServerTransaction, *, in_order: bool, now: float) -> None:
        request, agent = transaction.request, self._agent
        try:
            offer = session_description(request)
        except (ParseError, RemoteProtocolError) as error:
            status = error.status_hint if in_order else 500
            headers = (("Accept", ", ".join(ACCEPTED_TYPES)),) if status == 415 else ()
            transaction.respond(agent.response(request, status, headers=headers), now)
            return
        if not in_order:
            transaction.respond(agent.response(request, 500), now)
        elif self.state is State.INCOMING:
            transaction.respond(agent.response(request, 500, headers=RETRY_LATER), now)
        elif self.state in (State.ENDING, State.ENDED, State.HANGING_UP):
            transaction.respond(agent.response(request, 481), now)
        elif self.state is not State.ESTABLISHED:
            # ANSWERED: its ACK is lost or late. As caller: our own offer is pending (§14.2).
            transaction.respond(agent.response(request, 491), now)
        else:
            self._reinvite.receive(transaction, offer, now)

    def on_ack(self, ack: Request, now: float) -> None:
        """Take an ACK to one of our 2xx (§13.3.1.4)."""
        invite = self._acceptance.acknowledge(ack)
        if invite is None:
            return  # again: the first one was enough
        # An INVITE without an offer has ours in the 2xx, and the answer here (§13.2.1).
        self._theirs = _description_or_none(ack) if _description_or_none(invite) is None else None
        self._reinvite.acknowledged()
        self._feed(Input.ACK, now)

    def _on_no_ack(self, now: float) -> None:
        self._feed(Input.NO_ACK, now)

    def on_cancel(self, transaction: InviteServerTransaction, cancel: Request, now: float) -> None:
        """Take the CANCEL of the first INVITE or of a re-INVITE; it was answered 200 (§9.2)."""
        self._refusal = _Refusal(487)
        if transaction is self._server:
            self._cancel_reason = cancel.headers.get("Reason") or ""
            self._feed(Input.CANCEL, now, reason=self._cancel_reason)
        else:
            self._reinvite.cancel(transaction, now)

    # -- responses of the peer ---------------------------------------------------------------------------------------

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take a response to one of our requests."""
        match transaction.request.method:
            case "INVITE" if 200 <= response.status < 300:
                self._on_success(transaction, response, now)
            case "INVITE" if transaction is self._client:
                self._on_invite_response(response, now)
            case "BYE" | "INFO" if response.status >= 200:
                self._on_final(transaction, response, now)
            case _:
                pass  # provisionals of non-INVITE; CANCEL's answer says nothing about the INVITE (§9.1)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Learn that a request of ours got no final response."""
        method = transaction.request.method
        if method == "INVITE" and transaction is self._client:
            self._feed(Input.NO_RESPONSE if failure is Failure.TIMEOUT else Input.UNREACHABLE, now)
        elif method == "BYE":
            self._feed(Input.BYE_DONE, now)
        elif method == "INFO":
            self._feed(Input.SILENCE, now)

    def _on_invite_response(self, response: Response, now: float) -> None:
        if response.status >= 300:
            answerable = (self.state, Input.CHALLENGE) in TABLE and self._authentication.accept(response)
            event = Input.CHALLENGE if answerable else Input.FAILURE
            self._feed(event, now, status=response.status, reason=response.reason)
            return
        tag = response.to.tag
        if response.status > 100 and tag and self._client is not None:
            if tag not in self._early and len(self._early) < MAX_FORKS and self._dialog is None:
                dialog = Dialog.of_client(self._client.request, response, self._client.destination)
                self._early[tag] = dialog
                self._agent.dialogs[dialog.id] = self
            early = _description_or_none(response)
            if early is not None and tag in self._early:
                self._early_answers[tag] = early
        self._response = response
        self._feed(Input.PROVISIONAL, now)

    def _on_success(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        known = self._acks.get(tag)
        if known is not None:
            self._agent.send(*known, again=True)  # §13.2.2.4: each retransmitted 2xx gets its ACK again
        elif self.state in _WE_CALL and transaction is self._client:
            self._response = response
            self._feed(Input.SUCCESS, now)
        elif len(self._acks) < MAX_FORKS:
            # §13.2.2.4: another branch of a fork answered too. One call is wanted, so this one is hung up.
            fork = Dialog.of_client(transaction.request, response, transaction.destination)
            fork.confirm(transaction.request, response)
            self._acknowledge(fork, transaction.request)
            bye = fork.request("BYE")
            self._agent.layer.request(bye, fork.destination, _NobodyListens(), now)

    def _on_final(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        request = transaction.request
        if self.state is not State.ENDED and self._authentication.accept(response):
            kept = [(name, value) for name in ("Content-Type", "Reason") for value in request.headers.lines(name)]
            self._send(request.method, now, headers=kept, body=request.body, again=True)
        elif request.method == "BYE":
            self._feed(Input.BYE_DONE, now)
        elif response.status in (408, 481):
            self._feed(Input.GONE, now, status=response.status, reason=response.reason)

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
                assert self._ours is not None
                self._accept(self._server, self._ours, now)
            case Action.REFUSE:
                refusal = self._refusal
                self._respond_to_invite(refusal.status, now, reason=refusal.reason, headers=refusal.headers)
            case Action.TELL_CANCEL:
                agent.emit(SessionCancelled(session=self.id, reason=self._cancel_reason))
            case Action.CONFIRM:
                agent.emit(SessionConfirmed(session=self.id, answer=self._theirs))
            case Action.INVITE:
                self._repeat_invite(now)
            case Action.ACK:
                self._establish()
            case Action.CANCEL:
                assert self._client is not None
                agent.layer.cancel(self._client, self, now)
                timers.arm(self, Timer.CANCEL_LIMIT, now + agent.values.limit_s)
            case Action.BYE:
                reason = (("Reason", f"Q.850;cause=16;text={quote(self._end_reason)}"),) if self._end_reason else ()
                self._send("BYE", now, headers=reason)
            case Action.ABANDON:
                assert self._client is not None
                agent.layer.abandon(self._client)
            case Action.TELL_RINGING | Action.TELL_ANSWERED:
                self._tell_progress(action)

    def _tell_progress(self, action: Action) -> None:
        assert self._response is not None
        status, tag = self._response.status, self._response.to.tag or ""
        described = _description_or_none(self._response)
        if action is Action.TELL_ANSWERED:
            # §13.2.1: an answer that came in a 183 need not be said again.
            answer = described or self._early_answers.get(tag)
            self._agent.emit(SessionAnswered(session=self.id, answer=answer))
        elif status > 100:
            self._agent.emit(SessionRinging(session=self.id, status=status, early=described))

    def _finish(self, now: float) -> None:
        """Leave every map and say so: the session's last act."""
        agent = self._agent
        self._reinvite.end(now)
        self._acceptance.stop()
        agent.timers.disarm_all(self)
        for dialog in (*self._early.values(), *([self._dialog] if self._dialog else [])):
            dialog.feed(DialogInput.BYE)
            agent.dialogs.pop(dialog.id, None)
        agent.sessions.pop(self.id, None)
        agent.emit(
            SessionEnded(
                session=self.id,
                cause=self._cause or EndCause.TIMEOUT,
                status=self._end_status,
                reason=self._end_reason,
            )
        )

    # -- sending -----------------------------------------------------------------------------------------------------

    def _respond_to_invite(
        self, status: int, now: float, *, reason: str | None = None, headers: _HeaderPairs = ()
    ) -> None:
        assert self._server is not None
        assert self._dialog is not None
        request = self._server.request
        response = self._agent.response(request, status, reason=reason, to_tag=self._dialog.local.tag, headers=headers)
        if status < 200:
            put_dialog(self._agent, request, response, self._server.destination, contact_user=self._contact_user)
        self._server.respond(response, now)

    def _accept(self, transaction: InviteServerTransaction, sdp: SessionDescription, now: float) -> None:
        """Send 200 to the INVITE or to a re-INVITE."""
        assert self._dialog is not None
        request = transaction.request
        self._dialog.feed(DialogInput.SUCCESS)
        self._dialog.refresh_target(request)
        response = build_success(self._agent, transaction, self._dialog, sdp, contact_user=self._contact_user)
        self._acceptance.send(transaction, response, now)

    def _send(
        self, method: str, now: float, *, headers: _HeaderPairs = (), body: bytes = b"", again: bool = False
    ) -> None:
        """Send a request in the dialog; ``again`` with the answer to a challenge."""
        assert self._dialog is not None
        request = self._dialog.request(method)
        destination = self._dialog.destination
        self._agent.identify(request, destination, contact_user=self._contact_user)
        for name, value in headers:
            request.headers.set(name, value)
        request.body = body
        if not again:
            self._authentication.begin()
        self._authentication.apply(request)
        self._agent.layer.request(request, destination, self, now)

    def _send_invite(self, request: Request, destination: Address, now: float) -> None:
        self._client = self._agent.layer.request(request, destination, self, now)

    def _repeat_invite(self, now: float) -> None:
        """Send the INVITE again with credentials: same Call-ID and From tag, next CSeq (§22.2)."""
        assert self._client is not None
        for dialog in self._early.values():
            self._agent.dialogs.pop(dialog.id, None)
        self._early.clear()
        old = self._client.request
        request = Request("INVITE", old.uri, old.headers.copy(), old.body)
        request.headers.remove("Via")
        request.headers.set("CSeq", f"{old.cseq.number + 1} INVITE")
        self._authentication.apply(request)
        self._send_invite(request, self._client.destination, now)

    def _establish(self) -> None:
        """Confirm the dialog of the first 2xx and acknowledge it; other early dialogs are over (§13.2.2.4)."""
        assert self._client is not None
        assert self._response is not None
        request, response = self._client.request, self._response
        tag = response.to.tag or ""
        dialog = self._early.pop(tag, None) or Dialog.of_client(request, response, self._client.destination)
        dialog.confirm(request, response)
        for other in self._early.values():
            other.feed(DialogInput.REFUSED)
            self._agent.dialogs.pop(other.id, None)
        self._early.clear()
        self._dialog = dialog
        self._agent.dialogs[dialog.id] = self
        self._agent.timers.disarm(self, Timer.SETUP_LIMIT)
        self._agent.timers.disarm(self, Timer.CANCEL_LIMIT)
        self._acknowledge(dialog, request)

    def _acknowledge(self, dialog: Dialog, invite: Request) -> None:
        """Send the ACK to a 2xx: a request of its own, kept to be repeated (§13.2.2.4)."""
        ack = dialog.request("ACK", cseq=invite.cseq.number)
        for name in ("Authorization", "Proxy-Authorization"):
            ack.headers.set(name, invite.headers.lines(name))  # §22.1: the same credentials as the INVITE
        destination = dialog.destination
        self._agent.layer.put_via(ack, destination)
        data = ack.serialize()
        self._acks[dialog.remote.tag or ""] = (data, destination)
        self._agent.send(data, destination)

    def _dialog_with(self, remote_tag: str) -> Dialog | None:
        if self._dialog is not None and (self._dialog.remote.tag or "") == remote_tag:
            return self._dialog
        return self._early.get(remote_tag)


def _first_cseq(agent: UserAgent) -> int:
    """Return a CSeq to begin with: below 2**31 (§8.1.1.5) with room to count."""
    return 1 + int.from_bytes(agent.entropy(2), "big")


def _description_or_none(message: Request | Response) -> SessionDescription | None:
    try:
        return session_description(message)
    except (ParseError, RemoteProtocolError):
        return None
