"""What the record and the metrics say of a call's media."""

from __future__ import annotations

from engine.ledger import CallMedia
from engine.media import LegStatistics
from engine.metrics import CALL_JITTER_SECONDS, CALL_MOS, MEDIA_PACKETS
from sip.offer_answer import MediaParameters

__all__ = ("media_record",)


def media_record(statistics: LegStatistics, agreed: MediaParameters | None) -> CallMedia:
    """Say what the media was like, to the metrics and for the record."""
    discarded = sum(statistics.discarded_by_cause.values())
    for fate, n in (
        ("received", statistics.packets_in),
        ("lost", statistics.lost),
        ("late", statistics.late),
        ("discarded", discarded),
    ):
        MEDIA_PACKETS.labels(fate=fate).inc(max(0, n))
    if statistics.packets_in:
        CALL_MOS.observe(statistics.mos)
        CALL_JITTER_SECONDS.observe(statistics.jitter_ms / 1000)
    return CallMedia(
        codec=agreed.codec if agreed is not None else "",
        srtp=agreed.srtp.suite if agreed is not None and agreed.srtp is not None else "",
        packets_in=statistics.packets_in,
        packets_lost=statistics.lost,
        packets_late=statistics.late,
        packets_discarded=discarded,
        jitter_ms=statistics.jitter_ms,
        round_trip_ms=statistics.round_trip_ms,
        mos=statistics.mos,
    )
