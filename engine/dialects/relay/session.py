"""One RELAY client's session: handshake, contexts, pings, and events that wait (`dialects.md` §2.2).

``read_connect`` judges the first frame of a connection; ``SessionMachine`` is what lives across the connections of a
client (D-21). Both sans-IO: time and entropy are inputs, what is to be done comes out of ``outputs``.

Laws:

- Events leave in the order in which they were told. One that was not acknowledged is sent again after a reconnection,
  in order and before newer ones; a client that asked for no acknowledgements gets each once.
- The answer to a request leaves before the events that were told while it was made.
- Nothing waits without bound: beyond ``MAX_EVENTS`` events or ``MAX_EVENT_BYTES`` the session is over.
- A comparison of credentials takes as long for wrong ones as for right ones: digests of equal length.
- A connection that does not answer ``MAX_UNANSWERED`` pings is closed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.dialects.relay.frames import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    FrameId,
    Malformed,
    Request,
    Response,
    error_text,
    parse,
    request_text,
    result_text,
)
from engine.dialects.signalwire.identity import NODE_ID, envelope

__all__ = (
    "AUTHENTICATION_FAILED",
    "MAX_CONTEXTS",
    "MAX_EVENTS",
    "MAX_EVENT_BYTES",
    "PING_S",
    "Ask",
    "Close",
    "ConnectRequest",
    "Credentials",
    "Output",
    "Refusal",
    "Send",
    "SessionMachine",
    "read_connect",
)

AUTHENTICATION_FAILED: Final = -32002
"The vendor's code for bad credentials."
VERSION: Final = 2
"Major version of the protocol."
MAX_CONNECT: Final = 65_536
"Characters of a first frame: of somebody unknown as yet."
MAX_CONTEXTS: Final = 100
MAX_CONTEXT: Final = 256
"Characters of a context's name."
MAX_PROTOCOL: Final = 256
MAX_STATE: Final = 4096
"Characters of an ``authorization_state`` that are looked at."
PING_S: Final = 15.0
"Between pings: the vendor's client waits that long for one before it asks itself."
MAX_UNANSWERED: Final = 2
MAX_EVENTS: Final = 10_000
MAX_EVENT_BYTES: Final = 16 << 20
REQUESTS_PER_S: Final = 1000.0
BURST: Final = 10_000
"Requests that may come at once: a thousand calls may want several things at the same moment."
UNIT: Final = 4096
"Characters of a frame that count as one request more."
MAX_REFUSED: Final = 1000
"Requests refused for their rate until the connection is closed."
GOING_AWAY: Final = 1001
POLICY: Final = 1008
TRY_AGAIN: Final = 1013
"Close codes of RFC 6455 §7.4.1, and of its registry."


@dataclass(frozen=True, slots=True)
class Send:
    """A frame to the client."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to be carried out; ``SessionMachine.answer`` wants its result before the next frame is received."""

    id: FrameId
    method: str
    params: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Close:
    """The connection is to be closed, after what was sent; ``code`` is of RFC 6455 §7.4."""

    code: int
    reason: str


Output = Send | Ask | Close


