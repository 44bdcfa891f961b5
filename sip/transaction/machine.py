"""What the four transactions of RFC 3261 §17 have in common: a table, the timers of each state, and who carries out.

Laws: the table decides alone, ``feed`` carries out. A state names the timers that run in it. On each step those of
the old state that the new one does not name are stopped, and those of the new state that do not run are started: so a
retransmission timer starts again as long as its state lasts. A pair that is not in a table is in its ``IGNORED``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Protocol

from sip.address import Address
from sip.message import Request, Response
from sip.timers import Timer, TimerQueue, TimerValues

__all__ = ("Action", "ClientTransaction", "ClientUser", "Failure", "Input", "ServerTransaction", "Table", "Transaction")


class Input(StrEnum):
    """What can happen to a transaction, timers aside."""

    R1XX = "1xx"
    R2XX = "2xx"
    R300_699 = "300-699"
    REQUEST = "request"  # the same request again
    ACK = "ACK"
    SEND_1XX = "send 1xx"
    SEND_2XX = "send 2xx"
    SEND_300_699 = "send 300-699"
    TRANSPORT_ERROR = "transport error"


class Action(StrEnum):
    """What a step asks for."""

    TRANSMIT = "transmit"
    RETRANSMIT = "retransmit"
    ACKNOWLEDGE = "acknowledge"  # §17.1.1.3: ACK to a 300-699
    DELIVER = "deliver"  # pass the message to the transaction's user
    TIME_OUT = "time out"  # tell the user that no answer (or no ACK) came
    FAIL = "fail"  # tell the user that the network refused


Table = Mapping[tuple[StrEnum, StrEnum], tuple[StrEnum, tuple[Action, ...]]]


class Failure(StrEnum):
    """Why a client transaction ended without a final response."""

    TIMEOUT = "timeout"
    TRANSPORT = "transport"


class Carrier(Protocol):
    """What a transaction needs of the layer."""

    timers: TimerQueue
    values: TimerValues

    def send(self, data: bytes, destination: Address, *, again: bool) -> None:
        """Queue a datagram; ``again`` counts it as a retransmission."""

    def forget(self, transaction: Transaction) -> None:
        """Drop a transaction that is over."""


class Transaction:
    """One transaction: a state, its timers, and the datagram that it repeats."""

    TABLE: ClassVar[Table]
    TIMERS: ClassVar[Mapping[StrEnum, tuple[Timer, ...]]]
    INITIAL: ClassVar[StrEnum]
    TERMINATED: ClassVar[StrEnum]
    UNCAPPED: ClassVar[frozenset[Timer]] = frozenset()
    "Retransmission timers that double without end (timer A)."

    def __init__(self, carrier: Carrier, key: tuple[str, ...], request: Request, destination: Address) -> None:
        self.key = key
        self.request = request
        self.destination = destination
        self.state = self.INITIAL
        self.data = b""
        self._carrier = carrier
        self._reliable = destination.transport.is_reliable
        self._interval_s: dict[Timer, float] = {}

    def feed(self, event: StrEnum, now: float, message: Request | Response | None = None) -> None:
        """Take one step: ``event`` is an ``Input`` or a ``Timer``."""
        step = self.TABLE.get((self.state, event))
        if step is None:
            return
        self.state, actions = step
        self._tend_timers(now)
        for action in actions:
            self._perform(action, now, message)
        if self.state == self.TERMINATED:
            self.release()

    def release(self) -> None:
        """Let go of who used it: the user keeps its transaction, and they must not keep each other."""

    def handle_timer(self, timer: Timer, now: float) -> None:
        """Take a timer that fired."""
        self.feed(timer, now)

    def _tend_timers(self, now: float) -> None:
        timers = self._carrier.timers
        if self.state == self.TERMINATED:
            timers.disarm_all(self)
            self._carrier.forget(self)
            return
        wanted = self.TIMERS[self.state]
        for timer in self._interval_s:
            if timer not in wanted:
                timers.disarm(self, timer)
        for timer in wanted:
            if not timers.is_armed(self, timer):
                interval_s = self._next_interval_s(timer)
                if interval_s is not None:
                    self._interval_s[timer] = interval_s
                    timers.arm(self, timer, now + interval_s)

    def _next_interval_s(self, timer: Timer) -> float | None:
        values, last_s = self._carrier.values, self._interval_s.get(timer)
        if last_s is None:
            return values.first_s(timer, reliable=self._reliable)
        return 2 * last_s if timer in self.UNCAPPED else values.doubled(last_s)

    def _perform(self, action: Action, now: float, message: Request | Response | None) -> None:
        match action:
            case Action.TRANSMIT:
                self._carrier.send(self.data, self.destination, again=False)
            case Action.RETRANSMIT if self.data:
                self._carrier.send(self.data, self.destination, again=True)
            case _:
                self._tell(action, now, message)

    def _tell(self, action: Action, now: float, message: Request | Response | None) -> None:
        """Carry out what concerns the transaction's user."""


