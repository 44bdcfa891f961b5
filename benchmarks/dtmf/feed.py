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

from benchmarks.dtmf import detectors
from benchmarks.dtmf.detectors import Ours, Spandsp
from benchmarks.dtmf.errors import DetectorError
from benchmarks.dtmf.stimuli import Samples
from dsp import dtmf
from dsp.dtmf import DtmfDetector

__all__ = ("feed_bank", "feeder", "main")

Feed = Callable[[Samples, int], None]
"Takes all of the audio, in pieces of so many samples."


def feeder(spec: str) -> Feed:
    """Return what feeds a detector that lives in this process.

    Raises DetectorError for one that does not.
    """
    detector = detectors.make(spec)
    if isinstance(detector, Ours):
        return _ours(detector)
    if isinstance(detector, Spandsp):
        return _spandsp(detector)
    raise DetectorError(f"{spec} runs in a process of its own")


def _ours(ours: Ours) -> Feed:
    def feed(samples: Samples, piece: int) -> None:
        process = DtmfDetector(ours.profile).process
        for at in range(0, len(samples) - piece + 1, piece):
            process(samples[at : at + piece])

    return feed


def _spandsp(spandsp: Spandsp) -> Feed:
    library = spandsp.library

    def feed(samples: Samples, piece: int) -> None:
        receiver = library.dtmf_rx_init(None, None, None)
        base, process = samples.ctypes.data, library.dtmf_rx
        for at in range(0, len(samples) - piece + 1, piece):
            process(receiver, base + 2 * at, piece)
        library.dtmf_rx_free(receiver)

    return feed


def feed_bank(frames: list[NDArray[np.int16]]) -> None:
    """Feed frames of all channels to a new bank."""
    process = dtmf.DtmfBank(len(frames[0])).process  # type: ignore[attr-defined]
    for frame in frames:
        process(frame)


def main(argv: list[str]) -> int:
    """Feed a file from the command line."""
    spec, path, piece, passes = argv
    samples = np.load(Path(path))
    feed = feeder(spec)
    for _ in range(int(passes)):
        feed(samples, int(piece))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
