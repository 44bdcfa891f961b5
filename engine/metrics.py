"""The engine's metrics, in Prometheus' form: one registry per process; no digits, no callers' numbers in labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = (
    "ACCESS_FAILURES",
    "ACCESS_VERDICTS",
    "BANS",
    "CALLS",
    "CALLS_ACTIVE",
    "CALLS_REFUSED",
    "CALL_JITTER_SECONDS",
    "CALL_MOS",
    "CONNECTOR_SECONDS",
    "DATAGRAMS_DROPPED",
    "DIGITS",
    "LATE_TICKS",
    "MEDIA_PACKETS",
    "PAYMENTS",
    "REGISTRY",
)

REGISTRY = CollectorRegistry()

CALLS = Counter("paytone_calls_total", "Calls answered, by cause of their end.", ["cause"], registry=REGISTRY)
CALLS_ACTIVE = Gauge("paytone_calls_active", "Calls that are up now.", registry=REGISTRY)
CALLS_REFUSED = Counter("paytone_calls_refused_total", "Calls refused, by SIP status.", ["status"], registry=REGISTRY)
PAYMENTS = Counter(
    "paytone_payments_total", "Payments ended, by form and result.", ["form", "result"], registry=REGISTRY
)
DIGITS = Counter("paytone_digits_total", "Keys heard, by source.", ["source"], registry=REGISTRY)
DATAGRAMS_DROPPED = Counter("paytone_sip_dropped_total", "SIP datagrams from sources not allowed.", registry=REGISTRY)
ACCESS_VERDICTS = Counter(
    "paytone_sip_access_total",
    "Requests of strangers, by the access rule that decided and its verdict.",
    ["rule", "verdict"],
    registry=REGISTRY,
)
ACCESS_FAILURES = Counter(
    "paytone_sip_access_failures_total", "What is held against sources, by kind.", ["kind"], registry=REGISTRY
)
BANS = Counter(
    "paytone_sip_bans_total", "Bans of sources, by whether their address was proven.", ["proof"], registry=REGISTRY
)
LATE_TICKS = Gauge("paytone_media_late_ticks", "Ticks of the media threads that came late.", registry=REGISTRY)
MEDIA_PACKETS = Counter(
    "paytone_media_packets_total",
    "RTP packets of calls that ended: received, lost (of those expected), late, discarded.",
    ["fate"],
    registry=REGISTRY,
)
CALL_MOS = Histogram(
    "paytone_call_mos",
    "Opinion score of what was heard in calls (ITU-T G.107).",
    registry=REGISTRY,
    buckets=(1.5, 2, 2.5, 3, 3.25, 3.5, 3.75, 4, 4.25, 4.5),
)
CALL_JITTER_SECONDS = Histogram(
    "paytone_call_jitter_seconds",
    "Interarrival jitter at the end of calls (RFC 3550 A.8).",
    registry=REGISTRY,
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2),
)
CONNECTOR_SECONDS = Histogram(
    "paytone_connector_seconds",
    "Time from the journal to the connector's answer.",
    ["connector"],
    registry=REGISTRY,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
