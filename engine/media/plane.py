"""The media plane: legs, and the clock threads that carry them.

Python opens legs, configures them from SDP, plays clips, and drains events; the threads do the rest without the GIL.
No asyncio here: attach ``event_fd()`` with ``loop.add_reader`` and call ``drain_events()`` when it is readable.
All methods are for one thread, the one that owns the plane. Commands take effect at the leg's next tick.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Sequence
from itertools import count

from dsp.dtmf import ITU_Q24, DtmfProfile, params
from engine.errors import MediaError
from engine.media._handles import LegCore, RoomCore
from engine.media._plane import ClockThread
from engine.media.events import (
    DigitEnded,
    DigitReceived,
    DigitSource,
    LegClosed,
    MediaEvent,
    MediaTimeout,
    PeerUnreachable,
    PlayFinished,
    PlayPosition,
)
from engine.media.leg import Leg
from engine.media.ports import DSCP_EF, PortPool
from engine.media.room import Room
from engine.media.statistics import PlaneStatistics

__all__ = ("ManualPlane", "MediaPlane")

log = logging.getLogger("engine.media")

# The numbers of engine/media/_leg.pxd.
_SOURCES = (DigitSource.TELEPHONE_EVENT, DigitSource.IN_BAND)
_DIGIT, _DIGIT_END, _PLAYED, _SILENT, _CLOSED, _POSITION, _UNREACHABLE, _CONFIGURED = range(1, 9)
_PHASES = 4

_RawEvent = tuple[int, int, int, int, int, int, float, int, int, bool, bool, int]


def _moves(raw: _RawEvent) -> int:
    """How often the leg had changed its clock when the event came."""
    return raw[-1]


class MediaPlane:
    """All legs of a process.

    `threads` clocks share the legs; by default one for each core but one, and at least one. `dtmf_profile` says what
    counts as an in-band key. `cpus` binds the clocks to these processors, one after the other; `realtime_priority` of
    1 to 99 asks the system for SCHED_FIFO (sched(7)), and goes on without it, with a warning, where that is refused.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port_range: tuple[int, int] = (20000, 29999),
        threads: int | None = None,
        dtmf_profile: DtmfProfile = ITU_Q24,
        dscp: int = DSCP_EF,
        cpus: Sequence[int] = (),
        realtime_priority: int = 0,
    ) -> None:
        n_threads = threads if threads is not None else max(1, (os.cpu_count() or 1) - 1)
        if n_threads < 1:
            raise MediaError("the media plane needs at least one thread")
        if not 0 <= realtime_priority <= 99:
            raise MediaError(f"a real-time priority of {realtime_priority} is none: 1 to 99, 0 for none")
        self.ports = PortPool(host, port_range, dscp=dscp)
        self._cpus = tuple(cpus)
        self._priority = realtime_priority
        self.serials = count(1)
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # RFC 7022 §4.2: a random CNAME for each session tells nobody which machine this is.
        cname = secrets.token_urlsafe(12).encode()
        self._clocks = [ClockThread(self._fd, cname, params(dtmf_profile)) for _ in range(n_threads)]
        self._legs: dict[int, Leg] = {}
        self.rooms: list[RoomCore] = []
        self._threads: list[threading.Thread] = []
        self._leg_ids = count(1)
        self._places = count()
        self._packets_in_closed = 0
        self._packets_out_closed = 0
        self._draining = False
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
            thread = threading.Thread(target=self._run, args=(clock, index), name=f"media-{index}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _run(self, clock: ClockThread, index: int) -> None:
        """Be a clock thread. What the system refuses is no reason to stand still."""
        try:
            if self._cpus:
                os.sched_setaffinity(0, {self._cpus[index % len(self._cpus)]})
        except OSError as error:
            log.warning(
                "a media thread cannot be bound to processor %s: %s", self._cpus[index % len(self._cpus)], error
            )
        try:
            if self._priority:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(self._priority))
        except OSError as error:
            log.warning(
                "a media thread gets no real-time priority (%s): allow it (LimitRTPRIO=%d in the service's unit)",
                error,
                self._priority,
            )
        clock.run()

    def drain(self) -> None:
        """Open no leg any more; those that are open go on."""
        self._draining = True

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
        for room in self.rooms:
            room.give_back()
        self.rooms.clear()
        os.close(self._fd)

    def event_fd(self) -> int:
        """Return the descriptor that is readable while events wait."""
        return self._fd

    def open_leg(self, *, record: bool = False, detect_in_band: bool = True, beside: Leg | None = None) -> Leg:
        """Bind a pair of ports and hand the leg to a clock.

        `record` keeps the received audio for `Leg.read_received`. `beside` names a leg that it shall be bridged with:
        both go to one clock. Raises MediaError when no port is left, or while draining.
        """
        if self._stopped or self._draining:
            raise MediaError("the media plane was stopped" if self._stopped else "the media plane is draining")
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
        if beside is None:
            place = next(self._places)
            clock = self._clocks[place % len(self._clocks)]
            phase = place // len(self._clocks) % _PHASES
        else:
            clock, phase = beside._clock, beside._phase
        leg = Leg(self, leg_id, pair, core, clock, phase)
        if not clock.add(core, phase):
            self.ports.release(pair, time.monotonic())
            raise MediaError("the media thread does not take commands: it stands still, or is flooded with them")
        self._legs[leg_id] = leg
        return leg

    def open_room(self) -> Room:
        """Return an empty room. Raises MediaError once the plane is stopped."""
        if self._stopped:
            raise MediaError("the media plane was stopped")
        # Those that were closed go when their clock has let go of them.
        self.rooms[:] = [room for room in self.rooms if not room.released]
        return Room(self, RoomCore())

    def drain_events(self) -> list[MediaEvent]:
        """Return what happened since the last call: each leg's events in their order, whatever clocks it had."""
        if self._stopped:
            return []
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            pass
        events: list[MediaEvent] = []
        for raw in self._drain():
            event = self._event(raw)
            if event is not None:
                events.append(event)
        return events

    def _drain(self) -> list[_RawEvent]:
        """Empty the rings. What a leg said before it changed its clock comes before what it said afterwards."""
        found: list[_RawEvent] = []
        while True:
            fresh = [raw for clock in self._clocks for raw in clock.drain()]
            found += fresh
            # Where one came from behind a move, all from before it are in their ring by now: perhaps since we looked.
            if not any(map(_moves, fresh)):
                break
        if any(map(_moves, found)):
            found.sort(key=_moves)
        return found

    def _event(self, raw: _RawEvent) -> MediaEvent | None:
        kind, leg_id, code, source, at_ns, duration_ms, level_dbm0, token, playlist, completed, by_digit, _ = raw
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
        if kind == _POSITION:
            return PlayPosition(leg_id=leg_id, token=token, position_ms=duration_ms)
        if kind == _UNREACHABLE:
            return PeerUnreachable(leg_id=leg_id)
        if kind == _CONFIGURED and leg is not None:
            leg._configured(playlist)
            return None
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
        # A copy: metrics are read by a thread of their own, while calls open and close legs.
        legs = [leg.statistics() for leg in list(self._legs.values())]
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

    def __init__(
        self, *, host: str = "127.0.0.1", port_range: tuple[int, int] = (20000, 29999), threads: int = 1
    ) -> None:
        super().__init__(host=host, port_range=port_range, threads=threads)

    def start(self) -> None:
        """Refuse: this plane has no threads."""
        raise MediaError("a manual plane is ticked by hand")

    def tick(self, now: float) -> None:
        """Tick every leg once at monotonic `now` (s); 20 ms lie between two ticks of a telephone call."""
        for clock in self._clocks:
            clock.tick(round(now * 1e9))
