"""The RELAY clients of an engine: who is connected, who gets a call, whose session waits (`dialects.md` §2.2, D-21).

``RelayHub`` keeps sessions by their ``protocol``, for ``restore_s`` beyond their last connection. It does no I/O: a
socket is a ``RelayTransport``, time and entropy are inputs. Everything on the event loop.

Laws:

- A client that is not known does nothing but show its credentials; its first wrong frame closes the connection.
- A session has one connection: another one for it takes over, and the one before is closed.
- The next call of a context goes to the connected client with the fewest calls, among equals in turn; to none while the
  engine drains.
- A handler or a client that fails disturbs no other. Neither credentials nor parameters reach the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol

from engine.config import SignalWireConfig
from engine.dialects.relay.frames import error_text
from engine.dialects.relay.session import (
    GOING_AWAY,
    POLICY,
    TRY_AGAIN,
    Ask,
    ConnectRequest,
    Credentials,
    Refusal,
    Send,
    SessionMachine,
    read_connect,
)
from engine.log import fields
from engine.metrics import RELAY_CALLS, RELAY_CLIENTS, RELAY_EVENTS, RELAY_FRAMES, RELAY_REFUSED
from engine.programs.relay.link import CommandHandler, RelaySession

__all__ = ("ClientSession", "ConnectionState", "RelayConnection", "RelayHub", "RelayTransport")

log = logging.getLogger("engine.programs.relay.hub")

TICK_S = 1.0
"How exact pings and the end of sessions are."
LEAVE_S = 2.0
"How long clients may take to acknowledge that the engine stops."
MAX_KEPT = 1000
"Sessions without a connection that are kept; the one that waits for longest goes first, those with calls last."
SERVER_BUSY = -32000
"JSON-RPC 2.0 §5.1 leaves it to servers."
TOKEN_BYTES = 24
"Of entropy, in what nobody may guess."


class RelayTransport(Protocol):
    """A socket, as the hub wants it."""

    def send(self, text: str) -> None:
        """Send a text, after those before it. Never waits and never raises."""

    def close(self, code: int, reason: str) -> None:
        """Close when everything has been sent; ``code`` is of RFC 6455 §7.4. Harmless when it is closed."""


class ConnectionState(Enum):
    """How far a connection has come."""

    WAITING = "waiting"
    "Nobody knows who it is."
    OPEN = "open"
    REFUSED = "refused"
    WRONG = "wrong"
    "Refused for its credentials."
    LOST = "lost"


class ClientSession:
    """One client across its connections; implements ``link.RelaySession``."""

    def __init__(self, machine: SessionMachine, hub: RelayHub) -> None:
        self.machine = machine
        self._hub = hub
        self.connection: RelayConnection | None = None
        self.n_calls = 0
        self.last_turn = 0
        self.log_name = hashlib.sha256(machine.protocol.encode()).hexdigest()[:12]
        "What the log calls it: its protocol is nobody's business."

    def __repr__(self) -> str:
        return f"ClientSession({self.log_name}, calls={self.n_calls})"

    @property
    def protocol(self) -> str:
        """Its name."""
        return self.machine.protocol

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self.machine.is_connected

    @property
    def is_over(self) -> bool:
        """Whether it is gone for good."""
        return self.machine.is_over

    def tell(self, event_type: str, params: Mapping[str, Any]) -> None:
        """Tell an event, in order; see ``link.RelaySession``."""
        self._hub.tell(self, event_type, params)


class RelayConnection:
    """One socket's side of the hub. Made by ``RelayHub.open``."""

    def __init__(self, hub: RelayHub, transport: RelayTransport, remote: str) -> None:
        self._hub = hub
        self.transport = transport
        self.remote = remote
        "Address of the peer, for the log."
        self.session: ClientSession | None = None
        self.state = ConnectionState.WAITING

    def received(self, text: str) -> None:
        """Take one text frame. Never raises for what it holds."""
        RELAY_FRAMES.labels(direction="in").inc()
        if self.state is ConnectionState.WAITING:
            self._hub.connect(self, text)
        elif self.state is ConnectionState.OPEN and self.session is not None:
            self._hub.receive(self.session, text)

    def lost(self) -> None:
        """Note that the socket is gone, whoever closed it. Harmless again."""
        self.state = ConnectionState.LOST
        session, self.session = self.session, None
        if session is not None and session.connection is self:
            self._hub.lost(session)

    def send(self, text: str) -> None:
        """Send one text frame."""
        RELAY_FRAMES.labels(direction="out").inc()
        self.transport.send(text)