class Credentials:
    """The project and its token, of which only digests are kept."""

    __slots__ = ("_project", "_token", "project")

    def __init__(self, project: str, token: str) -> None:
        self.project = project
        self._project = _digest(project)
        self._token = _digest(token)

    def are_right(self, authentication: Mapping[str, Any]) -> bool:
        """Return whether a client showed them: ``{project, token}``. No JWT is issued here, so none is right."""
        project, token = authentication.get("project"), authentication.get("token")
        is_project = hmac.compare_digest(_digest(project if isinstance(project, str) else ""), self._project)
        is_token = hmac.compare_digest(_digest(token if isinstance(token, str) else ""), self._token)
        return is_project and is_token and isinstance(project, str) and isinstance(token, str)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequest:
    """A ``signalwire.connect`` with the right credentials."""

    id: FrameId
    contexts: tuple[str, ...] = ()
    agent: str = ""
    event_acks: bool = False
    protocol: str = field(default="", repr=False)
    "The session that the client had; empty: none."
    authorization_state: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A first frame that leads to no session: its answer is ``text``, and then the connection is closed."""

    text: str
    why: str
    "For the log."
    is_authentication: bool = False
    "Whether credentials were wrong: it is held against the source."


def read_connect(text: str, credentials: Credentials) -> ConnectRequest | Refusal:
    """Return what the first frame of a connection asks for, or why not."""
    frame: Request | Response | Malformed = (
        Malformed(INVALID_REQUEST, f"The first frame has at most {MAX_CONNECT} characters")
        if len(text) > MAX_CONNECT
        else parse(text)
    )
    if isinstance(frame, Malformed):
        return _refusal(frame.id, frame.code, frame.message, "no frame")
    if not isinstance(frame, Request) or frame.id is None or frame.method != "signalwire.connect":
        frame_id = frame.id if isinstance(frame, Request) else None
        return _refusal(frame_id, AUTHENTICATION_FAILED, "signalwire.connect has to come first", "no connect")
    params = frame.params
    version = params.get("version")
    if not isinstance(version, Mapping) or version.get("major") != VERSION:
        message = f"Protocol version {VERSION} is served here: version.major"
        return _refusal(frame.id, INVALID_PARAMS, message, "another version")
    authentication = params.get("authentication")
    if not isinstance(authentication, Mapping) or not credentials.are_right(authentication):
        message = "Authentication failed: project or token is wrong"
        if isinstance(authentication, Mapping) and "jwt_token" in authentication:
            message = "Authentication failed: no JWT is taken here, only project and token"
        return _refusal(frame.id, AUTHENTICATION_FAILED, message, "wrong credentials", is_authentication=True)
    contexts = _contexts(params.get("contexts", []))
    if contexts is None:
        return _refusal(frame.id, INVALID_PARAMS, _CONTEXTS, "no contexts")
    return ConnectRequest(
        id=frame.id,
        contexts=contexts,
        agent=_text(params.get("agent"), MAX_CONTEXT),
        event_acks=params.get("event_acks") is True,
        protocol=_text(params.get("protocol"), MAX_PROTOCOL),
        authorization_state=_text(params.get("authorization_state"), MAX_STATE),
    )


_CONTEXTS = f"contexts is a list of at most {MAX_CONTEXTS} names of 1 to {MAX_CONTEXT} characters"


def _refusal(
    frame_id: FrameId | None, code: int, message: str, why: str, *, is_authentication: bool = False
) -> Refusal:
    return Refusal(error_text(frame_id, code, message), why, is_authentication)


def _text(value: Any, longest: int) -> str:
    return value[: longest + 1] if isinstance(value, str) else ""


def _contexts(value: Any) -> tuple[str, ...] | None:
    """Return names without repetitions; None when they are none."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MAX_CONTEXTS:
        return None
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_CONTEXT for name in value):
        return None
    return tuple(dict.fromkeys(value))


class _Rate:
    """Requests of one connection: ``REQUESTS_PER_S`` in the long run, ``BURST`` at once."""

    def __init__(self, now: float) -> None:
        self._left = float(BURST)
        self._at = now
        self.refused = 0

    def take(self, n: float, now: float) -> bool:
        self._left = min(float(BURST), self._left + max(0.0, now - self._at) * REQUESTS_PER_S)
        self._at = now
        if self._left < n:
            self.refused += 1
            return False
        self._left -= n
        return True


