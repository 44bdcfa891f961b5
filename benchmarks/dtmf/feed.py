"""The calls and nothing else, for the clock and for callgrind.

``python -m benchmarks.dtmf.feed DETECTOR AUDIO.npy PIECE PASSES`` feeds a file several times; run under callgrind, the
difference of two counts of passes is what the detector costs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.dtmf.errors import DetectorError
from benchmarks.dtmf.spandsp import load_spandsp
from dsp.dtmf import PROFILES, DtmfBank, DtmfDetector

__all__ = ("Feed", "feed_bank", "feeder", "main")

Samples = NDArray[np.int16]
Feed = Callable[[Samples, int, int], None]
"Takes audio in pieces: the audio, samples from piece to piece, samples of each (0: the calls alone)."


def feeder(spec: str) -> Feed:
    """Return what feeds a detector that lives in this process: ours, ours:PROFILE, spandsp.

    Raises DetectorError for one that does not. Little is imported here: under callgrind each import is a minute.
    """
    kind, _, profile = spec.partition(":")
    if kind == "ours":
        return _ours(profile or "itu_q24")
    if spec == "spandsp":
        return _spandsp()
    raise DetectorError(f"{spec} runs in a process of its own")


def _ours(profile: str) -> Feed:
    chosen = PROFILES[profile]

    def feed(samples: Samples, piece: int, take: int) -> None:
        process = DtmfDetector(chosen).process
        for at in range(0, len(samples) - piece + 1, piece):
            process(samples[at : at + take])

    return feed


def _spandsp() -> Feed:
    library = load_spandsp()

    def feed(samples: Samples, piece: int, take: int) -> None:
        receiver = library.dtmf_rx_init(None, None, None)
        base, process = samples.ctypes.data, library.dtmf_rx
        for at in range(0, len(samples) - piece + 1, piece):
            process(receiver, base + 2 * at, take)
        library.dtmf_rx_free(receiver)

    return feed


def feed_bank(frames: list[NDArray[np.int16]]) -> None:
    """Feed frames of all channels to a new bank."""
    process = DtmfBank(len(frames[0])).process
    for frame in frames:
        process(frame)


def main(argv: list[str]) -> int:
    """Feed a file from the command line."""
    spec, path, piece, passes = argv
    samples = np.load(Path(path))
    feed = feeder(spec)
    for _ in range(int(passes)):
        feed(samples, int(piece), int(piece))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