class RelayHub:
    """Implements ``link.Sessions``. ``handler`` has to be set before the first client comes.

    ``now`` are monotonic seconds and ``wall`` Unix time; ``call_later`` is the loop's, ``entropy`` gives random bytes.
    """

    def __init__(
        self,
        config: SignalWireConfig,
        token: str,
        *,
        now: Callable[[], float],
        wall: Callable[[], float],
        call_later: Callable[..., Any],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._config = config
        self._credentials = Credentials(config.project, token)
        self._now = now
        self._wall = wall
        self._call_later = call_later
        self._entropy = entropy
        self._sessions: dict[str, ClientSession] = {}
        self._turn = 0
        self._is_draining = False
        self._is_closed = False
        self._is_ticking = False
        self._everyone_left: asyncio.Event | None = None
        self.handler: CommandHandler | None = None
        "Who carries out what clients want of calls."

    # -- link.Sessions -------------------------------------------------------------------------------------------

    def choose(self, context: str, *, without: Container[RelaySession] = ()) -> ClientSession | None:
        """Return who gets the next call of a context, of those not in ``without``; see ``link.Sessions``."""
        if self._is_draining:
            return None
        able = [
            session
            for session in self._sessions.values()
            if session.is_connected
            and context in session.machine.contexts
            and session.n_calls < self._config.max_calls_per_client
            and session not in without
        ]
        if not able:
            return None
        chosen = min(able, key=lambda session: (session.n_calls, session.last_turn))
        self._turn += 1
        chosen.last_turn = self._turn
        return chosen

    def count_calls(self, session: RelaySession, change: int) -> None:
        """Note that a session has a call more (1) or less (-1)."""
        assert isinstance(session, ClientSession)
        session.n_calls += change
        RELAY_CALLS.inc(change)

    # -- sockets -------------------------------------------------------------------------------------------------

    def open(self, transport: RelayTransport, remote: str) -> RelayConnection:
        """Take a socket; its first frame has to be ``signalwire.connect``."""
        return RelayConnection(self, transport, remote)

    @property
    def n_clients(self) -> int:
        """How many clients are connected."""
        return sum(session.is_connected for session in self._sessions.values())

    @property
    def n_sessions(self) -> int:
        """How many sessions there are, with those that wait for their client."""
        return len(self._sessions)

    def connect(self, connection: RelayConnection, text: str) -> None:
        """Take a connection's first frame: let its client in, or refuse and close it."""
        wanted = read_connect(text, self._credentials)
        if isinstance(wanted, Refusal):
            wrong = wanted.is_authentication
            connection.state = ConnectionState.WRONG if wrong else ConnectionState.REFUSED
            self._refuse(connection, wanted.text, POLICY, wanted.why)
            return
        found = self._sessions.get(wanted.protocol)
        session = found if found is not None and found.machine.may_be_restored(wanted) else None
        if self._is_closed or (
            (session is None or not session.is_connected) and self.n_clients >= self._config.max_clients
        ):
            connection.state = ConnectionState.REFUSED
            why = "the engine stops" if self._is_closed else "too many clients are connected"
            self._refuse(connection, error_text(wanted.id, SERVER_BUSY, f"Try again later: {why}"), TRY_AGAIN, why)
            return
        if session is None:
            session = self._new_session()
        elif (before := session.connection) is not None:
            before.session = None
            before.transport.close(POLICY, "another connection took over the session")
        self._join(session, connection, wanted)

    def receive(self, session: ClientSession, text: str) -> None:
        """Take a frame of a client that is let in."""
        session.machine.receive(text, self._now(), self._wall())
        self._flush(session)

    def tell(self, session: ClientSession, event_type: str, params: Mapping[str, Any]) -> None:
        """Tell a client an event, now or when it is connected again."""
        try:
            session.machine.tell(event_type, params, self._wall())
        except (TypeError, ValueError) as error:  # its text may hold what the event does
            log.error("an event cannot be told", extra=fields(event=event_type, error=type(error).__name__))
            return
        RELAY_EVENTS.inc()
        self._flush(session)

    def lost(self, session: ClientSession) -> None:
        """Note that a client's connection is gone; its session waits for it."""
        session.connection = None
        if not session.is_over:
            session.machine.lost(self._now())
            log.info(
                "a RELAY client is gone; its session waits",
                extra=fields(session=session.log_name, calls=session.n_calls, seconds=self._config.restore_s),
            )
        self._note_left()
        self._count()

    # -- the end -------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Give nobody a call any more; those that are up go on."""
        self._is_draining = True

    async def close(self) -> None:
        """Ask every client to disconnect and to begin anew, wait a moment for them, and close what is open."""
        self._is_draining = self._is_closed = True
        connected = [session for session in self._sessions.values() if session.is_connected]
        self._everyone_left = asyncio.Event()
        for session in connected:
            session.machine.leave(restart=True)
            self._flush(session)
        if connected:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._everyone_left.wait()
        for session in list(self._sessions.values()):
            connection = session.connection
            session.machine.end()
            self._sessions.pop(session.protocol, None)
            session.connection = None
            if connection is not None:
                connection.session = None
                connection.transport.close(GOING_AWAY, "the engine stops")
        self._count()

    # -- inner ---------------------------------------------------------------------------------------------------

    def _refuse(self, connection: RelayConnection, text: str, code: int, why: str) -> None:
        RELAY_REFUSED.labels(why=why.replace(" ", "-")).inc()
        log.warning("a RELAY client is refused: %s", why, extra=fields(source=connection.remote))
        connection.send(text)
        connection.transport.close(code, why)

    def _new_session(self) -> ClientSession:
        if len(self._sessions) >= self._config.max_clients + MAX_KEPT:
            waiting = [session for session in self._sessions.values() if not session.is_connected]
            oldest = min(waiting, key=lambda one: (one.n_calls > 0, one.machine.next_timer or 0.0))
            oldest.machine.end()
            self._over(oldest)
        protocol = f"signalwire_{self._entropy(TOKEN_BYTES).hex()}"
        machine = SessionMachine(
            protocol=protocol,
            authorization_state=self._entropy(TOKEN_BYTES).hex(),
            project=self._config.project,
            space=self._config.space,
            restore_s=self._config.restore_s,
        )
        session = self._sessions[protocol] = ClientSession(machine, self)
        return session

    def _join(self, session: ClientSession, connection: RelayConnection, wanted: ConnectRequest) -> None:
        connection.state = ConnectionState.OPEN
        connection.session = session
        session.connection = connection
        waiting = session.machine.n_events
        session.machine.connect(wanted, self._now(), self._wall())
        log.info(
            "a RELAY client is connected",
            extra=fields(
                session=session.log_name,
                source=connection.remote,
                agent=wanted.agent,
                contexts=len(session.machine.contexts),
                calls=session.n_calls,
                events=waiting,
            ),
        )
        self._count()
        self._flush(session)
        if not self._is_ticking:
            self._is_ticking = True
            self._call_later(TICK_S, self._tick)

    def _flush(self, session: ClientSession) -> None:
        """Do what a session's machine wants done."""
        while outputs := session.machine.outputs():
            connection = session.connection
            for output in outputs:
                if isinstance(output, Ask):
                    session.machine.answer(self._carry_out(session, output))
                elif connection is None:
                    continue
                elif isinstance(output, Send):
                    connection.send(output.text)
                else:
                    log.warning("a RELAY client is dropped: %s", output.reason, extra=fields(session=session.log_name))
                    connection.transport.close(output.code, output.reason)
                    connection.lost()
        if session.machine.is_over:
            self._over(session)
        elif session.machine.has_left:
            self._note_left()

    def _note_left(self) -> None:
        everyone = all(one.machine.has_left or not one.is_connected for one in self._sessions.values())
        if everyone and self._everyone_left is not None:
            self._everyone_left.set()

    def _carry_out(self, session: ClientSession, wanted: Ask) -> Mapping[str, Any]:
        if self.handler is None:
            return {"code": "501", "message": "No calls are served here"}
        try:
            return self.handler.command(session, wanted.method, wanted.params)
        except Exception as error:  # its text may hold what was sent
            log.error("a RELAY request broke down", extra=fields(method=wanted.method, error=type(error).__name__))
            return {"code": "500", "message": "Internal error"}

    def _over(self, session: ClientSession) -> None:
        """Let a session go, and say so once."""
        if self._sessions.get(session.protocol) is not session:
            return
        del self._sessions[session.protocol]
        log.warning(
            "the session of a RELAY client is over",
            extra=fields(session=session.log_name, calls=session.n_calls, overflowed=session.machine.has_overflowed),
        )
        connection, session.connection = session.connection, None
        if connection is not None:
            connection.session = None
            connection.transport.close(POLICY, "the session is over")
        self._count()
        # Not now: who tells an event is in the middle of something, of a call of that very session.
        self._call_later(0, self._tell_over, session)

    def _tell_over(self, session: ClientSession) -> None:
        if self.handler is None:
            return
        try:
            self.handler.session_over(session)
        except Exception:
            log.exception("calls of a client that is gone were not handed on")

    def _tick(self) -> None:
        now = self._now()
        for session in list(self._sessions.values()):
            if (due := session.machine.next_timer) is not None and due <= now:
                session.machine.handle_timer(now, self._wall())
                self._flush(session)
        if self._sessions and not self._is_closed:
            self._call_later(TICK_S, self._tick)
        else:
            self._is_ticking = False

    def _count(self) -> None:
        RELAY_CLIENTS.set(self.n_clients)
