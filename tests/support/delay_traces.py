"""Packets of a call as a network delivers them: delay, loss, order, clocks and silence, all from a seed; and a playout.

Time is a number here: a trace says when each packet arrives, `play` asks the buffer once each 20 ms of that time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.rtp._jitter import Jitter
from engine.rtp._source import Source

__all__ = (
    "SEEDED_TRACES",
    "Buffer",
    "Outcome",
    "Packet",
    "Trace",
    "delayed",
    "doubled",
    "gamma",
    "lost_in_bursts",
    "play",
    "reordered",
    "restarted",
    "sent",
    "spiked",
    "talk",
    "with_silence",
)

TICK_MS = 20
SAMPLES_PER_MS = 8
AUDIO, MISSING, HELD, AGAIN = 1, 2, 4, 8
MOST_FRAMES = 4
COUNT = 32000


class Buffer(Protocol):
    """What `play` wants of a jitter buffer."""

    def put(self, timestamp: int, samples: NDArray[np.int16], *, marker: bool = ..., in_order: bool = ...) -> int: ...
    def get(self) -> tuple[int, bytes, bytes]: ...
    @property
    def target(self) -> int: ...
    @property
    def counters(self) -> dict[str, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet."""

    at_ms: float
    "When it arrives."
    sent_ms: float
    sequence: int
    timestamp: int
    first: int
    "Number of its first sample, in the sender's samples since the beginning."
    n: int
    "Samples; 0 for a comfort noise packet (RFC 3389)."
    marker: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Packets in the order of their arrival."""

    name: str
    packets: tuple[Packet, ...]
    duration_ms: int
    sample_ms: float = 1 / SAMPLES_PER_MS
    "Length of the sender's sample in our time."


def _arranged(name: str, trace: Trace, packets: Iterable[Packet]) -> Trace:
    return dataclasses.replace(trace, name=name, packets=tuple(sorted(packets, key=lambda p: p.at_ms)))


def sent(*, seconds: int = 60, ptime_ms: int = 20, ppm: float = 0, first_timestamp: int = 0xFFFF0000) -> Trace:
    """Packets of a steady talker, 30 ms after they were sent; `ppm` > 0: the sender's clock is the faster one."""
    step = ptime_ms * SAMPLES_PER_MS
    sample_ms = 1 / (SAMPLES_PER_MS * (1 + ppm / 1e6))
    n = math.floor(seconds * 1000 / (step * sample_ms))
    packets = tuple(
        Packet(
            at_ms=i * step * sample_ms + 30.0,
            sent_ms=i * step * sample_ms,
            sequence=(65_000 + i) & 0xFFFF,
            timestamp=(first_timestamp + i * step) & 0xFFFFFFFF,
            first=i * step,
            n=step,
            marker=i == 0,
        )
        for i in range(n)
    )
    name = f"constant, {ptime_ms} ms" if not ppm else f"skew {ppm:+.0f} ppm"
    return Trace(name=name, packets=packets, duration_ms=seconds * 1000, sample_ms=sample_ms)


def delayed(trace: Trace, name: str, delays_ms: NDArray[np.floating[Any]], *, in_order: bool) -> Trace:
    """Add a delay to each packet; `in_order`: a queue, where none overtakes another."""
    packets = []
    latest = 0.0
    for packet, delay_ms in zip(trace.packets, delays_ms, strict=True):
        at_ms = packet.at_ms + float(delay_ms)
        if in_order:
            at_ms = latest = max(at_ms, latest)
        packets.append(dataclasses.replace(packet, at_ms=at_ms))
    return _arranged(name, trace, packets)


def gamma(trace: Trace, *, shape: float, mean_ms: float, seed: int, in_order: bool = False) -> Trace:
    """Delay each packet on its own, by a gamma distribution."""
    delays_ms = np.random.default_rng(seed).gamma(shape, mean_ms / shape, len(trace.packets))
    order = ", in order" if in_order else ""
    return delayed(trace, f"gamma {shape:g}, mean {mean_ms:g} ms{order}", delays_ms, in_order=in_order)


def spiked(trace: Trace, *, every_s: float, least_ms: float, most_ms: float, seed: int) -> Trace:
    """Stop the network now and then; what was sent meanwhile comes at once."""
    rng = np.random.default_rng(seed)
    starts_ms = np.arange(every_s * 1000, trace.duration_ms, every_s * 1000)
    ends_ms = starts_ms + rng.uniform(least_ms, most_ms, len(starts_ms))
    packets = []
    for packet in trace.packets:
        at_ms = packet.at_ms
        for start_ms, end_ms in zip(starts_ms, ends_ms, strict=True):
            if start_ms <= at_ms < end_ms:
                at_ms = float(end_ms)
        packets.append(dataclasses.replace(packet, at_ms=at_ms))
    return _arranged(f"stalls {least_ms:g}-{most_ms:g} ms each {every_s:g} s", trace, packets)


