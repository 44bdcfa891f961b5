"""Make a folder of a talk-off corpus from any audio: 8 kHz, one channel, the level that talk-off is stated at.

``python -m benchmarks.tune.prepare CORPUS NAME KIND FOLDER…`` puts all audio below the folders into
``CORPUS/talkoff/NAME`` and its kind (speech, music, synthesised) into ``CORPUS/talkoff/kinds.tsv``. Each recording is
brought to an active level (ITU-T P.56) of -15 dBm0; recordings follow each other after 250 ms of silence, in files of
some ten minutes; what occurs twice is taken once; what is shorter than 250 ms, has no sound or is no audio is left out.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.dtmf.stimuli import Samples
from dsp.dtmf import RATE_HZ
from dsp.errors import NoSpeechError
from dsp.levels import FULL_SCALE, amplitude_of_db, dbov_of_dbm0
from dsp.meter import active_level_dbov
from engine.detect import AudioFileError, blocks_at_8_khz

__all__ = ("LEVEL_DBM0", "prepare", "recordings")

LEVEL_DBM0 = -15.0
"Active level. Q.24 (NTT) states its limit on speech hits at -15 dBm."
FILE_SAMPLES = 600 * RATE_HZ
PAUSE = np.zeros(RATE_HZ // 4, dtype=np.int16)
SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".gsm", ".au", ".aiff"}


def recordings(folders: list[Path]) -> Iterator[Samples]:
    """Yield the recordings below some folders, each brought to `LEVEL_DBM0`; saturates."""
    seen: set[bytes] = set()
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        content = hashlib.sha256(path.read_bytes()).digest()
        if content in seen:
            continue
        seen.add(content)
        try:
            samples = np.concatenate([PAUSE[:0], *blocks_at_8_khz(path)])
            level = active_level_dbov(samples, RATE_HZ)
        except (AudioFileError, NoSpeechError) as error:
            print(f"left out: {path}: {error}", file=sys.stderr)
            continue
        if len(samples) < len(PAUSE):
            continue
        gain = amplitude_of_db(dbov_of_dbm0(LEVEL_DBM0) - level)
        yield np.clip(np.rint(samples * gain), -FULL_SCALE, FULL_SCALE).astype(np.int16)


def prepare(corpus: Path, name: str, kind: str, folders: list[Path]) -> float:
    """Write the recordings below some folders; return their hours."""
    out = corpus / "talkoff" / name
    out.mkdir(parents=True, exist_ok=True)
    pending: list[Samples] = []
    total = n = 0

    def write() -> None:
        nonlocal n
        if pending:
            soundfile.write(out / f"{n:03}.flac", np.concatenate(pending), RATE_HZ, subtype="PCM_16")
            n += 1
            pending.clear()

    for samples in recordings(folders):
        pending += [samples, PAUSE]
        total += len(samples) + len(PAUSE)
        if sum(map(len, pending)) >= FILE_SAMPLES:
            write()
    write()
    kinds = corpus / "talkoff" / "kinds.tsv"
    lines = kinds.read_text(encoding="utf-8").splitlines() if kinds.exists() else ["folder\tkind"]
    lines = [line for line in lines if line.split("\t")[0] != name] + [f"{name}\t{kind}"]
    kinds.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return total / RATE_HZ / 3600


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tune.prepare", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("name")
    parser.add_argument("kind", choices=("speech", "music", "synthesised"))
    parser.add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args(argv)
    for folder in options.folders:
        if not folder.is_dir():
            parser.error(f"{folder}: no such folder")
    print(f"{prepare(options.corpus, options.name, options.kind, options.folders):.2f} h")
    return 0


if __name__ == "__main__":
    sys.exit(main())
