"""The peer's re-INVITE in a session (RFC 3261 §14.2).

Laws: the application answers one at a time. While it has not answered, another gets 500 with Retry-After; while the
ACK to our 2xx is missing, 491. A refused re-INVITE leaves the session as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from weakref import WeakMethod

from sip.agent import UserAgent
from sip.events import OfferReceived, OfferRequested, SessionId
from sip.sdp import SessionDescription
from sip.transaction import InviteServerTransaction

__all__ = ("IGNORED", "RETRY_LATER", "TABLE", "Action", "Input", "Reinvite", "State")

RETRY_LATER = (("Retry-After", "10"),)
"§14.2 wants a random number from 0 to 10 seconds; who waits longest disturbs least."


class State(StrEnum):
    """Where the peer's re-INVITE stands."""

    IDLE = "idle"
    RECEIVED = "received"  # the application has to answer
    ANSWERED = "answered"  # our 2xx is not acknowledged yet


class Input(StrEnum):
    """What can happen to it."""

    REINVITE = "re-INVITE"
    ANSWER = "answer"
    REFUSE = "refuse"
    CANCEL = "CANCEL"
    ACK = "ACK"
    ENDED = "session ended"


class Action(StrEnum):
    """What a step asks for."""

    TELL = "tell the application"
    ANSWER = "send 2xx"
    REFUSE = "send 300-699"
    TERMINATE = "send 487"
    RETRY_LATER = "send 500 with Retry-After"
    PENDING = "send 491"


TABLE: Mapping[tuple[State, Input], tuple[State, Action | None]] = MappingProxyType(
    {
        (State.IDLE, Input.REINVITE): (State.RECEIVED, Action.TELL),
        (State.RECEIVED, Input.REINVITE): (State.RECEIVED, Action.RETRY_LATER),
        (State.RECEIVED, Input.ANSWER): (State.ANSWERED, Action.ANSWER),
        (State.RECEIVED, Input.REFUSE): (State.IDLE, Action.REFUSE),
        (State.RECEIVED, Input.CANCEL): (State.IDLE, Action.TERMINATE),
        (State.RECEIVED, Input.ENDED): (State.IDLE, Action.TERMINATE),
        (State.ANSWERED, Input.REINVITE): (State.ANSWERED, Action.PENDING),
        (State.ANSWERED, Input.ACK): (State.IDLE, None),
        (State.ANSWERED, Input.ENDED): (State.IDLE, None),
    }
)
IGNORED: frozenset[tuple[State, Input]] = frozenset(
    {
        # The peer may have cancelled its re-INVITE while the application thought about it.
        (State.IDLE, Input.ANSWER),
        (State.IDLE, Input.REFUSE),
        (State.IDLE, Input.CANCEL),
        (State.IDLE, Input.ACK),
        (State.IDLE, Input.ENDED),
        (State.RECEIVED, Input.ACK),
        (State.ANSWERED, Input.ANSWER),
        (State.ANSWERED, Input.REFUSE),
        (State.ANSWERED, Input.CANCEL),
    }
)

SendAnswer = Callable[[InviteServerTransaction, SessionDescription, float], object]


class Reinvite:
    """What the peer's re-INVITEs do in one session. ``send_answer``, its method, sends the 2xx; held weakly."""

    def __init__(self, agent: UserAgent, session: SessionId, send_answer: SendAnswer) -> None:
        self.state = State.IDLE
        self._agent = agent
        self._session = session
        self._send_answer = WeakMethod(send_answer)
        self._transaction: InviteServerTransaction | None = None

    def receive(self, transaction: InviteServerTransaction, offer: SessionDescription | None, now: float) -> None:
        """Take a re-INVITE."""
        agent, request = self._agent, transaction.request
        match self._step(Input.REINVITE):
            case Action.RETRY_LATER:
                transaction.respond(agent.response(request, 500, headers=RETRY_LATER), now)
            case Action.PENDING:
                transaction.respond(agent.response(request, 491), now)
            case _:
                self._transaction = transaction
                transaction.respond(agent.response(request, 100), now)
                if offer is None:
                    agent.emit(OfferRequested(session=self._session))
                else:
                    agent.emit(OfferReceived(session=self._session, offer=offer))

    def answer(self, sdp: SessionDescription, now: float) -> None:
        """Answer it; nothing when it was cancelled meanwhile."""
        if self._step(Input.ANSWER) is Action.ANSWER and self._transaction is not None:
            send_answer = self._send_answer()
            assert send_answer is not None  # its session is who calls
            send_answer(self._transaction, sdp, now)

    def refuse(self, status: int, now: float) -> None:
        """Refuse it; nothing when it was cancelled meanwhile."""
        if self._step(Input.REFUSE) is Action.REFUSE:
            self._respond(status, now)

    def cancel(self, transaction: InviteServerTransaction, now: float) -> None:
        """Take its CANCEL."""
        if transaction is self._transaction and self._step(Input.CANCEL) is Action.TERMINATE:
            self._respond(487, now)

    def acknowledged(self) -> None:
        """Its ACK came."""
        self._step(Input.ACK)

    def end(self, now: float) -> None:
        """The session is over."""
        if self._step(Input.ENDED) is Action.TERMINATE:
            self._respond(487, now)
        self._transaction = None

    def _step(self, event: Input) -> Action | None:
        step = TABLE.get((self.state, event))
        if step is None:
            return None
        self.state, action = step
        return action

    def _respond(self, status: int, now: float) -> None:
        if self._transaction is not None:
            self._transaction.respond(self._agent.response(self._transaction.request, status), now)
