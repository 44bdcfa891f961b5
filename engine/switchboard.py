"""The calls of an engine: which SIP session and which media leg belongs to which call, calls in and calls out.

Where each event of the endpoint and of the media plane goes. What runs on a call is `make_program`'s to say
(``engine.service``); how a call goes is the call's own (``engine.call``). Everything on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from functools import partial

from engine.call import Call, CallContext, IncomingCall, OutgoingCall
from engine.config import Config, RouteConfig
from engine.errors import BusyError, CallError, ConfigError
from engine.log import fields
from engine.media import MediaEvent, Room
from engine.metrics import CALLS_REFUSED
from engine.net.dialling import OutboundCall, plan_call
from engine.net.dns import Resolver
from engine.net.transports import SipTransports
from engine.program import CallControl, Program, TakesTransfers, Transfer
from sip.address import Address, Transport
from sip.errors import LocalProtocolError
from sip.events import (
    Event,
    InfoDigitReceived,
    InviteReceived,
    OfferAnswered,
    OfferReceived,
    OfferRefused,
    OfferRequested,
    ReferProgress,
    ReferReceived,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
    SessionId,
    SessionRinging,
)
from sip.sdp import SessionDescription
from sip.uri import Uri

__all__ = ("Switchboard",)

log = logging.getLogger("engine.switchboard")

TRY_LIMIT_S = 4.0
"How long one address of several may be silent to an INVITE: it is repeated three times in that (timer A)."


class _Dialling:
    """``call.Dialler`` on the resolver and the endpoint."""

    def __init__(self, switchboard: Switchboard, resolver: Resolver, transports: tuple[Transport, ...]) -> None:
        self._switchboard = switchboard
        self._resolver = resolver
        self._transports = transports

    async def locate(self, uri: Uri, *, secure: bool) -> tuple[Address, ...]:
        transports = [transport for transport in self._transports if transport.is_secure or not secure]
        return await self._resolver.targets(uri, transports=transports)

    def invite(
        self, call: OutgoingCall, target: Uri, next_hops: tuple[Address, ...], offer: SessionDescription
    ) -> None:
        agent, plan = self._switchboard.agent, call.plan
        session = agent.endpoint.invite(
            target,
            next_hop=next_hops,
            from_=plan.from_,
            offer=offer,
            credentials=plan.credentials(target),
            headers=plan.headers(target),
            try_limit_s=TRY_LIMIT_S,
            gruu=agent.endpoint.account_contact(plan.account) if plan.trusts(target) else None,
            now=asyncio.get_running_loop().time(),
        )
        self._switchboard.attach(call, session)
        agent.flush()  # the session can end in here

    def mark_failed(self, next_hops: Sequence[Address]) -> None:
        now = asyncio.get_running_loop().time()
        for address in next_hops:
            self._resolver.mark_failed(address, now)


class Switchboard:
    """Implements ``engine.program.Exchange``.

    ``program_for`` gives the program of a call in by its route. ``own_host`` and ``own_port`` stand in From where no
    account gives a domain; ``transports`` are what requests can go by, most wanted first.
    """

    def __init__(
        self,
        config: Config,
        context: CallContext,
        agent: SipTransports,
        resolver: Resolver,
        *,
        transports: tuple[Transport, ...],
        own_host: str,
        own_port: int,
        program_for: Callable[[RouteConfig, CallControl], Program],
    ) -> None:
        self.agent = agent
        self._config = config
        self._context = context
        self._dialling = _Dialling(self, resolver, transports)
        self._own = (own_host, own_port)
        self._program_for = program_for
        self._calls: dict[str, Call] = {}
        self._calls_by_session: dict[SessionId, Call] = {}
        self._calls_by_leg: dict[int, Call] = {}
        self._replacing: dict[SessionId, Call] = {}
        "Sessions that take a caller's place once they are acknowledged (RFC 3891)."
        self._draining = False
        self.idle = asyncio.Event()
        "Set while there is no call."
        self.idle.set()

    # -- the calls -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._calls)

    def call(self, call_id: str) -> Call | None:
        """Return a call that is up or ringing; None when there is no such (any more)."""
        return self._calls.get(call_id)

    def calls(self) -> list[Call]:
        """Return all calls that are up, ringing, or waiting for their payment's result."""
        return list(self._calls.values())

    def drain(self) -> None:
        """Take and place no more calls, and give up those out that nobody has answered yet."""
        self._draining = True
        for call in self.calls():
            if call.is_waiting:
                call.hang_up("the engine stops")

    def hang_up_all(self) -> None:
        """End every call now; payments that are at their connector are still waited for."""
        for call in self.calls():
            call.hang_up("the engine stops")

    def open_room(self) -> Room:
        """Return an empty room for ``engine.program.CallControl.join``."""
        return self._context.plane.open_room()

    def place(
        self,
        wanted: OutboundCall,
        make_program: Callable[[CallControl], Program],
        *,
        beside: CallControl | None = None,
    ) -> CallControl:
        """Call somebody and run a program once they answer; see ``engine.program.Exchange``."""
        if self._draining:
            raise BusyError("the engine is stopping: no new calls")
        if len(self._calls) >= self._config.sip.max_calls:
            raise BusyError("as many calls are up as sip.max_calls allows")
        host, port = self._own
        plan = plan_call(
            wanted,
            self._config,
            own_host=host,
            own_port=port,
            routes=self.agent.endpoint.account_route(wanted.account or self._config.outbound.account),
        )
        call = OutgoingCall(
            uuid.uuid4().hex,
            plan,
            self._context,
            make_program,
            self._gone,
            self._dialling,
            beside=beside if isinstance(beside, Call) else None,
        )
        self._admit(call)
        call.start()
        if call.leg_id is not None:
            self._calls_by_leg[call.leg_id] = call
        return call

    def attach(self, call: Call, session: SessionId) -> None:
        """Give a call that is placed its session; a redirection gives it another."""
        self._calls_by_session.pop(call.session, None)
        call.session = session
        self._calls_by_session[session] = call

    def _admit(self, call: Call) -> None:
        self._calls[call.call_id] = call
        self.idle.clear()

    def _gone(self, call: Call) -> None:
        self._calls.pop(call.call_id, None)
        self._calls_by_session.pop(call.session, None)
        for leg_id in [leg_id for leg_id, of in self._calls_by_leg.items() if of is call]:
            del self._calls_by_leg[leg_id]
        if not self._calls:
            self.idle.set()

    # -- events --------------------------------------------------------------------------------------------------

    def sip_event(self, event: Event) -> bool:
        """Take an event of the endpoint; return False for one that is about no call."""
        match event:
            case InviteReceived():
                self._invited(event)
            case SessionConfirmed():
                if call := self._replacing.pop(event.session, None):
                    if call.take_over(event):
                        self.attach(call, event.session)
                elif call := self._calls_by_session.get(event.session):
                    call.acknowledged(event)
            case SessionEnded():
                if call := self._replacing.pop(event.session, None):
                    call.replacement_ended()
                elif call := self._calls_by_session.get(event.session):
                    call.ended(event)
            case OfferAnswered():
                if call := self._calls_by_session.get(event.session):
                    call.answered_again(event)
            case OfferRefused():
                if call := self._calls_by_session.get(event.session):
                    call.offer_refused(event)
            case ReferProgress():
                if call := self._calls_by_session.get(event.session):
                    call.refer_progress(event)
            case ReferReceived():
                self._referred(event)
            case OfferReceived() | OfferRequested():
                if call := self._calls_by_session.get(event.session):
                    call.offered(event)
            case InfoDigitReceived():
                if call := self._calls_by_session.get(event.session):
                    call.info_digit(event)
            case SessionRinging():
                if isinstance(call := self._calls_by_session.get(event.session), OutgoingCall):
                    call.ringing(event)
            case SessionAnswered():
                if isinstance(call := self._calls_by_session.get(event.session), OutgoingCall):
                    call.answered(event)
            case _:
                return False
        return True

    def _referred(self, event: ReferReceived) -> None:
        """Let the call's program follow a REFER, or decline it: to follow is to call at the operator's cost."""
        endpoint, now = self.agent.endpoint, asyncio.get_running_loop().time()
        call = self._calls_by_session.get(event.session)
        program: object = None if call is None else call.program
        taken, status = False, 603  # RFC 3515 §2.4.2
        if call is not None and self._config.twilio.allow_transfers and isinstance(program, TakesTransfers):
            wanted = Transfer(
                to=str(event.refer_to.uri.without_headers()),
                replaces="" if event.replaces is None else str(event.replaces),
                referred_by=event.referred_by,
                report=partial(self._report_transfer, event.session, event.refer_id),
            )
            try:
                taken = program.transfer(wanted)
            except (CallError, ConfigError) as error:
                status = 403
                log.info("a transfer cannot be followed: %s", error, extra=fields(call=call.call_id))
        if taken:
            endpoint.accept_refer(event.session, event.refer_id, now)
        else:
            log.info("a transfer is declined", extra=fields(session=event.session))
            endpoint.refuse_refer(event.session, event.refer_id, status, now)

    def _report_transfer(self, session: SessionId, refer_id: int, status: int, reason: str) -> None:
        try:
            self.agent.endpoint.notify_refer(session, refer_id, status, reason, asyncio.get_running_loop().time())
        except LocalProtocolError as error:
            log.info("a transfer's progress cannot be told: %s", error, extra=fields(session=session))
            return
        self.agent.flush()

    def media_event(self, event: MediaEvent) -> None:
        """Take an event of the media plane."""
        call = self._calls_by_leg.get(event.leg_id)
        if call is None:
            return
        try:
            call.media_event(event)
        except Exception:
            # One call's fault must not stop the others' media.
            log.exception("a media event could not be handled", extra=fields(call=call.call_id))
            call.hang_up("internal error")

    def _invited(self, event: InviteReceived) -> None:
        if event.replaces is not None:
            if call := self._calls_by_session.get(event.replaces):
                self._replacing[event.session] = call
                call.replace_caller(event)
            else:
                self._context.signalling.reject(event.session, 481)
            return
        route = self._config.route_for(event.request_uri.user or "")
        if route is None:
            log.info("a call is refused: no route", extra=fields(source=event.source.host))
            CALLS_REFUSED.labels(status="404").inc()
            self._context.signalling.reject(event.session, 404)
            return
        incoming = IncomingCall(
            uuid.uuid4().hex, event, self._context, lambda call: self._program_for(route, call), self._gone
        )
        self._admit(incoming)
        self._calls_by_session[event.session] = incoming
        incoming.start()
        if incoming.leg_id is not None:
            self._calls_by_leg[incoming.leg_id] = incoming
