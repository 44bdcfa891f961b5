"""Offer and answer (RFC 3264) for one audio stream, with the payload types of RFC 3551 and RFC 4733.

One audio stream is taken, the first that fits; every other m= line is answered with port 0 in its place. The answer
holds one codec, the first of the offer that we have, so that the far end never changes it under a running call, and
``telephone-event`` under the offerer's own payload type.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sip.errors import LocalProtocolError, NoCommonMedia, RemoteProtocolError
from sip.sdp import DIRECTIONS, Connection, MediaDescription, Origin, SessionDescription

__all__ = ("LocalCapabilities", "MediaParameters", "accept_answer", "answer", "make_offer")

# RFC 3551 §6, table 4. G722 has an RTP clock of 8000 although it samples at 16,000 (§4.5.2).
_STATIC_PTS: Mapping[str, int] = MappingProxyType({"PCMU": 0, "PCMA": 8, "G722": 9})
_STATIC_CODECS = {pt: codec for codec, pt in _STATIC_PTS.items()}
_CLOCK_HZ = 8000

_EVENT = "telephone-event"
_EVENT_FMTP = "0-15"  # RFC 4733 §3.2: the sixteen digits; 16 is flash, which nobody pays with
_DYNAMIC_PTS = range(96, 128)

# Without SRTP here. AVPF only adds feedback messages that nobody has to send (RFC 4585 §3.1).
_PROTOCOLS = frozenset({"RTP/AVP", "RTP/AVPF"})

_MIN_PTIME_MS, _MAX_PTIME_MS, _PTIME_STEP_MS = 10, 60, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCapabilities:
    """What we can do on one leg, and where."""

    address: str
    "IP literal that the far end sends RTP to."
    rtp_port: int
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    "Codecs we have, most wanted first (the order counts in our own offers)."
    event_pt: int = 101
    "Payload type of telephone-event in our own offers."
    ptime_ms: int = 20
    "Milliseconds per packet that we want to receive."
    direction: str = "sendrecv"
    rtcp_mux: bool = False
    "Whether RTCP can be had on the RTP port; used when the far end wants it too."
    session_id: int
    session_version: int

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS or not all(codec in _STATIC_PTS for codec in self.codecs):
            raise LocalProtocolError("unknown direction or codec")

    def bumped(self) -> LocalCapabilities:
        """Return the same with the next version for ``o=``: every new description of a session has it (§8)."""
        return replace(self, session_version=self.session_version + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaParameters:
    """What was agreed: all that the media leg must know."""

    remote_address: str
    remote_rtp_port: int
    remote_rtcp_port: int
    "0 when the far end has none; equal to the RTP port with rtcp-mux."
    rtcp_mux: bool = False
    codec: str
    "The codec we send."
    send_pt: int
    receive_pts: Mapping[int, str]
    "Payload type to codec, for everything we have to be able to receive."
    event_send_pt: int | None
    event_receive_pt: int | None
    "Payload types of telephone-event; None when it was not agreed (then digits come in-band or by INFO)."
    event_rate_hz: int = _CLOCK_HZ
    ptime_ms: int = 20
    "Milliseconds per packet that we send: what the far end wants, 10 to 60 in tens."
    maxptime_ms: int | None = None
    direction: str = "sendrecv"
    "Ours: ``sendonly`` means that we send and the far end does not."
    held: bool = False
    "The far end does not want our media: sendonly, inactive, or 0.0.0.0 as before RFC 3264."


def answer(offer: SessionDescription, local: LocalCapabilities) -> tuple[SessionDescription, MediaParameters]:
    """Answer an offer, first or later. Raises NoCommonMedia (488) when no audio stream of it can be taken."""
    index = _choose_stream(offer, local)
    media = offer.media[index]
    codecs = _codecs_of(media, local.codecs)
    pt, codec = codecs[0]
    event_pt = _event_pt_of(media)
    parameters = _parameters(offer, media, local_direction=local.direction)
    parameters = replace(
        parameters,
        rtcp_mux=local.rtcp_mux and media.rtcp_mux,
        remote_rtcp_port=media.port if local.rtcp_mux and media.rtcp_mux else media.rtcp_port,
        codec=codec,
        send_pt=pt,
        # Only the first is answered; a peer that sends another of its own offer is understood all the same.
        receive_pts=MappingProxyType(dict(codecs)),
        event_send_pt=event_pt,
        event_receive_pt=event_pt,
        ptime_ms=_ptime_ms(media, local.ptime_ms),
    )
    accepted = _audio(
        local,
        ((pt, codec),),
        event_pt,
        direction=parameters.direction,
        protocol=media.protocol,
        rtcp_mux=parameters.rtcp_mux,
    )
    sections = tuple(accepted if slot == index else _refused(other) for slot, other in enumerate(offer.media))
    # §6: the answer's t= equals the offer's.
    return _description(local, sections, times=offer.times), parameters


def make_offer(local: LocalCapabilities, previous: SessionDescription | None = None) -> SessionDescription:
    """Make an offer: the first one, a late one, or with ``previous`` (the last description we sent) a new one.

    A new offer keeps the m= lines in number and order and every payload type's meaning (§8, §8.3.2).
    """
    slot, old = _our_audio(previous) if previous is not None else (0, None)
    known = {codec: pt for pt, codec in _codecs_of(old, local.codecs)} if old is not None else {}
    event_pt = None if old is None else _event_pt_of(old)
    used = {*known.values(), event_pt}
    codecs = []
    for codec in local.codecs:
        pt = known.get(codec, _STATIC_PTS[codec])
        if codec not in known and pt in used:
            continue  # a peer that had another codec on our static number keeps it
        used.add(pt)
        codecs.append((pt, codec))
    if event_pt is None:
        event_pt = next(pt for pt in (local.event_pt, *_DYNAMIC_PTS) if pt not in used)
    protocol = "RTP/AVP" if old is None else old.protocol
    audio = _audio(
        local, tuple(codecs), event_pt, direction=local.direction, protocol=protocol, rtcp_mux=local.rtcp_mux
    )
    if previous is None:
        return _description(local, (audio,))
    sections = tuple(audio if index == slot else _refused(other) for index, other in enumerate(previous.media))
    return _description(local, sections, times=previous.times)


def accept_answer(offer_sent: SessionDescription, answer: SessionDescription) -> MediaParameters:
    """Read the answer to our offer.

    Raises NoCommonMedia when our stream was refused or nothing usable came back, RemoteProtocolError when it is no
    answer to that offer (§6: as many m= lines, in the same order).
    """
    slot, ours = _our_audio(offer_sent)
    if ours is None:
        raise LocalProtocolError("the offer has no audio stream")
    if len(answer.media) != len(offer_sent.media):
        raise RemoteProtocolError("the answer has another number of m= lines", status_hint=488)
    theirs = answer.media[slot]
    if theirs.media != "audio" or theirs.port == 0:
        raise NoCommonMedia("the audio stream was refused")
    offered = dict(_codecs_of(ours, tuple(_STATIC_PTS)))
    codecs = _codecs_of(theirs, tuple(offered.values()))
    our_connection = offer_sent.connection_of(ours)
    if not codecs or our_connection is None or not _is_usable(answer, theirs, our_connection.address):
        raise NoCommonMedia("no codec or no address in the answer")
    pt, codec = codecs[0]
    # §5.1: we send under the number in the answer and receive under the one we offered. Some answerers renumber and
    # send under their own; it is understood too as long as it means nothing else.
    receive = dict(offered)
    for number, name in codecs:
        receive.setdefault(number, name)
    event_send_pt = _event_pt_of(theirs)
    mux = ours.rtcp_mux and theirs.rtcp_mux
    return replace(
        _parameters(answer, theirs, local_direction=offer_sent.direction_of(ours)),
        rtcp_mux=mux,
        remote_rtcp_port=theirs.port if mux else theirs.rtcp_port,
        codec=codec,
        send_pt=pt,
        receive_pts=MappingProxyType(receive),
        event_send_pt=event_send_pt,
        event_receive_pt=None if event_send_pt is None else _event_pt_of(ours),
        ptime_ms=_ptime_ms(theirs, ours.ptime_ms or 20),
    )


def _parameters(theirs: SessionDescription, media: MediaDescription, *, local_direction: str) -> MediaParameters:
    """Read what offers and answers say alike: address, direction, hold."""
    connection = theirs.connection_of(media)
    assert connection is not None  # _is_usable was asked
    direction = theirs.direction_of(media)
    # RFC 3264 §8.4: an address of zeros is the old way to hold: "neither RTP nor RTCP should be sent to the peer".
    nowhere = ipaddress.ip_address(connection.address).is_unspecified
    held = nowhere or direction in ("sendonly", "inactive")
    sends = not held and local_direction in ("sendrecv", "sendonly")
    receives = direction in ("sendrecv", "sendonly") and local_direction in ("sendrecv", "recvonly")
    return MediaParameters(
        remote_address=connection.address,
        remote_rtp_port=media.port,
        remote_rtcp_port=0,
        codec="",
        send_pt=0,
        receive_pts={},
        event_send_pt=None,
        event_receive_pt=None,
        maxptime_ms=media.maxptime_ms,
        direction=_direction(sends=sends, receives=receives),
        held=held,
    )


def _direction(*, sends: bool, receives: bool) -> str:
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _choose_stream(offer: SessionDescription, local: LocalCapabilities) -> int:
    for index, media in enumerate(offer.media):
        if _is_usable(offer, media, local.address) and _codecs_of(media, local.codecs):
            return index
    raise NoCommonMedia("no audio stream with a codec of ours")


def _is_usable(description: SessionDescription, media: MediaDescription, local_address: str) -> bool:
    """Say whether the stream is audio over RTP to an address that we can send to from ours.

    Host names (§5.7 allows them) are not: resolving them is not a core's business, and no PBX sends them. Multicast
    and broadcast are not: a stranger must not make us send a stream to a whole network.
    """
    if media.media != "audio" or media.port == 0 or media.protocol.upper() not in _PROTOCOLS:
        return False
    connection = description.connection_of(media)
    if connection is None:
        return False
    try:
        remote = ipaddress.ip_address(connection.address)
    except ValueError:
        return False
    if remote.is_multicast or remote == ipaddress.IPv4Address("255.255.255.255"):
        return False
    # "c=IN IP4 0.0.0.0" holds a stream of either family.
    return remote.is_unspecified or remote.version == ipaddress.ip_address(local_address).version


def _codecs_of(media: MediaDescription, wanted: tuple[str, ...]) -> list[tuple[int, str]]:
    """Return (payload type, codec) for each format that is one of ``wanted``, in the section's order."""
    found: list[tuple[int, str]] = []
    for pt in _payload_types(media):
        mapping = media.rtpmap(pt)
        if mapping is None:
            codec = _STATIC_CODECS.get(pt)
        elif mapping.rate_hz == _CLOCK_HZ and mapping.channels == 1:
            codec = mapping.encoding.upper()  # RFC 4855 §3: names are compared in any case
        else:
            codec = None
        if codec in wanted and codec is not None:
            found.append((pt, codec))
    return found


