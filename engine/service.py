"""The engine: everything that lives as long as the process, and where each event of SIP and media goes.

``Engine(config).start()`` opens the ledger, reconciles what a crash left behind, renders the prompts, starts the media
threads, listens, registers. ``stop()`` drains: no new calls, OPTIONS answers 503, calls end, webhooks leave, then it is
all closed. Everything runs on one asyncio loop except the media threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from prometheus_client import start_http_server

from dsp.profile import PROFILES
from engine.access import open_access
from engine.call import Call, CallContext, IncomingCall, OutgoingCall
from engine.call.signalling import EndpointSignalling
from engine.charging import Charging
from engine.config import Config, listener_ids, secret_from_environment, split_address
from engine.connectors import open_connectors
from engine.errors import CallError, ConfigError, TargetError
from engine.events import EngineEvent, RegistrationState
from engine.form import FormContext, FormProgram, FormPrompts
from engine.ledger import Ledger
from engine.log import fields
from engine.media import MediaPlane
from engine.metrics import (
    CALLS_REFUSED,
    LATE_TICKS,
    MEDIA_LEGS,
    REGISTERED,
    REGISTRATION_ATTEMPTS,
    REGISTRATION_FAILURES,
    REGISTRY,
    SIP_OPEN,
)
from engine.net.dialling import OutboundCall, plan_call
from engine.net.dns import Resolver
from engine.net.listen import BoundListener, bind_listeners
from engine.net.tls import TlsFiles
from engine.net.transports import ConnectionLimits, SipTransports
from engine.outbox import Outbox
from engine.rtp.codec import why_unavailable
from engine.trace import SipTrace
from prompts.store import PromptStore
from sip.address import Address, Listener, Transport
from sip.endpoint import Account, Endpoint, EndpointConfig
from sip.events import (
    Event,
    InfoDigitReceived,
    InviteReceived,
    OfferAnswered,
    OfferReceived,
    OfferRequested,
    ReferReceived,
    RegistrationChanged,
    RegistrationStatus,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
    SessionId,
    SessionRinging,
)
from sip.sdp import SessionDescription
from sip.uri import Uri

__all__ = ("Engine",)

log = logging.getLogger("engine.service")

DRAIN_S = 30.0
"How long calls may go on after a stop was asked for; a payment at the connector is waited for beyond it."
UNREGISTER_S = 2.0
"How long registrars may take to confirm that we leave."
RETRY_AFTER_S = 10
TRY_LIMIT_S = 4.0
"How long one address of several may be silent to an INVITE: it is repeated three times in that (timer A)."


class _Dialling:
    """``call.Dialler`` on the resolver and the endpoint."""

    def __init__(self, engine: Engine, resolver: Resolver) -> None:
        self._engine = engine
        self._resolver = resolver

    async def locate(self, uri: Uri, *, secure: bool) -> tuple[Address, ...]:
        transports = [transport for transport in self._engine.transports if transport.is_secure or not secure]
        return await self._resolver.targets(uri, transports=transports)

    def invite(
        self, call: OutgoingCall, target: Uri, next_hops: tuple[Address, ...], offer: SessionDescription
    ) -> None:
        agent, plan = self._engine.agent, call.plan
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
        self._engine.attach(call, session)
        agent.flush()  # the session can end in here

    def mark_failed(self, next_hops: Sequence[Address]) -> None:
        now = asyncio.get_running_loop().time()
        for address in next_hops:
            self._resolver.mark_failed(address, now)


class Engine:
    """One paytone engine; ``observer`` hears of each ``EngineEvent``."""

    def __init__(self, config: Config, *, observer: Callable[[EngineEvent], None] | None = None) -> None:
        self.config = config
        self._observers: list[Callable[[EngineEvent], None]] = [observer] if observer else []
        self._calls: dict[str, Call] = {}
        self._calls_by_session: dict[SessionId, Call] = {}
        self._calls_by_leg: dict[int, Call] = {}
        self._replacing: dict[SessionId, Call] = {}
        "Sessions that take a caller's place once they are acknowledged (RFC 3891)."
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._relocating: set[asyncio.Task[None]] = set()
        self.transports: tuple[Transport, ...] = ()
        "What requests of ours can go by, most wanted first."
        self._closers: list[Callable[[], object]] = []
        self._unregistered = asyncio.Event()

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring everything up; raise ``ConfigError``, ``LedgerError`` or ``MediaError`` with the remedy if it can't."""
        try:
            await self._start()
        except BaseException:
            await self._close()
            raise

    async def _start(self) -> None:
        config = self.config
        for codec in config.media.codecs:
            if (why := why_unavailable(codec)) is not None:
                raise ConfigError(why, where="[media] codecs", remedy=f"install it, or leave {codec} out of the list")
        tls = TlsFiles(**config.sip.tls.model_dump())
        listeners = bind_listeners(config.sip.listeners, next_free=config.sip.next_free_port)
        self._closers += [listener.close for listener in listeners]
        host = listeners[0].host
        self.sip_host, self.sip_port = host, listeners[0].port

        self.ledger = await Ledger.open(config.ledger.url, clock=lambda: datetime.now(UTC))
        self._closers.append(self.ledger.close)
        self.connectors = await open_connectors(config.connectors)
        for connector in self.connectors.values():
            self._closers.append(connector.close)
        self.charging = Charging(self.ledger, self.connectors, clock=lambda: datetime.now(UTC))
        self._closers.append(self.charging.drain)
        for attempt in await self.charging.reconcile():
            log.warning("an attempt of an earlier run was reconciled", extra=fields(**attempt.for_log()))
        self.outbox = Outbox(self.ledger, clock=lambda: datetime.now(UTC))
        self.outbox.start()
        self._closers.append(self.outbox.stop)

        self.prompts = PromptStore.open(config.prompts.cache)
        self._closers.append(self.prompts.close)
        self._form_prompts = FormPrompts(self.prompts, default_locale=config.prompts.locale)
        await self._form_prompts.prepare(config.forms)

        self.plane = MediaPlane(
            host=config.media.host or host,
            port_range=config.media.ports,
            threads=config.media.threads,
            dtmf_profile=PROFILES[config.media.dtmf_profile],
            dscp=config.media.dscp,
            cpus=config.media.cpu_affinity,
            realtime_priority=config.media.realtime_priority,
        )
        self.plane.start()
        LATE_TICKS.set_function(lambda: self.plane.statistics().late_ticks)
        MEDIA_LEGS.set_function(lambda: self.plane.statistics().legs)
        loop = asyncio.get_running_loop()
        loop.add_reader(self.plane.event_fd(), self._media_events)
        self._closers.append(self._stop_plane)

        self.access = open_access(
            config,
            listeners=listener_ids(config.sip.listen),
            entropy=os.urandom,
            peer_names=lambda flow: self.agent.peer_names(flow),
        )
        as_peers_see = tuple(self._as_peers_see(listener) for listener in listeners)
        endpoint = Endpoint(
            EndpointConfig(
                listeners=as_peers_see,
                max_sessions=config.sip.max_calls,
                tcp_above=config.sip.tcp_above or None,
                target_delay_s=config.sip.target_delay_s,
                session_expires_s=config.sip.session_expires_s or None,
                min_se_s=config.sip.min_se_s,
                reliable_provisionals=config.sip.reliable_provisionals,
            ),
            entropy=os.urandom,
            gate=self.access,
        )
        self.trace = SipTrace(
            endpoint.set_trace, as_peers_see, wall=time.time, now=loop.time, call_later=loop.call_later
        )
        self._closers.append(self.trace.stop)
        self.trace.start(config.trace)
        SIP_OPEN.labels(what="sessions").set_function(lambda: endpoint.statistics.sessions)
        SIP_OPEN.labels(what="dialogs").set_function(lambda: endpoint.statistics.dialogs)
        SIP_OPEN.labels(what="transactions").set_function(lambda: endpoint.statistics.transactions)
        SIP_OPEN.labels(what="timers").set_function(lambda: endpoint.statistics.timers)
        connections = config.sip.connections
        self.agent = SipTransports(
            endpoint,
            self.access,
            self._sip_event,
            tls=tls,
            limits=ConnectionLimits(
                maximum=connections.max, by_source=connections.max_by_source, idle_s=connections.idle_s
            ),
            origins=config.sip.websocket.origins,
        )
        self._closers.append(self.agent.close)
        await self.agent.open(listeners)
        self._context = CallContext(
            signalling=EndpointSignalling(self.agent),
            plane=self.plane,
            ledger=self.ledger,
            advertised_host=config.sip.advertise or config.media.host or host,
            rtp_timeout_ms=int(config.media.timeout_s * 1000),
            media=config.media,
            notify=self.notify,
            now=loop.time,
        )
        self._resolver = Resolver(
            config.sip.dns, families=tuple(dict.fromkeys(6 if ":" in listener.host else 4 for listener in listeners))
        )
        # Connections of our own need no listener; datagrams leave by the socket of one.
        by_udp = any(listener.transport is Transport.UDP for listener in listeners)
        self.transports = (*((Transport.UDP,) if by_udp else ()), Transport.TCP, Transport.TLS)
        self._dialling = _Dialling(self, self._resolver)
        if config.metrics.listen:
            metrics_host, metrics_port = split_address(config.metrics.listen)
            server, _ = start_http_server(metrics_port, addr=metrics_host, registry=REGISTRY)
            self._closers.append(server.shutdown)
        await self._register()
        listens = " ".join(f"{one.transport.lower()}:{one.host}:{one.port}" for one in listeners)
        log.info("listening", extra=fields(sip=listens, rtp=config.media.ports))

    async def stop(self, *, drain_s: float = DRAIN_S) -> None:
        """Drain and close: refuse new calls, unregister, give calls ``drain_s`` to end, then hang up and close all."""
        if self._draining:
            return
        self._draining = True
        if hasattr(self, "agent"):
            self.agent.endpoint.set_accepting(False)
            for account in self.config.accounts:
                self.agent.endpoint.unregister(account, asyncio.get_running_loop().time())
            self.agent.flush()
            self.plane.drain()
            await self._drain(drain_s)
            await self._await_unregistered()
        await self._close()

    def hang_up_all(self) -> None:
        """End every call now; payments that are at their connector are still waited for."""
        for call in list(self._calls.values()):
            call.hang_up("the engine stops")

    async def _drain(self, drain_s: float) -> None:
        for call in [call for call in self._calls.values() if call.is_waiting]:
            call.hang_up("the engine stops")
        if self._calls:
            log.info("draining", extra=fields(calls=len(self._calls), seconds=drain_s))
            try:
                async with asyncio.timeout(drain_s):
                    await self._idle.wait()
            except TimeoutError:
                self.hang_up_all()
                # Only payments at their connector keep a call now; their result must not be lost.
                await self._idle.wait()

    async def _await_unregistered(self) -> None:
        """Wait until every registrar has confirmed, or had its time."""
        if not self.agent.endpoint.statistics.registrations:
            return
        try:
            async with asyncio.timeout(UNREGISTER_S):
                await self._unregistered.wait()
        except TimeoutError:
            log.warning(
                "a registrar did not confirm that we leave; its binding stays until it expires",
                extra=fields(accounts=self.agent.endpoint.statistics.registrations),
            )

    async def _close(self) -> None:
        while self._closers:
            closed = self._closers.pop()()
            if asyncio.iscoroutine(closed):
                await closed

    def _as_peers_see(self, listener: BoundListener) -> Listener:
        """Return what Via and Contact say of a socket: the advertised address, and port for that of the first one."""
        sip = self.config.sip
        port = sip.advertise_port if sip.advertise_port and listener.port == self.sip_port else listener.port
        return Listener(
            id=listener.id, transport=listener.transport, host=sip.advertised_host(listener.host), port=port
        )

    def _stop_plane(self) -> None:
        asyncio.get_running_loop().remove_reader(self.plane.event_fd())
        self.plane.stop()

    async def _register(self) -> None:
        loop = asyncio.get_running_loop()
        for name, account in self.config.accounts.items():
            registrar = Uri.parse(account.registrar)
            proxy = Uri.parse(account.outbound_proxy) if account.outbound_proxy else None
            key = "registrar" if proxy is None else "outbound_proxy"
            next_hops = await self._resolve(proxy or registrar, f"account.{name}.{key}")
            for next_hop in next_hops:
                self.access.allow(next_hop.host)
            password = ""
            if account.password_env:
                password = secret_from_environment(account.password_env, f"account.{name}.password_env")
            REGISTERED.labels(account=name).set(0)
            self.agent.endpoint.register(
                Account(
                    id=name,
                    aor=Uri(user=account.user, host=registrar.host, port=registrar.port),
                    registrar=registrar,
                    next_hops=next_hops,
                    username=account.auth_user or account.user,
                    password=password,
                    realm=account.realm,
                    expires_s=account.expires_s,
                    display_name=account.display_name,
                    contact_user=account.contact_user,
                    outbound_proxy=proxy,
                    instance_id=account.instance or f"{socket.gethostname()}/{self.config.sip.listen}/{name}",
                    gruu=account.gruu,
                    outbound={"auto": None, "on": True, "off": False}[account.outbound],
                ),
                loop.time(),
            )
        self.agent.flush()

    async def _resolve(self, uri: Uri, where: str) -> tuple[Address, ...]:
        """Return the addresses of a registrar or proxy, best first (RFC 3263)."""
        try:
            return await self._resolver.targets(uri, transports=self.transports)
        except TargetError as error:
            raise ConfigError(str(error), where=where, remedy="check the name or give an IP") from None

    async def _relocate(self, name: str) -> None:
        """Ask anew where an account's registrar is: what failed may have moved."""
        account = self.config.accounts[name]
        try:
            next_hops = await self._resolve(Uri.parse(account.outbound_proxy or account.registrar), f"account.{name}")
        except ConfigError as error:
            log.warning("a registrar is not found again: %s", error, extra=fields(account=name))
            return
        for next_hop in next_hops:
            self.access.allow(next_hop.host)
        self.agent.endpoint.update_account(name, next_hops, asyncio.get_running_loop().time())
        self.agent.flush()

    # -- events --------------------------------------------------------------------------------------------------

    def observe(self, observer: Callable[[EngineEvent], None]) -> None:
        """Add an observer."""
        self._observers.append(observer)

    def notify(self, event: EngineEvent) -> None:
        """Tell the observers; one that fails is logged and does not disturb the call."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                log.exception("an observer failed")

    def _sip_event(self, event: Event) -> None:
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
            case ReferReceived():
                # To follow it would be to call at the operator's cost; no program asks for that (RFC 3515 §2.4.2).
                log.info("a transfer is declined", extra=fields(session=event.session))
                self.agent.endpoint.refuse_refer(event.session, event.refer_id, 603, asyncio.get_running_loop().time())
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
            case RegistrationChanged():
                self._registration(event)
            case _:
                pass  # what is left tells nothing that changes a call

    def _registration(self, event: RegistrationChanged) -> None:
        account = event.account_id
        failed = event.state is RegistrationStatus.FAILED
        log.log(
            logging.ERROR if failed else logging.INFO,
            "registration",
            extra=fields(account=account, state=event.state, status=event.status, reason=event.reason),
        )
        REGISTERED.labels(account=account).set(event.state is RegistrationStatus.REGISTERED)
        if event.state is RegistrationStatus.REGISTERING:
            REGISTRATION_ATTEMPTS.labels(account=account).inc()
        elif failed:
            REGISTRATION_FAILURES.labels(account=account, status=str(event.status or "none")).inc()
            if not self._draining:
                task = asyncio.get_running_loop().create_task(self._relocate(account))
                self._relocating.add(task)
                task.add_done_callback(self._relocating.discard)
        if self._draining and not self.agent.endpoint.statistics.registrations:
            self._unregistered.set()
        self.notify(RegistrationState(account=account, state=str(event.state), reason=event.reason))

    def _invited(self, event: InviteReceived) -> None:
        if event.replaces is not None:
            if call := self._calls_by_session.get(event.replaces):
                self._replacing[event.session] = call
                call.replace_caller(event)
            else:
                self._context.signalling.reject(event.session, 481)
            return
        user = event.request_uri.user or ""
        form_name = self.config.route_for(user)
        if form_name is None:
            log.info("a call is refused: no route", extra=fields(source=event.source.host))
            CALLS_REFUSED.labels(status="404").inc()
            self._context.signalling.reject(event.session, 404)
            return
        call = IncomingCall(
            uuid.uuid4().hex,
            event,
            form_name,
            self.config.forms[form_name],
            self._context,
            self._program,
            self._gone,
        )
        self._admit(call)
        self._calls_by_session[event.session] = call
        call.start()
        if call.leg_id is not None:
            self._calls_by_leg[call.leg_id] = call

    # -- calls out -----------------------------------------------------------------------------------------------

    def place_call(self, wanted: OutboundCall) -> str:
        """Call somebody and run a form once they answer; return the call's id, at once.

        What becomes of it is told to observers: ``CallRinging``, then ``CallAnswered`` or ``CallFailed``, and
        ``CallEnded`` in the end. Raises ``CallError`` for what cannot be called, while the engine drains or when
        ``sip.max_calls`` are up, and ``ConfigError`` for an account without its password. Call it on the loop.
        """
        if self._draining:
            raise CallError("the engine is stopping: no new calls")
        if len(self._calls) >= self.config.sip.max_calls:
            raise CallError("as many calls are up as sip.max_calls allows")
        plan = plan_call(
            wanted,
            self.config,
            own_host=self.config.sip.advertise or self.sip_host,
            own_port=self.sip_port,
            routes=self.agent.endpoint.account_route(wanted.account or self.config.outbound.account),
        )
        call = OutgoingCall(
            uuid.uuid4().hex,
            plan,
            wanted.form,
            self.config.forms[wanted.form],
            self._context,
            self._program,
            self._gone,
            self._dialling,
        )
        self._admit(call)
        call.start()
        if call.leg_id is not None:
            self._calls_by_leg[call.leg_id] = call
        return call.call_id

    def hang_up(self, call_id: str) -> None:
        """End a call, or give one up that was placed; nothing when it is over."""
        if call := self._calls.get(call_id):
            call.hang_up("")

    def attach(self, call: Call, session: SessionId) -> None:
        """Give a call that is placed its session; a redirection gives it another."""
        self._calls_by_session.pop(call.session, None)
        call.session = session
        self._calls_by_session[session] = call

    def _admit(self, call: Call) -> None:
        self._calls[call.call_id] = call
        self._idle.clear()

    def _program(self, call: Call) -> FormProgram:
        return FormProgram(
            call.call_id,
            call.form_name,
            call.form,
            call,
            FormContext(
                prompts=self._form_prompts,
                charging=self.charging,
                ledger=self.ledger,
                outbox=self.outbox,
                notify=self.notify,
                now=asyncio.get_running_loop().time,
                today=lambda: datetime.now(UTC).date(),
            ),
        )

    def _gone(self, call: Call) -> None:
        self._calls.pop(call.call_id, None)
        self._calls_by_session.pop(call.session, None)
        for leg_id in [leg_id for leg_id, of in self._calls_by_leg.items() if of is call]:
            del self._calls_by_leg[leg_id]
        if not self._calls:
            self._idle.set()

    def _media_events(self) -> None:
        for event in self.plane.drain_events():
            if call := self._calls_by_leg.get(event.leg_id):
                try:
                    call.media_event(event)
                except Exception:
                    # One call's fault must not stop the others' media.
                    log.exception("a media event could not be handled", extra=fields(call=call.call_id))
                    call.hang_up("internal error")

    @property
    def active_calls(self) -> int:
        """Calls that are up, or still waiting for their payment's result."""
        return len(self._calls)
