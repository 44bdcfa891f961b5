"""Ladders: the messages of a call as one block of the log, when the call is over.

The block of a call that was up comes with the answer to its BYE, that of a refused one with the refusal, both a moment
later, so that what is repeated and what is tried again with credentials stands in it. Exchanges without an INVITE
(OPTIONS, REGISTER) go to the debug level. What is kept is bounded in calls, in messages of each, and in time.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engine.trace.message import TracedMessage

__all__ = ("LINGER_S", "Ladder")

log = logging.getLogger("engine.trace")

LINGER_S = 2.0
"How long a call that is over is waited with."
IDLE_S = 3600.0
"After so long without a message a call's ladder is written as it is."
MAX_CALLS = 1000
MAX_MESSAGES = 80
"Of one call; of the others only the number is told."


@dataclass(slots=True)
class _Call:
    title: str
    began: float
    last: float
    lines: list[str] = field(default_factory=list)
    seen: set[tuple[bool, str]] = field(default_factory=set)
    more: int = 0
    is_call: bool = False
    is_up: bool = False


class Ladder:
    """Collects messages by Call-ID and logs each call once."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, _Call] = OrderedDict()  # the one that was quiet longest first
        self._over: OrderedDict[str, float] = OrderedDict()  # when to write it, the earliest first

    def write(self, message: TracedMessage) -> bool:
        """Take a message."""
        self.flush(message.now)
        call_id = message.call_id
        call = self._calls.get(call_id)
        if call is None:
            host, port = message.peer
            at = datetime.fromtimestamp(message.wall_s, UTC).isoformat(timespec="milliseconds")
            call = _Call(f"{call_id} with {host}:{port} over {message.transport} at {at}", message.now, message.now)
            self._calls[call_id] = call
            if len(self._calls) > MAX_CALLS:
                self._write(next(iter(self._calls)), "cut short: too many calls at once")
        self._calls.move_to_end(call_id)
        call.last = message.now
        self._add(call, message)
        self._judge(call, call_id, message)
        return True

    def next_flush(self) -> float | None:
        """Return when ``flush`` is due (monotonic seconds); None when no call is over."""
        return next(iter(self._over.values()), None)

    def flush(self, now: float) -> None:
        """Write the calls that are over, and those of which nothing was heard for an hour."""
        while self._over:
            call_id, due = next(iter(self._over.items()))
            if due > now:
                break
            self._write(call_id)
        while self._calls:
            call_id, call = next(iter(self._calls.items()))
            if call.last + IDLE_S > now:
                break
            self._write(call_id, "quiet for an hour")

    def close(self) -> None:
        """Write what is there."""
        for call_id in list(self._calls):
            self._write(call_id, "" if call_id in self._over else "the trace ends")

    def _add(self, call: _Call, message: TracedMessage) -> None:
        number, of = message.cseq
        what = f"{message.status} {message.reason} ({of} {number})" if message.status else f"{message.method} {number}"
        again = (message.sent, what) in call.seen
        if len(call.lines) >= MAX_MESSAGES:
            call.more += 1
            return
        call.seen.add((message.sent, what))
        arrow = "→" if message.sent else "←"
        # Of an INFO not: an octet more or less tells * and # from a digit.
        tells_size = message.has_body and message.method != "INFO"
        body = f" +{len(message.data)} octets" if tells_size else ""
        call.lines.append(
            f"{(message.now - call.began) * 1000:8.0f} ms  {arrow} {what}{body}{' (again)' if again else ''}"
        )

    def _judge(self, call: _Call, call_id: str, message: TracedMessage) -> None:
        """Tell whether the call is over with this message."""
        method = message.cseq[1]
        if message.method == "INVITE":
            call.is_call = True
            self._over.pop(call_id, None)
        elif message.status >= 200 and method == "INVITE":
            if message.status < 300:
                call.is_up = True
            elif not call.is_up:
                self._over[call_id] = message.now + LINGER_S
        elif message.status >= 200 and (method == "BYE" or not call.is_call):
            call.is_up = False
            self._over[call_id] = message.now + LINGER_S
        elif call_id in self._over:
            self._over[call_id] = message.now + LINGER_S  # what is still said gets in
        if call_id in self._over:
            self._over.move_to_end(call_id)

    def _write(self, call_id: str, why: str = "") -> None:
        call = self._calls.pop(call_id)
        self._over.pop(call_id, None)
        lines = [call.title, *call.lines]
        if call.more:
            lines.append(f"{call.more} more messages")
        if why:
            lines.append(why)
        log.log(logging.INFO if call.is_call else logging.DEBUG, "sip ladder %s", "\n".join(lines))