def _event_pt_of(media: MediaDescription) -> int | None:
    """Return the payload type of telephone-event at the codec's clock.

    RFC 4733 §2.1 wants the clock of the audio in the same session. Offers with wideband codecs list one event type
    for each clock; taking the wrong one scrambles durations, so another clock is no match at all.
    """
    for pt in _payload_types(media):
        mapping = media.rtpmap(pt)
        if mapping is not None and mapping.encoding.lower() == _EVENT and mapping.rate_hz == _CLOCK_HZ:
            return pt
    return None


def _payload_types(media: MediaDescription) -> list[int]:
    # isascii: isdigit alone takes the digits of other scripts.
    numbers = (int(text) for text in media.formats if text.isascii() and text.isdigit() and len(text) <= 3)
    return list(dict.fromkeys(number for number in numbers if number < 128))


def _ptime_ms(media: MediaDescription, default_ms: int) -> int:
    wanted = media.ptime_ms or default_ms
    if media.maxptime_ms:
        wanted = min(wanted, media.maxptime_ms)
    wanted -= wanted % _PTIME_STEP_MS
    return max(_MIN_PTIME_MS, min(_MAX_PTIME_MS, wanted))


def _our_audio(description: SessionDescription) -> tuple[int, MediaDescription | None]:
    for index, media in enumerate(description.media):
        if media.media == "audio" and media.port != 0:
            return index, media
    for index, media in enumerate(description.media):
        if media.media == "audio":
            return index, None
    raise LocalProtocolError("the description has no audio stream")


