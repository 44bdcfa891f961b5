"""The callers of the benchmark: what they send is right, so that what an engine loses of it is the engine's fault."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load._generator import Generator
from benchmarks.load.audio import CODES, FRAME, KeyClips, background, key_clips
from benchmarks.load.caller import bind_pair
from benchmarks.load.media import SUITE, Load, MediaRun, measure
from benchmarks.load.plan import Outcome, compare, draw_plan
from benchmarks.load.proc import cpu_time
from benchmarks.load.report import rows, table, write_json
from benchmarks.load.worker import Worker, WorkerError
from dsp.dtmf import DtmfDetector, DtmfKind
from dsp.g711 import ulaw_decode
from engine.rtp import RtpPacket
from engine.rtp._srtp import SrtpCore
from engine.rtp.srtp import SUITES, SrtpKeysPair

LOOPBACK = "127.0.0.1"
EVENT_PT = 101
SPEECH = background(1, seconds=2.0)
CLIPS = key_clips(1, variants=2)
ON_FRAMES = 4
SILENCE = bytes([0xFF]) * FRAME
SOUND = bytes([0x80]) * FRAME


@dataclass(slots=True)
class Legs:
    """Sockets in the place of an engine's legs, and the callers who call them."""

    generator: Generator
    sockets: list[socket.socket]
    port: int

    def raw(self, leg: int) -> list[bytes]:
        """What a leg was sent, in order."""
        packets = []
        while True:
            try:
                packets.append(self.sockets[leg].recv(2048))
            except BlockingIOError:
                return packets

    def received(self, leg: int) -> list[RtpPacket]:
        """The same, read."""
        return [RtpPacket.parse(packet) for packet in self.raw(leg)]

    def answer(self, leg: int, sequence: int, payload: bytes = SILENCE) -> None:
        """Send one packet back, as a leg does."""
        packet = RtpPacket(payload_type=0, sequence=sequence, timestamp=0, ssrc=7, payload=payload)
        self.sockets[leg].sendto(packet.to_bytes(), (LOOPBACK, self.port))


@contextmanager
def legs(n: int, *, phases: int = 1, clips: KeyClips = CLIPS) -> Iterator[Legs]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(n)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
            each.setblocking(False)
        rtp, rtcp = (stack.enter_context(each) for each in bind_pair())
        generator = Generator(
            [rtp.fileno()],
            [rtcp.fileno()],
            [each.getsockname()[1] for each in sockets],
            background=SPEECH,
            clips=clips.audio,
            clip_frames=clips.frames,
            event_frames=ON_FRAMES,
            phases=phases,
        )
        yield Legs(generator, sockets, rtp.getsockname()[1])


