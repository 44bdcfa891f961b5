"""Our own stack as a caller: one SIP socket, one `sip.Endpoint`, one media plane, many calls; no asyncio.

`engine.softphone.native` puts the line protocol on it, `engine.softphone.load` many scripted calls. Whoever owns it
calls `poll` in a loop; it then calls back, on the same thread.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from typing import Protocol

from engine.errors import MediaError, SoftphoneError
from engine.media import Leg, MediaEvent, MediaPlane
from engine.rtp.srtp import SrtpKeysPair
from engine.softphone.hearing import ACTIVE_DBM0, pcm_level_dbm0
from engine.softphone.protocol import CallState
from prompts.clip import Clip
from sip import address
from sip.address import Address
from sip.credentials import Credentials
from sip.crypto_attribute import SrtpPolicy
from sip.endpoint import Account, Endpoint, EndpointConfig
from sip.errors import NoCommonMedia, SipError
from sip.events import (
    EndCause,
    Event,
    InviteReceived,
    OfferReceived,
    OfferRequested,
    RegistrationChanged,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
    SessionId,
    SessionRinging,
)
from sip.offer_answer import LocalCapabilities, MediaParameters, accept_answer, answer, make_offer
from sip.sdp import SessionDescription
from sip.uri import NameAddr, Uri

__all__ = ("Listener", "NativeCall", "NativeStack")

RTP_PORTS = (10_000, 19_999)
"Below the engine's own range, so that both fit on one machine."
RECEIVE_BUFFER = 1 << 20
MAX_DATAGRAMS_A_POLL = 256
MAX_DATAGRAM = 65_536
CLOSE_TIMEOUT_S = 2.0
FRAME_BYTES = 320
ACCOUNT = "softphone"
CODECS = ("PCMU", "PCMA")
"Offered unless another is asked for."


class NativeCall:
    """One call: a SIP session and its leg."""

    def __init__(self, number: int, session: SessionId, leg: Leg, local: LocalCapabilities) -> None:
        self.number = number
        self.session = session
        self.leg = leg
        self.local = local
        self.state = CallState.CALLING
        self.described: SessionDescription | None = None
        "What we said last, offer or answer."
        self.offer_sent: SessionDescription | None = None
        self.offer_received: SessionDescription | None = None
        self.media: MediaParameters | None = None
        self.heard = bytearray()
        "Audio that was heard and not yet taken by whoever records."
        self.recording = False
        self.ended_by_peer = False


class Listener(Protocol):
    """Who is told what becomes of calls."""

    def call_came_in(self, call: NativeCall, from_uri: str) -> None:
        """Somebody calls; it rings."""

    def call_changed(self, call: NativeCall, status: int, reason: str) -> None:
        """`NativeCall.state` changed."""

    def media_changed(self, call: NativeCall) -> None:
        """`NativeCall.media` was negotiated, or negotiated again."""

    def heard(self, call: NativeCall, active: bool, now: float) -> None:
        """Since the last poll there was sound, or there was none."""

    def media_event(self, event: MediaEvent) -> None:
        """The media plane reports something."""

    def registration_changed(self, event: RegistrationChanged) -> None:
        """The registration changed its state."""


class NativeStack:
    """The SIP socket, the endpoint, the plane and all calls."""

    def __init__(
        self,
        listener: Listener,
        *,
        host: str = "127.0.0.1",
        sip_port: int = 0,
        max_calls: int = 64,
        user: str = "phone",
        srtp: SrtpPolicy = SrtpPolicy.OFF,
        codecs: tuple[str, ...] = CODECS,
    ) -> None:
        self.host = host
        self.sip_port = sip_port
        self.calls: dict[int, NativeCall] = {}
        self._listener = listener
        self._max_calls = max_calls
        self._user = user
        self._srtp = srtp
        self._codecs = codecs
        self._sessions: dict[SessionId, NativeCall] = {}
        self._count = 0
        self._socket: socket.socket | None = None
        self._plane: MediaPlane | None = None
        self._account: Account | None = None

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind the socket and start the media clocks; raises `SoftphoneError`."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.bind((self.host, self.sip_port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            plane = MediaPlane(host=self.host, port_range=RTP_PORTS)
        except (OSError, MediaError) as error:
            sock.close()
            raise SoftphoneError(
                f"cannot listen on {self.host}: {error}; choose another --host or --sip-port"
            ) from None
        self.sip_port = sock.getsockname()[1]
        self._socket, self._plane = sock, plane
        plane.start()
        config = EndpointConfig(
            listeners=(address.Listener(id=1, host=self.host, port=self.sip_port),),
            user_agent="paytone-softphone",
            max_sessions=self._max_calls,
        )
        self.endpoint = Endpoint(config, entropy=os.urandom)

    def close(self) -> None:
        """End all calls and the registration, wait a moment for the answers, let go of everything."""
        if self._socket is None or self._plane is None:
            return
        for call in list(self.calls.values()):
            self.hang_up(call)
        if self._account is not None:
            self.unregister()
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while (self.calls or self._account is not None) and time.monotonic() < deadline:
            self.poll(0.02)
        for call in list(self.calls.values()):
            self._forget(call)
        self._plane.stop()
        self._socket.close()
        self._socket = self._plane = None

    def poll(self, timeout_s: float) -> None:
        """Handle what came in until ``timeout_s`` passed or something happened."""
        sock, plane = self._socket, self._plane
        if sock is None or plane is None:
            time.sleep(timeout_s)
            return
        now = time.monotonic()
        timer = self.endpoint.next_timer()
        wait_s = timeout_s if timer is None else max(0.0, min(timeout_s, timer - now))
        select.select([sock.fileno(), plane.event_fd()], [], [], wait_s)
        self._receive(sock)
        self.endpoint.handle_timer(time.monotonic())
        self._flush()
        for event in plane.drain_events():
            self._listener.media_event(event)
        for call in list(self.calls.values()):
            self._listen(call)

    # -- calls ---------------------------------------------------------------------------------------------------

    def place(self, target: Uri, *, credentials: Credentials | None = None) -> NativeCall:
        """Call ``target``; raises `SoftphoneError` when it cannot be reached or no port is free."""
        next_hop = resolve(target, self.host)
        leg = self._open_leg()
        local = self._capabilities(leg)
        offer = make_offer(local)
        try:
            session = self.endpoint.invite(
                target,
                next_hop=next_hop,
                from_=self._identity(),
                offer=offer,
                credentials=credentials,
                now=time.monotonic(),
            )
        except SipError as error:
            leg.close()
            raise SoftphoneError(f"cannot call that URI ({error})") from None
        call = self._add(session, leg, local)
        call.described = call.offer_sent = offer
        self._listener.call_changed(call, 0, "")
        self._flush()
        return call

    def answer(self, call: NativeCall, status: int) -> None:
        """Answer an incoming call, or refuse it with a status from 300 on."""
        if call.state not in (CallState.INCOMING, CallState.EARLY):
            raise SoftphoneError("the call is not ringing here")
        now = time.monotonic()
        if status >= 300:
            self.endpoint.reject(call.session, status, now)
        else:
            try:
                if call.offer_received is None:
                    ours = call.offer_sent = make_offer(call.local)
                else:
                    ours, media = answer(call.offer_received, call.local)
                    self._configure(call, media)
                call.described = ours
                self.endpoint.answer(call.session, ours, now)
            except (NoCommonMedia, MediaError):
                self.endpoint.reject(call.session, 488, now)
        self._flush()

    def hang_up(self, call: NativeCall) -> None:
        """End a call: BYE, CANCEL or 480."""
        self.endpoint.hang_up(call.session, time.monotonic())
        self._flush()

    def send_info(self, call: NativeCall, content_type: str, body: bytes) -> None:
        """Send an INFO in the call."""
        try:
            self.endpoint.send_info(call.session, content_type, body, time.monotonic())
        except SipError as error:
            raise SoftphoneError(f"the keys could not be sent ({error})") from None
        self._flush()

    def play(self, call: NativeCall, clips: Sequence[Clip], token: int) -> None:
        """Play clips to the other end; ``PlayFinished`` with the token follows."""
        call.leg.play(clips, token=token, interruptible=False)

    # -- registration --------------------------------------------------------------------------------------------

    def register(self, registrar: Uri, username: str, password: str, expires_s: int) -> None:
        """Register and stay registered."""
        aor = Uri(user=username, host=registrar.host, port=registrar.port)
        self._account = Account(
            id=ACCOUNT,
            aor=aor,
            registrar=registrar,
            next_hops=(resolve(registrar, self.host),),
            username=username,
            password=password,
            expires_s=expires_s,
        )
        try:
            self.endpoint.register(self._account, time.monotonic())
        except SipError as error:
            raise SoftphoneError(f"the account is not usable ({error})") from None
        self._flush()

    def unregister(self) -> None:
        """Take the registration back."""
        if self._account is None:
            raise SoftphoneError("not registered")
        self.endpoint.unregister(ACCOUNT, time.monotonic())
        self._flush()

    @property
    def credentials(self) -> Credentials | None:
        """User name and password of the registered account, for calls that are challenged."""
        account = self._account
        return None if account is None else Credentials(username=account.username, password=account.password)

    # -- inside --------------------------------------------------------------------------------------------------

    def _receive(self, sock: socket.socket) -> None:
        for _ in range(MAX_DATAGRAMS_A_POLL):
            try:
                data, source = sock.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier send; the transactions' timers deal with it
            self.endpoint.receive_datagram(data, Address(source[0], source[1]), time.monotonic())

    def _flush(self) -> None:
        assert self._socket is not None
        while True:
            for data, destination in self.endpoint.datagrams_to_send(time.monotonic()):
                try:
                    self._socket.sendto(data, (destination.host, destination.port))
                except OSError:
                    continue  # lost like any other datagram
            event = self.endpoint.next_event()
            if event is None:
                return
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, RegistrationChanged):
            if event.state == "unregistered":
                self._account = None
            self._listener.registration_changed(event)
            return
        if isinstance(event, InviteReceived):
            self._came_in(event)
            return
        call = self._sessions.get(event.session)
        if call is None:
            return
        match event:
            case SessionRinging():
                call.state = CallState.EARLY
                self._listener.call_changed(call, event.status, "")
            case SessionAnswered() | SessionConfirmed():
                self._answered(call, event.answer)
            case OfferReceived():
                self._offered(call, event.offer)
            case OfferRequested():
                call.local = call.local.bumped()
                call.described = call.offer_sent = make_offer(call.local, call.described)
                self.endpoint.answer_offer(call.session, call.offer_sent, time.monotonic())
            case SessionEnded():
                self._forget(call)
                call.state = CallState.DISCONNECTED
                call.ended_by_peer = event.cause is EndCause.REMOTE_BYE
                self._listener.call_changed(call, event.status or 200, event.reason or str(event.cause))
            case _:
                pass

    def _came_in(self, event: InviteReceived) -> None:
        now = time.monotonic()
        try:
            leg = self._open_leg()
        except SoftphoneError:
            self.endpoint.reject(event.session, 503, now)
            return
        call = self._add(event.session, leg, self._capabilities(leg))
        call.state = CallState.INCOMING
        call.offer_received = event.offer
        self.endpoint.ring(event.session, now)
        self._listener.call_came_in(call, str(event.from_.uri))

    def _answered(self, call: NativeCall, description: SessionDescription | None) -> None:
        try:
            if call.offer_sent is not None and description is not None:
                media = accept_answer(call.offer_sent, description)
                call.offer_sent = None
                self._configure(call, media)
            if call.media is None:
                raise NoCommonMedia("no answer")
        except (SipError, MediaError):
            # §13.2.2.4: an answer that cannot be used is acknowledged, and the call ended.
            self.endpoint.hang_up(call.session, time.monotonic(), reason="no common media")
            return
        if call.state is not CallState.CONFIRMED:
            call.state = CallState.CONFIRMED
            self._listener.call_changed(call, 200, "OK")

    def _offered(self, call: NativeCall, offer: SessionDescription) -> None:
        now = time.monotonic()
        local = call.local.bumped()
        try:
            ours, media = answer(offer, local, call.media)
            self._configure(call, media)
        except (NoCommonMedia, MediaError):
            self.endpoint.refuse_offer(call.session, 488, now)
            return
        call.local, call.described = local, ours
        self.endpoint.answer_offer(call.session, ours, now)

    def _configure(self, call: NativeCall, media: MediaParameters) -> None:
        call.media = media
        srtp = media.srtp
        call.leg.configure(
            remote=(media.remote_address, media.remote_rtp_port),
            remote_rtcp=(media.remote_address, media.remote_rtcp_port),
            codec=media.codec,
            send_pt=media.send_pt,
            receive_pts=media.receive_pts,
            event_receive_pt=media.event_receive_pt,
            event_send_pt=media.event_send_pt,
            event_rate_hz=media.event_rate_hz,
            rtcp_mux=media.rtcp_mux,
            srtp=None if srtp is None else SrtpKeysPair(srtp.suite, srtp.local_key, srtp.remote_key),
            ptime_ms=media.ptime_ms,
            sending=media.direction in ("sendrecv", "sendonly"),
            receiving=media.direction in ("sendrecv", "recvonly"),
            rtp_timeout_ms=0,
        )
        self._listener.media_changed(call)

    def _listen(self, call: NativeCall) -> None:
        pcm = call.leg.read_received()
        if call.recording:
            call.heard += pcm
        active = any(
            pcm_level_dbm0(pcm[start : start + FRAME_BYTES]) > ACTIVE_DBM0 for start in range(0, len(pcm), FRAME_BYTES)
        )
        self._listener.heard(call, active, time.monotonic())

    def _open_leg(self) -> Leg:
        assert self._plane is not None
        try:
            return self._plane.open_leg(record=True, detect_in_band=False)
        except MediaError as error:
            raise SoftphoneError(f"no RTP port is free ({error})") from None

    def _capabilities(self, leg: Leg) -> LocalCapabilities:
        return LocalCapabilities(
            address=self.host,
            rtp_port=leg.rtp_port,
            codecs=self._codecs,
            comfort_noise=True,
            rtcp_mux=True,
            srtp=self._srtp,
            entropy=os.urandom,
            session_id=leg.id,
            session_version=1,
        )

    def _identity(self) -> NameAddr:
        if self._account is not None:
            return NameAddr(uri=self._account.aor)
        return NameAddr(uri=Uri(user=self._user, host=self.host, port=self.sip_port))

    def _add(self, session: SessionId, leg: Leg, local: LocalCapabilities) -> NativeCall:
        self._count += 1
        call = NativeCall(self._count, session, leg, local)
        self.calls[call.number] = call
        self._sessions[session] = call
        return call

    def _forget(self, call: NativeCall) -> None:
        self._listen(call)
        call.leg.close()
        self.calls.pop(call.number, None)
        self._sessions.pop(call.session, None)


def resolve(uri: Uri, local_host: str) -> Address:
    """Return where a URI's host is: its IP literal, or the system resolver's first answer in our address family."""
    family = socket.AF_INET6 if ":" in local_host else socket.AF_INET
    host = uri.host.removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(host, uri.port or 5060, family=family, type=socket.SOCK_DGRAM)
    except OSError:
        raise SoftphoneError("that host has no address; write an IP address, or check the name") from None
    return Address(str(found[0][4][0]), int(found[0][4][1]))
