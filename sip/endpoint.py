"""The facade: one ``Endpoint`` takes datagrams and time, and gives datagrams, timers and events.

It opens no socket, reads no clock and draws no entropy of its own. After each call into it, drain
``datagrams_to_send``, read ``next_event`` until None, and set a clock to ``next_timer``.

A session id stays valid for ever: what is asked of a session that has ended does nothing, because the end and the
request can cross. Asking what a session's state forbids raises ``LocalProtocolError`` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from sip.address import Address
from sip.agent import EndpointConfig, Statistics, Trace, TraceRecord, UserAgent
from sip.credentials import Credentials
from sip.errors import LocalProtocolError, ParseError
from sip.events import Event, SessionId
from sip.gate import Gate
from sip.invite import InviteSession
from sip.message import Request
from sip.parser import is_keepalive, parse_message
from sip.register import Account, Registration
from sip.sdp import SessionDescription
from sip.uas import RequestHandler
from sip.uri import NameAddr, Uri

__all__ = ("Account", "Credentials", "Endpoint", "EndpointConfig", "Statistics", "Trace", "TraceRecord")

TRACED_CHARS = 200
"Of a start line in a trace."
MAX_TIMERS_AT_ONCE = 100_000
"Timers fired by one call: a bound that only a clock set far ahead reaches."


class Endpoint:
    """A SIP user agent over UDP: sessions in both roles, registrations, OPTIONS.

    ``entropy(n)`` returns n unpredictable octets. ``trace`` gets a ``TraceRecord`` for each datagram. ``gate`` is asked
    who may begin something here; without one everybody may.
    """

    def __init__(
        self,
        config: EndpointConfig,
        *,
        entropy: Callable[[int], bytes],
        trace: Trace | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._agent = UserAgent(config, entropy=entropy, trace=trace)
        self._requests = RequestHandler(self._agent, gate)
        self._registrations: dict[str, Registration] = {}

    # -- input and output ----------------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram, or one message out of a stream. Never raises for anything a peer can send."""
        agent = self._agent
        agent.statistics.datagrams_in += 1
        if is_keepalive(data):
            agent.statistics.keepalives += 1
            self._trace(b"", source, now, sent=False, size=len(data))
            return
        if agent.overload.must_refuse(now) and self._requests.refuse_unread(data, source):
            self._trace(data, source, now, sent=False, size=len(data))
            return
        try:
            message = parse_message(data)
        except ParseError as error:
            agent.statistics.parse_errors += 1
            self._trace(b"", source, now, sent=False, size=len(data))
            self._requests.refuse_malformed(error, source, now)
            return
        self._trace(data.lstrip(b"\r\n"), source, now, sent=False, size=len(data))
        if isinstance(message, Request):
            self._requests.receive(message, source, now)
            return
        agent.heard_from = source
        if not agent.layer.receive_response(message, now):
            # §18.1.2: a response that matches nothing is dropped. This core sends no 2xx-bearing INVITE statelessly.
            agent.statistics.strays += 1

    def observe_delay(self, seconds: float, now: float) -> None:
        """Learn how long the message that is handed over next has waited since it arrived (``sip.overload``)."""
        self._agent.overload.observe_delay(seconds, now)

    def transport_error(self, destination: Address, now: float) -> None:
        """Learn that what was sent to ``destination`` could not be: an ICMP error, or no connection."""
        for registration in list(self._registrations.values()):
            registration.transport_error(destination, now)
        self._agent.layer.transport_error(destination, now)

    def flow_closed(self, flow: int, now: float) -> None:
        """Learn that a connection is gone: what waits on it has failed, who registered by it does so again."""
        for registration in list(self._registrations.values()):
            registration.flow_closed(flow, now)  # before the layer: what it sends again must not take this connection
        self._agent.layer.flow_closed(flow, now)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        """Return what is to be sent, in order, and forget it."""
        outgoing, self._agent.outgoing = self._agent.outgoing, []
        self._agent.statistics.datagrams_out += len(outgoing)
        if self._agent.trace is not None:
            for data, destination in outgoing:
                self._trace(data, destination, now, sent=True, size=len(data))
        return outgoing

    def next_timer(self) -> float | None:
        """Return when ``handle_timer`` is due, in the caller's monotonic seconds; None when nothing waits."""
        return self._agent.timers.next_at()

    def handle_timer(self, now: float) -> None:
        """Let every timer fire that is due at ``now``."""
        for _ in range(MAX_TIMERS_AT_ONCE):
            due = self._agent.timers.pop_due(now)
            if due is None:
                break
            owner, timer = due
            owner.handle_timer(timer, now)

    def next_event(self) -> Event | None:
        """Return the next event, None when there is none."""
        return self._agent.events.popleft() if self._agent.events else None

    @property
    def statistics(self) -> Statistics:
        """A snapshot of the counters."""
        agent = self._agent
        return replace(
            agent.statistics,
            transactions=len(agent.layer),
            dialogs=len(agent.dialogs),
            sessions=len(agent.sessions),
            registrations=len(self._registrations),
            timers=len(agent.timers),
        )

    def set_accepting(self, accepting: bool) -> None:
        """Say whether new calls are taken; when not, INVITE and OPTIONS get 503 and running sessions go on."""
        self._requests.accepting = accepting

    def set_trace(self, trace: Trace | None) -> None:
        """Trace from now on, or no longer (None)."""
        self._agent.trace = trace

    # -- sessions ------------------------------------------------------------------------------------------------------

    def ring(self, session: SessionId, now: float) -> None:
        """Send 180 to an unanswered INVITE.

        A caller that requires 100rel and made no offer hears nothing of it: its first reliable provisional has to
        carry our offer (RFC 3262 §5), which ``progress`` can give.
        """
        self.progress(session, now, status=180)

    def progress(
        self, session: SessionId, now: float, *, status: int = 183, sdp: SessionDescription | None = None
    ) -> None:
        """Send a provisional response of 101 to 199 to an unanswered INVITE, with ``sdp`` for early media.

        It is repeated every minute. To a caller that requires 100rel it goes reliably (RFC 3262): then a 183 with
        ``sdp`` settles the media, what is given to ``answer`` later is not sent, and an ``answer`` waits for the
        PRACK. To an INVITE without an offer ``sdp`` is our offer, which only a reliable response may carry; its
        answer comes in ``OfferAnswered``.
        """
        if found := self._session(session):
            found.progress(status, sdp, now)

    def answer(self, session: SessionId, sdp: SessionDescription, now: float) -> None:
        """Send 200 with ``sdp``: the answer, or our offer when the INVITE had none. Repeated until the ACK comes."""
        if found := self._session(session):
            found.answer(sdp, now)

    def reject(
        self,
        session: SessionId,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Refuse an unanswered INVITE with 300 to 699 (a redirection is 302 with a Contact in ``headers``)."""
        if found := self._session(session):
            found.reject(status, now, reason=reason, headers=headers)

    def answer_offer(self, session: SessionId, sdp: SessionDescription, now: float) -> None:
        """Answer an offer (``OfferReceived``, ``OfferRequested``) with 200 and ``sdp``."""
        if found := self._session(session):
            found.answer_offer(sdp, now)

    def refuse_offer(self, session: SessionId, status: int, now: float) -> None:
        """Refuse an offer with 300 to 699, mostly 488; the session goes on as it was."""
        if found := self._session(session):
            found.refuse_offer(status, now)

    def offer(self, session: SessionId, sdp: SessionDescription, now: float) -> None:
        """Offer other media in a session: a re-INVITE, in an early dialog an UPDATE (RFC 3261 §14.1, RFC 3311).

        ``OfferAnswered`` or ``OfferRefused`` follows, or the session's end. It waits for the end of an offer of the
        peer. ``LocalProtocolError`` when the first offer has no answer yet, or while another of ours is open.
        """
        if found := self._session(session):
            found.offer(sdp, now)

    def hang_up(self, session: SessionId, now: float, *, reason: str = "") -> None:
        """End a session: BYE, CANCEL or 480, as its state asks for.

        ``SessionEnded`` comes once the peer has answered, or has been given up: then no signalling is left to be
        carried. Media can be stopped at once.
        """
        if found := self._session(session):
            found.hang_up(now, reason=reason)

    def send_info(self, session: SessionId, content_type: str, body: bytes, now: float) -> None:
        """Send an INFO in an established session."""
        if found := self._session(session):
            found.send_info(content_type, body, now)

    def invite(
        self,
        target: Uri,
        *,
        next_hop: Address | Sequence[Address],
        from_: NameAddr,
        to: NameAddr | None = None,
        offer: SessionDescription,
        now: float,
        credentials: Credentials | None = None,
        headers: Iterable[tuple[str, str]] = (),
        try_limit_s: float | None = None,
        gruu: Uri | None = None,
    ) -> SessionId:
        """Call ``target`` by way of ``next_hop``; ``to`` defaults to the target. ``gruu``: see ``account_contact``.

        Of several next hops the first is tried, then the next one when it is silent, cannot be reached or answers 503
        (RFC 3263 §4.3); 16 at most. ``try_limit_s`` shortens the wait of 32 s (timer B) while another one is left.
        """
        session = InviteSession.call(
            self._agent,
            target,
            next_hop=next_hop,
            from_=from_,
            to=to,
            offer=offer,
            credentials=credentials,
            headers=headers,
            now=now,
            try_limit_s=try_limit_s,
            gruu=gruu,
        )
        return session.id

    # -- REFER -----------------------------------------------------------------------------------------------------

    def refer(
        self,
        session: SessionId,
        refer_to: Uri | None,
        now: float,
        *,
        replaces: SessionId | None = None,
        referred_by: Uri | None = None,
    ) -> None:
        """Ask the peer of an established session to call ``refer_to`` (RFC 3515); ``ReferProgress`` tells of it.

        With ``replaces``, another established session of ours, it is an attended transfer: the peer takes our place
        there (RFC 3891), and ``refer_to`` may be None for that session's own peer. ``referred_by`` defaults to our
        address in the session (RFC 3892). Neither session is hung up by this.
        """
        if not (found := self._session(session)):
            return
        dialog = None
        if replaces is not None:
            other = self._session(replaces)
            dialog = other.dialog() if other is not None and replaces != session else None
            if dialog is None:
                raise LocalProtocolError("only another established session can be replaced")
        found.referrals.refer(refer_to, now, replaces=dialog, referred_by=referred_by)

    def accept_refer(self, session: SessionId, refer_id: int, now: float) -> None:
        """Accept a ``ReferReceived``: 202, and the peer hears 100 Trying; tell it the rest with ``notify_refer``."""
        if found := self._session(session):
            found.referrals.accept(refer_id, now)

    def refuse_refer(self, session: SessionId, refer_id: int, status: int, now: float) -> None:
        """Refuse a ``ReferReceived`` with 300 to 699, mostly 403 or 603; the session goes on."""
        if found := self._session(session):
            found.referrals.refuse(refer_id, status, now)

    def notify_refer(
        self, session: SessionId, refer_id: int, status: int, reason: str, now: float, *, final: bool = False
    ) -> None:
        """Tell the peer what its accepted REFER has come to; ``final``, or a status above 199, is the last word.

        Nothing is sent when the peer wanted no reports (RFC 4488) or no longer wants them.
        """
        if found := self._session(session):
            found.referrals.notify(refer_id, status, reason, now, final=final)

    # -- registration --------------------------------------------------------------------------------------------------

    def register(self, account: Account, now: float) -> None:
        """Register an account and keep it registered until ``unregister``."""
        known = self._registrations.get(account.id)
        if known is not None:
            known.register(now)  # raises, or begins anew when it failed
            return
        registration = Registration(self._agent, account, self._registrations.pop)
        self._registrations[account.id] = registration
        registration.register(now)

    def unregister(self, account_id: str, now: float) -> None:
        """Remove an account's binding; nothing when it is not registered."""
        if known := self._registrations.get(account_id):
            known.unregister(now)

    def update_account(self, account_id: str, next_hops: tuple[Address, ...], now: float) -> None:
        """Take the addresses that an account's registrar or outbound proxy has now (RFC 3263), best first.

        A registration that stands stays where it is while that address is still among them; one that failed is tried
        again at once when they changed. Nothing when the account is not registered; raises LocalProtocolError for none.
        """
        if known := self._registrations.get(account_id):
            known.update(next_hops, now)

    def account_route(self, account_id: str) -> tuple[NameAddr, ...]:
        """Return the Route of an account's requests outside dialogs: outbound proxy, then Service-Route (RFC 3608 §6).

        Empty when there is none, or no such account.
        """
        known = self._registrations.get(account_id)
        return () if known is None else known.route

    def account_contact(self, account_id: str, *, anonymous: bool = False) -> Uri | None:
        """Return the GRUU to be the Contact of an account's dialogs (RFC 5627 §4.3), None when none was granted.

        ``anonymous`` asks for one that does not tell who we are.
        """
        known = self._registrations.get(account_id)
        if known is None or known.binding is None:
            return None
        return known.binding.temporary_gruu if anonymous else known.binding.public_gruu

    def account_next_hop(self, account_id: str) -> Address | None:
        """Return where an account's requests go now, with its connection; None when there is no such account."""
        known = self._registrations.get(account_id)
        return None if known is None else known.next_hop

    # -- inside --------------------------------------------------------------------------------------------------------

    def _session(self, session: SessionId) -> InviteSession | None:
        found = self._agent.sessions.get(session)
        if found is None and not 0 < session <= self._agent.last_session:
            raise LocalProtocolError("no such session was ever there")
        return found

    def _trace(self, data: bytes, peer: Address, now: float, *, sent: bool, size: int) -> None:
        trace = self._agent.trace
        if trace is not None:
            line = data[:TRACED_CHARS].partition(b"\r\n")[0].decode("utf-8", "replace")
            trace(TraceRecord(now=now, sent=sent, peer=peer, start_line=line, size=size, data=data))
