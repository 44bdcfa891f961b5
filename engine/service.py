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
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial

from prometheus_client import start_http_server

from dsp.profile import PROFILES
from engine.access import open_access
from engine.api import open_api
from engine.api.twilio import payments, recordings
from engine.api.twilio.ordered_recordings import begin_ordered
from engine.call import CallContext
from engine.call.signalling import EndpointSignalling
from engine.config import (
    Config,
    NccoApp,
    RelayApp,
    RouteConfig,
    SwmlApp,
    TwimlApp,
    listener_ids,
    secret_from_environment,
    split_address,
)
from engine.dialects.twiml.commands import DialOut, Queue, StartPay, StartRecord
from engine.errors import CallError, ConfigError, TargetError
from engine.events import EngineEvent, RegistrationState
from engine.form import REPLY_KIND, FormContext, FormProgram, FormPrompts, check_forms, tell_interrupted
from engine.log import fields
from engine.media import MediaPlane
from engine.metrics import (
    LATE_TICKS,
    MEDIA_LEGS,
    REGISTERED,
    REGISTRATION_ATTEMPTS,
    REGISTRATION_FAILURES,
    REGISTRY,
    SIP_OPEN,
)
from engine.net.dialling import OutboundCall
from engine.net.dns import Resolver
from engine.net.listen import BoundListener, bind_listeners
from engine.net.tls import TlsFiles
from engine.net.transports import ConnectionLimits, SipTransports
from engine.payment_run import PaymentContext
from engine.payments import Payments
from engine.program import CallControl, Program
from engine.programs import capture, pay
from engine.programs.actions import pay as signalwire_pay
from engine.programs.context import ProgramContext
from engine.programs.dial import make_dial
from engine.programs.ncco import pay as ncco_pay
from engine.programs.ncco.legs import NccoLegs
from engine.programs.ncco.program import check_nccos
from engine.programs.ncco.program import program_of as ncco_program_of
from engine.programs.queue import QueueVerb
from engine.programs.record import RecordVerb
from engine.programs.recordings import Recordings
from engine.programs.relay.calls import RelayCalls
from engine.programs.relay.hub import RelayHub
from engine.programs.status import CallStatusTeller
from engine.programs.swml.program import check_documents
from engine.programs.swml.program import program_of as swml_program_of
from engine.programs.twiml import program_of
from engine.programs.verb import VerbMakers
from engine.prompt_files import open_prompts, prepare_locales
from engine.rtp.codec import why_unavailable
from engine.switchboard import Switchboard
from engine.trace import SipTrace
from sip.address import Address, Listener, Transport
from sip.endpoint import Account, Endpoint, EndpointConfig
from sip.events import Event, RegistrationChanged, RegistrationStatus
from sip.uri import Uri

__all__ = ("Engine",)

log = logging.getLogger("engine.service")

DRAIN_S = 30.0
"How long calls may go on after a stop was asked for; a payment at the connector is waited for beyond it."
UNREGISTER_S = 2.0
"How long registrars may take to confirm that we leave."
RETRY_AFTER_S = 10
VERBS: VerbMakers = {StartPay: pay.PayVerb, StartRecord: RecordVerb, DialOut: make_dial, Queue: QueueVerb}
"What runs for long in a TwiML document, by the class of its command."


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _utc_today() -> date:
    return _utc_now().date()


