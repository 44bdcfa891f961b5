"""The peer's offers in a session: re-INVITE (RFC 3261 §14.2), UPDATE (RFC 3311 §5.2), PRACK (RFC 3262 §5).

Laws: the application answers one at a time. While it has not answered, another gets 500 with Retry-After; while the
ACK to our 2xx is missing, 491. A refused offer leaves the session as it was. The answer to an UPDATE or a PRACK needs
no ACK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from weakref import WeakMethod

from sip.agent import UserAgent
from sip.bodies import ACCEPTED_TYPES, session_description
from sip.errors import ParseError, RemoteProtocolError
from sip.events import OfferReceived, OfferRequested, SessionId
from sip.sdp import SessionDescription
from sip.session_timer import is_too_brief
from sip.transaction import InviteServerTransaction, ServerTransaction

__all__ = ("IGNORED", "TABLE", "Action", "Input", "Reinvite", "State", "is_readable", "retry_later")

MAX_RETRY_AFTER_S = 10


class State(StrEnum):
    """Where the peer's offer stands."""

    IDLE = "idle"
    RECEIVED = "received"  # the application has to answer
    UPDATED = "updated"  # as RECEIVED, but by an UPDATE or a PRACK
    ANSWERED = "answered"  # our 2xx is not acknowledged yet


class Input(StrEnum):
    """What can happen to it."""

    REINVITE = "re-INVITE"
    UPDATE = "offer in an UPDATE or a PRACK"
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
    TERMINATE = "send 487 to an INVITE, 481 to another"
    RETRY_LATER = "send 500 with Retry-After"
    PENDING = "send 491"


TABLE: Mapping[tuple[State, Input], tuple[State, Action | None]] = MappingProxyType(
    {
        (State.IDLE, Input.REINVITE): (State.RECEIVED, Action.TELL),
        (State.IDLE, Input.UPDATE): (State.UPDATED, Action.TELL),
        (State.UPDATED, Input.REINVITE): (State.UPDATED, Action.RETRY_LATER),
        (State.UPDATED, Input.UPDATE): (State.UPDATED, Action.RETRY_LATER),
        (State.UPDATED, Input.ANSWER): (State.IDLE, Action.ANSWER),
        (State.UPDATED, Input.REFUSE): (State.IDLE, Action.REFUSE),
        (State.UPDATED, Input.ENDED): (State.IDLE, Action.TERMINATE),
        (State.RECEIVED, Input.REINVITE): (State.RECEIVED, Action.RETRY_LATER),
        (State.RECEIVED, Input.UPDATE): (State.RECEIVED, Action.RETRY_LATER),
        (State.RECEIVED, Input.ANSWER): (State.ANSWERED, Action.ANSWER),
        (State.RECEIVED, Input.REFUSE): (State.IDLE, Action.REFUSE),
        (State.RECEIVED, Input.CANCEL): (State.IDLE, Action.TERMINATE),
        (State.RECEIVED, Input.ENDED): (State.IDLE, Action.TERMINATE),
        (State.ANSWERED, Input.REINVITE): (State.ANSWERED, Action.PENDING),
        (State.ANSWERED, Input.UPDATE): (State.ANSWERED, Action.PENDING),
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
        (State.UPDATED, Input.ACK),
        (State.UPDATED, Input.CANCEL),  # there is no CANCEL of what is not an INVITE (§9.1)
        (State.ANSWERED, Input.ANSWER),
        (State.ANSWERED, Input.REFUSE),
        (State.ANSWERED, Input.CANCEL),
    }
)

SendAnswer = Callable[[ServerTransaction, SessionDescription, float], object]


def retry_later(agent: UserAgent) -> tuple[tuple[str, str]]:
    """Return a Retry-After of 0 to 10 seconds by chance (§14.2, RFC 3311 §5.2)."""
    return (("Retry-After", str(int(agent.fraction() * (MAX_RETRY_AFTER_S + 1)))),)


def is_readable(agent: UserAgent, transaction: ServerTransaction, now: float) -> bool:
    """Check the body and the session timer of a re-INVITE, UPDATE or PRACK; when False, it was refused here."""
    request = transaction.request
    try:
        session_description(request)
    except (ParseError, RemoteProtocolError) as error:
        headers = (("Accept", ", ".join(ACCEPTED_TYPES)),) if error.status_hint == 415 else ()
        transaction.respond(agent.response(request, error.status_hint, headers=headers), now)
        return False
    if request.method != "PRACK" and is_too_brief(request, agent.config):
        headers = (("Min-SE", str(agent.config.min_se_s)),)
        transaction.respond(agent.response(request, 422, headers=headers), now)
        return False
    return True


class Reinvite:
    """What the peer's offers do in one session. ``send_answer``, its method, sends the 2xx; held weakly."""

    def __init__(self, agent: UserAgent, session: SessionId, send_answer: SendAnswer) -> None:
        self.state = State.IDLE
        self._agent = agent
        self._session = session
        self._send_answer = WeakMethod(send_answer)
        self._transaction: ServerTransaction | None = None

    def receive(self, transaction: ServerTransaction, offer: SessionDescription | None, now: float) -> None:
        """Take a re-INVITE, or the offer in an UPDATE or a PRACK."""
        agent, request = self._agent, transaction.request
        is_invite = isinstance(transaction, InviteServerTransaction)
        match self._step(Input.REINVITE if is_invite else Input.UPDATE):
            case Action.RETRY_LATER:
                transaction.respond(agent.response(request, 500, headers=retry_later(agent)), now)
            case Action.PENDING:
                transaction.respond(agent.response(request, 491), now)
            case _:
                self._transaction = transaction
                if is_invite:
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
            self._respond(487 if isinstance(self._transaction, InviteServerTransaction) else 481, now)
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
