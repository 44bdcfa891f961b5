"""A caller who keys over a line that is none too good, an agent behind the mask, and what the agent can make of it.

The keys go the whole way: coded, lost, late and out of order into the caller's leg, with telephone-events beside where
the phone sends both, through the mask, in another codec to the agent, and into a recording. The application takes the
mask off when it has its last digit, as applications do: the key may still be held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.dtmf import detectors
from benchmarks.dtmf.errors import DetectorError
from benchmarks.dtmf.score import Found
from benchmarks.residue import ANYTHING
from dsp.dtmf import DIGITS, SENSITIVE, DtmfDetector, generate
from dsp.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from dsp.g722 import G722Decoder, G722Encoder
from dsp.levels import power_of_db
from dsp.mask import MaskFill
from engine.media import DigitReceived
from engine.media.recorder import ManualRecorder
from engine.rtp import RtpPacket
from tests.support.recording import read_recording
from tests.support.rtp_peer import EVENT_PT, MediaCase, Peer, media_case

__all__ = ("CODES", "Caller", "Heard", "Keyed", "Voice", "call", "own_digits", "receivers")

Samples = NDArray[np.int16]
Voice = Callable[[int, np.random.Generator], NDArray[np.float64]]

TICK = 160
PTS = {"PCMU": 0, "PCMA": 8, "G722": 9}
CODES = "0123456789*#ABCD"
"RFC 4733 §3.2: a key's code is its place."
SETTLE = 8000
"Samples at the beginning in which somebody speaks and nobody keys."
EARLY = 480
LATE = 6400
"A digit is a key's own from 60 ms before it to 800 ms behind it: jitter buffer, mask line, codecs."


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A phone and its line."""

    codec: str = "PCMU"
    agent_codec: str = "PCMU"
    fill: MaskFill = MaskFill.TONE
    keys: int = 24
    longest_ms: float = 500.0
    "Keys last 40 ms to this, short ones more often."
    snr_db: float | None = None
    "Of a voice over the keys; None: silence but for the keys."
    lost: float = 0.0
    "Share of packets."
    jitter: int = 0
    "Ticks by which a packet may be late, at most."
    events: bool = False
    "The phone sends a telephone-event beside each tone."
    hasty: bool = False
    "The application takes the mask off with the last digit, not when the key is over."


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """A key, in samples since the call began."""

    start: int
    end: int
    digit: str = field(repr=False)
    masked: bool
    "The mask was on before it was pressed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came of it."""

    keys: tuple[Keyed, ...]
    agent: Samples
    "What the agent's phone played."
    recorded: Samples
    "The caller's side of the recording."
    relayed: tuple[int, ...] = field(repr=False)
    "Telephone-events that the agent's phone got."
    digits: int
    "That the engine heard, by in-band tones or events."


class _Encoder:
    """One direction of a codec, as the phone has it."""

    def __init__(self, codec: str) -> None:
        self.payload_type = PTS[codec]
        self._g722 = G722Encoder()

    def encode(self, samples: Samples) -> bytes:
        if self.payload_type == 0:
            return ulaw_encode(samples)
        if self.payload_type == 8:
            return alaw_encode(samples)
        return self._g722.encode(samples)


