"""The media plane: legs, and the clock threads that carry them.

Python opens legs, configures them from SDP, plays clips, and drains events; the threads do the rest without the GIL.
No asyncio here: attach ``event_fd()`` with ``loop.add_reader`` and call ``drain_events()`` when it is readable.
All methods are for one thread, the one that owns the plane. Commands take effect at the leg's next tick.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import count
from typing import Literal

from dsp.dtmf import ITU_Q24, DtmfProfile, params
from engine.errors import MediaError
from engine.media._handles import LegCore, PlaylistCore
from engine.media._plane import ClockThread
from engine.media.events import (
    DigitEnded,
    DigitReceived,
    DigitSource,
    LegClosed,
    MediaEvent,
    MediaTimeout,
    PlayFinished,
)
from engine.media.ports import PortPair, PortPool
from engine.media.statistics import DROP_CAUSES, LegStatistics, PlaneStatistics
from prompts.clip import Clip

__all__ = ("Codec", "KeyMode", "Leg", "ManualPlane", "MediaPlane")

Codec = Literal["PCMU", "PCMA"]
KeyMode = Literal["telephone-event", "in-band"]

RTP_TIMEOUT_MS = 20_000
"""Silence after which a leg is reported; telephones with DTX send comfort noise or RTCP more often than that."""

# The numbers of engine/media/_leg.pxd.
_CARRIES = {"PCMU": 1, "PCMA": 2, "TELEPHONE-EVENT": 3, "CN": 4}
_SOURCES = (DigitSource.TELEPHONE_EVENT, DigitSource.IN_BAND)
_DIGIT, _DIGIT_END, _PLAYED, _SILENT, _CLOSED = range(1, 6)
_SAMPLES_PER_MS = 8
_PTIMES_MS = (10, 20, 30, 40, 50, 60)
_PHASES = 4
_MAX_KEYS = 64


class Leg:
    """One caller's audio: an RTP and an RTCP port, a player, a listener. Made by `MediaPlane.open_leg`."""

    def __init__(self, plane: MediaPlane, leg_id: int, pair: PortPair, core: LegCore, clock: ClockThread) -> None:
        self.id = leg_id
        self.rtp_port = pair.port
        self.rtcp_port = pair.port + 1
        self._plane = plane
        self._pair = pair
        self._core = core
        self._clock = clock
        self._playlists: dict[int, PlaylistCore] = {}
        self._event_send_pt: int | None = None
        self._closing = False

    def configure(
        self,
        *,
        remote: tuple[str, int],
        remote_rtcp: tuple[str, int] | None = None,
        codec: Codec,
        send_pt: int,
        receive_pts: Mapping[int, str],
        event_receive_pt: int | None,
        event_send_pt: int | None,
        event_rate_hz: int = 8000,
        ptime_ms: int = 20,
        sending: bool = True,
        receiving: bool = True,
        rtp_timeout_ms: int = RTP_TIMEOUT_MS,
    ) -> None:
        """Take what offer and answer agreed on; call it again for each re-INVITE.

        `remote` is a literal IP address and port; port 0 or an unspecified address means hold, and nothing is sent.
        `receive_pts` maps payload types to PCMU, PCMA or CN. A telephone-event payload type is taken from
        `event_receive_pt`; the peer's own, to send with, is `event_send_pt`. `ptime_ms` is 10 to 60 in tens.
        `rtp_timeout_ms` of 0 never reports silence. Raises MediaError for what cannot be meant.
        """
        host, port = remote
        carries = {pt: self._carried(pt, name) for pt, name in receive_pts.items()}
        if event_receive_pt is not None:
            carries[event_receive_pt] = _CARRIES["TELEPHONE-EVENT"]
        numbers = [send_pt, *carries, *(() if event_send_pt is None else (event_send_pt,))]
        if any(not 0 <= number <= 127 for number in numbers):
            raise MediaError("a payload type is 0 to 127")
        if codec not in ("PCMU", "PCMA"):
            raise MediaError(f"codec {codec!r} is not spoken here: PCMU or PCMA")
        if ptime_ms not in _PTIMES_MS:
            raise MediaError(f"a ptime of {ptime_ms} ms is not sent here: 10 to 60 in tens")
        if event_rate_hz % 1000 or not 8000 <= event_rate_hz <= 192000:
            raise MediaError(f"a telephone-event clock of {event_rate_hz} Hz is none")
        address = self._literal(host)
        rtcp_host, rtcp_port = remote_rtcp or (host, min(port + 1, 65535))
        rtcp_address = self._literal(rtcp_host)
        if rtcp_address.is_unspecified:
            rtcp_port = 0
        done = self._clock.configure(
            self._core,
            family=self._plane.family,
            remote=(address.packed, port),
            remote_rtcp=(rtcp_address.packed, rtcp_port),
            codec=_CARRIES[codec],
            send_pt=send_pt,
            carries=carries,
            event_send_pt=-1 if event_send_pt is None else event_send_pt,
            event_rate_hz=event_rate_hz,
            packet_samples=ptime_ms * _SAMPLES_PER_MS,
            sending=sending and port != 0 and not address.is_unspecified,
            receiving=receiving,
            timeout_ms=rtp_timeout_ms,
        )
        self._check(done)
        self._event_send_pt = event_send_pt

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
        kind = _CARRIES.get(name.upper())
        if kind is None:
            raise MediaError(f"payload type {payload_type}: {name} is not understood here")
        return kind

    def play(
        self, clips: Sequence[Clip], *, token: int, interruptible: bool, gap_ms: int = 0, loop: bool = False
    ) -> None:
        """Play clips one after the other, `gap_ms` of silence between two, in place of what plays now.

        `token` comes back in the one PlayFinished of this call. An interruptible playlist ends with the first key
        that is heard, within the same tick. No clips, or only empty ones, finish at once.
        """
        serial = next(self._plane.serials)
        playlist = PlaylistCore(
            serial,
            token,
            [(clip.pcmu, clip.pcma) for clip in clips],
            interruptible=interruptible,
            loop=loop,
            gap_samples=max(0, gap_ms) * _SAMPLES_PER_MS,
        )
        # It stays here until the thread says that it let go of it.
        self._playlists[serial] = playlist
        done = self._clock.play(self._core, playlist)
        if not done:
            del self._playlists[serial]
        self._check(done)

    def stop_playing(self) -> None:
        """Stop what plays, if anything does."""
        self._check(self._clock.stop_playing(self._core))

    def send_digits(self, codes: Sequence[int], *, mode: KeyMode, on_ms: int = 80, off_ms: int = 80) -> None:
        """Key digits towards the peer, after those that wait: RFC 4733 codes 0 to 15.

        In-band tones are mixed into what plays. Telephone-events replace the audio while they last, and their pause
        is 40 ms at least, for the repeated end packets.
        """
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
        causes = {cause: n for cause, n in zip(DROP_CAUSES, dropped, strict=True) if n}
        return LegStatistics(discarded_by_cause=causes, **counters)

    def close(self) -> None:
        """Send RTCP BYE and let go of everything; LegClosed follows. Safe to call twice."""
        if self._closing:
            return
        self._check(self._clock.remove(self._core))
        self._closing = True

    def _check(self, done: bool) -> None:
        if not done:
            raise MediaError("the media thread does not take commands: it stands still, or is flooded with them")

    def _playlist_done(self, serial: int) -> None:
        self._playlists.pop(serial, None)

    def _let_go(self, now: float) -> None:
        """Free what the thread no longer holds."""
        self._core.give_back()
        self._playlists.clear()
        self._plane.ports.release(self._pair, now)


