"""Payload types in a media section: which numbers mean the codecs, events and comfort noise that we know.

RFC 3551 (static numbers), RFC 4733 (telephone-event), RFC 3389 (comfort noise), RFC 2198 (redundancy), RFC 7587 (opus).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sip.errors import LocalProtocolError
from sip.sdp import MediaDescription, RtpMap

__all__ = (
    "CLOCK_HZ",
    "CODECS",
    "PayloadTypes",
    "clock_hz_of",
    "codecs_of",
    "event_of",
    "events_of",
    "extras_of",
    "format_attributes",
)

# Name to (static payload type, mapping). RFC 3551 §6, table 4: G722 has an RTP clock of 8000 although it samples at
# 16,000 (§4.5.2). RFC 7587 §4.1: opus is always 48000/2, whatever it carries.
_CODECS: Mapping[str, tuple[int | None, RtpMap]] = MappingProxyType(
    {
        "PCMU": (0, RtpMap(encoding="PCMU", rate_hz=8000)),
        "PCMA": (8, RtpMap(encoding="PCMA", rate_hz=8000)),
        "G722": (9, RtpMap(encoding="G722", rate_hz=8000)),
        "L16": (None, RtpMap(encoding="L16", rate_hz=8000)),
        "opus": (None, RtpMap(encoding="opus", rate_hz=48000, channels=2)),
    }
)
CODECS = tuple(_CODECS)
"Codecs that can be negotiated, by their names in the media engine."
_BY_MAPPING = {(of.encoding.upper(), of.rate_hz, of.channels): name for name, (_, of) in _CODECS.items()}
_BY_STATIC_PT = {pt: name for name, (pt, _) in _CODECS.items() if pt is not None}
CLOCK_HZ = 8000

_CN, _CN_PT = "CN", 13  # RFC 3389 §4
_RED = "RED"
_EVENT = "telephone-event"
_EVENT_FMTP = "0-15"  # RFC 4733 §3.2: the sixteen digits; 16 is flash, which nobody pays with
_DYNAMIC_PTS: tuple[int, ...] = (*range(96, 128), *range(35, 64))  # RFC 3551 §3; below 64 only when those are used up


def clock_hz_of(codec: str) -> int:
    """Return the codec's RTP clock rate."""
    return _CODECS[codec][1].rate_hz


def codecs_of(media: MediaDescription, wanted: tuple[str, ...]) -> list[tuple[int, str]]:
    """Return (payload type, codec) for each format that is one of ``wanted``, in the section's order."""
    found: list[tuple[int, str]] = []
    for pt in payload_types_of(media):
        mapping = media.rtpmap(pt)
        if mapping is None:
            codec = _BY_STATIC_PT.get(pt)
        else:  # RFC 4855 §3: names are compared in any case
            codec = _BY_MAPPING.get((mapping.encoding.upper(), mapping.rate_hz, mapping.channels))
        if codec in wanted and codec is not None:
            found.append((pt, codec))
    return found


def events_of(media: MediaDescription) -> list[tuple[int, int]]:
    """Return (payload type, clock) for each telephone-event of the section, in its order."""
    found: list[tuple[int, int]] = []
    for pt in payload_types_of(media):
        mapping = media.rtpmap(pt)
        if mapping is not None and mapping.encoding.lower() == _EVENT:
            found.append((pt, mapping.rate_hz))
    return found


def event_of(media: MediaDescription, clock_hz: int) -> tuple[int | None, int]:
    """Return payload type and clock of telephone-event at the codec's clock.

    RFC 4733 §2.1 wants the clock of the audio in the same session. Offers with wideband codecs list one event type
    for each clock; taking the wrong one scrambles durations, so another clock is no match. The exception is opus,
    beside which many peers have 8000 only.
    """
    events = {rate_hz: pt for pt, rate_hz in reversed(events_of(media))}
    for rate_hz in (clock_hz, CLOCK_HZ):
        if rate_hz in events:
            return events[rate_hz], rate_hz
    return None, clock_hz


def _comfort_noise_of(media: MediaDescription) -> int | None:
    for pt in payload_types_of(media):
        mapping = media.rtpmap(pt)
        if pt == _CN_PT if mapping is None else (mapping.encoding.upper(), mapping.rate_hz) == (_CN, CLOCK_HZ):
            return pt
    return None


