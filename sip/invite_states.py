"""The states of an INVITE session (RFC 3261 §9, §13, §15; RFC 5407).

Laws: a session of ours ends once, whatever crosses on the way; the first cause is the one that is told. BYE is not sent
before our 2xx was acknowledged (§15), CANCEL not before a provisional came (§9.1). A 2xx that crosses our CANCEL is
acknowledged and hung up.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from sip.events import EndCause

__all__ = (
    "IGNORED",
    "TABLE",
    "WE_CALL",
    "Action",
    "Input",
    "State",
    "Step",
)


class State(StrEnum):
    """Where a session stands."""

    INCOMING = "incoming"  # the peer's INVITE has no final response yet
    ANSWERED = "answered"  # our 2xx is not acknowledged yet
    HANGING_UP = "hanging up"  # as ANSWERED; BYE follows the ACK
    CALLING = "calling"  # our INVITE has no response yet
    PROCEEDING = "proceeding"  # our INVITE has a provisional response
    CANCEL_PENDING = "cancel pending"  # as CALLING; CANCEL follows the first provisional
    CANCELLING = "cancelling"  # CANCEL is out
    ESTABLISHED = "established"
    ENDING = "ending"  # BYE is out
    ENDED = "ended"


class Input(StrEnum):
    """What can happen to a session."""

    RING = "ring"
    ANSWER = "answer"
    REJECT = "reject"
    HANG_UP = "hang up"
    ACK = "ACK"
    NO_ACK = "no ACK"
    BYE = "BYE"
    CANCEL = "CANCEL"
    PROVISIONAL = "1xx"
    CHALLENGE = "401, 407 or 422 that we can answer"
    NEXT_HOP = "no answer or 503, and another next hop is left"
    SUCCESS = "2xx"
    FAILURE = "300-699"
    NO_RESPONSE = "no response"
    UNREACHABLE = "unreachable"
    SETUP_LIMIT = "setup limit"
    CANCEL_LIMIT = "cancel limit"
    BYE_DONE = "BYE answered or given up"
    GONE = "481 or 408 in the dialog"
    SILENCE = "no response in the dialog"
    NO_PRACK = "no PRACK"
    EXPIRED = "session timer over"


class Action(StrEnum):
    """What a step asks for."""

    PROVISIONAL = "send a provisional"
    ANSWER = "send 2xx"
    REFUSE = "send 300-699"
    TELL_CANCEL = "tell that the peer cancelled"
    CONFIRM = "tell that the ACK came"
    INVITE = "send INVITE"
    NEXT_HOP = "send INVITE to the next hop that is left"
    ACK = "send ACK"
    CANCEL = "send CANCEL"
    BYE = "send BYE"
    ABANDON = "drop the INVITE's transaction"
    TELL_RINGING = "tell the provisional"
    TELL_ANSWERED = "tell the 2xx"


class Step(NamedTuple):
    """One entry: next state, actions, and the cause when this is what ends the session."""

    state: State
    actions: tuple[Action, ...] = ()
    cause: EndCause | None = None


TABLE: Mapping[tuple[State, Input], Step] = MappingProxyType(
    {
        # We are called.
        (State.INCOMING, Input.RING): Step(State.INCOMING, (Action.PROVISIONAL,)),
        (State.INCOMING, Input.ANSWER): Step(State.ANSWERED, (Action.ANSWER,)),
        (State.INCOMING, Input.REJECT): Step(State.ENDED, (Action.REFUSE,), EndCause.REJECTED),
        (State.INCOMING, Input.HANG_UP): Step(State.ENDED, (Action.REFUSE,), EndCause.LOCAL_BYE),
        (State.INCOMING, Input.CANCEL): Step(State.ENDED, (Action.REFUSE, Action.TELL_CANCEL), EndCause.CANCELLED),
        (State.INCOMING, Input.BYE): Step(State.ENDED, (Action.REFUSE,), EndCause.REMOTE_BYE),  # §15: early dialog
        (State.INCOMING, Input.SETUP_LIMIT): Step(State.ENDED, (Action.REFUSE,), EndCause.TIMEOUT),
        (State.INCOMING, Input.NO_PRACK): Step(State.ENDED, (Action.REFUSE,), EndCause.TIMEOUT),  # RFC 3262 §3
        (State.ANSWERED, Input.ACK): Step(State.ESTABLISHED, (Action.CONFIRM,)),
        (State.ANSWERED, Input.NO_ACK): Step(State.ENDING, (Action.BYE,), EndCause.ACK_TIMEOUT),
        (State.ANSWERED, Input.HANG_UP): Step(State.HANGING_UP, (), EndCause.LOCAL_BYE),
        (State.ANSWERED, Input.BYE): Step(State.ENDED, (), EndCause.REMOTE_BYE),  # RFC 5407 §3.1.2: ACK was lost
        (State.HANGING_UP, Input.ACK): Step(State.ENDING, (Action.BYE,)),
        (State.HANGING_UP, Input.NO_ACK): Step(State.ENDING, (Action.BYE,)),
        (State.HANGING_UP, Input.BYE): Step(State.ENDED),
        # We call.
        (State.CALLING, Input.PROVISIONAL): Step(State.PROCEEDING, (Action.TELL_RINGING,)),
        (State.CALLING, Input.CHALLENGE): Step(State.CALLING, (Action.INVITE,)),
        (State.CALLING, Input.NEXT_HOP): Step(State.CALLING, (Action.NEXT_HOP,)),
        (State.CALLING, Input.SUCCESS): Step(State.ESTABLISHED, (Action.ACK, Action.TELL_ANSWERED)),
        (State.CALLING, Input.FAILURE): Step(State.ENDED, (), EndCause.REJECTED),
        (State.CALLING, Input.NO_RESPONSE): Step(State.ENDED, (), EndCause.TIMEOUT),
        (State.CALLING, Input.UNREACHABLE): Step(State.ENDED, (), EndCause.TRANSPORT_ERROR),
        (State.CALLING, Input.HANG_UP): Step(State.CANCEL_PENDING, (), EndCause.CANCELLED),
        (State.CALLING, Input.SETUP_LIMIT): Step(State.CANCEL_PENDING, (), EndCause.TIMEOUT),
        (State.PROCEEDING, Input.PROVISIONAL): Step(State.PROCEEDING, (Action.TELL_RINGING,)),
        (State.PROCEEDING, Input.CHALLENGE): Step(State.CALLING, (Action.INVITE,)),
        (State.PROCEEDING, Input.NEXT_HOP): Step(State.CALLING, (Action.NEXT_HOP,)),
        (State.PROCEEDING, Input.SUCCESS): Step(State.ESTABLISHED, (Action.ACK, Action.TELL_ANSWERED)),
        (State.PROCEEDING, Input.FAILURE): Step(State.ENDED, (), EndCause.REJECTED),
        (State.PROCEEDING, Input.HANG_UP): Step(State.CANCELLING, (Action.CANCEL,), EndCause.CANCELLED),
        (State.PROCEEDING, Input.SETUP_LIMIT): Step(State.CANCELLING, (Action.CANCEL,), EndCause.TIMEOUT),
        (State.CANCEL_PENDING, Input.PROVISIONAL): Step(State.CANCELLING, (Action.CANCEL,)),
        (State.CANCEL_PENDING, Input.SUCCESS): Step(State.ENDING, (Action.ACK, Action.BYE)),
        (State.CANCEL_PENDING, Input.FAILURE): Step(State.ENDED),
        (State.CANCEL_PENDING, Input.NO_RESPONSE): Step(State.ENDED),
        (State.CANCEL_PENDING, Input.UNREACHABLE): Step(State.ENDED),
        (State.CANCELLING, Input.SUCCESS): Step(State.ENDING, (Action.ACK, Action.BYE)),  # RFC 5407 §3.1.2
        (State.CANCELLING, Input.FAILURE): Step(State.ENDED),
        (State.CANCELLING, Input.CANCEL_LIMIT): Step(State.ENDED, (Action.ABANDON,)),
        # We talk.
        (State.ESTABLISHED, Input.ACK): Step(State.ESTABLISHED, (Action.CONFIRM,)),  # of a re-INVITE
        (State.ESTABLISHED, Input.NO_ACK): Step(State.ENDING, (Action.BYE,), EndCause.ACK_TIMEOUT),  # §14.2
        (State.ESTABLISHED, Input.HANG_UP): Step(State.ENDING, (Action.BYE,), EndCause.LOCAL_BYE),
        (State.ESTABLISHED, Input.BYE): Step(State.ENDED, (), EndCause.REMOTE_BYE),
        (State.ESTABLISHED, Input.GONE): Step(State.ENDED, (), EndCause.REMOTE_BYE),  # §12.2.1.2
        (State.ESTABLISHED, Input.SILENCE): Step(State.ENDING, (Action.BYE,), EndCause.TIMEOUT),  # §12.2.1.2
        (State.ESTABLISHED, Input.EXPIRED): Step(State.ENDING, (Action.BYE,), EndCause.TIMEOUT),  # RFC 4028 §10
        # We have hung up.
        (State.ENDING, Input.BYE): Step(State.ENDED),  # RFC 5407 §3.1.4: both hang up at once
        (State.ENDING, Input.BYE_DONE): Step(State.ENDED),
    }
)

WE_CALL = (State.CALLING, State.PROCEEDING, State.CANCEL_PENDING, State.CANCELLING)
"States in which our INVITE has no final response."
_WE_ARE_CALLED = (State.INCOMING, State.ANSWERED, State.HANGING_UP)
_AFTER_SETUP = (State.ESTABLISHED, State.ENDING, State.ENDED)
_RESPONSES_TO_INVITE = (
    Input.PROVISIONAL, Input.CHALLENGE, Input.NEXT_HOP, Input.SUCCESS, Input.FAILURE, Input.NO_RESPONSE,
    Input.UNREACHABLE, Input.CANCEL_LIMIT,
)  # fmt: skip

IGNORED: frozenset[tuple[State, Input]] = frozenset(
    {
        # What belongs to the other role. RING, ANSWER and REJECT out of place are a LocalProtocolError to the caller.
        *((state, event) for state in _WE_ARE_CALLED for event in _RESPONSES_TO_INVITE),
        *((state, event) for state in WE_CALL for event in (Input.ACK, Input.NO_ACK, Input.CANCEL)),
        *((state, event) for state in (*WE_CALL, *_AFTER_SETUP) for event in (Input.RING, Input.ANSWER, Input.REJECT)),
        *((state, event) for state in (State.ANSWERED, State.HANGING_UP)
          for event in (Input.RING, Input.ANSWER, Input.REJECT, Input.SETUP_LIMIT)),
        # A callee must not send BYE before the dialog is confirmed (§15): the peer gets 481.
        *((state, Input.BYE) for state in WE_CALL),
        # CANCEL has no effect once a final response is out (§9.2).
        *((state, Input.CANCEL) for state in (State.ANSWERED, State.HANGING_UP, *_AFTER_SETUP)),
        (State.INCOMING, Input.ACK),
        (State.INCOMING, Input.NO_ACK),
        (State.HANGING_UP, Input.HANG_UP),
        *((state, Input.HANG_UP) for state in (State.CANCEL_PENDING, State.CANCELLING, State.ENDING, State.ENDED)),
        *((state, Input.SETUP_LIMIT) for state in (State.CANCEL_PENDING, State.CANCELLING, *_AFTER_SETUP)),
        # Once a provisional came, timer B does not run; and who hangs up neither answers challenges nor tries further.
        *((state, event) for state in (State.PROCEEDING, State.CANCELLING)
          for event in (Input.NO_RESPONSE, Input.UNREACHABLE)),
        *((state, event) for state in (State.CANCEL_PENDING, State.CANCELLING)
          for event in (Input.CHALLENGE, Input.NEXT_HOP)),
        *((state, Input.CANCEL_LIMIT) for state in (State.CALLING, State.PROCEEDING, State.CANCEL_PENDING)),
        (State.CANCELLING, Input.PROVISIONAL),
        # Requests of ours in a dialog begin with ESTABLISHED; later answers to them change nothing.
        *((state, event) for state in (*_WE_ARE_CALLED, *WE_CALL)
          for event in (Input.GONE, Input.SILENCE, Input.BYE_DONE)),
        (State.ESTABLISHED, Input.BYE_DONE),
        *((state, event) for state in (State.ENDING, State.ENDED)
          for event in (Input.ACK, Input.NO_ACK, Input.GONE, Input.SILENCE)),
        # Reliable provisionals end with the final response, the session timer runs while we talk.
        *((state, Input.NO_PRACK) for state in State if state is not State.INCOMING),
        *((state, Input.EXPIRED) for state in State if state is not State.ESTABLISHED),
        (State.ENDED, Input.BYE),
        (State.ENDED, Input.BYE_DONE),
        # Further 2xx to our INVITE are acknowledged outside this table, without a change of state.
        *((state, event) for state in _AFTER_SETUP for event in _RESPONSES_TO_INVITE),
    }
)  # fmt: skip
