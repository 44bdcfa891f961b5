"""Provisional responses that must arrive (RFC 3262): ours that are repeated until PRACK, and the peer's, in order.

Laws: one of ours is under way at a time, a further one waits for its PRACK (§3); it is repeated from T1, doubling, and
after 64*T1 the INVITE is refused. Of the peer's only the next in order is taken and acknowledged (§4): a repeated one
and one that came too soon are not there.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from types import MappingProxyType
from weakref import WeakMethod

from sip.agent import UserAgent
from sip.message import Request, Response
from sip.timers import Timer
from sip.transaction import InviteServerTransaction

__all__ = ("IGNORED", "TABLE", "Action", "InOrder", "Input", "ReliableProvisionals", "State", "rseq_of")

MAX_WAITING = 8
"Provisionals that wait for the PRACK of the one before; the oldest is dropped, the last word counts."
_RACK = re.compile(r"[ \t]*+([0-9]{1,10})[ \t]++([0-9]{1,10})[ \t]++(\S++)[ \t]*+")
_RSEQ = re.compile(r"[ \t]*+([0-9]{1,10})[ \t]*+")


class State(StrEnum):
    """Whether one is under way."""

    IDLE = "idle"
    WAITING = "waiting"  # for the PRACK


class Input(StrEnum):
    """What can happen."""

    SEND = "send"
    PRACK = "PRACK"  # that matches
    REPEAT = "repeat"
    LIMIT = "64*T1"
    STOP = "final response"


class Action(StrEnum):
    """What a step asks for."""

    SEND = "send"
    QUEUE = "queue"
    SEND_NEXT = "send the next"
    REPEAT = "repeat"
    GIVE_UP = "give up"
    FORGET = "forget"


TABLE = MappingProxyType(
    {
        (State.IDLE, Input.SEND): (State.WAITING, Action.SEND),
        (State.WAITING, Input.SEND): (State.WAITING, Action.QUEUE),
        (State.WAITING, Input.PRACK): (State.IDLE, Action.SEND_NEXT),
        (State.WAITING, Input.REPEAT): (State.WAITING, Action.REPEAT),
        (State.WAITING, Input.LIMIT): (State.IDLE, Action.GIVE_UP),
        (State.WAITING, Input.STOP): (State.IDLE, Action.FORGET),
    }
)
IGNORED = frozenset((State.IDLE, event) for event in Input if event is not Input.SEND)


class ReliableProvisionals:
    """Ours to one INVITE. ``on_no_prack``, the session's method, is called when one was not acknowledged in 64*T1."""

    def __init__(self, agent: UserAgent, on_no_prack: Callable[[float], object]) -> None:
        self.state = State.IDLE
        self.last_carried_sdp = False
        "Whether the one under way, or the last, had a description."
        self._agent = agent
        self._on_no_prack = WeakMethod(on_no_prack)
        # §3: begins anywhere below 2**31, and must not run over.
        self._rseq = 0
        self._current: tuple[InviteServerTransaction, Response] | None = None
        self._queue: deque[tuple[InviteServerTransaction, Response]] = deque(maxlen=MAX_WAITING)
        self._interval_s = 0.0
        self._last: Response | None = None
        self._unmatched: tuple[int, int] | None = None

    @property
    def holds_final(self) -> bool:
        """Whether a 2xx has to wait: one with a description is not acknowledged (§3)."""
        waiting = (*([self._current] if self._current else []), *self._queue)
        return any(response.body for _, response in waiting)

    def send(self, transaction: InviteServerTransaction, response: Response, now: float) -> None:
        """Send one reliably, at once or after the PRACK of the one before."""
        self._queue.append((transaction, response))
        if self._step(Input.SEND) is Action.SEND:
            self._send_next(now)

    def acknowledge(self, prack: Request, now: float) -> Response | None:
        """Take a PRACK; return the response that it acknowledges, None when there is none such (481)."""
        match = _RACK.fullmatch(prack.headers.get("RAck") or "")
        if match is None or match.group(3) != "INVITE" or self._unmatched is None:
            return None
        if (int(match.group(1)), int(match.group(2))) != self._unmatched or self._last is None:
            return None
        acknowledged, self._unmatched = self._last, None
        if self._step(Input.PRACK) is Action.SEND_NEXT:
            self._rest()
            if self._queue:
                self._step(Input.SEND)
                self._send_next(now)
        return acknowledged

    def stop(self) -> None:
        """A final response is out: repeat no more, but know a PRACK that is still on its way (§3)."""
        self._step(Input.STOP)
        self._queue.clear()
        self._rest()

    def handle_timer(self, timer: Timer, now: float) -> None:
        """Repeat it, or give up."""
        match self._step(Input.REPEAT if timer is Timer.PROVISIONAL else Input.LIMIT):
            case Action.REPEAT:
                assert self._current is not None
                self._agent.statistics.retransmissions_out += 1
                self._interval_s *= 2
                self._agent.timers.arm(self, Timer.PROVISIONAL, now + self._interval_s)
                transaction, response = self._current
                transaction.respond(response, now)
            case Action.GIVE_UP:
                self._queue.clear()
                self._rest()
                if (on_no_prack := self._on_no_prack()) is not None:
                    on_no_prack(now)
            case _:
                pass

    def _send_next(self, now: float) -> None:
        values, timers = self._agent.values, self._agent.timers
        transaction, response = self._current = self._queue.popleft()
        if not self._rseq:
            self._rseq = int.from_bytes(self._agent.entropy(3), "big")
        self._rseq += 1
        response.headers.set("RSeq", str(self._rseq))
        response.headers.add("Require", "100rel")
        self._last = response
        self.last_carried_sdp = bool(response.body)
        self._unmatched = (self._rseq, transaction.request.cseq.number)
        self._interval_s = values.t1_s
        timers.arm(self, Timer.PROVISIONAL, now + values.t1_s)
        timers.arm(self, Timer.PROVISIONAL_LIMIT, now + values.limit_s)
        transaction.respond(response, now)

    def _rest(self) -> None:
        self._agent.timers.disarm_all(self)
        self._current = None

    def _step(self, event: Input) -> Action | None:
        step = TABLE.get((self.state, event))
        if step is None:
            return None
        self.state, action = step
        return action


def rseq_of(response: Response) -> int | None:
    """Return the RSeq of a provisional that wants a PRACK; None for one that does not."""
    if not 100 < response.status < 200:
        return None
    if not any(tag.lower() == "100rel" for tag in response.headers.get_all("Require")):
        return None
    match = _RSEQ.fullmatch(response.headers.get("RSeq") or "")
    return None if match is None or not 0 < int(match.group(1)) < 2**32 else int(match.group(1))


class InOrder:
    """The peer's reliable provisionals to one INVITE: an order for each early dialog (§4)."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def take(self, tag: str, rseq: int) -> bool:
        """Say whether this is the next one of the dialog, and note it."""
        last = self._last.get(tag)
        if last is not None and rseq != last + 1:
            return False
        self._last[tag] = rseq
        return True

    def clear(self) -> None:
        """Begin anew: for another INVITE."""
        self._last.clear()
