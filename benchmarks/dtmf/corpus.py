"""Corpora: folders of audio, with labels where there are digits in them. The format is in docs/benchmarks.md.

Everything is checked before a run starts: a label that cannot be read is an error that names file and line.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from benchmarks.dtmf.errors import CorpusError
from benchmarks.dtmf.score import Key
from benchmarks.dtmf.stimuli import Samples
from dsp.dtmf import DIGITS, RATE_HZ
from engine.detect import AudioFileError, blocks_at_8_khz

__all__ = ("Labelled", "Talkoff", "blocks", "duration_s", "labelled", "read", "speech_files", "talkoff")

LABELS = "labels.tsv"
TIMED_LABELS = ".labels.tsv"
KINDS = "kinds.tsv"
DEFAULT_KIND = "speech"
KNOWN_KINDS = (
    ("music", "music"),
    ("moh", "music"),
    ("sonic", "music"),
    ("synth", "synthesised"),
    ("espeak", "synthesised"),
)
"What a part of a folder's name says about it, where kinds.tsv does not."
NOT_AUDIO = {".tsv", ".txt", ".md", ".csv", ".json", ".html", ".pdf", ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Talkoff:
    """A recording without DTMF: every digit found in it is a false one."""

    path: str
    corpus: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A recording with DTMF."""

    path: str
    label: str
    "How the label was made: published, listened to, generated."
    digits: str = field(repr=False)
    keys: tuple[Key, ...] | None = None
    "With times, where a file of timed labels lies beside it."


def _audio_below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix.lower() not in NOT_AUDIO
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and fields of each row; refuse a table that lacks a column or a field."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            missing = [c for c in columns if c not in (reader.fieldnames or ())]
            if missing:
                raise CorpusError(f"{path}:1: no column {missing[0]!r} (columns are parted by tabs)")
            for row in reader:
                if any(row[column] in (None, "") for column in columns):
                    raise CorpusError(f"{path}:{reader.line_num}: a field is missing; needed: {', '.join(columns)}")
                yield reader.line_num, {str(k): v or "" for k, v in row.items() if k}
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}") from None


def talkoff(corpus: Path) -> list[Talkoff]:
    """List the recordings without DTMF: below ``talkoff/``; everything in a corpus that has no labels at all.

    Raises CorpusError when the corpus does not exist or a file is not audio.
    """
    _must_exist(corpus)
    root = corpus / "talkoff"
    if not root.is_dir():
        if (corpus / "real").is_dir() or any(corpus.rglob(f"*{LABELS}")):
            return []
        root = corpus
    kinds = dict(_kinds(root / KINDS)) if (root / KINDS).exists() else {}
    found = []
    for path in _audio_below(root):
        relative = path.relative_to(root)
        name = relative.parts[0] if len(relative.parts) > 1 else root.name
        duration_s(path)
        found.append(Talkoff(path=str(path), corpus=name, kind=kinds.get(name) or _kind(name)))
    return found


def _kinds(path: Path) -> Iterator[tuple[str, str]]:
    for _, row in _rows(path, ("folder", "kind")):
        yield row["folder"], row["kind"]


def _kind(name: str) -> str:
    return next((kind for part, kind in KNOWN_KINDS if part in name.lower()), DEFAULT_KIND)


def labelled(corpus: Path) -> list[Labelled]:
    """List the recordings with DTMF: each ``labels.tsv``, and each audio file with timed labels beside it.

    Raises CorpusError for a corpus that does not exist, a label that is wrong, or a file that is missing or not audio.
    """
    _must_exist(corpus)
    found: dict[Path, Labelled] = {}
    for table in sorted(corpus.rglob(LABELS)):
        if table.name != LABELS:
            continue
        for line, row in _rows(table, ("file", "digits")):
            path = table.parent / row["file"]
            where = f"{table}:{line}"
            _check_digits(row["digits"], where)
            if not path.is_file():
                raise CorpusError(f"{where}: no such file: {row['file']}")
            if path in found:
                raise CorpusError(f"{where}: {row['file']} is labelled twice")
            duration_s(path)
            found[path] = Labelled(path=str(path), digits=row["digits"], label=row.get("label") or "unstated")
    for table in sorted(corpus.rglob(f"*{TIMED_LABELS}")):
        stem = table.name.removesuffix(TIMED_LABELS)
        audio = [p for p in table.parent.glob(f"{stem}.*") if p.is_file() and p.suffix.lower() not in NOT_AUDIO]
        if not stem or len(audio) != 1:
            raise CorpusError(f"{table}:1: needs exactly one audio file {stem}.* beside it, found {len(audio)}")
        keys = _timed(table, duration_s(audio[0]))
        digits = "".join(key.digit for key in keys)
        known = found.get(audio[0])
        if known is not None and known.digits != digits:
            raise CorpusError(f"{table}:1: the digits differ from those in {LABELS}")
        label = known.label if known is not None else "timed"
        found[audio[0]] = Labelled(path=str(audio[0]), digits=digits, label=label, keys=keys)
    return [found[path] for path in sorted(found)]


def _timed(table: Path, length_s: float) -> tuple[Key, ...]:
    keys: list[Key] = []
    for line, row in _rows(table, ("start", "end", "digit")):
        where = f"{table}:{line}"
        try:
            start_s, end_s = float(row["start"]), float(row["end"])
        except ValueError:
            raise CorpusError(f"{where}: start and end must be seconds") from None
        if not (math.isfinite(start_s) and math.isfinite(end_s) and 0 <= start_s < end_s):
            raise CorpusError(f"{where}: start must be less than end, and neither negative")
        if end_s > length_s + 0.1:
            raise CorpusError(f"{where}: ends behind the recording, which is {length_s:.3f} s long")
        if keys and round(start_s * RATE_HZ) < keys[-1].start:
            raise CorpusError(f"{where}: starts before the line above it")
        _check_digits(row["digit"], where)
        if len(row["digit"]) != 1:
            raise CorpusError(f"{where}: one digit a line")
        keys.append(Key(round(start_s * RATE_HZ), round(end_s * RATE_HZ), row["digit"]))
    return tuple(keys)


def _check_digits(digits: str, where: str) -> None:
    if not digits or any(digit not in DIGITS for digit in digits):
        raise CorpusError(f"{where}: digits are 0-9 * # A-D")


def _must_exist(corpus: Path) -> None:
    if not corpus.is_dir():
        raise CorpusError(f"{corpus}: no such folder")


def duration_s(path: Path) -> float:
    """Return the length of an audio file by its header."""
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "error_string", None) or str(error)
        raise CorpusError(f"{path}: cannot be read as audio: {reason}") from None


def blocks(path: str, *, speed: float = 1.0) -> Iterator[Samples]:
    """Read a file a second at a time, as mono int16 at 8 kHz."""
    try:
        yield from blocks_at_8_khz(Path(path), speed=speed)
    except AudioFileError as error:
        raise CorpusError(str(error)) from None


def read(path: str, start_s: float, n_samples: int) -> Samples:
    """Read part of a recording of 8 kHz mono; shorter when it ends."""
    with soundfile.SoundFile(path) as file:
        file.seek(min(round(start_s * file.samplerate), file.frames))
        samples: Samples = file.read(n_samples, dtype="int16", always_2d=True)[:, 0]
    return samples


def speech_files(corpus: Path) -> list[str]:
    """List the speech of a corpus that is 8 kHz: background for digits."""
    found = [item.path for item in talkoff(corpus) if item.kind == "speech"]
    return [path for path in found if soundfile.info(path).samplerate == RATE_HZ]
