"""The engine's metrics, in Prometheus' form: one registry per process; no digits, no callers' numbers in labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = (
    "ACCESS_FAILURES",
    "ACCESS_VERDICTS",
    "ATTEMPTS_RECONCILED",
    "ATTEMPTS_UNKNOWN",
    "BANS",
    "CALLS",
    "CALLS_ACTIVE",
    "CALLS_PLACED",
    "CALLS_REFUSED",
    "CALL_JITTER_SECONDS",
    "CALL_MOS",
    "CONNECTOR_SECONDS",
    "DATAGRAMS_DROPPED",
    "DATAGRAMS_UNSENT",
    "DIGITS",
    "HTTP_CONNECTIONS",
    "HTTP_IN_FLIGHT",
    "HTTP_REQUESTS",
    "HTTP_SECONDS",
    "LATE_TICKS",
    "MEDIA_LEGS",
    "MEDIA_PACKETS",
    "PAYMENTS",
    "REGISTERED",
    "REGISTRATION_ATTEMPTS",
    "REGISTRATION_FAILURES",
    "REGISTRY",
    "RELAY_CALLS",
    "RELAY_CLIENTS",
    "RELAY_EVENTS",
    "RELAY_FRAMES",
    "RELAY_REFUSED",
    "SIP_OPEN",
    "TRACE_DROPPED",
)

REGISTRY = CollectorRegistry()

CALLS = Counter("paytone_calls_total", "Calls answered, by cause of their end.", ["cause"], registry=REGISTRY)
CALLS_ACTIVE = Gauge("paytone_calls_active", "Calls that are up now.", registry=REGISTRY)
CALLS_PLACED = Counter(
    "paytone_calls_placed_total",
    "Calls out, by what became of them: answered, busy ...",
    ["outcome"],
    registry=REGISTRY,
)
CALLS_REFUSED = Counter("paytone_calls_refused_total", "Calls refused, by SIP status.", ["status"], registry=REGISTRY)
PAYMENTS = Counter(
    "paytone_payments_total", "Payments ended, by form and result.", ["form", "result"], registry=REGISTRY
)
ATTEMPTS_UNKNOWN = Gauge(
    "paytone_attempts_unknown", "Attempts of which nobody knows yet whether they charged.", registry=REGISTRY
)
ATTEMPTS_RECONCILED = Counter(
    "paytone_attempts_reconciled_total",
    "Attempts of which it was found out afterwards what became of them, by outcome.",
    ["outcome"],
    registry=REGISTRY,
)
DIGITS = Counter("paytone_digits_total", "Keys heard, by source.", ["source"], registry=REGISTRY)
DATAGRAMS_UNSENT = Counter(
    "paytone_sip_datagrams_unsent_total",
    "SIP datagrams that the kernel's send buffer had no room for.",
    registry=REGISTRY,
)
DATAGRAMS_DROPPED = Counter("paytone_sip_dropped_total", "SIP datagrams from sources not allowed.", registry=REGISTRY)
SIP_OPEN = Gauge(
    "paytone_sip_open",
    "What SIP holds now: sessions, dialogs, transactions, timers.",
    ["what"],
    registry=REGISTRY,
)
TRACE_DROPPED = Counter(
    "paytone_trace_dropped_total", "SIP messages that a trace could not take.", ["sink"], registry=REGISTRY
)
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
MEDIA_LEGS = Gauge("paytone_media_legs", "RTP legs that are open now.", registry=REGISTRY)
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
REGISTERED = Gauge(
    "paytone_registered", "Whether an account is registered at its registrar: 1 or 0.", ["account"], registry=REGISTRY
)
REGISTRATION_ATTEMPTS = Counter(
    "paytone_registration_attempts_total",
    "Attempts to register an account; refreshes of a registration that stands are not counted.",
    ["account"],
    registry=REGISTRY,
)
REGISTRATION_FAILURES = Counter(
    "paytone_registration_failures_total",
    "Registrations that failed or were lost, by SIP status; none: no answer.",
    ["account", "status"],
    registry=REGISTRY,
)
HTTP_REQUESTS = Counter(
    "paytone_http_requests_total",
    "Requests to the HTTP interface, by route, method and status.",
    ["route", "method", "status"],
    registry=REGISTRY,
)
HTTP_SECONDS = Histogram(
    "paytone_http_seconds",
    "Time from a request's header to its answer, by route.",
    ["route"],
    registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
HTTP_IN_FLIGHT = Gauge("paytone_http_in_flight", "Requests that are being answered now.", registry=REGISTRY)
HTTP_CONNECTIONS = Gauge("paytone_http_connections", "Connections to the HTTP interface.", registry=REGISTRY)
RELAY_CLIENTS = Gauge("paytone_relay_clients", "RELAY clients connected.", registry=REGISTRY)
RELAY_CALLS = Gauge("paytone_relay_calls", "Calls that RELAY clients have.", registry=REGISTRY)
RELAY_FRAMES = Counter("paytone_relay_frames_total", "Frames of RELAY, by direction.", ["direction"], registry=REGISTRY)
RELAY_EVENTS = Counter("paytone_relay_events_total", "Events told to RELAY clients.", registry=REGISTRY)
RELAY_REFUSED = Counter("paytone_relay_refused_total", "RELAY connections refused, by why.", ["why"], registry=REGISTRY)