def lost_in_bursts(trace: Trace, *, part: float, burst: float, seed: int) -> Trace:
    """Gilbert's model: `part` of the packets lost, in bursts of `burst` on average."""
    rng = np.random.default_rng(seed)
    packets = []
    losing = False
    for packet in trace.packets:
        losing = bool(rng.random() < (1 - 1 / burst if losing else part / (burst * (1 - part))))
        if not losing:
            packets.append(packet)
    return _arranged(f"{trace.name}, loss {100 * part:g} %", trace, packets)


def reordered(trace: Trace, *, part: float, seed: int) -> Trace:
    """Let some packets be overtaken by the two behind them."""
    held = np.random.default_rng(seed).random(len(trace.packets)) < part
    return delayed(trace, f"reordered {100 * part:g} %", held * 45.0, in_order=False)


def doubled(trace: Trace, *, part: float, seed: int) -> Trace:
    """Deliver some packets again, 15 ms later."""
    again = np.random.default_rng(seed).random(len(trace.packets)) < part
    copies = [
        dataclasses.replace(p, at_ms=p.at_ms + 15) for p, twice in zip(trace.packets, again, strict=True) if twice
    ]
    return _arranged(f"doubled {100 * part:g} %", trace, [*trace.packets, *copies])


def restarted(trace: Trace, *, at_s: float) -> Trace:
    """Let the sender begin anew in mid-call: other sequence numbers, another time base."""
    packets = [
        dataclasses.replace(
            p, sequence=(p.sequence + 30_011) & 0xFFFF, timestamp=(p.timestamp + 0x31415926) & 0xFFFFFFFF
        )
        if p.sent_ms >= at_s * 1000
        else p
        for p in trace.packets
    ]
    return _arranged("sequence restart", trace, packets)


def with_silence(
    trace: Trace, *, talk_ms: float, pause_ms: float, seed: int, noise: bool = True, clock_stops: bool = False
) -> Trace:
    """Talk and pause (means of exponential lengths); `noise`: a comfort noise packet at the beginning of each pause.

    `clock_stops`: a sender whose timestamps stand still while it is silent, which RFC 3550 §5.1 does not allow.
    """
    rng = np.random.default_rng(seed)
    packets = []
    sequence = trace.packets[0].sequence
    change_ms = rng.exponential(talk_ms) + 200
    talking = begins = True
    skipped = 0
    for packet in trace.packets:
        if packet.sent_ms >= change_ms:
            talking = not talking
            change_ms = packet.sent_ms + rng.exponential(talk_ms if talking else pause_ms) + 200
            begins = True
        if talking or (begins and noise):
            packets.append(
                dataclasses.replace(
                    packet,
                    sequence=sequence,
                    timestamp=(packet.timestamp - skipped) & 0xFFFFFFFF,
                    n=packet.n if talking else 0,
                    marker=talking and begins,
                )
            )
            sequence = (sequence + 1) & 0xFFFF
            begins = False
        if not talking and clock_stops:
            skipped += packet.n
    name = "DTX" + (" with comfort noise" if noise else "") + (", clock stops" if clock_stops else "")
    return _arranged(name, trace, packets)


