"""What the parts of an endpoint share: configuration, transactions, timers, the maps of what lives, and the events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sip.address import Address, Listener, Transport, choose_listener
from sip.errors import LocalProtocolError
from sip.events import Event, SessionId
from sip.message import Request, Response
from sip.overload import OverloadController
from sip.session_id import answering_session_id
from sip.timers import TimerQueue, TimerValues
from sip.transaction.layer import TransactionLayer
from sip.uri import Uri

if TYPE_CHECKING:
    from sip.dialog import DialogId
    from sip.invite import InviteSession

__all__ = ("ALLOW", "SUPPORTED", "EndpointConfig", "Statistics", "Trace", "TraceRecord", "UserAgent")

ALLOW = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY", "SUBSCRIBE")
"Methods that the user agent takes."
SUPPORTED = ("100rel", "timer", "replaces", "norefersub")
"Option tags of the extensions that it has (RFC 3262, RFC 4028, RFC 3891, RFC 4488)."
SECRET_OCTETS = 16
TAG_OCTETS = 8
"Entropy in a tag; RFC 3261 §19.3 asks for 32 bits at least."
TRANSACTIONS_PER_SESSION = 32
"""Beyond this, times ``max_sessions``, no server transaction is opened: requests are refused without state.

A transaction stays for 32 s (timers J, L), and a caller whose keys come as INFO presses some thirty in that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """How an endpoint presents itself, and its limits. Times are seconds."""

    listeners: tuple[Listener, ...]
    "Where peers reach us, one at least; the first is the one that stands in when none fits."
    user_agent: str = "paytone"
    t1_s: float = 0.5
    t2_s: float = 4.0
    t4_s: float = 5.0
    max_sessions: int = 1000
    "Above it INVITE and OPTIONS are answered 503 with Retry-After."
    setup_limit_s: float = 300.0
    "How long a session may stay unanswered: longer than the three minutes of a proxy's timer C (§16.6)."
    allow: tuple[str, ...] = ALLOW
    tcp_above: int | None = 1300
    "Octets above which a request goes by TCP instead of UDP (§18.1.1, the path's MTU being unknown); None: never."
    target_delay_s: float = 0.02
    "How long messages may wait for their turn, on average, before new calls are answered 503 (``sip.overload``)."

    session_expires_s: int | None = 1800
    "Interval of the session timer that we ask for (RFC 4028); None: we ask for none, and do what a peer asks."
    min_se_s: int = 90
    "Least interval that we take (RFC 4028 §5); a request for less gets 422."
    reliable_provisionals: Literal["required", "supported"] = "required"
    """When provisional responses go out reliably (RFC 3262): to a caller that requires it, or a description also to
    one that only supports it."""

    def __post_init__(self) -> None:
        if self.min_se_s < 1 or (self.session_expires_s is not None and self.session_expires_s < self.min_se_s):
            raise LocalProtocolError("session_expires_s must not be below min_se_s, nor min_se_s below 1")
        if not self.listeners or len({listener.id for listener in self.listeners} | {0}) <= len(self.listeners):
            raise LocalProtocolError("an endpoint needs listeners, each with an id of its own above 0")


@dataclass(slots=True, kw_only=True)
class Statistics:
    """Counters since the start, and what is open now."""

    datagrams_in: int = 0
    datagrams_out: int = 0
    keepalives: int = 0
    "Datagrams without a message."
    parse_errors: int = 0
    "Datagrams that were no SIP, and messages that were malformed."
    strays: int = 0
    "Responses without a transaction, ACKs without a session."
    refusals: int = 0
    "Requests that were refused without state."
    shed: int = 0
    "New calls for which there was no time: refused, or of strangers over UDP and left without an answer."
    retransmissions_in: int = 0
    retransmissions_out: int = 0
    transactions: int = 0
    dialogs: int = 0
    sessions: int = 0
    registrations: int = 0
    timers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRecord:
    """One message for a trace. ``data`` may hold passwords' digests, keys and digits: redact it before it goes on."""

    now: float
    sent: bool
    peer: Address
    start_line: str
    "Empty for what was no message."
    size: int
    data: bytes = field(default=b"", repr=False)
    "The message; empty for what was none."


Trace = Callable[[TraceRecord], None]


