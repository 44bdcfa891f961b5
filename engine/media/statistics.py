"""Figures of the media plane, as snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ("DROP_CAUSES", "LegStatistics", "PlaneStatistics")

DROP_CAUSES = (
    "malformed",
    "stun",
    "rtcp-malformed",
    "payload-type",
    "source",
    "ssrc",
    "sequence",
    "timestamp-jump",
    "overflow",
    "not-receiving",
    "not-configured",
    "event",
    "own-ssrc",
    "payload",
    "srtp-authentication",
    "srtp-replay",
)
"""Why a packet was dropped, in the order of the kernel's counters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneStatistics:
    """Sums over the plane's threads."""

    ticks: int
    "Phases of 5 ms that began."
    late_ticks: int
    "... of them more than 5 ms after their time."
    skipped_ticks: int
    "Cycles of 20 ms given up after a stall of more than 200 ms."
    max_late_us: int
    legs: int
    events_lost: int
    "Events that found the ring to Python full: 0 unless Python stood still."
    commands_lost: int
    packets_in: int
    "Of the legs open now and of those closed."
    packets_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LegStatistics:
    """One leg's figures since it was opened."""

    packets_in: int
    octets_in: int
    packets_out: int
    octets_out: int
    send_failed: int
    lost: int
    "RFC 3550 A.3; negative when packets came twice."
    late: int
    "Packets that came after their playout."
    duplicate: int
    jitter_ms: float
    "RFC 3550 A.8."
    delay_ms: float
    "What waits in the jitter buffer."
    missing_samples: int
    "Samples that were to be played and had not come."
    underruns: int
    resyncs: int
    "Times the peer's timestamps began anew."
    ssrc_changes: int
    ssrc_collisions: int
    "Times the peer had our SSRC, and we took another (RFC 3550 §8.2)."
    relatched: int
    "Times the leg took another source address for its peer."
    icmp_errors: int
    "ICMP messages about packets that we sent."
    event_packets_in: int
    keys_by_event: int
    rtcp_in: int
    rtcp_out: int
    tap_lost: int
    "Frames of 20 ms that `read_received` was too late for."
    peer_fraction_lost: float
    "What the peer reported of our stream, 0 to 1."
    peer_lost: int
    peer_jitter_ms: float
    peer_bye: bool
    loss_share: float
    "Packets lost or too late, by those expected: 0 to 1."
    burst_ratio: float
    "ITU-T G.107 §7.4: 1 for random loss, more where losses come together."
    round_trip_ms: float | None
    "By the peer's last report (RFC 3550 §6.4.1); None while it has told nothing."
    r_factor: float
    "ITU-T G.107, 0 to 100: how what we hear sounds, with our part of the delay and half the round trip."
    mos: float
    "Its mean opinion score, 1 to 4.5 (G.107 Annex B)."
    discarded_by_cause: Mapping[str, int]
    "Packets dropped, by `DROP_CAUSES`; causes that did not arise are left out."
