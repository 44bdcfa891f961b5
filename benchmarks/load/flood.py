"""Calls at a steady rate: ``python -m benchmarks.load.flood HOST PORT RATE CALLS HOLD_S [PREFIX]``, JSON on stdout.

One UDP socket and one loop. The calls come when they are due, whether the engine keeps up or not (an open loop), and
requests without an answer are repeated as RFC 3261 §17.1 says, for ``GIVE_UP_S`` at most. It shares no code with the
engine's SIP stack. Its media is one socket that nobody reads: the engine's prompts go there.
"""

from __future__ import annotations

import gc
import heapq
import json
import select
import socket
import sys
import time
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import Any

from benchmarks.load import signals

__all__ = ("Flood", "percentile")

T1_S = 0.5
T2_S = 4.0
GIVE_UP_S = 8.0
"Of a call's INVITE or BYE: less than 64*T1, so that a run at an engine that collapsed ends."
END_S = 20.0
"After the last call is due."
BUFFER = 4 << 20
BURST = 64
"Datagrams taken, and calls begun, before the other is looked at."


def percentile(values: list[float] | array[float], share: float) -> float:
    """Return the value below which ``share`` of ``values`` lie; NaN without values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class _Call:
    number: int
    began: float
    data: bytes
    "The request that waits for its answer."
    wait_s: float = T1_S
    answered: bool = False
    to_tag: str = ""


class Flood:
    """One run of calls at one engine."""

    def __init__(self, address: tuple[str, int], *, user: str, rate: float, calls: int, hold_s: float, prefix: str):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._socket.bind((address[0], 0))
        self._socket.connect(address)
        self._media = socket.socket(family, socket.SOCK_DGRAM)
        self._media.bind((address[0], 0))
        self._text: dict[str, Any] = {
            "target": f"sip:{user}@{address[0]}:{address[1]}",
            "host": address[0],
            "port": self._socket.getsockname()[1],
            "prefix": prefix,
        }
        self._rtp_port: int = self._media.getsockname()[1]
        self._rate, self._n_calls, self._hold_s, self._prefix = rate, calls, hold_s, prefix
        self._calls: dict[int, _Call] = {}
        self._due: list[tuple[float, int, bytes]] = []
        "When a call is looked at again, and the request that waited then; an empty one: time to hang up."
        self.statuses: Counter[str] = Counter()
        self.latencies_s = array("d")
        self.completed = 0
        self.failed = 0
        self.repeated = 0
        self.late_s = 0.0
        self._delayed: set[int] = set()

    def close(self) -> None:
        """Give the sockets back."""
        self._socket.close()
        self._media.close()

    def run(self) -> dict[str, Any]:
        """Place all calls, wait for their ends, and return the figures."""
        begin = time.monotonic()
        next_number = 0
        last_at = begin + self._n_calls / self._rate
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        while True:
            now = time.monotonic()
            for _ in range(BURST):
                due = begin + next_number / self._rate
                if next_number >= self._n_calls or due > now:
                    break
                self.late_s = max(self.late_s, now - due)
                self._begin(next_number, now)
                next_number += 1
            self._timers(now)
            if (next_number >= self._n_calls and not self._calls) or now > last_at + END_S:
                break
            wake = min(begin + next_number / self._rate, self._due[0][0] if self._due else now + 1)
            if poller.poll(max(0.0, min(wake - now, 0.1)) * 1000):
                self._receive()
        self.failed += len(self._calls)
        return {
            "rate": self._rate,
            "calls": self._n_calls,
            "placed": next_number,
            "completed": self.completed,
            "failed": self.failed,
            "refused": dict(sorted(self.statuses.items())),
            "delayed": len(self._delayed),
            "repeated": self.repeated,
            "seconds": time.monotonic() - begin,
            "generator_late_ms": self.late_s * 1000,
            "generator_cpu_s": time.process_time(),
            "p50_ms": percentile(self.latencies_s, 0.5) * 1000,
            "p95_ms": percentile(self.latencies_s, 0.95) * 1000,
            "p99_ms": percentile(self.latencies_s, 0.99) * 1000,
            "max_ms": percentile(self.latencies_s, 1.0) * 1000,
        }

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except (BlockingIOError, ConnectionRefusedError):
            pass  # lost, as datagrams are; it is repeated

    def _ask(self, call: _Call, data: bytes, now: float) -> None:
        call.data, call.wait_s = data, T1_S
        heapq.heappush(self._due, (now + T1_S, call.number, data))
        self._send(data)

    def _begin(self, number: int, now: float) -> None:
        call = self._calls[number] = _Call(number, now, b"")
        self._ask(call, signals.invite(number, rtp_port=self._rtp_port, **self._text), now)

    def _timers(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, number, data = heapq.heappop(self._due)
            call = self._calls.get(number)
            if call is None or call.data is not data:
                continue
            if not data:
                call.began = now
                self._ask(call, signals.bye(number, call.to_tag, **self._text), now)
            elif now - call.began > GIVE_UP_S:
                self.failed += 1
                del self._calls[number]
            else:
                self.repeated += 1
                self._delayed.add(number)
                call.wait_s = min(2 * call.wait_s, T2_S)
                heapq.heappush(self._due, (now + call.wait_s, number, data))
                self._send(data)

    def _receive(self) -> None:
        for _ in range(BURST):
            try:
                data = self._socket.recv(65535)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self._take(data, time.monotonic())

    def _take(self, data: bytes, now: float) -> None:
        if data[:8] != b"SIP/2.0 ":
            return  # a BYE of the engine's: the call's own BYE will get 481
        status = data[8:11]
        if status[:1] == b"1":
            return
        start = data.find(b"\r\nCall-ID:") + 10
        text = data[start : data.find(b"@", start)].strip().decode("latin-1")
        number = int(text.removeprefix(f"{self._prefix}-"))
        call = self._calls.get(number)
        if b" INVITE\r\n" in data:
            self._on_invite_answer(call, number, data, status, now)
        elif b" BYE\r\n" in data and call is not None and call.answered:
            if status == b"200":
                self.completed += 1
            else:
                self.failed += 1
            del self._calls[number]

    def _on_invite_answer(self, call: _Call | None, number: int, data: bytes, status: bytes, now: float) -> None:
        to_tag = signals.to_tag_of(data)
        if status[:1] == b"2":
            self._send(signals.ack(number, to_tag, **self._text))
            if call is None or call.answered:
                return  # the 200 again
            self.latencies_s.append(now - call.began)
            call.answered, call.to_tag, call.data = True, to_tag, b""
            heapq.heappush(self._due, (now + self._hold_s, number, call.data))
            return
        self._send(signals.ack_refusal(number, to_tag, **self._text))
        if call is not None and not call.answered:
            self.statuses[status.decode()] += 1
            del self._calls[number]


def main(arguments: list[str]) -> int:
    """Run as the arguments say."""
    host, port, rate, calls, hold_s, *rest = arguments
    prefix = rest[0] if rest else "load"
    flood = Flood(
        (host, int(port)), user="save", rate=float(rate), calls=int(calls), hold_s=float(hold_s), prefix=prefix
    )
    gc.disable()  # a collection would look like the engine's delay
    try:
        print(json.dumps(flood.run()))
    finally:
        flood.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