def talk(
    seconds: float, *, talk_s: float = 2.0, pause_s: float = 1.0, noise: float = 12.0, seed: int = 1
) -> NDArray[np.int16]:
    """Voice of a changing pitch and level, with pauses of background noise."""
    rng = np.random.default_rng(seed)
    n = int(seconds * 8000)
    t = np.arange(n) / 8000
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / 8000
    wave = np.asarray(sum(np.cos(k * phase + k) / k for k in range(1, 8)))
    envelope = (t % (talk_s + pause_s) < talk_s) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
    made: NDArray[np.int16] = np.rint(2500 * envelope * wave + rng.normal(0, noise, n)).astype(np.int16)
    return made


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a buffer made of a trace."""

    trace: Trace
    counters: dict[str, int]
    packets: int
    "Audio packets that arrived."
    came: int = 0
    "Samples that arrived, each counted once."
    heard: list[int] = field(default_factory=list)
    "Numbers of the samples delivered, modulo 32000."
    delays_ms: list[float] = field(default_factory=list)
    "From sending to delivery, of the first sample of each frame; and when that was."
    times_ms: list[float] = field(default_factory=list)
    held_ticks: int = 0
    again: int = 0
    ticks: int = 0

    @property
    def late_part(self) -> float:
        """Share of the packets that came after their playout."""
        return self.counters["late"] / max(self.packets, 1)

    def mean_delay_ms(self, *, from_ms: float = 0, to_ms: float = math.inf) -> float:
        """Mean delay in a stretch of the call."""
        return float(np.mean([d for d, at in zip(self.delays_ms, self.times_ms, strict=True) if from_ms <= at < to_ms]))

    def quantile_ms(self, part: float) -> float:
        """Return the shortest constant delay, from sending to a tick, in which `part` of the packets come."""
        needed = [math.ceil(p.at_ms / TICK_MS) * TICK_MS - p.sent_ms for p in self.trace.packets if p.n]
        return float(np.quantile(needed, part))


def play(
    trace: Trace,
    buffer: Buffer | None = None,
    *,
    each_frame: Callable[[int, bytes, bytes], None] | None = None,
    each_noise: Callable[[], None] | None = None,
    each_tick: Callable[[], None] | None = None,
    audio: NDArray[np.int16] | None = None,
) -> Outcome:
    """Play a trace. Samples are their numbers (modulo 32000, from 1), or those of `audio`, again and again."""
    buffer = Jitter() if buffer is None else buffer
    source: Source | None = None
    outcome = Outcome(trace=trace, counters={}, packets=sum(1 for p in trace.packets if p.n))
    seen: set[int] = set()
    at = 0
    for tick in range(trace.duration_ms // TICK_MS):
        now_ms = tick * TICK_MS
        while at < len(trace.packets) and trace.packets[at].at_ms <= now_ms:
            packet = trace.packets[at]
            at += 1
            source = source or Source(1, packet.sequence)
            verdict = source.receive(packet.sequence)
            if verdict == 2:
                continue
            if packet.n == 0:
                if each_noise is not None:
                    each_noise()
                continue
            number = np.arange(packet.first, packet.first + packet.n)
            samples = (number % COUNT + 1).astype(np.int16) if audio is None else audio[number % len(audio)]
            buffer.put(packet.timestamp, samples, marker=packet.marker, in_order=verdict != 1)
            if packet.first not in seen:
                seen.add(packet.first)
                outcome.came += packet.n
        outcome.ticks += 1
        for _ in range(MOST_FRAMES):
            flags, raw, valid = buffer.get()
            if each_frame is not None:
                each_frame(flags, raw, valid)
            if flags & HELD:
                outcome.held_ticks += 1
            if flags & AUDIO and audio is None:
                frame = np.frombuffer(raw, dtype=np.int16)[np.frombuffer(valid, dtype=np.uint8) == 1]
                outcome.heard += frame.tolist()
                ours = math.floor(now_ms / trace.sample_ms)
                number_heard = ours - (ours - (int(frame[0]) - 1)) % COUNT
                outcome.delays_ms.append(now_ms - number_heard * trace.sample_ms)
                outcome.times_ms.append(now_ms)
            if not flags & AGAIN:
                break
            outcome.again += 1
        if each_tick is not None:
            each_tick()
    outcome.counters = dict(buffer.counters)
    return outcome


def _traces() -> dict[str, Callable[[], Trace]]:
    made: dict[str, Callable[[], Trace]] = {}
    for ptime_ms in (10, 20, 30, 40, 60):
        made[f"constant-{ptime_ms}"] = lambda ptime_ms=ptime_ms: sent(ptime_ms=ptime_ms)  # type: ignore[misc]
    for shape, mean_ms in ((1.0, 10.0), (2.0, 20.0), (5.0, 30.0)):
        made[f"gamma-{shape:g}"] = lambda shape=shape, mean_ms=mean_ms: gamma(  # type: ignore[misc]
            sent(seconds=120), shape=shape, mean_ms=mean_ms, seed=1
        )
    made["gamma-in-order"] = lambda: gamma(sent(seconds=120), shape=1.0, mean_ms=25.0, seed=2, in_order=True)
    made["gamma-10-ms-packets"] = lambda: gamma(sent(ptime_ms=10, seconds=120), shape=2.0, mean_ms=20.0, seed=3)
    made["gamma-60-ms-packets"] = lambda: gamma(sent(ptime_ms=60, seconds=120), shape=2.0, mean_ms=20.0, seed=4)
    made["stalls"] = lambda: spiked(sent(seconds=120), every_s=5, least_ms=200, most_ms=400, seed=5)
    made["short-stalls"] = lambda: spiked(sent(seconds=120), every_s=5, least_ms=80, most_ms=120, seed=6)
    made["loss"] = lambda: lost_in_bursts(sent(), part=0.05, burst=2.5, seed=7)
    made["loss-and-gamma"] = lambda: lost_in_bursts(
        gamma(sent(), shape=2.0, mean_ms=15.0, seed=8), part=0.05, burst=2.5, seed=9
    )
    made["reordered"] = lambda: reordered(sent(), part=0.05, seed=10)
    made["doubled"] = lambda: doubled(sent(), part=0.1, seed=11)
    made["skew-fast"] = lambda: sent(seconds=400, ppm=200)
    made["skew-slow"] = lambda: sent(seconds=400, ppm=-200)
    made["dtx"] = lambda: with_silence(
        gamma(sent(seconds=120), shape=2.0, mean_ms=10.0, seed=12), talk_ms=1500, pause_ms=1500, seed=13
    )
    made["dtx-clock-stops"] = lambda: with_silence(
        sent(seconds=120), talk_ms=1500, pause_ms=1500, seed=14, noise=False, clock_stops=True
    )
    made["restart"] = lambda: restarted(sent(seconds=30), at_s=15)
    return made


SEEDED_TRACES = _traces()
"Makers of traces by name; the same packets each time."
