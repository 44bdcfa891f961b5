"""The command line: ``paytone bench dtmf`` and ``python -m benchmarks.dtmf``."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

import typer

from benchmarks.dtmf import corpus as corpora
from benchmarks.dtmf import detectors, report, speech
from benchmarks.dtmf.errors import BenchError, CorpusError, DetectorError
from benchmarks.dtmf.runner import run
from benchmarks.dtmf.suite import Options
from benchmarks.dtmf.suites import SUITES

__all__ = ("main",)

NEED_CORPUS = ("talkoff", "real")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure DTMF detectors on one set of stimuli: recall, false digits, delay, speed.",
        epilog="Method, suites and the layout of a corpus: docs/benchmarks.md.",
        allow_abbrev=False,
    )
    parser.add_argument("--corpus", type=Path, help="folder of recordings: talkoff/ without keys, labels.tsv for keys")
    parser.add_argument(
        "--detector",
        action="append",
        metavar="NAME",
        help="ours, ours:PROFILE, spandsp, multimon or command:CMD; may be repeated, names parted by commas "
        "(default: ours and what is installed)",
    )
    parser.add_argument("--suite", metavar="NAMES", help=f"some of {','.join(SUITES)} (default: all that can run)")
    parser.add_argument("--digits", type=int, default=1600, help="digits in each condition (default: %(default)s)")
    parser.add_argument("--speeds", default="1", help="speeds of talk-off, such as 0.8,0.9,1,1.1,1.25 (default: 1)")
    parser.add_argument("--callgrind", action="store_true", help="throughput: also instructions a sample, by valgrind")
    parser.add_argument("--why", action="store_true", help="say which limits our detector's missed keys broke")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures; - for standard output")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all figures; - for standard output")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots as PNG")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write results.json, results.csv, results.md and plots")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="run on the Dask cluster of this scheduler")
    parser.add_argument("--seed", type=int, default=24, help="of all stimuli (default: %(default)s)")
    return parser


def main(argv: Sequence[str] | None = None, *, prog: str = "python -m benchmarks.dtmf") -> int:
    """Run from the command line. Status 1: something failed on the way; 2: nothing could be run."""
    parser = _parser(prog)
    arguments = parser.parse_args(argv)
    try:
        options = _options(parser, arguments)
        plots = arguments.plots or (arguments.out / "plots" if arguments.out else None)
        if plots is not None:
            from benchmarks.dtmf.plots import need_matplotlib  # an hour of figures, and then no plot: ask first

            need_matplotlib()
        done = _measured(options, arguments)
    except BenchError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        if error.remedy:
            print(f"remedy: {error.remedy}", file=sys.stderr)
        return 2
    _written(done, arguments, plots)
    return 1 if done.problems else 0


def _options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Options:
    if arguments.digits < 1:
        parser.error("--digits must be at least 1")
    if arguments.jobs < 1:
        parser.error("--jobs must be at least 1")
    if arguments.seed < 0:
        parser.error("--seed cannot be negative")
    if arguments.callgrind and shutil.which("valgrind") is None:
        raise DetectorError("valgrind is not installed", remedy="apt-get install valgrind, or leave --callgrind away")
    return Options(
        suites=_suites(parser, arguments),
        detectors=_detectors(arguments),
        digits=arguments.digits,
        seed=arguments.seed,
        corpus=arguments.corpus,
        speeds=_speeds(parser, arguments.speeds),
        callgrind=arguments.callgrind,
        why=arguments.why,
    )


def _suites(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> tuple[str, ...]:
    corpus: Path | None = arguments.corpus
    names = arguments.suite.split(",") if arguments.suite else list(SUITES)
    for name in names:
        if name not in SUITES:
            parser.error(f"no suite {name!r}; there are {', '.join(SUITES)}")
    for name in [name for name in NEED_CORPUS if name in names]:
        if corpus is not None and (corpora.talkoff if name == "talkoff" else corpora.labelled)(corpus):
            continue
        if arguments.suite:
            if corpus is None:
                raise CorpusError(f"suite {name} needs recordings", remedy="--corpus DIR")
            raise CorpusError(f"{corpus}: no recordings for suite {name}", remedy="see docs/benchmarks.md")
        names.remove(name)
        print(f"left out: {name}, no recordings", file=sys.stderr)
    if corpus is not None and not names:
        raise CorpusError(f"{corpus}: nothing to run")
    if corpus is not None and not corpora.talkoff(corpus) and not corpora.labelled(corpus):
        raise CorpusError(f"{corpus}: no recordings in it", remedy="see docs/benchmarks.md")
    return tuple(names)


def _detectors(arguments: argparse.Namespace) -> tuple[str, ...]:
    if not arguments.detector:
        names, missing = detectors.available()
        for error in missing:
            print(f"left out: {error} ({error.remedy})", file=sys.stderr)
        return tuple(names)
    specs: list[str] = []
    for text in arguments.detector:
        specs += [text] if text.startswith("command:") else text.split(",")
    for spec in specs:
        detectors.make(spec)
    return tuple(dict.fromkeys(specs))


def _speeds(parser: argparse.ArgumentParser, text: str) -> tuple[float, ...]:
    try:
        speeds = tuple(float(part) for part in text.split(","))
    except ValueError:
        parser.error(f"--speeds: not numbers: {text}")
    if not all(math.isfinite(speed) and 0.5 <= speed <= 2 for speed in speeds):
        parser.error("--speeds must lie between 0.5 and 2")
    return speeds


def _measured(options: Options, arguments: argparse.Namespace) -> report.Report:
    with typer.progressbar(length=1000, label="measuring ", file=sys.stderr, show_percent=True) as bar:

        def progress(name: str, done: int, total: int) -> None:
            if sys.stderr.isatty():  # elsewhere each label would be a line
                bar.label = f"{name:<10}"
            bar.update(1000 * done // total - bar.pos)

        rows, problems = run(options, jobs=arguments.jobs, scheduler=arguments.scheduler, progress=progress)
    method: dict[str, Any] = {"digits a condition": options.digits, "seed": options.seed}
    if "noise" in options.suites or "throughput" in options.suites:
        method["voices from"] = speech.origin(options.corpus)
    if "talkoff" in options.suites:
        method["speeds"] = " ".join(f"{speed:g}" for speed in options.speeds)
    return report.Report(
        machine=report.machine(),
        method=method,
        detectors={d.name: d.version for d in map(detectors.make, options.detectors)},
        rows=rows,
        problems=problems,
    )


def _written(done: report.Report, arguments: argparse.Namespace, plots: Path | None) -> None:
    stdout_taken = False
    jsons, csvs = [arguments.json], [arguments.csv]
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        jsons.append(arguments.out / "results.json")
        csvs.append(arguments.out / "results.csv")
        (arguments.out / "results.md").write_text(report.markdown(done))
    for write, paths in ((report.write_json, jsons), (report.write_csv, csvs)):
        for path in filter(None, paths):
            stdout_taken |= str(path) == "-"
            with _opened(path) as out:
                write(done, out)
    if plots is not None:
        from benchmarks.dtmf.plots import draw

        draw(done, plots)
    if not stdout_taken:
        print(report.plain(done))
    for problem in done.problems:
        print(f"problem: {problem}", file=sys.stderr)


def _opened(path: Path) -> Any:
    if str(path) == "-":
        return nullcontext[TextIO](sys.stdout)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", newline="")