class ClientUser(Protocol):
    """Who sent a request."""

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take a response; of an INVITE also further 2xx."""

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Learn that there will be no final response."""


class _Nobody:
    """User of a transaction that is over."""

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Let it be."""

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Let it be."""


_NOBODY = _Nobody()


class ClientTransaction(Transaction):
    """A request of ours until its final response, and what comes late."""

    def __init__(
        self,
        carrier: Carrier,
        key: tuple[str, ...],
        request: Request,
        destination: Address,
        user: ClientUser,
    ) -> None:
        super().__init__(carrier, key, request, destination)
        self.user = user
        self.data = request.serialize()
        self.fallback: Address | None = None
        "Where the request goes when ``destination`` refuses the connection (§18.1.1)."

    def start(self, now: float) -> None:
        """Send the request and start the timers of the first state."""
        self._carrier.send(self.data, self.destination, again=False)
        self._tend_timers(now)

    @property
    def is_unanswered(self) -> bool:
        """Whether no response has come."""
        return self.state == self.INITIAL

    def restart(self, key: tuple[str, ...], destination: Address, now: float) -> None:
        """Send the request, under its new Via, another way."""
        self._carrier.timers.disarm_all(self)
        self._interval_s.clear()
        self.key, self.destination = key, destination
        self._reliable = destination.transport.is_reliable
        self.data = self.request.serialize()
        self.start(now)

    def release(self) -> None:
        """Tell nobody anything any more."""
        self.user = _NOBODY

    def receive(self, response: Response, now: float) -> None:
        """Take a response that matches."""
        if response.status < 200:
            self.feed(Input.R1XX, now, response)
        elif response.status < 300:
            self.feed(Input.R2XX, now, response)
        else:
            self.feed(Input.R300_699, now, response)

    def _tell(self, action: Action, now: float, message: Request | Response | None) -> None:
        match action:
            case Action.DELIVER if isinstance(message, Response):
                self.user.on_response(self, message, now)
            case Action.TIME_OUT:
                self.user.on_failure(self, Failure.TIMEOUT, now)
            case Action.FAIL:
                self.user.on_failure(self, Failure.TRANSPORT, now)
            case _:
                raise AssertionError(action)


class ServerTransaction(Transaction):
    """A request of a peer, and our responses to it."""

    identity: tuple[str, ...] | None = None
    "What makes its request the same one on another path (§8.2.2.2); None when that is not looked at."

    def respond(self, response: Response, now: float) -> None:
        """Send a response; one that the state has no room for is dropped."""
        event = Input.SEND_300_699
        if response.status < 200:
            event = Input.SEND_1XX
        elif response.status < 300:
            event = Input.SEND_2XX
        if (self.state, event) in self.TABLE:
            self.data = response.serialize()
        self.feed(event, now)