class MediaPlane:
    """All legs of a process.

    `threads` clocks share the legs; by default one for each core but one, and at least one. `dtmf_profile` says what
    counts as an in-band key.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port_range: tuple[int, int] = (20000, 29999),
        threads: int | None = None,
        dtmf_profile: DtmfProfile = ITU_Q24,
    ) -> None:
        n_threads = threads if threads is not None else max(1, (os.cpu_count() or 1) - 1)
        if n_threads < 1:
            raise MediaError("the media plane needs at least one thread")
        self.ports = PortPool(host, port_range)
        self.serials = count(1)
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # RFC 7022 §4.2: a random CNAME for each session tells nobody which machine this is.
        cname = secrets.token_urlsafe(12).encode()
        self._clocks = [ClockThread(self._fd, cname, params(dtmf_profile)) for _ in range(n_threads)]
        self._legs: dict[int, Leg] = {}
        self._threads: list[threading.Thread] = []
        self._leg_ids = count(1)
        self._places = count()
        self._packets_in_closed = 0
        self._packets_out_closed = 0
        self._stopped = False

    @property
    def family(self) -> int:
        """`socket.AF_INET` or `socket.AF_INET6`."""
        return self.ports.family

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.ports.host

    def start(self) -> None:
        """Start the clocks."""
        if self._threads or self._stopped:
            raise MediaError("a media plane is started once")
        for index, clock in enumerate(self._clocks):
            thread = threading.Thread(target=clock.run, name=f"media-{index}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop the clocks, and let go of all legs and of the event descriptor; safe to call twice."""
        if self._stopped:
            return
        self._stopped = True
        for clock in self._clocks:
            clock.stop()
        for thread in self._threads:
            thread.join()
        for leg in self._legs.values():
            leg._let_go(time.monotonic())
        self._legs.clear()
        os.close(self._fd)

    def event_fd(self) -> int:
        """Return the descriptor that is readable while events wait."""
        return self._fd

    def open_leg(self, *, record: bool = False, detect_in_band: bool = True) -> Leg:
        """Bind a pair of ports and hand the leg to a clock.

        `record` keeps the received audio for `Leg.read_received`. Raises MediaError when no port is left.
        """
        if self._stopped:
            raise MediaError("the media plane was stopped")
        pair = self.ports.open_pair(time.monotonic())
        leg_id = next(self._leg_ids)
        core = LegCore(
            leg_id,
            pair.rtp.fileno(),
            pair.rtcp.fileno(),
            secrets.token_bytes(16),
            record=record,
            detect_in_band=detect_in_band,
        )
        # Neighbours in time get other threads and other phases: calls that arrive together are spread.
        place = next(self._places)
        clock = self._clocks[place % len(self._clocks)]
        leg = Leg(self, leg_id, pair, core, clock)
        if not clock.add(core, place // len(self._clocks) % _PHASES):
            self.ports.release(pair, time.monotonic())
            raise MediaError("the media thread does not take commands: it stands still, or is flooded with them")
        self._legs[leg_id] = leg
        return leg

    def drain_events(self) -> list[MediaEvent]:
        """Return what happened since the last call, each thread's events in their order."""
        if self._stopped:
            return []
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            pass
        events: list[MediaEvent] = []
        for clock in self._clocks:
            for raw in clock.drain():
                event = self._event(raw)
                if event is not None:
                    events.append(event)
        return events

    def _event(self, raw: tuple[int, int, int, int, int, int, float, int, int, bool, bool]) -> MediaEvent | None:
        kind, leg_id, code, source, at_ns, duration_ms, level_dbm0, token, playlist, completed, by_digit = raw
        leg = self._legs.get(leg_id)
        if kind == _DIGIT:
            return DigitReceived(
                leg_id=leg_id, code=code, source=_SOURCES[source], at=at_ns / 1e9, level_dbm0=level_dbm0
            )
        if kind == _DIGIT_END:
            return DigitEnded(leg_id=leg_id, code=code, source=_SOURCES[source], duration_ms=duration_ms)
        if kind == _PLAYED:
            if leg is not None:
                leg._playlist_done(playlist)
            return PlayFinished(leg_id=leg_id, token=token, completed=completed, interrupted_by_digit=by_digit)
        if kind == _SILENT:
            return MediaTimeout(leg_id=leg_id, silent_ms=duration_ms)
        if kind == _CLOSED and leg is not None:
            counters = leg.statistics()
            self._packets_in_closed += counters.packets_in
            self._packets_out_closed += counters.packets_out
            del self._legs[leg_id]
            leg._let_go(time.monotonic())
            return LegClosed(leg_id=leg_id)
        return None

    def statistics(self) -> PlaneStatistics:
        """Return a snapshot of all threads and legs."""
        counters = [clock.counters() for clock in self._clocks]
        legs = [leg.statistics() for leg in self._legs.values()]
        return PlaneStatistics(
            ticks=sum(c["ticks"] for c in counters),
            late_ticks=sum(c["late_ticks"] for c in counters),
            skipped_ticks=sum(c["skipped_ticks"] for c in counters),
            max_late_us=max(c["max_late_us"] for c in counters),
            legs=sum(c["legs"] for c in counters),
            events_lost=sum(c["events_lost"] for c in counters),
            commands_lost=sum(c["commands_lost"] for c in counters),
            packets_in=self._packets_in_closed + sum(leg.packets_in for leg in legs),
            packets_out=self._packets_out_closed + sum(leg.packets_out for leg in legs),
        )


class ManualPlane(MediaPlane):
    """A plane without threads: each `tick` is driven by hand, and time is an argument. For tests and offline work."""

    def __init__(self, *, host: str = "127.0.0.1", port_range: tuple[int, int] = (20000, 29999)) -> None:
        super().__init__(host=host, port_range=port_range, threads=1)

    def start(self) -> None:
        """Refuse: this plane has no threads."""
        raise MediaError("a manual plane is ticked by hand")

    def tick(self, now: float) -> None:
        """Tick every leg once at monotonic `now` (s); 20 ms lie between two ticks of a telephone call."""
        self._clocks[0].tick(round(now * 1e9))