def _redundancy_of(media: MediaDescription, event_pt: int | None) -> int | None:
    """Return the payload type of redundant telephone-events (RFC 4733 §5, RFC 2198 §5), None when there is none.

    Redundant audio, or both in one, is not taken: a peer that sent its audio so would not be heard.
    """
    for pt in payload_types_of(media):
        mapping = media.rtpmap(pt)
        if mapping is None or (mapping.encoding.upper(), mapping.rate_hz) != (_RED, CLOCK_HZ) or event_pt is None:
            continue
        carried = (media.fmtp(pt) or "").split("/")
        if len(carried) > 1 and all(number.strip() == str(event_pt) for number in carried):
            return pt
    return None


def extras_of(
    media: MediaDescription, event_pt: int | None, *, comfort_noise: bool, redundancy: bool
) -> tuple[tuple[int, str], ...]:
    """Return (payload type, CN or RED) for what the section has of them beside its codecs."""
    found = []
    if comfort_noise and (pt := _comfort_noise_of(media)) is not None:
        found.append((pt, _CN))
    if redundancy and (pt := _redundancy_of(media, event_pt)) is not None:
        found.append((pt, _RED))
    return tuple(found)


def payload_types_of(media: MediaDescription) -> list[int]:
    # isascii: isdigit alone takes the digits of other scripts.
    numbers = (int(text) for text in media.formats if text.isascii() and text.isdigit() and len(text) <= 3)
    return list(dict.fromkeys(number for number in numbers if number < 128))


def format_attributes(
    codecs: tuple[tuple[int, str], ...], events: tuple[tuple[int, int], ...]
) -> list[tuple[str, str | None]]:
    """Return ``rtpmap`` and ``fmtp`` of (payload type, codec, CN or RED) and (payload type, clock) of events."""
    attributes: list[tuple[str, str | None]] = []
    for pt, codec in codecs:  # static numbers are mapped too: RFC 3264 §5.1 recommends it
        if codec == _RED:
            attributes.append(("rtpmap", f"{pt} red/{CLOCK_HZ}"))
            attributes.append(("fmtp", f"{pt} {events[0][0]}/{events[0][0]}"))
            continue
        mapping = RtpMap(encoding=_CN, rate_hz=CLOCK_HZ) if codec == _CN else _CODECS[codec][1]
        channels = f"/{mapping.channels}" if mapping.channels > 1 else ""
        attributes.append(("rtpmap", f"{pt} {mapping.encoding}/{mapping.rate_hz}{channels}"))
    for pt, rate_hz in events:
        attributes.append(("rtpmap", f"{pt} {_EVENT}/{rate_hz}"))
        attributes.append(("fmtp", f"{pt} {_EVENT_FMTP}"))
    return attributes


class PayloadTypes:
    """Numbers for an offer: what our last description gave them (§8.3.2), their own, or the first free one."""

    def __init__(self, old: MediaDescription | None) -> None:
        self._old = old
        self._known = {} if old is None else {name: pt for pt, name in codecs_of(old, CODECS)}
        # A number that meant anything before is not given another meaning.
        self._used: set[int] = set() if old is None else set(payload_types_of(old))

    def of_codec(self, codec: str) -> int | None:
        """Return the codec's number; None when a peer has its static one for something else."""
        if codec in self._known:
            return self._known[codec]
        static_pt, _ = _CODECS[codec]
        return self._free() if static_pt is None else self._take(static_pt)

    def of_comfort_noise(self) -> int | None:
        """Return the number of comfort noise; None when it means something else here."""
        if self._old is not None and (pt := _comfort_noise_of(self._old)) is not None:
            return pt
        return self._take(_CN_PT)

    def of_event(self, rate_hz: int, wanted: int) -> int:
        """Return the number of telephone-event at that clock."""
        if self._old is not None:
            for pt, at_hz in events_of(self._old):
                if at_hz == rate_hz:
                    return pt
        taken = self._take(wanted)
        return self._free() if taken is None else taken

    def _take(self, pt: int) -> int | None:
        if pt in self._used:
            return None
        self._used.add(pt)
        return pt

    def _free(self) -> int:
        for pt in _DYNAMIC_PTS:
            if pt not in self._used:
                self._used.add(pt)
                return pt
        raise LocalProtocolError("no payload type is free")
