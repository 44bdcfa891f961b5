"""What becomes of a request that comes in (RFC 3261 §8.2): the order of the checks, and the answers without state.

Only an INVITE that may become a call, and requests in a dialog, get a transaction. Everything else is answered as a
stateless UAS does (§8.2.7): a flood of OPTIONS, REGISTER or stray BYE leaves nothing behind. Responses go to the host
that the request came from, and never to an ACK. Where there is a gate it is asked before any answer tells what is here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sip.address import Address
from sip.agent import SUPPORTED, UserAgent
from sip.bodies import ACCEPTED_TYPES, session_description
from sip.capabilities import capabilities
from sip.dialog import dialog_id_of_request
from sip.errors import ParseError, RemoteProtocolError
from sip.gate import ADMIT, Admission, Gate, Refusal
from sip.invite import InviteSession
from sip.message import Request
from sip.overload import MAX_HEAD, quick_refusal
from sip.refer import ALLOW_EVENTS
from sip.replaces import find_replaced
from sip.routing import response_destination, stamp_source
from sip.session_timer import is_too_brief

__all__ = ("RequestHandler",)

SECRET_OCTETS = 16
_SCHEMES = ("sip", "sips", "tel")
_NO_HEADERS: tuple[tuple[str, str], ...] = ()


class RequestHandler:
    """Takes the requests of one endpoint."""

    def __init__(self, agent: UserAgent, gate: Gate | None = None) -> None:
        self.accepting = True
        "False: INVITE and OPTIONS get 503; what runs goes on."
        self._agent = agent
        self._gate = gate
        self._secret = agent.entropy(SECRET_OCTETS)

    def receive(self, request: Request, source: Address, now: float) -> None:
        """Take one well-formed request."""
        agent = self._agent
        stamp_source(request, source)
        destination = response_destination(request.via, source)
        if request.method == "ACK":
            self._receive_ack(request, source, now)
        elif agent.layer.receive_request(request, now):
            agent.statistics.retransmissions_in += 1
        elif request.method == "CANCEL":
            self._receive_cancel(request, source, destination, now)
        elif (admission := self._admit(request, source, destination, now)) is None:
            pass  # refused, or not worth an answer
        elif request.method not in agent.config.allow:
            self.refuse(request, destination, 405, headers=self._allow)  # §8.2.1
        elif request.uri.scheme not in _SCHEMES:
            self.refuse(request, destination, 416)  # §8.2.2.1
        elif request.to.tag is None and agent.layer.is_merged(request):
            self.refuse(request, destination, 482)  # §8.2.2.2
        elif unknown := [tag for tag in request.headers.get_all("Require") if tag.lower() not in SUPPORTED]:
            self.refuse(request, destination, 420, headers=(("Unsupported", ", ".join(unknown)),))  # §8.2.2.3
        elif request.method != "INVITE" and "Replaces" in request.headers:
            self.refuse(request, destination, 400)  # RFC 3891 §3
        elif request.to.tag is not None:
            self._receive_in_dialog(request, source, destination, now)
        elif request.method == "INVITE":
            self._receive_invite(request, admission, source, destination, now)
        elif request.method == "OPTIONS":
            self._answer_options(request, destination, now)
        else:
            self._refuse_outside(request, destination)

    def refuse(
        self, request: Request, destination: Address, status: int, *, headers: Iterable[tuple[str, str]] = _NO_HEADERS
    ) -> None:
        """Answer without state; an ACK is never answered (§17.1.1.3)."""
        if request.method == "ACK":
            return
        self._agent.statistics.refusals += 1
        response = self._agent.response(request, status, to_tag=self._stateless_tag(request), headers=headers)
        self._agent.send(response.serialize(), destination)

    def refuse_malformed(self, error: ParseError, source: Address, now: float) -> None:
        """Answer what could be read of a malformed request; nothing when too little could, or to a stranger."""
        request = error.partial
        is_welcome = self._gate is None or self._gate.judge_malformed(source, now)
        if request is None or not is_welcome:
            return
        stamp_source(request, source)
        self.refuse(request, response_destination(request.via, source), error.status_hint)

    def refuse_unread(self, data: bytes, source: Address) -> bool:
        """Refuse an INVITE for want of time, before it is parsed; False when that takes a closer look.

        Over UDP a stranger without credentials is not even asked for them: the INVITE comes again (timer A).
        """
        agent = self._agent
        if not data.startswith(b"INVITE "):
            return False
        is_stranger = self._gate is not None and not self._gate.is_open(source)
        if is_stranger and (source.transport.is_reliable or b"authorization" in data[:MAX_HEAD].lower()):
            return False
        headers = (*self._retry_after, ("Server", agent.config.user_agent))
        refusal = quick_refusal(data, source, is_known=agent.layer.has_invite, secret=self._secret, headers=headers)
        if refusal is None:
            return False
        agent.statistics.shed += 1
        if not is_stranger:
            agent.statistics.refusals += 1
            agent.send(*refusal)
        return True

    def _admit(self, request: Request, source: Address, destination: Address, now: float) -> Admission | None:
        """Ask the gate about a request that begins something; None when it goes no further, and has its answer."""
        gate = self._gate
        if gate is None or (request.to.tag is not None and dialog_id_of_request(request) in self._agent.dialogs):
            return ADMIT
        verdict = gate.judge(request, source, now)
        if isinstance(verdict, Admission):
            return verdict
        if isinstance(verdict, Refusal) and request.method != "CANCEL":  # §22.1: it cannot be sent again
            self.refuse(request, destination, verdict.status, headers=verdict.headers)
        return None

    # -- in a dialog ---------------------------------------------------------------------------------------------------

    def _receive_ack(self, request: Request, source: Address, now: float) -> None:
        agent = self._agent
        if agent.layer.receive_request(request, now):
            return
        session = agent.dialogs.get(dialog_id_of_request(request))
        if session is None:
            agent.statistics.strays += 1
        else:
            session.on_ack(request, now)

    def _receive_cancel(self, request: Request, source: Address, destination: Address, now: float) -> None:
        invite = self._agent.layer.find_invite(request)
        if invite is None:
            if self._admit(request, source, destination, now) is not None:
                self.refuse(request, destination, 481)
            return
        # §9.2: the answer's To tag should be that of the INVITE's answer.
        to_tag = invite.user.local_tag
        transaction = self._agent.layer.serve(request, destination)
        transaction.respond(self._agent.response(request, 200, to_tag=to_tag), now)
        if not invite.has_final:
            invite.user.on_cancel(invite, request, now)

    def _receive_in_dialog(self, request: Request, source: Address, destination: Address, now: float) -> None:
        session = self._agent.dialogs.get(dialog_id_of_request(request))
        if session is None:
            self.refuse(request, destination, 481)  # §12.2.2
        else:
            session.on_request(request, source, destination, now)

    # -- outside of dialogs --------------------------------------------------------------------------------------------

    def _receive_invite(
        self, request: Request, admission: Admission, source: Address, destination: Address, now: float
    ) -> None:
        try:
            offer = session_description(request)
            replaces = find_replaced(request, self._agent.dialogs)
        except RemoteProtocolError as error:
            headers = self._accept if error.status_hint == 415 else ()
            self.refuse(request, destination, error.status_hint, headers=headers)
            return
        except ParseError as error:
            self.refuse(request, destination, error.status_hint)
            return
        if is_too_brief(request, self._agent.config):
            self.refuse(request, destination, 422, headers=(("Min-SE", str(self._agent.config.min_se_s)),))
            return
        if self._is_full:
            self.refuse(request, destination, 503, headers=self._retry_after)
            return
        if self._agent.overload.must_refuse(now):
            self._agent.statistics.shed += 1
            self.refuse(request, destination, 503, headers=self._retry_after)
            return
        InviteSession.receive(
            self._agent, request, offer, source, destination, now, replaces=replaces, admission=admission
        )

    def _refuse_outside(self, request: Request, destination: Address) -> None:
        """Refuse what belongs into a dialog and came without one."""
        package = (request.headers.get("Event") or "").partition(";")[0].strip().lower()
        if request.method in ("NOTIFY", "SUBSCRIBE") and package != "refer":
            self.refuse(request, destination, 489, headers=ALLOW_EVENTS)  # RFC 6665 §4.1.3, §4.2.1.1
        elif request.method in ("REFER", "SUBSCRIBE"):
            # We make no calls for strangers, and only a REFER makes such a subscription (RFC 3515 §2.4.4).
            self.refuse(request, destination, 403)
        else:
            # The rest lives in dialogs only (§15.1.2, RFC 3262 §3, RFC 3311 §5.2, RFC 6086 §4.2.2, RFC 6665 §4.1.3).
            self.refuse(request, destination, 481)

    def _answer_options(self, request: Request, destination: Address, now: float) -> None:
        # §11.2: as an INVITE would be answered. Dispatchers probe with it.
        if self._is_full or self._agent.overload.is_overloaded(now):
            self.refuse(request, destination, 503, headers=self._retry_after)
            return
        headers = capabilities(self._agent.config.allow)
        response = self._agent.response(request, 200, to_tag=self._stateless_tag(request), headers=headers)
        self._agent.send(response.serialize(), destination)

    @property
    def _is_full(self) -> bool:
        agent = self._agent
        return not self.accepting or len(agent.sessions) >= agent.config.max_sessions or agent.is_crowded

    @property
    def _allow(self) -> tuple[tuple[str, str], ...]:
        return (("Allow", ", ".join(self._agent.config.allow)),)

    @property
    def _accept(self) -> tuple[tuple[str, str], ...]:
        return (("Accept", ", ".join(ACCEPTED_TYPES)), ("Accept-Encoding", "identity"))

    @property
    def _retry_after(self) -> tuple[tuple[str, str], ...]:
        # Another node of the dispatcher takes the call meanwhile.
        return (("Retry-After", str(self._agent.overload.retry_after_s())),)

    def _stateless_tag(self, request: Request) -> str:
        """Return the same tag for the same request (§8.2.7), which nobody else can foresee."""
        headers = request.headers
        seed = "\n".join(headers.get(name) or "" for name in ("Call-ID", "From", "CSeq", "Via"))
        return hashlib.blake2s(seed.encode("utf-8", "surrogateescape"), key=self._secret, digest_size=8).hexdigest()
