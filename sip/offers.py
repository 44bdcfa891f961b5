"""Our own offers in a session, and the session refresh: re-INVITE (RFC 3261 §14.1) and UPDATE (RFC 3311 §5.1).

Laws: one request is out at a time. None is sent while the peer's offer is unanswered, and after a 491 it is sent again
when the time of §14.1 is over. A refusal leaves the session as it was; 408 and 481 end it. Each 2xx to a re-INVITE gets
its ACK, also when the session has ended meanwhile. A re-INVITE that is never answered is cancelled.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from sip.address import Address
from sip.agent import SUPPORTED, UserAgent
from sip.bodies import SDP, description_or_none
from sip.dialog import Dialog
from sip.dialog import State as DialogState
from sip.errors import LocalProtocolError
from sip.events import OfferAnswered, OfferRefused
from sip.forks import NobodyListens
from sip.message import Response
from sip.sdp import SessionDescription
from sip.timers import Timer
from sip.transaction import ClientTransaction, Failure

if TYPE_CHECKING:
    from sip.session import Session

__all__ = ("IGNORED", "TABLE", "Action", "Input", "OurOffers", "State")

ANSWER_WITHIN_S = 180.0
"How long a re-INVITE may stay unanswered after a provisional: the timer C of a proxy (§16.6)."
MAX_TRIES = 8
"491 in a row, after which the offer is given up."
MAX_ACKS = 4
"ACKs kept to be repeated."


class State(StrEnum):
    """Where our offer stands."""

    IDLE = "idle"
    SENT = "sent"
    WAITING = "waiting"  # for the time of §14.1, or for the end of the peer's offer
    CANCELLING = "cancelling"
    LEAVING = "leaving"  # the session is over, the final response is not here yet


class Input(StrEnum):
    """What can happen to it."""

    ASK = "ask"
    BUSY = "ask while the peer's offer is open"
    SUCCESS = "2xx"
    AGAIN = "a refusal that we can meet"
    PENDING = "491"
    GONE = "481 or 408"
    REFUSED = "another refusal"
    SILENCE = "no response"
    LIMIT = "offer limit"
    CANCEL_LIMIT = "cancel limit"
    ENDED = "session ended"


class Action(StrEnum):
    """What a step asks for."""

    SEND = "send"
    WAIT = "wait"
    ACCEPT = "take the answer"
    REFUSE = "tell the refusal"
    GONE = "end the session"
    SILENCE = "hang up"
    CANCEL = "send CANCEL"
    LINGER = "wait for the final response"
    ABANDON = "drop the transaction"


TABLE: Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]] = MappingProxyType(
    {
        (State.IDLE, Input.ASK): (State.SENT, (Action.SEND,)),
        (State.IDLE, Input.BUSY): (State.WAITING, (Action.WAIT,)),
        (State.SENT, Input.SUCCESS): (State.IDLE, (Action.ACCEPT,)),
        (State.SENT, Input.AGAIN): (State.SENT, (Action.SEND,)),
        (State.SENT, Input.PENDING): (State.WAITING, (Action.WAIT,)),
        (State.SENT, Input.GONE): (State.IDLE, (Action.GONE,)),
        (State.SENT, Input.REFUSED): (State.IDLE, (Action.REFUSE,)),
        (State.SENT, Input.SILENCE): (State.IDLE, (Action.SILENCE,)),
        (State.SENT, Input.LIMIT): (State.CANCELLING, (Action.CANCEL,)),
        (State.SENT, Input.ENDED): (State.LEAVING, (Action.LINGER,)),
        (State.WAITING, Input.ASK): (State.SENT, (Action.SEND,)),
        (State.WAITING, Input.BUSY): (State.WAITING, (Action.WAIT,)),
        (State.WAITING, Input.ENDED): (State.IDLE, ()),
        (State.CANCELLING, Input.SUCCESS): (State.IDLE, (Action.ACCEPT,)),  # it crossed our CANCEL
        (State.CANCELLING, Input.AGAIN): (State.IDLE, (Action.REFUSE,)),
        (State.CANCELLING, Input.PENDING): (State.IDLE, (Action.REFUSE,)),
        (State.CANCELLING, Input.GONE): (State.IDLE, (Action.GONE,)),
        (State.CANCELLING, Input.REFUSED): (State.IDLE, (Action.REFUSE,)),
        (State.CANCELLING, Input.CANCEL_LIMIT): (State.IDLE, (Action.ABANDON, Action.SILENCE)),
        (State.CANCELLING, Input.ENDED): (State.LEAVING, (Action.LINGER,)),
        **{
            (State.LEAVING, event): (State.IDLE, ())
            for event in (Input.SUCCESS, Input.AGAIN, Input.PENDING, Input.GONE, Input.REFUSED, Input.SILENCE)
        },
        (State.LEAVING, Input.CANCEL_LIMIT): (State.IDLE, (Action.ABANDON,)),
    }
)
IGNORED: frozenset[tuple[State, Input]] = frozenset(
    {
        # Nothing is out.
        *((state, event) for state in (State.IDLE, State.WAITING)
          for event in (Input.SUCCESS, Input.AGAIN, Input.PENDING, Input.GONE, Input.REFUSED, Input.SILENCE,
                        Input.LIMIT, Input.CANCEL_LIMIT)),
        (State.IDLE, Input.ENDED),
        # One at a time: ``ask`` looks first.
        *((state, event) for state in (State.SENT, State.CANCELLING, State.LEAVING)
          for event in (Input.ASK, Input.BUSY)),
        (State.SENT, Input.CANCEL_LIMIT),
        # CANCEL follows a provisional, and then timer B does not run.
        (State.CANCELLING, Input.SILENCE),
        (State.CANCELLING, Input.LIMIT),
        (State.LEAVING, Input.LIMIT),
        (State.LEAVING, Input.ENDED),
    }
)  # fmt: skip


class OurOffers:
    """The requests of ours that change or refresh one session. It is their transactions' user."""

    def __init__(self, agent: UserAgent, session: Session) -> None:
        self.state = State.IDLE
        self._agent = agent
        self._session = session
        self._offer: SessionDescription | None = None  # None: a refresh
        self._next: SessionDescription | None = None  # asked for while a refresh was out
        self._dialog: Dialog | None = None
        self._transaction: ClientTransaction | None = None
        self._again = False
        self._without_update = False
        self._tries = 0
        self._response: Response | None = None
        self._status = 0
        self._acks: OrderedDict[int, tuple[bytes, Address]] = OrderedDict()  # by the CSeq of the re-INVITE

    @property
    def is_open(self) -> bool:
        """Whether an offer of ours, or a re-INVITE, waits for its final response."""
        if self.state not in (State.SENT, State.CANCELLING) or self._transaction is None:
            return False
        request = self._transaction.request
        return request.method == "INVITE" or bool(request.body)

    def ask(self, sdp: SessionDescription, now: float) -> None:
        """Send an offer, now or as soon as the peer's own is answered."""
        if self._session.offering_dialog() is None:
            raise LocalProtocolError("an offer needs a dialog in which the first offer is answered")
        if self._next is not None or (self.state is not State.IDLE and self._offer is not None):
            raise LocalProtocolError("an offer is open already")
        if self.state is not State.IDLE:
            self._next = sdp
            return
        self._begin(sdp, now)

    def refresh(self, now: float) -> None:
        """Refresh the session; nothing when a request of ours is out, which does the same."""
        if self.state is State.IDLE:
            self._begin(None, now)

    def end(self, now: float) -> None:
        """The session is over."""
        self._next = None
        self._feed(Input.ENDED, now)

    # -- the transactions' user ----------------------------------------------------------------------------------------

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take a response to a re-INVITE or an UPDATE of ours."""
        if response.status < 200:
            return
        request = transaction.request
        if request.method == "INVITE" and response.status < 300:
            number = request.cseq.number
            known = self._acks.get(number)
            if known is not None:
                self._agent.send(*known, again=True)  # §13.2.2.4
                return
            assert self._dialog is not None
            self._dialog.refresh_target(response)  # §12.2.1.2: the ACK goes there already
            self._acks[number] = self._session.forks.acknowledge(self._dialog, request)
            if len(self._acks) > MAX_ACKS:
                self._acks.popitem(last=False)
        if transaction is not self._transaction:
            return
        self._response, self._status = response, response.status
        self._feed(self._kind_of(response), now)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Learn that there will be no final response."""
        if transaction is not self._transaction:
            return
        if failure is Failure.TIMEOUT:
            self._status = 408  # §8.1.3.1
            self._feed(Input.SILENCE, now)
        else:
            # §8.1.3.1: as if 503 had come, which says nothing about the dialog. A closed connection is opened anew.
            self._status = 503
            self._feed(Input.REFUSED, now)

    def handle_timer(self, timer: Timer, now: float) -> None:
        """Try again, or give up."""
        match timer:
            case Timer.OFFER_RETRY:
                self._feed(self._asking(), now)
            case Timer.OFFER_LIMIT:
                self._feed(Input.LIMIT, now)
            case _:
                self._feed(Input.CANCEL_LIMIT, now)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _begin(self, sdp: SessionDescription | None, now: float) -> None:
        self._offer, self._again, self._tries = sdp, False, 0
        self._feed(self._asking(), now)

    def _asking(self) -> Input:
        needs_turn = self._offer is not None or self._method == "INVITE"
        return Input.BUSY if needs_turn and self._session.is_peers_turn else Input.ASK

    @property
    def _method(self) -> str:
        session = self._session
        may_update = not self._without_update and session.peer_takes("UPDATE")
        if not session.is_established:
            return "UPDATE"  # RFC 3311 §5.1: the only one that there is in an early dialog
        return "UPDATE" if self._offer is None and may_update else "INVITE"

    def _kind_of(self, response: Response) -> Input:
        session, status = self._session, response.status
        assert self._transaction is not None
        if status < 300:
            return Input.SUCCESS
        if self.state is State.SENT:
            # 405 and 501: it takes no UPDATE, whatever it allowed.
            is_update = self._transaction.request.method == "UPDATE"
            if is_update and status in (405, 501) and session.is_established:
                self._without_update = True
                return Input.AGAIN
            if status == 422 and session.timer.raised(response):
                return Input.AGAIN
            if session.authentication.accept(response):
                self._again = True
                return Input.AGAIN
        if status == 491:
            self._tries += 1
            return Input.PENDING if self._tries < MAX_TRIES else Input.REFUSED
        return Input.GONE if status in (408, 481) else Input.REFUSED

    def _feed(self, event: Input, now: float) -> None:
        step = TABLE.get((self.state, event))
        if step is None:
            return
        self.state, actions = step
        for action in actions:
            self._perform(action, now)
        if self.state is State.IDLE:
            self._agent.timers.disarm_all(self)
            self._transaction = None
            waiting, self._next = self._next, None
            if waiting is not None:
                self._begin(waiting, now)

    def _perform(self, action: Action, now: float) -> None:
        session, timers = self._session, self._agent.timers
        match action:
            case Action.SEND:
                self._send(now)
            case Action.WAIT:
                timers.disarm(self, Timer.OFFER_LIMIT)
                self._again = False  # what follows is a new request, whose challenge may be answered once more
                # §14.1, in steps of 10 ms: who owns the Call-ID waits longer, so that one of two goes first.
                least_s, steps = (2.1, 190) if session.owns_call_id else (0.0, 200)
                timers.arm(self, Timer.OFFER_RETRY, now + least_s + 0.01 * int(self._agent.fraction() * (steps + 1)))
            case Action.ACCEPT:
                self._accept(now)
            case Action.REFUSE:
                self._refuse(now)
            case Action.GONE:
                assert self._response is not None
                self._next = None
                self._refuse(now)
                session.on_gone(self._response, now)
            case Action.SILENCE:
                self._next = None
                self._refuse(now)
                session.on_silence(now)
            case Action.CANCEL:
                assert self._transaction is not None
                self._agent.layer.cancel(self._transaction, NobodyListens(), now)
                timers.arm(self, Timer.CANCEL_LIMIT, now + self._agent.values.limit_s)
            case Action.LINGER:
                timers.disarm_all(self)
                timers.arm(self, Timer.CANCEL_LIMIT, now + self._agent.values.limit_s)
            case Action.ABANDON:
                self._status = 408
                assert self._transaction is not None
                self._agent.layer.abandon(self._transaction)

    def _send(self, now: float) -> None:
        session, method = self._session, self._method
        self._dialog = dialog = session.offering_dialog() or self._dialog
        assert dialog is not None
        body = self._offer or (session.described if method == "INVITE" else None)
        # 100rel is left out: nobody rings in a call that is up, and what is not offered need not be followed.
        headers = [("Supported", ", ".join(tag for tag in SUPPORTED if tag != "100rel"))]
        if body is not None:
            headers.append(("Content-Type", SDP))
        self._transaction = session.send(
            method,
            now,
            headers=headers,
            body=b"" if body is None else body.serialize(),
            dialog=dialog,
            user=self,
            again=self._again,
        )
        if method == "INVITE":
            self._agent.timers.arm(self, Timer.OFFER_LIMIT, now + ANSWER_WITHIN_S)

    def _accept(self, now: float) -> None:
        session, response = self._session, self._response
        assert response is not None
        assert self._dialog is not None
        if self._dialog.state is DialogState.TERMINATED:
            self._status = 481  # of an early dialog: another branch has become the call
            self._refuse(now)
            return
        self._dialog.refresh_target(response)
        session.learn(response)
        session.timer.agreed(response, now)
        answer = description_or_none(response)
        if self._offer is not None:
            session.described = self._offer
            self._agent.emit(OfferAnswered(session=session.id, answer=answer))
        elif answer is not None and answer != session.peer_described:
            self._agent.emit(OfferAnswered(session=session.id, answer=answer))
        if answer is not None:
            session.peer_described = answer

    def _refuse(self, now: float) -> None:
        if self._offer is None:
            self._session.timer.postpone(now)
        else:
            self._agent.emit(OfferRefused(session=self._session.id, status=self._status))