class UserAgent:
    """The common ground of sessions, registrations and the handling of requests."""

    def __init__(self, config: EndpointConfig, *, entropy: Callable[[int], bytes], trace: Trace | None) -> None:
        self.config = config
        self.entropy = entropy
        self.values = TimerValues(t1_s=config.t1_s, t2_s=config.t2_s, t4_s=config.t4_s)
        self.timers = TimerQueue()
        self.layer = TransactionLayer(
            values=self.values,
            timers=self.timers,
            send=self.send,
            entropy=entropy,
            listeners=config.listeners,
            tcp_above=config.tcp_above,
        )
        self.statistics = Statistics()
        self.overload = OverloadController(target_s=config.target_delay_s, entropy=entropy)
        self.outgoing: list[tuple[bytes, Address]] = []
        self.events: deque[Event] = deque()
        self.sessions: dict[SessionId, InviteSession] = {}
        self.dialogs: dict[DialogId, InviteSession] = {}
        self.trace = trace
        self.heard_from: Address | None = None
        "Where the response came from that is being handled: a registration learns its connection by it."
        self._secret = entropy(SECRET_OCTETS)
        self._last_session = 0

    @property
    def last_session(self) -> int:
        """The number of the session that was opened last; 0 before the first."""
        return self._last_session

    @property
    def is_crowded(self) -> bool:
        """Whether so many transactions are open that requests which need not have one get none."""
        return len(self.layer) >= TRANSACTIONS_PER_SESSION * max(self.config.max_sessions, 8)

    def send(self, data: bytes, destination: Address, *, again: bool = False) -> None:
        """Queue a datagram."""
        self.outgoing.append((data, destination))
        if again:
            self.statistics.retransmissions_out += 1

    def emit(self, event: Event) -> None:
        """Queue an event."""
        self.events.append(event)

    def new_session_id(self) -> SessionId:
        """Return a session's number, never used before."""
        self._last_session += 1
        return SessionId(self._last_session)

    def new_tag(self) -> str:
        """Return a tag (§19.3)."""
        return self.entropy(TAG_OCTETS).hex()

    def new_call_id(self) -> str:
        """Return a Call-ID (§8.1.1.4)."""
        return self.entropy(16).hex()

    def fraction(self) -> float:
        """Return a random number from 0 up to, not including, 1."""
        return int.from_bytes(self.entropy(4), "big") / 2**32

    def contact_uri(self, user: str | None, destination: Address) -> Uri:
        """Return our Contact for who is at ``destination``: the listener that takes their requests."""
        listener = choose_listener(self.config.listeners, destination)
        # §26.2.2 deprecates transport=tls, but phones and proxies write and expect it; sips: would ask for TLS on
        # every hop, which a PBX cannot promise.
        params = () if listener.transport is Transport.UDP else (("transport", listener.transport.lower()),)
        return Uri(user=user or None, host=listener.host, port=listener.port, params=params)

    def contact(self, user: str | None, destination: Address) -> str:
        """Return our Contact header for who is at ``destination``."""
        return f"<{self.contact_uri(user, destination)}>"

    def identify(
        self, request: Request, destination: Address, *, contact_user: str | None, gruu: Uri | None = None
    ) -> None:
        """Put on a request of ours who sends it and what it understands; ``gruu`` is our Contact if we have one."""
        request.headers.set("Contact", self.contact(contact_user, destination) if gruu is None else f"<{gruu}>")
        request.headers.set("Allow", ", ".join(self.config.allow))
        request.headers.set("Supported", ", ".join(SUPPORTED))
        request.headers.set("User-Agent", self.config.user_agent)

    def session_id(self, request: Request) -> str:
        """Return the Session-ID of our messages in the call of a request (RFC 7989); empty when it has none."""
        return answering_session_id(request.headers, self._secret)

    def response(
        self,
        request: Request,
        status: int,
        *,
        reason: str | None = None,
        to_tag: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Response:
        """Build a response (§8.2.6)."""
        response = Response.to_request(request, status, reason, to_tag=to_tag)
        for name, value in headers:
            response.headers.add(name, value)
        if session_id := self.session_id(request):
            response.headers.set("Session-ID", session_id)
        response.headers.set("Server", self.config.user_agent)
        return response
