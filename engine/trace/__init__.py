"""Tracing of SIP: what was said, as ladders in the log, as packets to a HOMER server, as a capture file; redacted."""

from engine.trace.sink import SipTrace, TracedMessage

__all__ = ("SipTrace", "TracedMessage")