class SessionMachine:
    """A session. Times are monotonic seconds, never decreasing; ``timestamp`` is Unix time in seconds.

    ``protocol`` and ``authorization_state`` are its name and a second secret that only its client learns: both
    unguessable. ``restore_s`` is how long it waits for a client whose connection is gone.
    """

    def __init__(
        self,
        *,
        protocol: str,
        authorization_state: str,
        project: str,
        space: str,
        restore_s: float,
    ) -> None:
        self.protocol = protocol
        self._authorization_state = authorization_state
        self._project = project
        self._space = space
        self._restore_s = restore_s
        self.contexts: dict[str, None] = {}
        "What the client receives calls of, in the order in which it joined."
        self.is_connected = False
        self.is_over = False
        "Whether it is gone for good: it was not restored in time, or more waited for it than is kept."
        self.has_overflowed = False
        self._event_acks = True
        self._outputs: deque[Output] = deque()
        self._events: OrderedDict[int, str] = OrderedDict()
        "Numbers and frames of events that were not acknowledged, or not even sent."
        self._event_bytes = 0
        self._next_number = 1
        self._next_unsent = 1
        self._asked: FrameId | None = None
        self._is_asking = False
        self._rate = _Rate(0.0)
        self._ping_at: float | None = None
        self._unanswered = 0
        self._over_at: float | None = None
        self._n_pings = 0
        self._n_connects = 0
        self._leave_id = ""
        self.has_left = False
        "Whether the client has acknowledged that it is to disconnect."

    # -- what is to be done --------------------------------------------------------------------------------------

    def outputs(self) -> list[Output]:
        """Return what is to be done since the last time, in order."""
        found = list(self._outputs)
        self._outputs.clear()
        return found

    @property
    def next_timer(self) -> float | None:
        """When ``handle_timer`` is wanted; None: never."""
        if self.is_over:
            return None
        return self._ping_at if self.is_connected else self._over_at

    @property
    def n_events(self) -> int:
        """How many events wait for their acknowledgement."""
        return len(self._events)

    # -- connections ---------------------------------------------------------------------------------------------

    def may_be_restored(self, request: ConnectRequest) -> bool:
        """Return whether a client may have this session: one that names its second secret must name the right one."""
        state = request.authorization_state
        return not state or hmac.compare_digest(_digest(state), _digest(self._authorization_state))

    def connect(self, request: ConnectRequest, now: float, timestamp: float) -> None:
        """Take a connection, the first one or another: whatever connection there was is not this one any more."""
        if self.is_over:
            raise ValueError("the session is over")
        restored = self._n_connects > 0
        self._n_connects += 1
        self._outputs.clear()  # of a connection that is no more; events among them are sent again
        self._asked, self._is_asking = None, False
        self.is_connected = True
        self._event_acks = request.event_acks
        self._rate = _Rate(now)
        self._unanswered = 0
        self._ping_at = now + PING_S
        self._over_at = None
        for name in request.contexts:
            if len(self.contexts) < MAX_CONTEXTS:
                self.contexts[name] = None
        self._send(
            result_text(
                request.id,
                {
                    "protocol": self.protocol,
                    "identity": f"{self._project}@{NODE_ID}",
                    "sessionid": hashlib.sha256(self.protocol.encode()).hexdigest()[:32],
                    "nodeid": NODE_ID,
                    "master_nodeid": NODE_ID,
                    "session_restored": restored,
                    "authorization": {"type": "project", "project_id": self._project},
                    "protocols": [],
                    "accesses": [],
                    "subscriptions": [],
                },
            )
        )
        state = {"authorization_state": self._authorization_state}
        self._send(self._event_text("authorization", "signalwire.authorization.state", state, timestamp))
        self._next_unsent = next(iter(self._events), self._next_number)
        self._send_events()

    def lost(self, now: float) -> None:
        """Note that the connection is gone."""
        if not self.is_connected or self.is_over:
            return
        self.is_connected = False
        self._outputs.clear()
        self._asked, self._is_asking = None, False
        self._ping_at = None
        self._over_at = now + self._restore_s

    def end(self) -> None:
        """Let the session be over, as when more sessions wait than are kept."""
        self.is_over = True
        self.is_connected = False
        self._events.clear()
        self._event_bytes = 0

    def leave(self, *, restart: bool) -> None:
        """Ask the client to disconnect, and with ``restart`` to forget the session."""
        if self.is_connected:
            self._n_pings += 1
            self._leave_id = f"disconnect-{self._n_pings}"
            self._send(request_text(self._leave_id, "signalwire.disconnect", {"restart": restart}))

    # -- frames --------------------------------------------------------------------------------------------------

    def receive(self, text: str, now: float, timestamp: float) -> None:
        """Take a frame of the client. Never raises for what it holds."""
        if not self.is_connected or self.is_over:
            return
        if self._is_asking:
            raise ValueError("the request before has no answer yet")
        frame = parse(text)
        self._unanswered = 0
        if isinstance(frame, Response):
            if not self._acknowledged(frame) and not self._rate.take(1, now):
                self._refuse_rate(None)
            return
        units = 1 + len(text) // UNIT + (10 if isinstance(frame, Malformed) else 0)
        if not self._rate.take(units, now):
            self._refuse_rate(frame.id)
        elif isinstance(frame, Malformed):
            self._send(error_text(frame.id, frame.code, frame.message))
        elif frame.id is not None:  # what nobody hears the answer of is not carried out
            self._request(frame, frame.id)

    def answer(self, result: Mapping[str, Any]) -> None:
        """Answer the request of the last ``Ask``; events that were told meanwhile follow."""
        if not self._is_asking or self._asked is None:
            return  # the connection is gone: the client asks again, or does not
        self._send(result_text(self._asked, result))
        self._asked, self._is_asking = None, False
        self._send_events()

    def tell(self, event_type: str, params: Mapping[str, Any], timestamp: float) -> None:
        """Tell an event, now or when there is a connection again."""
        if self.is_over:
            return
        number = self._next_number
        text = self._event_text(f"event-{number}", event_type, params, timestamp)
        self._next_number += 1
        self._events[number] = text
        self._event_bytes += len(text)
        self._send_events()
        if len(self._events) > MAX_EVENTS or self._event_bytes > MAX_EVENT_BYTES:
            self.has_overflowed = True
            self._outputs.append(Close(POLICY, "too many events wait"))
            self.end()

    def handle_timer(self, now: float, timestamp: float) -> None:
        """Do what is due."""
        if self.is_over:
            return
        if self.is_connected and self._ping_at is not None and now >= self._ping_at:
            if self._unanswered >= MAX_UNANSWERED:
                self._ping_at = None
                self._outputs.append(Close(TRY_AGAIN, "pings were not answered"))
                return
            self._unanswered += 1
            self._n_pings += 1
            self._ping_at = now + PING_S
            params = {"timestamp": timestamp, "payload": str(self._n_pings)}
            self._send(request_text(f"ping-{self._n_pings}", "signalwire.ping", params))
        elif not self.is_connected and self._over_at is not None and now >= self._over_at:
            self.end()

    # -- inner ---------------------------------------------------------------------------------------------------

    def _send(self, text: str) -> None:
        self._outputs.append(Send(text))

    def _send_events(self) -> None:
        if not self.is_connected or self._is_asking:
            return
        while self._next_unsent < self._next_number:
            number = self._next_unsent
            self._next_unsent += 1
            text = self._events.get(number)
            if text is None:
                continue  # acknowledged on an earlier connection
            self._send(text)
            if not self._event_acks:
                self._forget(number)

    def _event_text(self, frame_id: str, event_type: str, params: Mapping[str, Any], timestamp: float) -> str:
        wrapped = envelope(
            event_type,
            params,
            channel=self.protocol,
            timestamp=timestamp,
            project=self._project,
            space=self._space,
        )
        return request_text(frame_id, "signalwire.event", wrapped)

    def _forget(self, number: int) -> bool:
        text = self._events.pop(number, None)
        if text is None:
            return False
        self._event_bytes -= len(text)
        return True

    def _acknowledged(self, frame: Response) -> bool:
        """Whether an answer is to something of ours: each of them is answered once, and costs nothing."""
        name, _, number = frame.id.partition("-") if isinstance(frame.id, str) else ("", "", "")
        if name == "event" and number.isascii() and number.isdigit() and len(number) < 20:
            at = int(number)
            return at < self._next_unsent and self._forget(at)
        if self._leave_id and frame.id == self._leave_id:
            self.has_left = True
            return True
        return False

    def _refuse_rate(self, frame_id: FrameId | None) -> None:
        if self._rate.refused > MAX_REFUSED:
            self._outputs.append(Close(POLICY, "too many requests"))
        elif frame_id is not None:
            self._send(result_text(frame_id, {"code": "429", "message": "Too many requests: ask again later"}))

    def _request(self, frame: Request, frame_id: FrameId) -> None:
        match frame.method:
            case "signalwire.ping":
                self._send(result_text(frame_id, {}))
            case "signalwire.receive" | "signalwire.unreceive":
                self._change_contexts(frame, frame_id)
            case "signalwire.connect":
                self._send(error_text(frame_id, INVALID_REQUEST, "The connection is authenticated already"))
            case method if method.startswith("calling."):
                self._asked, self._is_asking = frame_id, True
                self._outputs.append(Ask(frame_id, method, frame.params))
            case method if method.startswith("signalwire."):
                self._send(error_text(frame_id, METHOD_NOT_FOUND, "Method not found"))
            case _:
                self._send(result_text(frame_id, {"code": "501", "message": "The method is not supported"}))

    def _change_contexts(self, frame: Request, frame_id: FrameId) -> None:
        names = _contexts(frame.params.get("contexts"))
        if not names:
            self._send(result_text(frame_id, {"code": "422", "message": _CONTEXTS}))
            return
        if frame.method == "signalwire.unreceive":
            for name in names:
                self.contexts.pop(name, None)
        elif len(self.contexts.keys() | set(names)) > MAX_CONTEXTS:
            self._send(
                result_text(frame_id, {"code": "422", "message": f"A client has at most {MAX_CONTEXTS} contexts"})
            )
            return
        else:
            self.contexts.update(dict.fromkeys(names))
        self._send(result_text(frame_id, {"code": "200", "message": "OK"}))
