"""A leg: one caller's audio, as Python holds it.

Each method is a command that takes effect at the leg's next tick; the clock thread does the rest without the GIL.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import count
from typing import TYPE_CHECKING, Literal, Protocol

from dsp.mask import FLAT_TONE_DBM0, MaskFill
from engine.errors import MediaError
from engine.media._handles import LegCore, PlaylistCore, RoomCore
from engine.media._plane import ClockThread
from engine.media.ports import PortPair, PortPool
from engine.media.recorder import Recording
from engine.media.statistics import DROP_CAUSES, LegStatistics
from engine.rtp._opus import OpusPair
from engine.rtp._srtp import SrtpCore
from engine.rtp.codec import SUPPORTED, CodecKind, codec_named, make_opus, why_unavailable
from engine.rtp.quality import opinion_score, r_factor
from engine.rtp.srtp import SrtpKeysPair
from prompts.clip import Clip

if TYPE_CHECKING:
    from engine.media.room import Room

__all__ = ("CARRIES", "RTP_TIMEOUT_MS", "KeyMode", "Leg", "Plane")

KeyMode = Literal["telephone-event", "in-band"]

RTP_TIMEOUT_MS = 20_000
"""Silence after which a leg is reported; telephones with DTX send comfort noise or RTCP more often than that."""
CARRIES: Mapping[str, int] = {
    **{info.name.upper(): int(info.kind) for info in SUPPORTED},
    "TELEPHONE-EVENT": 3,
    "CN": 4,
    "RED": 8,
}
"""What a payload type carries, by the numbers of engine/media/_leg.pxd."""

_SAMPLES_PER_MS = 8
_PTIMES_MS = (10, 20, 30, 40, 50, 60)
_MAX_KEYS = 64
_GAIN_ONE = 16384
_SILENT_FILL_DBM0 = -200.0


def _gain(volume_db: float) -> int:
    if not -60.0 <= volume_db <= 12.0:
        raise MediaError(f"a volume of {volume_db} dB is not played here: -60 to +12")
    return round(_GAIN_ONE * math.pow(10.0, volume_db / 20.0))


class Plane(Protocol):
    """What a leg knows of its plane."""

    ports: PortPool
    serials: count[int]
    rooms: list[RoomCore]
    "That a clock thread may know of."

    @property
    def family(self) -> int:
        """`socket.AF_INET` or `socket.AF_INET6`."""

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""


class Leg:
    """One caller's audio: an RTP and an RTCP port, a player, a listener. Made by `MediaPlane.open_leg`."""

    def __init__(
        self, plane: Plane, leg_id: int, pair: PortPair, core: LegCore, clock: ClockThread, phase: int
    ) -> None:
        self.id = leg_id
        self.rtp_port = pair.port
        self.rtcp_port = pair.port + 1
        self._plane = plane
        self._pair = pair
        self._core = core
        self._clock = clock
        self._phase = phase
        self._room: Room | None = None
        self._playlists: dict[int, PlaylistCore] = {}
        self._event_send_pt: int | None = None
        self._closing = False
        self._masked = False
        self._fill_dbm0 = _SILENT_FILL_DBM0
        self._opus: OpusPair | None = None
        self._srtp: tuple[SrtpKeysPair | None, SrtpCore | None] = (None, None)
        # By the serial of the configuration that brought them: what a clock thread may still use.
        self._sessions: dict[int, SrtpCore | None] = {}

    def configure(
        self,
        *,
        remote: tuple[str, int],
        remote_rtcp: tuple[str, int] | None = None,
        codec: str,
        send_pt: int,
        receive_pts: Mapping[int, str],
        event_receive_pt: int | None,
        event_send_pt: int | None,
        event_rate_hz: int = 8000,
        ptime_ms: int = 20,
        sending: bool = True,
        receiving: bool = True,
        rtcp_mux: bool = False,
        extended_reports: bool = False,
        srtp: SrtpKeysPair | None = None,
        rtp_timeout_ms: int = RTP_TIMEOUT_MS,
    ) -> None:
        """Take what offer and answer agreed on; call it again for each re-INVITE.

        `remote` is a literal IP address and port; port 0 or an unspecified address means hold, and nothing is sent.
        `receive_pts` maps payload types to codecs (`engine.rtp.codec.SUPPORTED`), CN or RED. A telephone-event payload
        type is taken from `event_receive_pt`; the peer's own, to send with, is `event_send_pt`. `ptime_ms` is 10 to 60
        in tens.
        With `srtp` RTP and RTCP are protected both ways (RFC 3711), and nothing unprotected is taken or sent; the same
        keys again leave the session as it is, others begin a new one.
        With `rtcp_mux` RTCP goes to the peer's RTP port (RFC 5761), and is taken from there in any case.
        With `extended_reports` RTCP tells the VoIP metrics of RFC 3611 too.
        `rtp_timeout_ms` of 0 never reports silence. Raises MediaError for what cannot be meant.
        """
        self._check_open()
        host, port = remote
        carries = {pt: self._carried(pt, name) for pt, name in receive_pts.items()}
        if event_receive_pt is not None:
            carries[event_receive_pt] = CARRIES["TELEPHONE-EVENT"]
        numbers = [send_pt, *carries, *(() if event_send_pt is None else (event_send_pt,))]
        if any(not 0 <= number <= 127 for number in numbers):
            raise MediaError("a payload type is 0 to 127")
        for name in (codec, *(name for name in receive_pts.values() if name.upper() not in ("CN", "RED"))):
            why = why_unavailable(name)
            if why is not None:
                raise MediaError(f"codec {name!r} is not spoken here: {why}")
        kind = codec_named(codec).kind
        if kind is CodecKind.OPUS and ptime_ms in (30, 50):
            ptime_ms -= 10  # RFC 6716 §2.1.4 has no frame of that length
        if ptime_ms not in _PTIMES_MS:
            raise MediaError(f"a ptime of {ptime_ms} ms is not sent here: 10 to 60 in tens")
        if event_rate_hz % 1000 or not 8000 <= event_rate_hz <= 192000:
            raise MediaError(f"a telephone-event clock of {event_rate_hz} Hz is none")
        address = self._literal(host)
        rtcp_host, rtcp_port = remote_rtcp or (host, min(port + 1, 65535))
        rtcp_address = self._literal(rtcp_host)
        if rtcp_address.is_unspecified:
            rtcp_port = 0
        core = self._srtp_for(srtp)
        serial = next(self._plane.serials)
        done = self._clock.configure(
            self._core,
            family=self._plane.family,
            remote=(address.packed, port),
            remote_rtcp=(rtcp_address.packed, rtcp_port),
            codec=int(kind),
            send_pt=send_pt,
            carries=carries,
            event_send_pt=-1 if event_send_pt is None else event_send_pt,
            event_rate_hz=event_rate_hz,
            packet_samples=ptime_ms * _SAMPLES_PER_MS,
            sending=sending and port != 0 and not address.is_unspecified,
            receiving=receiving,
            rtcp_mux=rtcp_mux,
            extended_reports=extended_reports,
            timeout_ms=rtp_timeout_ms,
            srtp=core,
            opus=self._opus_for(carries),
            serial=serial,
        )
        if done:
            self._sessions[serial] = core
            if core is not None:
                self._srtp = (srtp, core)
        self._check(done)
        self._event_send_pt = event_send_pt

    def _opus_for(self, carries: Mapping[int, int]) -> OpusPair | None:
        """Return the leg's Opus, made when it is first agreed on and kept to the end."""
        if self._opus is None and int(CodecKind.OPUS) in carries.values():
            self._opus = make_opus()
        return self._opus

    def _srtp_for(self, keys: SrtpKeysPair | None) -> SrtpCore | None:
        """Return the session of these keys: the one before as long as they are the same (RFC 4568 §7.1.4)."""
        before, core = self._srtp
        if keys is None or (core is not None and keys == before):
            return None if keys is None else core
        # What the new keys have in common with the last ones goes on: a key stream is never used twice.
        return SrtpCore(keys, previous=core)

    def _configured(self, serial: int) -> None:
        """A configuration is in force: the sessions of those before it can go."""
        for old in [number for number in self._sessions if number < serial]:
            del self._sessions[old]

    def _literal(self, host: str) -> IPv4Address | IPv6Address:
        try:
            address = ip_address(host)
        except ValueError as error:
            raise MediaError(f"the peer's address {host!r} is no literal IP address: resolve names before") from error
        if (address.version == 6) != self._plane.is_ipv6:
            raise MediaError(f"the peer's address {host} is of another IP version than the media plane's")
        return address

    @staticmethod
    def _carried(payload_type: int, name: str) -> int:
        kind = CARRIES.get(name.upper())
        if kind is None:
            raise MediaError(f"payload type {payload_type}: {name} is not understood here")
        return kind

    def play(
        self,
        clips: Sequence[Clip],
        *,
        token: int,
        interruptible: bool,
        gap_ms: int = 0,
        loop: bool = False,
        volume_db: float = 0.0,
        start_ms: int = 0,
        report_ms: int = 0,
        paused: bool = False,
    ) -> None:
        """Play clips one after the other, `gap_ms` of silence between two, in place of what plays now.

        `token` comes back in the one PlayFinished of this call. An interruptible playlist ends with the first key
        that is heard, within the same tick. No clips, or only empty ones, finish at once.
        `volume_db` is -60 to +12. It begins at `start_ms`, and tells its position each `report_ms` (0: never).
        """
        self._check_open()
        serial = next(self._plane.serials)
        playlist = PlaylistCore(
            serial,
            token,
            [(clip.pcmu, clip.pcma) for clip in clips],
            interruptible=interruptible,
            loop=loop,
            gap_samples=max(0, gap_ms) * _SAMPLES_PER_MS,
            gain=_gain(volume_db),
            report_samples=max(0, report_ms) * _SAMPLES_PER_MS,
            paused=paused,
        )
        # It stays here until the thread says that it let go of it.
        self._playlists[serial] = playlist
        done = self._clock.play(self._core, playlist)
        if not done:
            del self._playlists[serial]
        self._check(done)
        if start_ms > 0:
            self.seek(start_ms)

    def stop_playing(self) -> None:
        """Stop what plays, if anything does."""
        self._check_open()
        self._check(self._clock.stop_playing(self._core))

    def pause_playing(self) -> None:
        """Hold what plays: silence until `resume_playing`."""
        self._check_open()
        self._check(self._clock.pause_playing(self._core, True))

    def resume_playing(self) -> None:
        """Let what plays go on where it was held."""
        self._check_open()
        self._check(self._clock.pause_playing(self._core, False))

    def seek(self, position_ms: int) -> None:
        """Let what plays go on at a position, pauses between clips included; beyond its end it ends."""
        self._check_open()
        self._check(self._clock.seek(self._core, max(0, position_ms) * _SAMPLES_PER_MS))

    def set_volume(self, volume_db: float) -> None:
        """Make what plays louder or softer from its next frame on: -60 to +12 dB."""
        self._check_open()
        self._check(self._clock.gain(self._core, _gain(volume_db)))

    def bridge(self, other: Leg, *, relay_keys: bool = True) -> None:
        """Let this leg and `other` hear each other, whatever codecs they speak, until `unbridge`, a room or a close.

        Each leg still has its own player and keys: what is played to one is mixed into what it hears, and the other
        does not hear it. `relay_keys` passes telephone-events on, as the other side takes them; tones are passed on in
        the audio. While a leg's mask is on, no key of it goes across. Whoever they heard before is let go, a room too.
        `other` goes to this leg's clock where it is of another one: its packets shift by 20 ms at most, nothing is
        lost. `MediaPlane.open_leg` with `beside` spares that.
        """
        self._check_open()
        other._check_open()
        if other is self:
            raise MediaError("a leg is bridged with another one, not with itself")
        if other._plane is not self._plane:
            raise MediaError("these legs are of two media planes")
        other._go_to(self._clock, beside=self)
        self._check(self._clock.bridge(self._core, other._core, relay_keys=relay_keys))
        for leg in (self, other):
            leg._forget_room()

    @property
    def room(self) -> Room | None:
        """The room that the leg is in: see `engine.media.room`."""
        return self._room

    def unbridge(self) -> None:
        """Part this leg from the one it is bridged with, if it is."""
        self._check_open()
        self._check(self._clock.unbridge(self._core))

    def _go_to(self, clock: ClockThread, *, beside: Leg | None = None, room: RoomCore | None = None) -> None:
        """Go to another clock, where one more command is sure to be taken; what was commanded before comes before."""
        if clock is self._clock:
            return
        self._check(self._clock.hand_over(self._core, clock, None if beside is None else beside._core, room))
        self._clock = clock
        self._forget_room()
        if beside is not None:
            self._phase = beside._phase

    def _forget_room(self) -> None:
        """Note that the leg is in no room any more."""
        room, self._room = self._room, None
        if room is not None:
            room._forget(self)

    def record(self, recording: Recording | None) -> None:
        """Record this leg from its next tick on, what is heard and what is played; None ends it.

        What is stored of the caller is what others would hear: behind the mask where `mask_line` was called. Without
        it a recording is to be paused while keys are asked for (docs/recording.md). Closing the leg ends it too, and
        leaves the recording to be closed by its owner.
        """
        self._check_open()
        self._check(self._clock.record(self._core, None if recording is None else recording.tap))

    def mute(self, muted: bool) -> None:
        """Let others hear nothing of this leg, or all again; its keys are heard here all the same."""
        self._check_open()
        self._check(self._clock.mute(self._core, muted))

    def earmuff(self, on: bool) -> None:
        """Let this leg hear the noise of an open line in place of the others, or the others again.

        What is played to it is heard; keys of the other leg of a bridge are not relayed to it meanwhile. It holds for
        every bridge and room, and what records this leg has of them what the leg hears.
        """
        self._check_open()
        self._check(self._clock.earmuff(self._core, on))

    def mask_line(self, *, fill: MaskFill = MaskFill.TONE) -> None:
        """Put the mask's delay line of 60 ms on the way to all who hear this leg, before a bridge or recording begins.

        It stays there, masking or not, until `remove_mask_line`: `mask` splices nothing. `fill` is heard in place of
        a key.
        """
        self._check_open()
        self._masked = True
        self._fill_dbm0 = FLAT_TONE_DBM0 if fill is MaskFill.TONE else _SILENT_FILL_DBM0
        self._send_mask(on_the_way=True)

    def mask(self, on: bool, *, everything: bool = False) -> None:
        """Take keys out of what others hear of this leg, or let them pass: `mask_line` comes first.

        While it is on, telephone-events and tones of this leg reach nobody but the engine. With `everything` nothing
        at all of the caller is heard, for whoever wants no risk: keys drown in a voice that is louder than they are.
        """
        self._check_open()
        if not self._masked:
            raise MediaError("this leg has no mask line: call mask_line before anybody hears the leg")
        self._send_mask(on_the_way=True, masks=on, holds=on and everything)

    def remove_mask_line(self) -> None:
        """Take the delay line out again; what waits in it is lost."""
        self._check_open()
        self._masked = False
        self._send_mask(on_the_way=False)

    def _send_mask(self, *, on_the_way: bool, masks: bool = False, holds: bool = False) -> None:
        done = self._clock.mask(self._core, on_the_way=on_the_way, masks=masks, holds=holds, fill_dbm0=self._fill_dbm0)
        self._check(done)

    def send_digits(self, codes: Sequence[int], *, mode: KeyMode, on_ms: int = 80, off_ms: int = 80) -> None:
        """Key digits towards the peer, after those that wait: RFC 4733 codes 0 to 15.

        In-band tones are mixed into what plays. Telephone-events replace the audio while they last, and their pause
        is 40 ms at least, for the repeated end packets.
        """
        self._check_open()
        if any(not 0 <= code <= 15 for code in codes):
            raise MediaError("a key's code is 0 to 15")
        if len(codes) > _MAX_KEYS:
            raise MediaError(f"no more than {_MAX_KEYS} keys wait at a time")
        if on_ms <= 0 or off_ms < 0:
            raise MediaError("a key lasts, and its pause is not negative")
        if mode == "telephone-event" and self._event_send_pt is None:
            raise MediaError("the peer takes no telephone-events: key in-band")
        for code in codes:
            done = self._clock.key(
                self._core,
                code,
                in_band=mode == "in-band",
                on_samples=on_ms * _SAMPLES_PER_MS,
                off_samples=off_ms * _SAMPLES_PER_MS,
            )
            self._check(done)

    def read_received(self) -> bytes:
        """Return the audio heard since the last call, native int16 at 8 kHz; empty unless opened with `record`.

        About 10 s are kept; older audio that was not read keeps newer audio out, and is counted.
        """
        return self._core.read_tap()

    def statistics(self) -> LegStatistics:
        """Return a snapshot; after `close` the last one."""
        counters = self._core.counters()
        dropped = counters.pop("dropped")
        r = r_factor(
            "PCMU",
            loss=counters["loss_share"],
            burst_ratio=counters["burst_ratio"],
            delay_ms=counters["delay_ms"] + (counters["round_trip_ms"] or 0.0) / 2.0,
        )
        causes = {cause: n for cause, n in zip(DROP_CAUSES, dropped, strict=True) if n}
        return LegStatistics(discarded_by_cause=causes, r_factor=r, mos=opinion_score(r), **counters)

    def close(self) -> None:
        """Send RTCP BYE and let go of everything; LegClosed follows. Safe to call twice."""
        if self._closing:
            return
        self._check(self._clock.remove(self._core))
        self._closing = True
        self._forget_room()

    def _check_open(self) -> None:
        if self._closing:
            raise MediaError("this leg was closed")

    def _check(self, done: bool) -> None:
        if not done:
            raise MediaError("the media thread does not take commands: it stands still, or is flooded with them")

    def _playlist_done(self, serial: int) -> None:
        self._playlists.pop(serial, None)

    def _let_go(self, now: float) -> None:
        """Free what the thread no longer holds."""
        self._core.give_back()
        self._playlists.clear()
        self._sessions.clear()
        self._srtp = (None, None)
        self._plane.ports.release(self._pair, now)