class Engine:
    """One paytone engine; ``observer`` hears of each ``EngineEvent``."""

    def __init__(self, config: Config, *, observer: Callable[[EngineEvent], None] | None = None) -> None:
        self.config = config
        self._observers: list[Callable[[EngineEvent], None]] = [observer] if observer else []
        self._draining = False
        self._relocating: set[asyncio.Task[None]] = set()
        self.transports: tuple[Transport, ...] = ()
        "What requests of ours can go by, most wanted first."
        self._closers: list[Callable[[], object]] = []
        self._unregistered = asyncio.Event()
        self.relay: RelayHub | None = None
        "None while ``[signalwire]`` names no token."
        self._relay_calls: RelayCalls | None = None
        self.recordings: Recordings | None = None
        "None while ``[recording]`` names no directory."

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
        if config.twilio.account_sid:
            # Without it no document could be asked for: better no start than calls that end with an apology.
            secret_from_environment(config.twilio.auth_token_env, "twilio.auth_token_env")
        self.relay = self._open_relay()
        if config.signalwire.signing_key_env:
            secret_from_environment(config.signalwire.signing_key_env, "signalwire.signing_key_env")
        if config.vonage.signature_secret_env:
            secret_from_environment(config.vonage.signature_secret_env, "vonage.signature_secret_env")
        check_documents(config)
        check_nccos(config)
        tls = TlsFiles(**config.sip.tls.model_dump())
        listeners = bind_listeners(config.sip.listeners, next_free=config.sip.next_free_port)
        self._closers += [listener.close for listener in listeners]
        host = listeners[0].host
        self.sip_host, self.sip_port = host, listeners[0].port

        closings = {
            REPLY_KIND: tell_interrupted,
            pay.REPLY_KIND: pay.tell_interrupted,
            capture.REPLY_KIND: capture.tell_interrupted,
            signalwire_pay.REPLY_KIND: signalwire_pay.tell_interrupted,
            ncco_pay.REPLY_KIND: ncco_pay.tell_interrupted,
        }
        self.payments = await Payments.open(config, closings=closings)
        self._closers.append(self.payments.close)
        check_forms(config.forms, self.payments.connectors)
        self._status = CallStatusTeller(self.payments.outbox, config.twilio, clock=_utc_now)
        self._closers.append(self._status.close)
        self.observe(self._status.observe)
        self._ncco_legs: NccoLegs | None = None
        if any(isinstance(app, NccoApp) for app in config.apps.values()):
            self._ncco_legs = NccoLegs(self.payments.outbox, config, clock=_utc_now)
            self._closers.append(self._ncco_legs.close)
            self.observe(self._ncco_legs.observe)

        self.prompts = open_prompts(config)
        self._closers.append(self.prompts.close)
        locales = {form.language or config.prompts.locale for form in config.forms.values()}
        if config.apps or config.api.is_on:
            locales.add(config.prompts.locale)
        await prepare_locales(self.prompts, locales)
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
        if config.recording.directory:
            self.recordings = await Recordings.open(
                config,
                ledger=self.payments.ledger,
                outbox=self.payments.outbox,
                wake_fd=self.plane.event_fd(),
                clock=lambda: datetime.now(UTC),
            )
            self._closers.append(self.recordings.close)

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
        context = CallContext(
            signalling=EndpointSignalling(self.agent),
            plane=self.plane,
            ledger=self.payments.ledger,
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
        self.switchboard = Switchboard(
            config,
            context,
            self.agent,
            self._resolver,
            transports=self.transports,
            own_host=config.sip.advertise or self.sip_host,
            own_port=self.sip_port,
            program_for=self._program_for,
        )
        self._payment_context = PaymentContext(
            charging=self.payments.charging, ledger=self.payments.ledger, notify=self.notify, now=loop.time
        )
        self.programs = ProgramContext(
            config=config,
            exchange=self.switchboard,
            web=self.payments.web,
            outbox=self.payments.outbox,
            payments=self._payment_context,
            prompts=self.prompts,
            today=_utc_today,
            clock=_utc_now,
            status=self._status,
            verbs=VERBS,
            recordings=self.recordings,
            ncco=self._ncco_legs,
            program_named=self._program_named,
        )
        if self.relay is not None:
            self._relay_calls = self.relay.handler = RelayCalls(self.programs, self.relay)
            self.observe(self._relay_calls.observe)
        if config.metrics.listen:
            metrics_host, metrics_port = split_address(config.metrics.listen)
            server, _ = start_http_server(metrics_port, addr=metrics_host, registry=REGISTRY)
            self._closers.append(server.shutdown)
        if config.api.is_on:
            self.api = await open_api(
                config,
                exchange=self.switchboard,
                ledger=self.payments.ledger,
                context=self.programs,
                observe=self.observe,
                resources=(
                    partial(
                        payments.add_routes, sessions=capture.CaptureSessions(self.programs, self.payments.connectors)
                    ),
                    recordings.add_routes,
                ),
                record=partial(begin_ordered, self.programs),
                hub=self.relay,
            )
            # The first to be closed, and after the drain: agents complete the payments of calls that are up.
            self._closers.append(self.api.stop)
            if self.relay is not None:
                self._closers.append(self.relay.close)  # its clients are told before their sockets are closed
        await self._register()
        listens = " ".join(f"{one.transport.lower()}:{one.host}:{one.port}" for one in listeners)
        log.info("listening", extra=fields(sip=listens, rtp=config.media.ports))

    def _open_relay(self) -> RelayHub | None:
        """Return who keeps the clients of RELAY; None without ``[signalwire] token_env``."""
        signalwire = self.config.signalwire
        if not signalwire.token_env:
            return None
        loop = asyncio.get_running_loop()
        return RelayHub(
            signalwire,
            secret_from_environment(signalwire.token_env, "signalwire.token_env"),
            now=loop.time,
            wall=time.time,
            call_later=loop.call_later,
            entropy=os.urandom,
        )

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
            if self.relay is not None:
                self.relay.drain()
            await self._drain(drain_s)
            await self._await_unregistered()
        await self._close()

    def hang_up_all(self) -> None:
        """End every call now; payments that are at their connector are still waited for."""
        self.switchboard.hang_up_all()

    async def _drain(self, drain_s: float) -> None:
        self.switchboard.drain()
        if self.switchboard:
            log.info("draining", extra=fields(calls=len(self.switchboard), seconds=drain_s))
            try:
                async with asyncio.timeout(drain_s):
                    await self.switchboard.idle.wait()
            except TimeoutError:
                self.hang_up_all()
                # Only payments at their connector keep a call now; their result must not be lost.
                await self.switchboard.idle.wait()

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
        if isinstance(event, RegistrationChanged):
            self._registration(event)
        elif not self.switchboard.sip_event(event):
            log.debug("an event tells nothing that changes a call", extra=fields(kind=type(event).__name__))

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

    # -- calls ---------------------------------------------------------------------------------------------------

    def place_call(self, wanted: OutboundCall) -> str:
        """Call somebody and run a form once they answer; return the call's id, at once.

        What becomes of it is told to observers: ``CallRinging``, then ``CallAnswered`` or ``CallFailed``, and
        ``CallEnded`` in the end. Raises ``CallError`` for what cannot be called, while the engine drains or when
        ``sip.max_calls`` are up, and ``ConfigError`` for an account without its password. Call it on the loop.
        """
        if wanted.form not in self.config.forms:
            known = ", ".join(sorted(self.config.forms)) or "none"
            raise CallError(f"there is no [form.{wanted.form}] (known: {known})")
        return self.switchboard.place(wanted, lambda call: self._form(wanted.form, call)).facts.call_id

    def hang_up(self, call_id: str) -> None:
        """End a call, or give one up that was placed; nothing when it is over."""
        if call := self.switchboard.call(call_id):
            call.hang_up("")

    def _program_for(self, route: RouteConfig, call: CallControl) -> Program:
        return self._program_named(route.app, route.form, call)

    def _program_named(self, app: str, form: str, call: CallControl) -> Program:
        """Return the program of an application or of a form (``ProgramContext.program_named``)."""
        if app:
            settings = self.config.apps.get(app)
            if isinstance(settings, TwimlApp):
                return program_of(app, settings, call, self.programs)
            if isinstance(settings, SwmlApp):
                return swml_program_of(app, settings, call, self.programs)
            if isinstance(settings, NccoApp):
                return ncco_program_of(app, settings, call, self.programs)
            if isinstance(settings, RelayApp) and self._relay_calls is not None:
                return self._relay_calls.program_of(app, settings, call)
            raise ConfigError(f"there is no [app.{app}] that this engine can run", where="app")
        return self._form(form, call)

    def _form(self, name: str, call: CallControl) -> FormProgram:
        context = FormContext(
            prompts=self._form_prompts,
            payments=self._payment_context,
            outbox=self.payments.outbox,
            today=_utc_today,
        )
        return FormProgram(name, self.config.forms[name], call, context)

    def _media_events(self) -> None:
        for event in self.plane.drain_events():
            self.switchboard.media_event(event)
        if self.recordings is not None:
            self.recordings.drain()  # its threads wake us by the same descriptor

    @property
    def active_calls(self) -> int:
        """Calls that are up, or still waiting for their payment's result."""
        return len(self.switchboard)
