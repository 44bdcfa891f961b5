"""Offer and answer (RFC 3264) for one audio stream, with the payload types of RFC 3551 and RFC 4733 and keys by SDES.

One audio stream is taken, the first that fits and of these the first that is secure; every other m= line is answered
with port 0 in its place. The answer holds one codec, so that the far end never changes it under a running call, and
``telephone-event`` under the offerer's own payload type.

SRTP (RFC 4568): in an offer that may stay plain the keys stand beside ``RTP/AVP`` (RFC 8643). A peer without SRTP then
passes over attributes that it does not know, where it would refuse an m= line of ``RTP/SAVP``, and the call with it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from sip.crypto_attribute import (
    DEFAULT_SUITES,
    SUITES,
    CryptoAttribute,
    SrtpParameters,
    SrtpPolicy,
    first_usable,
    parse_crypto,
)
from sip.errors import LocalProtocolError, NoCommonMedia, RemoteProtocolError
from sip.payload_types import (
    CLOCK_HZ,
    CODECS,
    PayloadTypes,
    clock_hz_of,
    codecs_of,
    event_of,
    events_of,
    extras_of,
    format_attributes,
)
from sip.sdp import DIRECTIONS, Connection, MediaDescription, Origin, SessionDescription

__all__ = ("LocalCapabilities", "MediaParameters", "accept_answer", "answer", "make_offer")

# AVPF only adds feedback messages that nobody has to send (RFC 4585 §3.1).
_PLAIN = frozenset({"RTP/AVP", "RTP/AVPF"})
_SECURE = frozenset({"RTP/SAVP", "RTP/SAVPF"})

_MIN_PTIME_MS, _MAX_PTIME_MS, _PTIME_STEP_MS = 10, 60, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCapabilities:
    """What we can do on one leg, and where."""

    address: str
    "IP literal that the far end sends RTP to."
    rtp_port: int
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    "Codecs we have, of `sip.payload_types.CODECS`, most wanted first."
    prefer_ours: bool = False
    "Answer with the first of ``codecs`` that is offered, not with the first of the offer that is in ``codecs``."
    event_pt: int = 101
    "Payload type of telephone-event in our own offers."
    comfort_noise: bool = False
    "Whether comfort noise is understood (RFC 3389)."
    redundancy: bool = False
    "Whether redundant telephone-events are understood (RFC 2198); never offered."
    ptime_ms: int = 20
    "Milliseconds per packet that we want to receive."
    direction: str = "sendrecv"
    rtcp_mux: bool = False
    "Whether RTCP can be had on the RTP port; used when the far end wants it too."
    srtp: SrtpPolicy = SrtpPolicy.OFF
    srtp_suites: tuple[str, ...] = DEFAULT_SUITES
    "Suites we have, most wanted first (the order counts in our own offers)."
    entropy: Callable[[int], bytes] | None = field(default=None, repr=False, compare=False)
    "``entropy(n)`` returns n unpredictable octets; the source of our keys."
    session_id: int
    session_version: int

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS or not all(codec in CODECS for codec in self.codecs):
            raise LocalProtocolError("unknown direction or codec")
        if not all(suite in SUITES for suite in self.srtp_suites):
            raise LocalProtocolError("unknown SRTP suite")
        if self.srtp is not SrtpPolicy.OFF and (self.entropy is None or not self.srtp_suites):
            raise LocalProtocolError("SRTP needs a suite and a source of keys")

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
    extended_reports: bool = False
    "The far end asks for VoIP metrics in RTCP (RFC 3611 §5.1)."
    srtp: SrtpParameters | None = None
    "None means plain RTP."
    codec: str
    "The codec we send."
    send_pt: int
    receive_pts: Mapping[int, str]
    "Payload type to codec, ``CN`` or ``RED``, for everything we have to be able to receive."
    event_send_pt: int | None
    event_receive_pt: int | None
    "Payload types of telephone-event; None when it was not agreed (then digits come in-band or by INFO)."
    event_rate_hz: int = CLOCK_HZ
    ptime_ms: int = 20
    "Milliseconds per packet that we send: what the far end wants, 10 to 60 in tens."
    maxptime_ms: int | None = None
    direction: str = "sendrecv"
    "Ours: ``sendonly`` means that we send and the far end does not."
    held: bool = False
    "The far end does not want our media: sendonly, inactive, or 0.0.0.0 as before RFC 3264."


def answer(
    offer: SessionDescription, local: LocalCapabilities, current: MediaParameters | None = None
) -> tuple[SessionDescription, MediaParameters]:
    """Answer an offer, first or later; ``current`` is what was agreed before, if anything was.

    Raises NoCommonMedia (488) when no audio stream of it can be taken.
    """
    index, crypto = _choose_stream(offer, local)
    media = offer.media[index]
    codecs = codecs_of(media, local.codecs)
    chosen = min(codecs, key=lambda found: local.codecs.index(found[1])) if local.prefer_ours else codecs[0]
    clock_hz = clock_hz_of(chosen[1])
    event_pt, event_rate_hz = event_of(media, clock_hz)
    is_8_khz = clock_hz == CLOCK_HZ
    extra = extras_of(
        media,
        event_pt,
        comfort_noise=local.comfort_noise and is_8_khz,
        redundancy=local.redundancy and is_8_khz,
    )
    srtp = None if crypto is None else _answered_srtp(crypto, local, current)
    mux = local.rtcp_mux and media.rtcp_mux
    parameters = replace(
        _parameters(offer, media, local_direction=local.direction),
        rtcp_mux=mux,
        remote_rtcp_port=media.port if mux else media.rtcp_port,
        srtp=srtp,
        codec=chosen[1],
        send_pt=chosen[0],
        # Only one is answered; a peer that sends another of its own offer is understood all the same.
        receive_pts=MappingProxyType(dict(codecs) | dict(extra)),
        event_send_pt=event_pt,
        event_receive_pt=event_pt,
        event_rate_hz=event_rate_hz,
        ptime_ms=_ptime_ms(media, local.ptime_ms),
    )
    accepted = _audio(
        local,
        (chosen, *extra),
        () if event_pt is None else ((event_pt, event_rate_hz),),
        direction=parameters.direction,
        protocol=media.protocol,
        rtcp_mux=mux,
        # RFC 4568 §5.1.2: the tag of the one that was taken, and our own key.
        crypto=()
        if crypto is None or srtp is None
        else (CryptoAttribute(tag=crypto.tag, suite=srtp.suite, key=srtp.local_key),),
    )
    sections = tuple(accepted if slot == index else _refused(other) for slot, other in enumerate(offer.media))
    # §6: the answer's t= equals the offer's.
    return _description(local, sections, times=offer.times), parameters


def make_offer(local: LocalCapabilities, previous: SessionDescription | None = None) -> SessionDescription:
    """Make an offer: the first one, a late one, or with ``previous`` (the last description we sent) a new one.

    A new offer keeps the m= lines in number and order, every payload type's meaning (§8, §8.3.2), and our keys (RFC
    4568 §7.1.4: a new key is a new cryptographic context, in both directions).
    """
    slot, old = _our_audio(previous) if previous is not None else (0, None)
    pts = PayloadTypes(old)
    codecs = []
    for codec in local.codecs:
        pt = pts.of_codec(codec)
        if pt is not None:
            codecs.append((pt, codec))
    # Many peers have events at 8000 only, beside opus too.
    clocks_hz = sorted({CLOCK_HZ, *(clock_hz_of(codec) for _, codec in codecs)})
    if local.comfort_noise and (pt := pts.of_comfort_noise()) is not None:
        codecs.append((pt, "CN"))
    events = tuple((pts.of_event(rate_hz, local.event_pt), rate_hz) for rate_hz in clocks_hz)
    protocol, crypto = _offered_srtp(local, old)
    audio = _audio(
        local,
        tuple(codecs),
        events,
        direction=local.direction,
        protocol=protocol,
        rtcp_mux=local.rtcp_mux,
        crypto=crypto,
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
    offered = dict(codecs_of(ours, CODECS))
    codecs = codecs_of(theirs, tuple(offered.values()))
    our_connection = offer_sent.connection_of(ours)
    if not codecs or our_connection is None or not _is_reachable(answer, theirs, our_connection.address):
        raise NoCommonMedia("no codec or no address in the answer")
    pt, codec = codecs[0]
    clock_hz = clock_hz_of(codec)
    # §5.1: we send under the number in the answer and receive under the one we offered. Some answerers renumber and
    # send under their own; it is understood too as long as it means nothing else.
    receive = offered | dict(extras_of(ours, None, comfort_noise=True, redundancy=False))
    events = {number for number, _ in events_of(ours)}
    for number, name in codecs:
        if number not in events:
            receive.setdefault(number, name)
    event_send_pt, event_rate_hz = event_of(theirs, clock_hz)
    event_receive_pt = next((number for number, rate_hz in events_of(ours) if rate_hz == event_rate_hz), None)
    mux = ours.rtcp_mux and theirs.rtcp_mux
    return replace(
        _parameters(answer, theirs, local_direction=offer_sent.direction_of(ours)),
        rtcp_mux=mux,
        remote_rtcp_port=theirs.port if mux else theirs.rtcp_port,
        srtp=_accepted_srtp(ours, theirs),
        codec=codec,
        send_pt=pt,
        receive_pts=MappingProxyType(receive),
        event_send_pt=event_send_pt if event_receive_pt is not None else None,
        event_receive_pt=event_receive_pt if event_send_pt is not None else None,
        event_rate_hz=event_rate_hz,
        ptime_ms=_ptime_ms(theirs, ours.ptime_ms or 20),
    )


def _parameters(theirs: SessionDescription, media: MediaDescription, *, local_direction: str) -> MediaParameters:
    """Read what offers and answers say alike: address, direction, hold."""
    connection = theirs.connection_of(media)
    assert connection is not None  # _is_reachable was asked
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
        extended_reports=_wants_voip_metrics(media),
        codec="",
        send_pt=0,
        receive_pts={},
        event_send_pt=None,
        event_receive_pt=None,
        maxptime_ms=media.maxptime_ms,
        direction=_direction(sends=sends, receives=receives),
        held=held,
    )


def _wants_voip_metrics(media: MediaDescription) -> bool:
    value = media.attribute("rtcp-xr") or ""
    return any(wish.partition("=")[0] == "voip-metrics" for wish in value.split())


def _direction(*, sends: bool, receives: bool) -> str:
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _choose_stream(offer: SessionDescription, local: LocalCapabilities) -> tuple[int, CryptoAttribute | None]:
    """Return the stream to take, the first secure one before the first plain one, and the keys of its describer."""
    plain = None
    for index, media in enumerate(offer.media):
        if not _is_reachable(offer, media, local.address) or not codecs_of(media, local.codecs):
            continue
        crypto = None if local.srtp is SrtpPolicy.OFF else first_usable(media.values("crypto"), local.srtp_suites)
        if crypto is not None:
            return index, crypto
        if plain is None and media.protocol.upper() in _PLAIN and local.srtp is not SrtpPolicy.REQUIRED:
            plain = index
    if plain is None:
        raise NoCommonMedia("no audio stream with a codec and a protection of ours")
    return plain, None


def _is_reachable(description: SessionDescription, media: MediaDescription, local_address: str) -> bool:
    """Say whether the stream is audio over RTP to an address that we can send to from ours.

    Host names (§5.7 allows them) are not: resolving them is not a core's business, and no PBX sends them. Multicast
    and broadcast are not: a stranger must not make us send a stream to a whole network.
    """
    if media.media != "audio" or media.port == 0 or media.protocol.upper() not in _PLAIN | _SECURE:
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


# -- SRTP --------------------------------------------------------------------------------------------------------------


def _fresh_key(suite: str, local: LocalCapabilities) -> bytes:
    assert local.entropy is not None  # __post_init__ saw to it
    return local.entropy(SUITES[suite])


def _answered_srtp(
    crypto: CryptoAttribute, local: LocalCapabilities, current: MediaParameters | None
) -> SrtpParameters:
    """Return the keys for an answer: as they are while the far end's are (RFC 4568 §7.1.4), else a new one of ours.

    With a new key of the far end its SRTP starts afresh, on this side often too; our key must never be used from the
    start again (RFC 3711 §9.1).
    """
    agreed = None if current is None else current.srtp
    if agreed is not None and (agreed.suite, agreed.remote_key) == (crypto.suite, crypto.key):
        return agreed
    return SrtpParameters(suite=crypto.suite, local_key=_fresh_key(crypto.suite, local), remote_key=crypto.key)


def _offered_srtp(local: LocalCapabilities, old: MediaDescription | None) -> tuple[str, tuple[CryptoAttribute, ...]]:
    """Return protocol and keys for an offer; ``old`` is our stream as we described it last."""
    profile = "RTP/AVP" if old is None else old.protocol.upper()
    if local.srtp is SrtpPolicy.OFF:
        return profile.replace("/SAVP", "/AVP"), ()
    if local.srtp is SrtpPolicy.REQUIRED:
        profile = profile.replace("/AVP", "/SAVP")
    elif old is not None and profile in _PLAIN and not old.values("crypto"):
        return profile, ()  # the call is plain; asking again would only change it under the caller
    parsed = () if old is None else tuple(parse_crypto(value) for value in old.values("crypto"))
    keys = {attribute.suite: attribute.key for attribute in parsed if attribute is not None}
    return profile, tuple(
        CryptoAttribute(tag=tag, suite=suite, key=keys.get(suite) or _fresh_key(suite, local))
        for tag, suite in enumerate(local.srtp_suites, start=1)
    )


def _accepted_srtp(ours: MediaDescription, theirs: MediaDescription) -> SrtpParameters | None:
    """Return what an answer says of SRTP, None for plain RTP; raises NoCommonMedia when it does not fit the offer.

    An answer that tries to use SRTP and fails is never taken for plain RTP: its sender encrypts.
    """
    offered = {attribute.tag: attribute for value in ours.values("crypto") if (attribute := parse_crypto(value))}
    answered = theirs.values("crypto")
    if not answered or not offered:
        if theirs.protocol.upper() in _SECURE or ours.protocol.upper() in _SECURE:
            raise NoCommonMedia("the answer has no key for SRTP")
        return None
    # §5.1.3: exactly one, with a tag of ours and its suite.
    attribute = parse_crypto(answered[0])
    mine = None if attribute is None else offered.get(attribute.tag)
    if attribute is None or mine is None or mine.suite != attribute.suite:
        raise NoCommonMedia("the answer's key is to none of the suites offered")
    if mine.key == attribute.key:
        # With one key both ways our own packets, sent back, would pass for the far end's.
        raise NoCommonMedia("the answer repeats our own key")
    return SrtpParameters(suite=mine.suite, local_key=mine.key, remote_key=attribute.key)


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
    events: tuple[tuple[int, int], ...],
    *,
    direction: str,
    protocol: str,
    rtcp_mux: bool,
    crypto: Iterable[CryptoAttribute],
) -> MediaDescription:
    """Describe our stream: (payload type, codec, CN or RED), (payload type, clock) of telephone-events, and so on."""
    attributes: list[tuple[str, str | None]] = [("crypto", attribute.value) for attribute in crypto]
    attributes += format_attributes(codecs, events)
    attributes.append(("ptime", str(local.ptime_ms)))
    attributes.append((direction, None))
    if rtcp_mux:
        attributes.append(("rtcp-mux", None))
    return MediaDescription(
        media="audio",
        port=local.rtp_port,
        protocol=protocol,
        formats=tuple(str(pt) for pt, _ in (*codecs, *events)),
        attributes=tuple(attributes),
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