def _dial(caller: Caller, rng: np.random.Generator) -> tuple[Samples, list[Keyed], list[tuple[int, bool]]]:
    """Draw what is keyed and when the mask is on: groups of keys behind it, single ones without it between them."""
    twist = float(rng.uniform(-6, 6))
    low = float(rng.uniform(-30, -3)) - max(0.0, twist)
    parts = [np.zeros(SETTLE, np.int16)]
    keys: list[Keyed] = []
    switches: list[tuple[int, bool]] = []
    at = SETTLE
    while len(keys) < caller.keys:
        masked = len(switches) % 2 == 0
        switches.append((at - int(rng.integers(0, 1600)), masked))
        for _ in range(int(rng.integers(2, 10)) if masked else 1):
            digit = DIGITS[int(rng.integers(16))]
            on = float(np.exp(rng.uniform(np.log(40), np.log(caller.longest_ms))))
            made = generate(
                digit,
                level_dbm0=low,
                high_minus_low_db=twist,
                on_ms=on,
                off_ms=float(rng.uniform(120, 400)),
                frequency_offset=(float(rng.uniform(-0.015, 0.015)), float(rng.uniform(-0.015, 0.015))),
                ramp_ms=float(rng.choice([0.0, 1.0, 4.0])),
            )
            keys.append(Keyed(start=at, end=at + round(on * 8), digit=digit, masked=masked))
            parts.append(made)
            at += len(made)
        # Behind the last key, long enough for all of it to come through before the mask changes.
        pause = np.zeros(6400, np.int16)
        parts.append(pause)
        at += len(pause)
    x = np.concatenate([*parts, np.zeros(4800, np.int16)])
    x = x[: len(x) // TICK * TICK]
    return x, keys, switches


def _with_voice(x: Samples, caller: Caller, voice: Voice | None, rng: np.random.Generator) -> Samples:
    if voice is None or caller.snr_db is None:
        return x
    power = np.mean(x[np.abs(x) > 0].astype(float) ** 2)
    mixed = x + voice(len(x), rng) * np.sqrt(power / power_of_db(caller.snr_db))
    return np.asarray(np.clip(np.rint(mixed), -32768, 32767), dtype=np.int16)


def _events(keys: list[Keyed]) -> dict[int, list[tuple[int, int, int, bool]]]:
    """Packets of telephone-events by tick: code, timestamp, duration, end."""
    packets: dict[int, list[tuple[int, int, int, bool]]] = {}
    for key in keys:
        code = CODES.index(key.digit)
        for at in range(key.start, key.end, TICK):
            packets.setdefault(at // TICK, []).append((code, key.start, max(at - key.start, TICK), False))
        for n in range(3):
            packets.setdefault(key.end // TICK + n, []).append((code, key.start, key.end - key.start, True))
    return packets


def _send(
    case: MediaCase, phone: Peer, x: Samples, caller: Caller, keys: list[Keyed], rng: np.random.Generator
) -> Iterator[int]:
    """Send a packet in each tick, and what was late; yields the tick."""
    coder = _Encoder(caller.codec)
    waiting: dict[int, list[tuple[int, bytes]]] = {}
    events = _events(keys) if caller.events else {}
    for tick in range(len(x) // TICK):
        payload = coder.encode(x[tick * TICK : (tick + 1) * TICK])
        if rng.random() >= caller.lost:
            late = int(rng.integers(0, caller.jitter + 1)) if rng.random() < 0.3 else 0
            waiting.setdefault(tick + late, []).append((tick, payload))
        for sent, data in waiting.pop(tick, ()):
            phone.send(
                payload=data, payload_type=coder.payload_type, timestamp=sent * TICK, sequence=(2 * sent) & 0xFFFF
            )
        for code, timestamp, duration, end in events.get(tick, ()):
            # Their own sequence numbers, between those of the audio.
            phone.send_event(code, timestamp=timestamp, duration=duration, end=end, sequence=(2 * tick + 1) & 0xFFFF)
        yield tick


def _decode(packets: list[RtpPacket], codec: str) -> Samples:
    """Return what the agent's phone plays: silence where telephone-events took the place of audio."""
    audio = [packet for packet in packets if packet.payload_type == PTS[codec]]
    data = b"".join(packet.payload for packet in audio)
    decoded = {"PCMU": ulaw_decode, "PCMA": alaw_decode, "G722": G722Decoder().decode}[codec](data)
    begin = packets[0].timestamp
    out = np.zeros(((packets[-1].timestamp - begin) & 0xFFFFFFFF) + TICK, np.int16)
    for i, packet in enumerate(audio):
        at = (packet.timestamp - begin) & 0xFFFFFFFF
        out[at : at + TICK] = decoded[i * TICK : (i + 1) * TICK]
    return out


def call(caller: Caller, seed: int, directory: Path, *, voice: Voice | None = None, always: bool = False) -> Heard:
    """Let a caller key to an agent, and return what the agent and the recording got.

    `voice` makes samples of unit power, which go under the keys. With `always` the mask is on from the beginning on.
    """
    rng = np.random.default_rng(seed)
    x, keys, switches = _dial(caller, rng)
    if always:
        keys, switches = [replace(key, masked=True) for key in keys], [(0, True)]
    x = _with_voice(x, caller, voice, rng)
    recorder = ManualRecorder(directory)
    recorder.start()
    recording = recorder.open(f"{seed}.wav")
    receive = {number: name for name, number in PTS.items()}
    got: list[RtpPacket] = []
    with media_case() as case:
        line, phone = case.leg(codec=caller.codec, send_pt=PTS[caller.codec], receive_pts=receive)
        agent, desk = case.leg(codec=caller.agent_codec, send_pt=PTS[caller.agent_codec], receive_pts=receive)
        line.mask_line(fill=caller.fill)
        line.record(recording)
        line.bridge(agent)
        wanted = [sum(start <= key.start < end for key in keys) for start, end in _spans(switches, len(x))]
        heard = 0
        span = -1
        got_in_span = 0
        for tick in _send(case, phone, x, caller, keys, rng):
            while span + 1 < len(switches) and switches[span + 1][0] // TICK <= tick:
                span += 1
                got_in_span = 0
                line.mask(switches[span][1])
            pressed = sum(isinstance(event, DigitReceived) for event in case.tick())
            heard += pressed
            got_in_span += pressed
            if pressed and caller.hasty and span >= 0 and switches[span][1] and got_in_span >= wanted[span]:
                line.mask(False)
                # An event is heard in the tick of its key, a tone two ticks after it at the earliest.
                since = (tick + 1 if caller.events else tick - 2) * TICK
                keys = _misled(keys, since, until=switches[span + 1][0] if span + 1 < len(switches) else len(x))
            recorder.move()
            recorder.write()
            got += desk.received()
    recording.close()
    recorder.stop()
    _, raw = read_recording(recording.path)
    return Heard(
        keys=tuple(keys),
        agent=_decode(got, caller.agent_codec),
        relayed=tuple(packet.payload[0] for packet in got if packet.payload_type == EVENT_PT and packet.marker),
        recorded=np.ascontiguousarray(np.frombuffer(raw, dtype=np.int16).reshape(-1, 2)[:, 0]),
        digits=heard,
    )


def _misled(keys: list[Keyed], since: int, *, until: int) -> list[Keyed]:
    """Return the keys as they are once the application took the mask off: a loss can make two digits of a long key.

    Then it has as many as it wanted before the last one is pressed, and what comes is not behind the mask.
    """
    return [replace(key, masked=False) if key.masked and since <= key.start < until else key for key in keys]


def _spans(switches: list[tuple[int, bool]], end: int) -> Iterator[tuple[int, int]]:
    for i, (start, _) in enumerate(switches):
        yield start, switches[i + 1][0] if i + 1 < len(switches) else end


def receivers(samples: Samples) -> Iterator[tuple[str, list[Found]]]:
    """Yield what each receiver finds: ours as a profile has it, ours with every limit at its loosest, libspandsp's."""
    for name, profile in (("sensitive", SENSITIVE), ("anything", ANYTHING)):
        ours = DtmfDetector(profile)
        events = ours.process(samples) + ours.flush()
        yield name, [Found(event.digit, event.start) for event in events if event.end is None]
    try:
        spandsp = detectors.make("spandsp")
    except DetectorError:
        return
    yield "spandsp", spandsp.detect(detectors.cut(samples))


def own_digits(heard: Heard) -> dict[str, tuple[int, int, int]]:
    """Return of each receiver how many keys it told behind the mask and of the others, and digits that nobody keyed."""
    told: dict[str, tuple[int, int, int]] = {}
    for where, samples in (("agent", heard.agent), ("recording", heard.recorded)):
        for name, found in receivers(samples):
            all_owners = [_owner(heard.keys, one) for one in found]
            owners = {key for key in all_owners if key is not None}
            behind = sum(key.masked for key in owners)
            told[f"{name}, {where}"] = (behind, len(owners) - behind, all_owners.count(None))
    return told


def _owner(keys: tuple[Keyed, ...], found: Found) -> Keyed | None:
    """Return the key that a digit was heard of: of those it may be, the one pressed last."""
    at = found.at
    if at is None:
        return None
    near = [key for key in keys if key.digit == found.digit and key.start - EARLY <= at <= key.end + LATE]
    return near[-1] if near else None