def _audio(
    local: LocalCapabilities,
    codecs: tuple[tuple[int, str], ...],
    event_pt: int | None,
    *,
    direction: str,
    protocol: str,
    rtcp_mux: bool,
) -> MediaDescription:
    formats = [str(pt) for pt, _ in codecs]
    attributes: list[tuple[str, str | None]] = [
        ("rtpmap", f"{pt} {codec}/{_CLOCK_HZ}") for pt, codec in codecs
    ]  # static numbers are mapped too: §5.1 recommends it
    if event_pt is not None:
        formats.append(str(event_pt))
        attributes.append(("rtpmap", f"{event_pt} {_EVENT}/{_CLOCK_HZ}"))
        attributes.append(("fmtp", f"{event_pt} {_EVENT_FMTP}"))
    attributes.append(("ptime", str(local.ptime_ms)))
    attributes.append((direction, None))
    if rtcp_mux:
        attributes.append(("rtcp-mux", None))
    return MediaDescription(
        media="audio", port=local.rtp_port, protocol=protocol, formats=tuple(formats), attributes=tuple(attributes)
    )


def _refused(media: MediaDescription) -> MediaDescription:
    # §6: port 0; the formats are of no account but the line must have one.
    return MediaDescription(media=media.media, port=0, protocol=media.protocol, formats=media.formats or ("0",))


def _description(
    local: LocalCapabilities, sections: tuple[MediaDescription, ...], *, times: tuple[str, ...] = ("0 0",)
) -> SessionDescription:
    address_type = "IP6" if ":" in local.address else "IP4"
    return SessionDescription(
        origin=Origin(
            session_id=str(local.session_id),
            session_version=str(local.session_version),
            address_type=address_type,
            address=local.address,
        ),
        connection=Connection(address_type=address_type, address=local.address),
        times=times,
        media=sections,
    )