def plan(*keys: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay out keys of callers, each ``(cycle, code)``."""
    flat = [key for caller in keys for key in caller]
    first = np.cumsum([0, *map(len, keys)]).astype(np.int32)
    cycles = np.array([cycle for cycle, _ in flat], dtype=np.int32)
    return first, cycles, np.array([code * CLIPS.variants for _, code in flat], dtype=np.int32)


def digits(payload: bytes) -> str:
    """What our detector hears in mu-law."""
    detector = DtmfDetector()
    found = [*detector.process(ulaw_decode(payload)), *detector.lost(800)]
    return "".join(each.digit for each in found if each.kind is DtmfKind.START)


# -- packets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phases", [1, 4])
def test_each_caller_sends_one_packet_of_20_ms_a_cycle(phases: int) -> None:
    with legs(5, phases=phases) as case:
        case.generator.run(6)
        streams = [case.received(leg) for leg in range(5)]
    for stream in streams:
        assert len(stream) == 6
        assert [packet.marker for packet in stream] == [True, False, False, False, False, False]
        assert {len(packet.payload) for packet in stream} == {FRAME}
        assert {(b.sequence - a.sequence) % 2**16 for a, b in itertools.pairwise(stream)} == {1}
        assert {(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(stream)} == {FRAME}
    assert len({stream[0].ssrc for stream in streams}) == 5
    assert len({stream[0].payload for stream in streams}) == 5


def test_the_speech_goes_on_where_it_was_and_begins_anew_at_its_end() -> None:
    with legs(1) as case:
        n = len(SPEECH) // FRAME
        case.generator.run(n + 1)
        spoken = b"".join(packet.payload for packet in case.received(0))
    assert spoken == SPEECH + SPEECH[:FRAME]


def test_an_event_is_an_rfc_4733_train_with_three_ends() -> None:
    with legs(1) as case:
        case.generator.plan("telephone-event", *plan([(2, 11)]))
        case.generator.run(12)
        stream = case.received(0)
    train = [packet for packet in stream if packet.payload_type == EVENT_PT]
    assert [packet.marker for packet in train] == [True, False, False, False, False, False]
    assert {packet.timestamp for packet in train} == {(stream[0].timestamp + 2 * FRAME) % 2**32}
    assert [packet.payload[0] for packet in train] == [11] * 6
    assert [packet.payload[1] >> 7 for packet in train] == [0, 0, 0, 1, 1, 1]
    assert [int.from_bytes(packet.payload[2:]) for packet in train] == [160, 320, 480, 640, 640, 640]
    assert {(b.sequence - a.sequence) % 2**16 for a, b in itertools.pairwise(stream)} == {1}
    # Events and audio share one clock: the audio after it is at its own time.
    assert (stream[8].payload_type, stream[8].timestamp) == (0, (stream[0].timestamp + 8 * FRAME) % 2**32)


def test_in_band_keys_are_heard_in_their_order_by_each_leg() -> None:
    with legs(2) as case:
        case.generator.plan("in-band", *plan([(1, 5), (11, 5), (21, 0)], [(3, 10)]))
        case.generator.run(30)
        heard = [digits(b"".join(packet.payload for packet in case.received(leg))) for leg in range(2)]
        assert case.generator.totals()["keys_sent"] == 4
    assert heard == ["550", "*"]


def test_keys_that_fall_into_one_another_are_all_sent() -> None:
    with legs(1) as case:
        case.generator.plan("telephone-event", *plan([(0, 1), (0, 2), (1, 3)]))
        case.generator.run(20)
        starts = [packet.payload[0] for packet in case.received(0) if packet.payload_type == EVENT_PT and packet.marker]
    assert starts == [1, 2, 3]


def test_nothing_is_keyed_without_keys() -> None:
    with legs(1) as case:
        case.generator.plan("none", *plan([(0, 1)]))
        case.generator.run(8)
        spoken = b"".join(packet.payload for packet in case.received(0))
    assert spoken == SPEECH[: 8 * FRAME]


def test_srtp_is_what_a_leg_with_the_keys_can_read() -> None:
    octets = SUITES[SUITE].master_octets
    keys = [(bytes([2 * leg]) * octets, bytes([2 * leg + 1]) * octets) for leg in range(2)]
    with legs(2) as case:
        case.generator.secure([SrtpCore(SrtpKeysPair(SUITE, local, remote)) for local, remote in keys])
        case.generator.plan("telephone-event", *plan([(1, 7)], []))
        case.generator.run(8)
        for leg, (local, remote) in enumerate(keys):
            core = SrtpCore(SrtpKeysPair(SUITE, remote, local))
            for index, packet in enumerate(case.raw(leg)):
                length, plain = core.unprotect(packet)
                assert length > 0
                assert RtpPacket.parse(plain[:length]).payload_type == (EVENT_PT if leg == 0 and 1 <= index < 7 else 0)
            assert index == 7


# -- what comes back -------------------------------------------------------------------------------------------------


def test_packets_are_counted_for_the_leg_that_sent_them() -> None:
    with legs(2) as case:
        for sequence in (65534, 65535, 0, 3, 3, 1):
            case.answer(1, sequence)
        case.answer(0, 9, SOUND)
        case.generator.run(2)
        assert case.generator.caller(0) == (2, 1, 0, 0, 1, 0)
        assert case.generator.caller(1) == (2, 6, 2, 2, 0, 0)
        assert case.generator.totals()["callers_unanswered"] == 0


def test_what_is_no_rtp_or_comes_from_elsewhere_is_a_stranger() -> None:
    with legs(1) as case, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        case.sockets[0].sendto(b"\x80", (LOOPBACK, case.port))
        case.sockets[0].sendto(bytes(40), (LOOPBACK, case.port))
        case.sockets[0].sendto(b"", (LOOPBACK, case.port))
        other.sendto(bytes([0x80, *bytes(171)]), (LOOPBACK, case.port))
        case.sockets[0].sendto(bytes([0x80, 0, *bytes(3000)]), (LOOPBACK, case.port))
        case.generator.run(1)
        assert case.generator.totals()["strangers"] == 4
        assert case.generator.totals()["packets_in"] == 1


def test_more_than_a_batch_is_drained() -> None:
    with legs(1) as case:
        for sequence in range(200):
            case.answer(0, sequence)
        case.generator.run(1)
        assert case.generator.caller(0)[1:4] == (200, 0, 0)


def test_more_callers_than_a_batch_are_all_called() -> None:
    with legs(150) as case:
        case.generator.run(1)
        assert [len(case.received(leg)) for leg in range(150)] == [1] * 150


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_a_generator_runs_once_and_stops_when_told() -> None:
    with legs(1) as case:
        thread = threading.Thread(target=case.generator.run, args=(180_000,))
        thread.start()
        case.generator.stop()
        thread.join(10)
        assert not thread.is_alive()
        with pytest.raises(RuntimeError):
            case.generator.run(1)


@pytest.mark.parametrize("cycles", [0, -1, 180_001])
def test_a_run_is_bounded(cycles: int) -> None:
    with legs(1) as case, pytest.raises(ValueError):
        case.generator.run(cycles)


@pytest.mark.parametrize(
    ("first", "cycle", "clip"),
    [
        ([0, 2], [0], [0]),
        ([1, 0], [0], [0]),
        ([0], [0], [0]),
        ([0, 1], [0], [16 * CLIPS.variants]),
        ([0, 1], [0], [-1]),
        ([0, 1], [0, 1], [0]),
    ],
)
def test_a_plan_that_points_outside_is_refused(first: list[int], cycle: list[int], clip: list[int]) -> None:
    with legs(1) as case, pytest.raises(ValueError):
        case.generator.plan("in-band", *(np.array(each, dtype=np.int32) for each in (first, cycle, clip)))


@pytest.mark.parametrize("ports", [[], [0], [65536], [4000, 4000], [5000] * 9000])
def test_ports_that_are_none_are_refused(ports: list[int]) -> None:
    with pytest.raises(ValueError):
        Generator([0], [0], ports, background=SPEECH, clips=CLIPS.audio, clip_frames=CLIPS.frames, event_frames=4)


def test_sound_that_is_not_whole_frames_is_refused() -> None:
    with pytest.raises(ValueError):
        Generator([0], [0], [5000], background=SPEECH[1:], clips=CLIPS.audio, clip_frames=5, event_frames=4)
    with pytest.raises(ValueError):
        Generator([0], [0], [5000], background=SPEECH, clips=CLIPS.audio[:-1], clip_frames=5, event_frames=4)


# -- sound and plan --------------------------------------------------------------------------------------------------


def test_every_tone_of_the_callers_is_a_key_and_their_speech_is_none() -> None:
    clips = key_clips(3)
    size = clips.frames * FRAME
    pause = SILENCE * 4
    for index, code in enumerate(CODES):
        at = index * clips.variants * size
        tones = [clips.audio[at + n * size : at + (n + 1) * size] for n in range(clips.variants)]
        assert digits(pause.join(tones)) == code * clips.variants
    assert digits(background(3)) == ""


def test_sound_comes_from_the_seed_alone() -> None:
    assert key_clips(5, variants=1) == key_clips(5, variants=1)
    assert key_clips(5, variants=1) != key_clips(6, variants=1)
    assert background(5, seconds=1.0) == background(5, seconds=1.0) != background(6, seconds=1.0)


@given(
    seed=st.integers(0, 2**32),
    callers=st.integers(1, 40),
    begin=st.integers(0, 100),
    length=st.integers(0, 500),
    spacing=st.integers(1, 12),
    presses_per_s=st.floats(0, 20),
)
def test_a_plan_keeps_its_bounds_its_number_and_its_spacing(
    seed: int, callers: int, begin: int, length: int, spacing: int, presses_per_s: float
) -> None:
    end = begin + length
    try:
        drawn = draw_plan(
            seed, callers=callers, begin=begin, end=end, presses_per_s=presses_per_s, spacing=spacing, variants=3
        )
    except ValueError:
        assert presses_per_s * length / 50 > length // spacing * callers // 2 - 1
        return
    assert len(drawn.cycle) == len(drawn.clip) == round(presses_per_s * length / 50) == drawn.first[-1]
    assert ((drawn.clip >= 0) & (drawn.clip < len(CODES) * 3)).all()
    for caller in range(callers):
        cycles = drawn.cycle[drawn.first[caller] : drawn.first[caller + 1]]
        assert (np.diff(cycles) >= spacing).all()
        assert ((cycles >= begin) & (cycles + spacing <= end)).all()


@pytest.mark.parametrize(
    ("keyed", "heard", "lost", "doubled", "wrong"),
    [
        ([1, 2, 3], [1, 2, 3], 0, 0, 0),
        ([1, 2, 3], [1, 3], 1, 0, 0),
        ([1, 2, 3], [1, 2, 2, 3], 0, 1, 0),
        ([1, 2, 3], [1, 7, 3], 1, 0, 1),
        ([1, 1, 3], [1, 3], 1, 0, 0),
        ([1, 1, 3], [1, 1, 1, 3], 0, 1, 0),
        ([1, 2, 3], [2, 1, 3], 1, 0, 1),
        ([], [5, 5], 0, 1, 1),
        ([4], [], 1, 0, 0),
    ],
)
def test_what_was_heard_is_compared_with_what_was_keyed(
    keyed: list[int], heard: list[int], lost: int, doubled: int, wrong: int
) -> None:
    assert compare([keyed, [9]], [heard, [9]]) == Outcome(
        sent=len(keyed) + 1,
        heard=len(heard) + 1,
        lost=lost,
        doubled=doubled,
        wrong=wrong,
        wrong_legs=int(keyed != heard),
    )


# -- figures -----------------------------------------------------------------------------------------------------------


def media_run(*, cost: float, waited: float = 0.0, lost: int = 0) -> MediaRun:
    keys = Outcome(sent=10, heard=10 - lost, lost=lost, doubled=0, wrong=0, wrong_legs=min(lost, 1))
    return MediaRun(
        calls=100,
        mode="in-band",
        record=False,
        srtp=False,
        bridge=False,
        threads=1,
        seconds=10.0,
        us_per_call_second=cost,
        user_us=cost / 2,
        system_us=cost / 2,
        media_us=cost - 10,
        generator_us=90.0,
        waited=waited,
        ticks=2000,
        late_ticks=100 if waited else 1,
        skipped_ticks=0,
        max_late_us=6000,
        events_lost=0,
        keys=keys,
        bytes_per_call=30_000.0,
        engine={"commands_lost": 0},
        generator={},
    )


def test_a_row_is_the_median_of_the_runs_that_nobody_disturbed() -> None:
    runs = [media_run(cost=cost) for cost in (240.0, 260.0, 250.0)]
    (row,) = rows([*runs, media_run(cost=60.0, waited=0.5, lost=4)])
    assert (row.runs, row.disturbed) == (4, 1)
    assert (row.us_per_call_second, row.lowest_us, row.highest_us) == (250.0, 240.0, 260.0)
    assert (row.keys_sent, row.keys_lost, row.ticks, row.late_ticks) == (30, 0, 6000, 3)
    assert row.calls_per_core == 4000
    assert row.cpu_s_per_call_minute == pytest.approx(0.015)


def test_disturbed_runs_are_told_when_there_are_no_others() -> None:
    (row,) = rows([media_run(cost=60.0, waited=0.5, lost=4)])
    assert (row.runs, row.disturbed, row.keys_lost) == (1, 1, 4)
    assert "| 1 (1) | 60 (60-60) |" in table([row])


def test_the_figures_are_written_without_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "calls.json", {"machine": "one"}, [media_run(cost=250.0)])
    written = json.loads((tmp_path / "new" / "calls.json").read_text())
    assert written["method"] == {"machine": "one"}
    assert written["runs"][0]["us_per_call_second"] == 250.0
    assert set(written["runs"][0]["keys"]) == {"sent", "heard", "lost", "doubled", "wrong", "wrong_legs"}


# -- processes -------------------------------------------------------------------------------------------------------


def test_a_process_that_refuses_or_ends_is_told() -> None:
    with Worker("benchmarks.load.caller") as worker:
        assert cpu_time(worker.pid).total_s >= 0
        with pytest.raises(WorkerError, match="KeyError"):
            worker.ask("dance")
        assert len(worker.ask("bind", sockets=2)["ports"]) == 2
        worker.close()
        with pytest.raises(WorkerError, match="ended"):
            worker.ask("bind", sockets=1)


@pytest.mark.e2e
@pytest.mark.parametrize("mode", ["in-band", "telephone-event"])
def test_a_media_plane_hears_every_key_of_twenty_callers(mode: str) -> None:
    run = measure(Load(calls=20, mode=mode, seconds=2.0, presses_per_s=10.0))
    assert run.keys == Outcome(sent=20, heard=20, lost=0, doubled=0, wrong=0, wrong_legs=0)
    assert run.generator["callers_unanswered"] == run.generator["strangers"] == 0
    assert run.generator["sounding"] > 0.5 * run.generator["packets_in"]
    assert run.us_per_call_second > 0
    assert rows([run, run])[0].keys_sent == 40
