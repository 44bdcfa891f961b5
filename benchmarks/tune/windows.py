"""Windows to learn from: what the detector's analysis sees in keys and in audio that has none."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.dtmf import corpus as corpora
from benchmarks.dtmf.score import Key
from benchmarks.dtmf.stimuli import Samples, Stimulus, drawn, idle_noise, keyed, through
from benchmarks.dtmf.suite import Condition
from benchmarks.dtmf.suites import codec, loss, noise, q24
from benchmarks.tune.model import doubts, field_values, inside
from dsp import _detector, channel
from dsp.dtmf import CODES, SENSITIVE, DtmfProfile, params

__all__ = ("Audio", "Keys", "Windows", "conditions", "hear", "keys_under", "material", "trace")

Array = NDArray[np.float64]
WINDOW = 200
"Samples of a window; they come every `HOP`."
HOP = 40
EDGE = 20
"Samples by which a window may reach beyond its key and still count as the key's."
TRACING = SENSITIVE
"The widest profile: it looks at everything that could be a key under any."


class Windows:
    """Windows within the widest profile's limits, in order: rows of the trace."""

    def __init__(self, rows: Array, fields: tuple[str, ...] = _detector.TRACE_FIELDS) -> None:
        self.fields = field_values(rows, fields)
        self.at: NDArray[np.int64] = self.fields.position.astype(np.int64)
        "Sample at which each ends."
        self.digit: NDArray[np.int64] = self.fields.digit.astype(np.int64)
        "RFC 4733 code of the nearest key."
        self.doubts = doubts(self.fields)
        self._rows = rows
        self._inside: dict[DtmfProfile, NDArray[np.bool_]] = {}

    def __reduce__(self) -> tuple[type[Windows], tuple[Array]]:
        return Windows, (self._rows,)

    def inside(self, profile: DtmfProfile) -> NDArray[np.bool_]:
        """Say which lie within a profile's limits."""
        if profile not in self._inside:
            self._inside[profile] = inside(self.fields, profile)
        return self._inside[profile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Audio without a key: every digit found in it is a false one."""

    source: str
    kind: str
    speed: float
    hours: float
    windows: Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Keys under a condition."""

    condition: str
    refused: bool
    chunk: int
    keys: tuple[Key, ...]
    windows: Windows
    of_keys: NDArray[np.bool_]
    "Which windows lie within a key of their digit."


def trace(blocks: Iterable[Samples]) -> tuple[Windows, int]:
    """Return the windows of a recording and its length in samples."""
    detector = _detector.Detector(params(TRACING))
    parts: list[Array] = []
    length = 0
    for block in blocks:
        length += len(block)
        rows = np.frombuffer(detector.trace(np.ascontiguousarray(block))).reshape(-1, len(_detector.TRACE_FIELDS))
        parts.append(rows[inside(field_values(rows, _detector.TRACE_FIELDS), TRACING)])
    return Windows(np.concatenate(parts) if parts else np.zeros((0, len(_detector.TRACE_FIELDS)))), length


def _quiet(level_dbm0: float, twist_db: float) -> Condition:
    def make(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
        keys = keyed(drawn(rng, n), rng, 65, 65, level_dbm0=level_dbm0, high_minus_low_db=twist_db)
        return through(keys, channel.through_ulaw(idle_noise(keys.samples, rng)))

    return Condition(make)


def conditions() -> Mapping[str, Condition]:
    """Return the conditions that are tuned for, of the benchmark's and two of our own."""
    table = {**q24.conditions(), **noise.conditions(), **codec.conditions(), **loss.conditions()}
    names = (
        "in-spec mix 40/40 ms, mu-law",
        "in-spec mix 50/50 ms, A-law",
        *(f"white noise, SNR {snr_db} dB" for snr_db in (10, 8, 6, 4)),
        *(f"babble of six, {snr_db} dB" for snr_db in (10, 5)),
        "one talker, 10 dB",
        *(f"hum {freq_hz} Hz, {over_db:+d} dB" for freq_hz in (50, 60) for over_db in (6, 12)),
        "dial tone 350+440 Hz, +10 dB",
        "dial tone 425 Hz, +10 dB",
        *(f"echo {delay_ms} ms, -10 dB" for delay_ms in (10, 20)),
        *(f"clipped by {by_db} dB" for by_db in (6, 12)),
        *(f"clock {percent:+.1f} %" for percent in (1.5, -1.5)),
        "slips of 8 samples, one each 100 ms",
        "GSM full rate",
        "A-law, GSM full rate, A-law",
        "loss 5 %, random, zeros",
        "loss 5 %, random, repeat",
        "interrupted for 10 ms in 80 ms",
        # Tones that are too short are refused by their length, once their windows have passed: not here.
        *(name for name in q24.conditions() if name.startswith("refuse") and not name.endswith("ms")),
    )
    chosen = {name: table[name] for name in names if name in table}  # a codec may not be installed
    chosen["quiet, -36 dBm0"] = _quiet(-36, 0)
    chosen["handset, high tone 8 dB above"] = _quiet(-20, 8)
    return chosen


def _of_keys(windows: Windows, keys: tuple[Key, ...]) -> NDArray[np.bool_]:
    if not len(windows.at) or not keys:
        return np.zeros(len(windows.at), dtype=bool)
    starts, ends = np.array([k.start for k in keys]), np.array([k.end for k in keys])
    codes = np.array([CODES[k.digit] for k in keys])
    begin = windows.at - WINDOW
    index = np.clip(np.searchsorted(starts, begin + EDGE, side="right") - 1, 0, len(keys) - 1)
    inner: NDArray[np.bool_] = (
        (starts[index] <= begin + EDGE) & (windows.at <= ends[index] + EDGE) & (codes[index] == windows.digit)
    )
    return inner


def keys_under(name: str, chunk: int, n: int, seed: int, voices: Path | None) -> Keys:
    """Make n keys under a condition and look at them."""
    condition = conditions()[name]
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), chunk])
    stimulus = condition.make(rng, n, voices)
    windows, _ = trace([stimulus.samples])
    return Keys(
        condition=name,
        refused=condition.refused,
        chunk=chunk,
        keys=stimulus.keys,
        windows=windows,
        of_keys=_of_keys(windows, stimulus.keys),
    )


def hear(item: corpora.Talkoff, speed: float) -> Audio:
    """Look at a recording without keys, played at a speed."""
    windows, length = trace(corpora.blocks(item.path, speed=speed))
    return Audio(source=item.corpus, kind=item.kind, speed=speed, hours=length / 8000 / 3600, windows=windows)


def _run(task: tuple[str, tuple[object, ...]]) -> Audio | Keys:
    what, arguments = task
    return hear(*arguments) if what == "audio" else keys_under(*arguments)  # type: ignore[arg-type]


def material(
    corpus: Path, speeds: tuple[float, ...], *, chunks: int, keys_a_chunk: int, seed: int, processes: int
) -> tuple[list[Audio], list[Keys]]:
    """Look at a corpus at every speed, and at keys under every condition with the corpus's voices behind them."""
    tasks: list[tuple[str, tuple[object, ...]]] = [
        ("keys", (name, chunk, keys_a_chunk, seed, corpus)) for name in conditions() for chunk in range(chunks)
    ]
    tasks += [("audio", (item, speed)) for item in corpora.talkoff(corpus) for speed in speeds]
    with get_context("forkserver").Pool(processes) as pool:
        done = pool.map(_run, tasks, chunksize=1)
    return [d for d in done if isinstance(d, Audio)], [d for d in done if isinstance(d, Keys)]
