"""``SipTrace``: takes the records of an endpoint, takes the secrets out, and hands each message to the sinks.

No sink ever sees a message that ``redact_sip`` has not been over. A sink that fails is closed and the trace goes on
without it: a full disk or a lost capture server is no reason to lose a call. While nothing is traced the endpoint has
no trace at all, and nothing is paid.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from engine.config import TraceConfig, secret_from_environment, split_address
from engine.errors import ConfigError
from engine.log import fields
from engine.metrics import TRACE_DROPPED
from engine.redact import redact_sip
from engine.trace.hep import HepSender
from engine.trace.ladder import Ladder
from engine.trace.message import Sink, TracedMessage
from engine.trace.pcap import PcapWriter
from sip.address import Listener, choose_listener
from sip.agent import Trace, TraceRecord

__all__ = ("SipTrace", "TracedMessage")

log = logging.getLogger("engine.trace")

OCTETS_PER_MB = 1_000_000


class SipTrace:
    """The trace of one endpoint.

    ``attach`` is the endpoint's ``set_trace``. ``wall`` returns seconds since 1970. ``call_later`` is the loop's: it
    writes the ladders of calls that are over when no further message comes.
    """

    def __init__(
        self,
        attach: Callable[[Trace | None], None],
        listeners: tuple[Listener, ...],
        *,
        wall: Callable[[], float],
        now: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._attach = attach
        self._listeners = listeners
        self._wall = wall
        self._now = now
        self._call_later = call_later
        self._sinks: dict[str, Sink] = {}
        self._flush_waits = False

    @property
    def running(self) -> tuple[str, ...]:
        """The sinks that are open: of ``ladder``, ``hep``, ``pcap``."""
        return tuple(self._sinks)

    def start(self, config: TraceConfig) -> None:
        """Open what ``config`` asks for and is not open yet; raise ``ConfigError`` when it cannot be."""
        if config.ladder and "ladder" not in self._sinks:
            self._sinks["ladder"] = Ladder()
        if config.hep and "hep" not in self._sinks:
            key = ""
            if config.hep_password_env:
                key = secret_from_environment(config.hep_password_env, "trace.hep_password_env")
            try:
                self._sinks["hep"] = HepSender(split_address(config.hep), agent=config.hep_id, key=key)
            except OSError as error:
                raise ConfigError(
                    f"cannot send to {config.hep}: {error.strerror}", where="trace.hep", remedy="check the address"
                ) from None
        if config.pcap and "pcap" not in self._sinks:
            try:
                self._sinks["pcap"] = PcapWriter(Path(config.pcap), max_octets=config.pcap_max_mb * OCTETS_PER_MB)
            except OSError as error:
                raise ConfigError(
                    f"cannot write {config.pcap}: {error.strerror}",
                    where="trace.pcap",
                    remedy="give a file in a directory that the engine may write to",
                ) from None
        if self._sinks:
            self._attach(self.record)

    def stop(self) -> None:
        """Close every sink, and write what they hold; safe to call twice."""
        self._attach(None)
        while self._sinks:
            self._sinks.popitem()[1].close()

    def record(self, record: TraceRecord) -> None:
        """Take a record of the endpoint; never raises for what a peer sent or for a sink that fails."""
        if not record.data:
            return  # what was no message: a keep-alive, or nothing that could be read
        message = self._message(record)
        for name, sink in list(self._sinks.items()):
            try:
                taken = sink.write(message)
            except OSError as error:
                log.warning("a trace ends", extra=fields(sink=name, error=error.strerror or str(error)))
                self._drop(name)
                taken = False
            if not taken:
                TRACE_DROPPED.labels(sink=name).inc()
        self._arm()

    def _message(self, record: TraceRecord) -> TracedMessage:
        listener = choose_listener(self._listeners, record.peer)
        return TracedMessage(
            now=record.now,
            wall_s=self._wall(),
            sent=record.sent,
            transport=record.peer.transport,
            local=(listener.host, listener.port),
            peer=(record.peer.host, record.peer.port),
            flow=record.peer.flow,
            data=redact_sip(record.data),
        )

    def _drop(self, name: str) -> None:
        self._sinks.pop(name).close()
        if not self._sinks:
            self._attach(None)

    def _arm(self) -> None:
        ladder = self._sinks.get("ladder")
        if self._flush_waits or not isinstance(ladder, Ladder) or (due := ladder.next_flush()) is None:
            return
        self._flush_waits = True
        self._call_later(max(0.0, due - self._now()), self._flush)

    def _flush(self) -> None:
        self._flush_waits = False
        if isinstance(ladder := self._sinks.get("ladder"), Ladder):
            ladder.flush(self._now())
            self._arm()
